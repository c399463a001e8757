package cli

import (
	"log/slog"
	"os"
	"time"

	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/platform"
)

// applyPlatform fills in what depends on the platform, unless a person has set it:
// the grace period, and when an agent leaves that gets no job. Here settings and
// platform meet; neither knows the other.
func applyPlatform(s config.Settings, log *slog.Logger) (config.Settings, platform.Platform, error) {
	found := detectPlatform(s)
	from := "AZP_GRACE_PERIOD (--grace-period)"
	if s.GracePeriod == 0 {
		s.GracePeriod, from = found.GracePeriod, "the platform's default"
		defer func() {
			if found.GraceSetting != "" {
				log.Info("The platform may have been given another grace period", "hint", "set AZP_GRACE_PERIOD to the same time as "+found.GraceSetting)
			}
		}()
	}
	log.Info("Found the platform", "platform", found.Platform, "name", found.DisplayName, "seen", found.DetectedBy,
		"grace", s.GracePeriod.String(), "grace_from", from)
	if found.MaxGracePeriod != 0 && s.GracePeriod > found.MaxGracePeriod {
		log.Warn("The grace period is longer than the platform gives", "grace", s.GracePeriod.String(), "longest", found.MaxGracePeriod.String(),
			"hint", "set AZP_GRACE_PERIOD to no more than that: what is planned for later will not happen")
	}
	if s.IdleTimeout == config.Unset {
		s.IdleTimeout = defaultIdleTimeout(found.Platform, s.Once)
	}
	if found.Platform == platform.ContainerAppsJob && s.ReplicaTimeout == 0 {
		log.Warn("A job that comes late may be lost: the platform ends this replica at its timeout, which azptend does not know",
			"hint", "set AZP_REPLICA_TIMEOUT to the job's replica timeout")
	}
	return s, found.Platform, s.CheckLimits()
}

func detectPlatform(s config.Settings) platform.Info {
	return platform.Detect(platform.Options{
		Getenv: s.Getenv, Files: os.DirFS("/"), Pid: os.Getpid(), ParentPid: os.Getppid(), Override: platform.Platform(s.Platform),
	})
}

// containerAppsJobIdleTimeout is how long a Container Apps job's replica that was started for one
// pipeline job waits for it. Another agent may have taken that job; and what a
// replica idles counts towards its timeout (docs/container-apps.md).
const containerAppsJobIdleTimeout = 5 * time.Minute

func defaultIdleTimeout(on platform.Platform, once bool) time.Duration {
	if on == platform.ContainerAppsJob && once {
		return containerAppsJobIdleTimeout
	}
	return 0
}
