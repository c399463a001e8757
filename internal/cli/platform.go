package cli

import (
	"log/slog"
	"os"
	"time"

	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/host"
)

// graceOf says how long the platform waits between its first word and its
// SIGKILL: what a person set, else what is known of the platform. Here settings
// and platform meet; neither knows the other.
func graceOf(s config.Settings, log *slog.Logger) time.Duration {
	platform := host.Find(host.Options{
		Variable: s.Variable, Files: os.DirFS("/"), Pid: os.Getpid(), Parent: os.Getppid(), Named: host.Word(s.Platform),
	})
	grace, from := s.Grace, "AZP_GRACE_PERIOD (--grace-period)"
	if grace == 0 {
		grace, from = platform.Grace, "the platform's default"
	}
	log.Info("Found the platform", "platform", platform.Word, "name", platform.Name, "seen", platform.Seen,
		"grace", grace.String(), "grace_from", from)
	if s.Grace == 0 && platform.Knob != "" {
		log.Info("The platform may have been given another grace period", "hint", "set AZP_GRACE_PERIOD to the same time as "+platform.Knob)
	}
	if platform.Longest != 0 && grace > platform.Longest {
		log.Warn("The grace period is longer than the platform gives", "grace", grace.String(), "longest", platform.Longest.String(),
			"hint", "set AZP_GRACE_PERIOD to no more than that: what is planned for later will not happen")
	}
	return grace
}
