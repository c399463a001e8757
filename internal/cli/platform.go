package cli

import (
	"log/slog"
	"os"
	"time"

	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/platform"
)

// onPlatform fills in what depends on the platform, unless a person has set it:
// the grace period, and when an agent leaves that gets no job. Here settings and
// platform meet; neither knows the other.
func onPlatform(s config.Settings, log *slog.Logger) (config.Settings, platform.Word, error) {
	found := findPlatform(s)
	from := "AZP_GRACE_PERIOD (--grace-period)"
	if s.Grace == 0 {
		s.Grace, from = found.Grace, "the platform's default"
		defer func() {
			if found.Knob != "" {
				log.Info("The platform may have been given another grace period", "hint", "set AZP_GRACE_PERIOD to the same time as "+found.Knob)
			}
		}()
	}
	log.Info("Found the platform", "platform", found.Word, "name", found.Name, "seen", found.Seen,
		"grace", s.Grace.String(), "grace_from", from)
	if found.Longest != 0 && s.Grace > found.Longest {
		log.Warn("The grace period is longer than the platform gives", "grace", s.Grace.String(), "longest", found.Longest.String(),
			"hint", "set AZP_GRACE_PERIOD to no more than that: what is planned for later will not happen")
	}
	if s.IdleTimeout == config.Unset {
		s.IdleTimeout = idleOn(found.Word, s.Once)
	}
	if found.Word == platform.ContainerAppsJob && s.ReplicaTimeout == 0 {
		log.Warn("A job that comes late may be lost: the platform ends this replica at its timeout, which azptend does not know",
			"hint", "set AZP_REPLICA_TIMEOUT to the job's replica timeout")
	}
	return s, found.Word, s.CheckLimits()
}

func findPlatform(s config.Settings) platform.Platform {
	return platform.Find(platform.Options{
		Variable: s.Variable, Files: os.DirFS("/"), Pid: os.Getpid(), Parent: os.Getppid(), Named: platform.Word(s.Platform),
	})
}

// jobsIdle is how long a Container Apps job's replica that was started for one
// pipeline job waits for it. Another agent may have taken that job; and what a
// replica idles counts towards its timeout (docs/container-apps.md).
const jobsIdle = 5 * time.Minute

func idleOn(on platform.Word, once bool) time.Duration {
	if on == platform.ContainerAppsJob && once {
		return jobsIdle
	}
	return 0
}
