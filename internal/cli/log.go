package cli

import (
	"log/slog"

	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/secret"
)

// openLog begins a command's log on standard error, with what is odd in its
// settings. The guard keeps the secrets of the settings out of it; those that are
// got later are added to it; what Main says of an error passes it, too.
func openLog(p Process, s config.Settings) (*slog.Logger, *secret.Guard) {
	guard := p.guard
	guard.Watch(s.Secrets()...)
	guard.Watch(s.ProxyPasswords()...)
	log := newLog(guard.Writer(p.Stderr), s)
	for _, w := range s.Warnings {
		log.Warn("A setting is odd", "what", w)
	}
	return log, guard
}
