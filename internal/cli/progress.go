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
		return megabytes(done)
	}
	return fmt.Sprintf("%s of %s (%d %%)", megabytes(done), megabytes(total), done*100/total)
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }
