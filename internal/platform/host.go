package platform

import (
	"io/fs"
	"strconv"
	"strings"
	"time"
)

// Word names a platform in settings and logs.
type Word string

// The platforms.
const (
	ContainerApps      Word = "container-apps"
	ContainerAppsJob   Word = "container-apps-job"
	ContainerInstances Word = "container-instances"
	Kubernetes         Word = "kubernetes"
	AppService         Word = "app-service"
	Docker             Word = "docker"
	Container          Word = "container" // of another engine
	Systemd            Word = "systemd"
	None               Word = "none" // a shell, or something unknown
)

// Words lists the platforms in the order in which they are looked for. The more
// particular come first: Container Apps is built on Kubernetes, Container
// Instances may be a Kubernetes' virtual node, and all of them have containers.
func Words() []Word {
	return []Word{ContainerAppsJob, ContainerApps, AppService, ContainerInstances, Kubernetes, Docker, Container, Systemd, None}
}

// Options are what is looked at.
type Options struct {
	Variable func(name string) string // of the environment, "" where not set
	Files    fs.FS                    // the root file system
	Pid      int
	Parent   int  // the parent's pid
	Named    Word // what a person said it is; "": look
}

// Platform is what is known of where azptend runs.
type Platform struct {
	Word    Word
	Name    string        // for a person
	Seen    string        // what it was known by
	Grace   time.Duration // from the first word to SIGKILL, where nobody set another
	Longest time.Duration // the most that the platform ever gives; 0: not known
	Knob    string        // what changes the grace there; "": nothing does
}

// defaultGrace is what most platforms give, Kubernetes and Container Apps among
// them (docs/platforms.md).
const defaultGrace = 30 * time.Second

// Find says which platform this is.
func Find(o Options) Platform {
	for _, word := range Words() {
		seen := o.sign(word)
		if o.Named != "" {
			if word != o.Named {
				continue
			}
			seen = "AZP_PLATFORM (--platform)"
		}
		if seen != "" {
			p := o.facts(word)
			p.Word, p.Seen = word, seen
			return p
		}
	}
	panic("a platform that is not in Words: " + string(o.Named))
}

// sign is what a platform is known by, "" where it is not there. Sources are in
// docs/platforms.md.
func (o Options) sign(word Word) string {
	switch word {
	case ContainerAppsJob:
		return o.anyOf("CONTAINER_APP_JOB_NAME", "CONTAINER_APP_JOB_EXECUTION_NAME")
	case ContainerApps:
		return o.anyOf("CONTAINER_APP_NAME", "CONTAINER_APP_REVISION")
	case AppService:
		return o.anyOf("WEBSITE_SITE_NAME", "WEBSITE_INSTANCE_ID")
	case ContainerInstances:
		// Service Fabric sets the same variable to other names (fabric:/…, App-…).
		if strings.HasPrefix(o.Variable("Fabric_ApplicationName"), "caas-") {
			return "Fabric_ApplicationName"
		}
	case Kubernetes:
		return o.anyOf("KUBERNETES_SERVICE_HOST")
	case Docker:
		return o.file(".dockerenv")
	case Container:
		return o.otherContainer()
	case Systemd:
		return o.unit()
	case None:
		return "no sign of any other"
	}
	return ""
}

func (o Options) anyOf(names ...string) string {
	for _, name := range names {
		if o.Variable(name) != "" {
			return name
		}
	}
	return ""
}

func (o Options) file(name string) string {
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
	case o.file("run/.containerenv") != "":
		return "/run/.containerenv"
	case o.Variable("container") != "":
		return "container"
	case o.Pid == 1:
		return "being PID 1"
	}
	return ""
}

// unit says whether we are the main process of a systemd unit. INVOCATION_ID
// alone does not: whatever a unit starts inherits it, a terminal's shell too.
func (o Options) unit() string {
	if pid := o.Variable("SYSTEMD_EXEC_PID"); pid != "" { // since systemd 248
		if pid == strconv.Itoa(o.Pid) {
			return "SYSTEMD_EXEC_PID"
		}
		return ""
	}
	if o.Variable("INVOCATION_ID") != "" && o.Parent == 1 {
		return "INVOCATION_ID"
	}
	return ""
}

// facts are the rows of docs/platforms.md, which names their sources.
func (o Options) facts(word Word) Platform {
	switch word {
	case ContainerAppsJob: // fixed: container-apps#1669
		return Platform{Name: "Azure Container Apps job", Grace: defaultGrace, Longest: defaultGrace}
	case ContainerApps:
		return Platform{Name: "Azure Container Apps", Grace: defaultGrace, Knob: "the template's terminationGracePeriodSeconds"}
	case AppService:
		return o.appService()
	case ContainerInstances: // nothing is published, and some saw no SIGTERM at all: azure-cli#16673
		return Platform{Name: "Azure Container Instances", Grace: defaultGrace}
	case Kubernetes: // a pod does not see its own
		return Platform{Name: "Kubernetes", Grace: defaultGrace, Knob: "the pod's terminationGracePeriodSeconds"}
	case Docker:
		return Platform{Name: "Docker", Grace: 10 * time.Second, Knob: "docker run --stop-timeout, or Compose's stop_grace_period"}
	case Container:
		return Platform{Name: "a container", Grace: 10 * time.Second, Knob: "the engine's stop timeout"}
	case Systemd:
		return Platform{Name: "systemd", Grace: 90 * time.Second, Knob: "the unit's TimeoutStopSec"}
	}
	return Platform{Name: "no known platform", Grace: defaultGrace}
}

// stopLimit is App Service's knob: an app setting, and app settings are
// variables of the container.
const stopLimit = "WEBSITES_CONTAINER_STOP_TIME_LIMIT"

func (o Options) appService() Platform {
	p := Platform{Name: "Azure App Service", Grace: 5 * time.Second, Longest: 120 * time.Second, Knob: "the app setting " + stopLimit}
	if s, err := strconv.Atoi(strings.TrimSpace(o.Variable(stopLimit))); err == nil && s > 0 {
		p.Grace = min(time.Duration(min(s, 3600))*time.Second, p.Longest)
	}
	return p
}
