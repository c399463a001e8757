// Package platform detects the platform that azptend runs on, and how long it waits
// between SIGTERM and SIGKILL. It looks at variables that the platform sets and at a few
// files. The caller passes the environment: only package config reads it.
//
// On virtual machines a [Watcher] also asks the metadata service for Azure's Scheduled
// Events. Nothing pushes them, so polling is the only way. The first request turns
// Scheduled Events on for the machine.
//
// docs/platforms.md has the same table with its sources, and says what is not verified.
package platform

import (
	"fmt"
	"io/fs"
	"log/slog"
	"strconv"
	"strings"
	"time"
)

// Platform names a platform in settings and logs.
type Platform string

// The platforms.
const (
	ContainerApps      Platform = "container-apps"
	ContainerAppsJob   Platform = "container-apps-job"
	ContainerInstances Platform = "container-instances"
	Kubernetes         Platform = "kubernetes"
	AppService         Platform = "app-service"
	Docker             Platform = "docker"
	Container          Platform = "container" // another container engine
	Systemd            Platform = "systemd"
	None               Platform = "none" // a shell, or something unknown
)

// Info is what is known about the platform.
type Info struct {
	Platform       Platform
	DisplayName    string
	DetectedBy     string        // the variable or file that shows it
	GracePeriod    time.Duration // between SIGTERM and SIGKILL, by default
	MaxGracePeriod time.Duration // the longest that the platform allows; 0: unknown
	GraceSetting   string        // the platform's setting that changes it; "": none does
}

// Options are the inputs of Detect.
type Options struct {
	Getenv    func(name string) string
	Files     fs.FS // the root file system
	Pid       int
	ParentPid int
	Override  Platform // the value of AZP_PLATFORM; "": detect it
}

// candidate is a platform, and how it is detected: evidence returns the variable or
// file that shows it, or "".
type candidate struct {
	info     Info
	evidence func(Options) string
}

// candidates lists the platforms in the order of detection. The more specific come
// first: Container Apps is built on Kubernetes, Container Instances may be a virtual
// node of Kubernetes, and all of them run containers. docs/platforms.md has the
// sources of the signs and of the grace periods.
func candidates() []candidate {
	const usual = 30 * time.Second
	return []candidate{
		// The grace period of a job is fixed: container-apps#1669.
		{Info{Platform: ContainerAppsJob, DisplayName: "Azure Container Apps job", GracePeriod: usual, MaxGracePeriod: usual},
			variable("CONTAINER_APP_JOB_NAME", "CONTAINER_APP_JOB_EXECUTION_NAME")},
		{Info{Platform: ContainerApps, DisplayName: "Azure Container Apps", GracePeriod: usual, GraceSetting: "the template's terminationGracePeriodSeconds"},
			variable("CONTAINER_APP_NAME", "CONTAINER_APP_REVISION")},
		{Info{Platform: AppService, DisplayName: "Azure App Service", GracePeriod: 5 * time.Second, MaxGracePeriod: 120 * time.Second, GraceSetting: "the app setting " + stopTimeLimit},
			variable("WEBSITE_SITE_NAME", "WEBSITE_INSTANCE_ID")},
		// No grace period is published, and some users saw no SIGTERM: azure-cli#16673.
		{Info{Platform: ContainerInstances, DisplayName: "Azure Container Instances", GracePeriod: usual}, containerInstances},
		{Info{Platform: Kubernetes, DisplayName: "Kubernetes", GracePeriod: usual, GraceSetting: "the pod's terminationGracePeriodSeconds"},
			variable("KUBERNETES_SERVICE_HOST")},
		{Info{Platform: Docker, DisplayName: "Docker", GracePeriod: 10 * time.Second, GraceSetting: "--stop-timeout or stop_grace_period"}, file(".dockerenv")},
		{Info{Platform: Container, DisplayName: "a container", GracePeriod: 10 * time.Second, GraceSetting: "the engine's stop timeout"}, otherContainer},
		{Info{Platform: Systemd, DisplayName: "systemd", GracePeriod: 90 * time.Second, GraceSetting: "the unit's TimeoutStopSec"}, systemdUnit},
		{Info{Platform: None, DisplayName: "no known platform", GracePeriod: usual}, func(Options) string { return "no other platform detected" }},
	}
}

// All lists the platforms in the order of detection.
func All() []Platform {
	var all []Platform
	for _, c := range candidates() {
		all = append(all, c.info.Platform)
	}
	return all
}

