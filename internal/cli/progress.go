//go:build unix

package cli

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/azptend/azptend/internal/install"
	"github.com/azptend/azptend/internal/term"
)

// progressLogInterval is how often an install logs its progress if there is no terminal.
const progressLogInterval = 5 * time.Second

// installProgress shows the progress of an install: as a line on a terminal, otherwise in the
// log.
func installProgress(p Process, log *slog.Logger) func(install.Progress) {
	shown := p.showsProgress()
	line, last := term.NewProgress(p.errors, shown, ""), time.Now()
	if !shown {
		return func(now install.Progress) {
			if time.Since(last) >= progressLogInterval {
				last = time.Now()
				log.Info("Installing", "stage", now.Stage, "bytes", now.Done, "of", now.Total)
			}
		}
	}
	return func(now install.Progress) {
		if now.Total > 0 && now.Done >= now.Total {
			line.Hide()
			return
		}
		line.Say("%s %s", now.Stage, progressText(now.Done, now.Total))
	}
}

// progressText formats the progress.
func progressText(done, total int64) string {
	if total <= 0 {
		return fmt.Sprintf("%.1f MB", float64(done)/1e6)
	}
	return fmt.Sprintf("%.1f MB of %.1f MB (%d %%)", float64(done)/1e6, float64(total)/1e6, done*100/total)
}
