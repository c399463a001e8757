package cli

import (
	"log/slog"
	"os"
	"time"

	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/host"
)

// onPlatform fills in what depends on the platform, unless a person has set it:
// the grace period, and when an agent leaves that gets no job. Here settings and
// platform meet; neither knows the other.
func onPlatform(s config.Settings, log *slog.Logger) (config.Settings, host.Word, error) {
	platform := findPlatform(s)
	from := "AZP_GRACE_PERIOD (--grace-period)"
	if s.Grace == 0 {
		s.Grace, from = platform.Grace, "the platform's default"
		defer func() {
			if platform.Knob != "" {
				log.Info("The platform may have been given another grace period", "hint", "set AZP_GRACE_PERIOD to the same time as "+platform.Knob)
			}
		}()
	}
	log.Info("Found the platform", "platform", platform.Word, "name", platform.Name, "seen", platform.Seen,
		"grace", s.Grace.String(), "grace_from", from)
	if platform.Longest != 0 && s.Grace > platform.Longest {
		log.Warn("The grace period is longer than the platform gives", "grace", s.Grace.String(), "longest", platform.Longest.String(),
			"hint", "set AZP_GRACE_PERIOD to no more than that: what is planned for later will not happen")
	}
	if s.IdleTimeout == config.Unset {
		s.IdleTimeout = idleOn(platform.Word, s.Once)
	}
	if platform.Word == host.ContainerAppsJob && s.ReplicaTimeout == 0 {
		log.Warn("A job that comes late may be lost: the platform ends this replica at its timeout, which azptend does not know",
			"hint", "set AZP_REPLICA_TIMEOUT to the job's replica timeout")
	}
	return s, platform.Word, s.CheckLimits()
}

func findPlatform(s config.Settings) host.Platform {
	return host.Find(host.Options{
		Variable: s.Variable, Files: os.DirFS("/"), Pid: os.Getpid(), Parent: os.Getppid(), Named: host.Word(s.Platform),
	})
}

// jobsIdle is how long a Container Apps job's replica that was started for one
// pipeline job waits for it. Another agent may have taken that job; and what a
// replica idles counts towards its timeout (peers-and-pains.md, pain 10).
const jobsIdle = 5 * time.Minute

func idleOn(platform host.Word, once bool) time.Duration {
	if platform == host.ContainerAppsJob && once {
		return jobsIdle
	}
	return 0
}