// Detect finds the platform. Override must be one of All, or empty.
func Detect(o Options) Info {
	for _, c := range candidates() {
		p := c.info
		if p.DetectedBy = c.evidence(o); o.Override != "" {
			p.DetectedBy = "AZP_PLATFORM (--platform)"
		}
		if p.DetectedBy == "" || o.Override != "" && o.Override != p.Platform {
			continue
		}
		// App settings are variables of the container.
		if s, err := strconv.Atoi(strings.TrimSpace(o.Getenv(stopTimeLimit))); err == nil && s > 0 && p.Platform == AppService {
			p.GracePeriod = min(time.Duration(min(s, 3600))*time.Second, p.MaxGracePeriod)
		}
		return p
	}
	panic("unknown platform " + string(o.Override))
}

// stopTimeLimit is the app setting of App Service that changes the grace period.
const stopTimeLimit = "WEBSITES_CONTAINER_STOP_TIME_LIMIT"

func variable(names ...string) func(Options) string {
	return func(o Options) string {
		for _, name := range names {
			if o.Getenv(name) != "" {
				return name
			}
		}
		return ""
	}
}

func file(name string) func(Options) string {
	return func(o Options) string {
		if _, err := fs.Stat(o.Files, name); err != nil {
			return ""
		}
		return "/" + name
	}
}

// containerInstances also checks the value, because Service Fabric sets the same variable to
// other values (fabric:/…, App-…).
func containerInstances(o Options) string {
	if strings.HasPrefix(o.Getenv("Fabric_ApplicationName"), "caas-") {
		return "Fabric_ApplicationName"
	}
	return ""
}

// otherContainer detects Podman by its file, and other engines by the variable that systemd
// asks container managers to set. If azptend is PID 1 without any of these, it also runs in a
// container.
func otherContainer(o Options) string {
	if found := file("run/.containerenv")(o); found != "" {
		return found
	}
	switch {
	case o.Getenv("container") != "":
		return "container"
	case o.Pid == 1:
		return "being PID 1"
	}
	return ""
}

// systemdUnit detects that this is the main process of a systemd unit. INVOCATION_ID alone
// does not show that, because all processes below a unit inherit it, such as a shell in a
// terminal.
func systemdUnit(o Options) string {
	if pid := o.Getenv("SYSTEMD_EXEC_PID"); pid != "" { // since systemd 248
		if pid == strconv.Itoa(o.Pid) {
			return "SYSTEMD_EXEC_PID"
		}
		return ""
	}
	if o.Getenv("INVOCATION_ID") != "" && o.ParentPid == 1 {
		return "INVOCATION_ID"
	}
	return ""
}

// jobIdleTimeout is how long a replica of a Container Apps job waits for the pipeline job that
// it was started for. Another agent may have taken that job, and idle time counts towards the
// replica's timeout.
const jobIdleTimeout = 5 * time.Minute

// IdleTimeout is the default of AZP_IDLE_TIMEOUT; 0 means never.
func (p Info) IdleTimeout(once bool) time.Duration {
	if p.Platform == ContainerAppsJob && once {
		return jobIdleTimeout
	}
	return 0
}

// Log logs the platform, and warns about unsuitable times. configured is the value of
// AZP_GRACE_PERIOD; 0 if it is not set.
func (p Info) Log(log *slog.Logger, configured, replicaTimeout time.Duration) {
	grace, from := p.GracePeriod, "the platform's default"
	if configured != 0 {
		grace, from = configured, "AZP_GRACE_PERIOD (--grace-period)"
	}
	log.Info("Found the platform", "platform", p.Platform, "name", p.DisplayName, "detected_by", p.DetectedBy,
		"grace", grace.String(), "grace_from", from)
	if p.MaxGracePeriod != 0 && grace > p.MaxGracePeriod {
		log.Warn("The grace period is longer than the platform allows", "grace", grace.String(), "longest", p.MaxGracePeriod.String(),
			"hint", fmt.Sprintf("set AZP_GRACE_PERIOD to at most %v: the platform kills azptend then", p.MaxGracePeriod))
	}
	if p.Platform == ContainerAppsJob && replicaTimeout == 0 {
		log.Warn("A job that starts late may be lost: the platform ends this replica at a time that azptend does not know",
			"hint", "set AZP_REPLICA_TIMEOUT to the job's replica timeout")
	}
	if configured == 0 && p.GraceSetting != "" {
		log.Info(fmt.Sprintf("Assuming %s default grace period of %v; set AZP_GRACE_PERIOD if you changed %s", possessive(p.DisplayName), grace, p.GraceSetting))
	}
}

func possessive(name string) string {
	if strings.HasSuffix(name, "s") {
		return name + "'"
	}
	return name + "'s"
}
