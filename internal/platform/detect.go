package platform

import (
	"io/fs"
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
	Container          Platform = "container" // of another engine
	Systemd            Platform = "systemd"
	None               Platform = "none" // a shell, or something unknown
)

// All lists the platforms in the order in which they are looked for. The more
// particular come first: Container Apps is built on Kubernetes, Container
// Instances may be a Kubernetes' virtual node, and all of them have containers.
func All() []Platform {
	return []Platform{ContainerAppsJob, ContainerApps, AppService, ContainerInstances, Kubernetes, Docker, Container, Systemd, None}
}

// Options are what is looked at.
type Options struct {
	Getenv    func(name string) string // of the environment, "" where not set
	Files     fs.FS                    // the root file system
	Pid       int
	ParentPid int      // the parent's pid
	Override  Platform // what a person said it is; "": look
}

// Info is what is known of where azptend runs.
type Info struct {
	Platform       Platform
	DisplayName    string        // for a person
	DetectedBy     string        // what it was known by
	GracePeriod    time.Duration // from the first word to SIGKILL, where nobody set another
	MaxGracePeriod time.Duration // the most that the platform ever gives; 0: not known
	GraceSetting   string        // what changes the grace there; "": nothing does
}

// defaultGracePeriod is what most platforms give, Kubernetes and Container Apps among
// them (docs/platforms.md).
const defaultGracePeriod = 30 * time.Second

// Detect says which platform this is.
func Detect(o Options) Info {
	for _, word := range All() {
		seen := o.evidence(word)
		if o.Override != "" {
			if word != o.Override {
				continue
			}
			seen = "AZP_PLATFORM (--platform)"
		}
		if seen != "" {
			p := o.info(word)
			p.Platform, p.DetectedBy = word, seen
			return p
		}
	}
	panic("a platform that is not in Words: " + string(o.Override))
}

// evidence is what a platform is known by, "" where it is not there. Sources are in
// docs/platforms.md.
func (o Options) evidence(word Platform) string {
	switch word {
	case ContainerAppsJob:
		return o.firstSet("CONTAINER_APP_JOB_NAME", "CONTAINER_APP_JOB_EXECUTION_NAME")
	case ContainerApps:
		return o.firstSet("CONTAINER_APP_NAME", "CONTAINER_APP_REVISION")
	case AppService:
		return o.firstSet("WEBSITE_SITE_NAME", "WEBSITE_INSTANCE_ID")
	case ContainerInstances:
		// Service Fabric sets the same variable to other names (fabric:/…, App-…).
		if strings.HasPrefix(o.Getenv("Fabric_ApplicationName"), "caas-") {
			return "Fabric_ApplicationName"
		}
	case Kubernetes:
		return o.firstSet("KUBERNETES_SERVICE_HOST")
	case Docker:
		return o.fileExists(".dockerenv")
	case Container:
		return o.otherContainer()
	case Systemd:
		return o.systemdUnit()
	case None:
		return "no sign of any other"
	}
	return ""
}

func (o Options) firstSet(names ...string) string {
	for _, name := range names {
		if o.Getenv(name) != "" {
			return name
		}
	}
	return ""
}

func (o Options) fileExists(name string) string {
	if _, err := fs.Stat(o.Files, name); err != nil {
		return ""
	}
	return "/" + name
}

// otherContainer knows Podman by its file and others by the variable that
// systemd asks of container managers; whoever is PID 1 and none of those is the
// only program of some container.
func (o Options) otherContainer() string {
	switch {
	case o.fileExists("run/.containerenv") != "":
		return "/run/.containerenv"
	case o.Getenv("container") != "":
		return "container"
	case o.Pid == 1:
		return "being PID 1"
	}
	return ""
}

// systemdUnit says whether we are the main process of a systemd unit. INVOCATION_ID
// alone does not: whatever a unit starts inherits it, a terminal's shell too.
func (o Options) systemdUnit() string {
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

// info are the rows of docs/platforms.md, which names their sources.
func (o Options) info(word Platform) Info {
	switch word {
	case ContainerAppsJob: // fixed: container-apps#1669
		return Info{DisplayName: "Azure Container Apps job", GracePeriod: defaultGracePeriod, MaxGracePeriod: defaultGracePeriod}
	case ContainerApps:
		return Info{DisplayName: "Azure Container Apps", GracePeriod: defaultGracePeriod, GraceSetting: "the template's terminationGracePeriodSeconds"}
	case AppService:
		return o.appService()
	case ContainerInstances: // nothing is published, and some saw no SIGTERM at all: azure-cli#16673
		return Info{DisplayName: "Azure Container Instances", GracePeriod: defaultGracePeriod}
	case Kubernetes: // a pod does not see its own
		return Info{DisplayName: "Kubernetes", GracePeriod: defaultGracePeriod, GraceSetting: "the pod's terminationGracePeriodSeconds"}
	case Docker:
		return Info{DisplayName: "Docker", GracePeriod: 10 * time.Second, GraceSetting: "docker run --stop-timeout, or Compose's stop_grace_period"}
	case Container:
		return Info{DisplayName: "a container", GracePeriod: 10 * time.Second, GraceSetting: "the engine's stop timeout"}
	case Systemd:
		return Info{DisplayName: "systemd", GracePeriod: 90 * time.Second, GraceSetting: "the unit's TimeoutStopSec"}
	}
	return Info{DisplayName: "no known platform", GracePeriod: defaultGracePeriod}
}

// stopTimeLimit is App Service's knob: an app setting, and app settings are
// variables of the container.
const stopTimeLimit = "WEBSITES_CONTAINER_STOP_TIME_LIMIT"

func (o Options) appService() Info {
	p := Info{DisplayName: "Azure App Service", GracePeriod: 5 * time.Second, MaxGracePeriod: 120 * time.Second, GraceSetting: "the app setting " + stopTimeLimit}
	if s, err := strconv.Atoi(strings.TrimSpace(o.Getenv(stopTimeLimit))); err == nil && s > 0 {
		p.GracePeriod = min(time.Duration(min(s, 3600))*time.Second, p.MaxGracePeriod)
	}
	return p
}
