package cli

import (
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/azptend/azptend/internal/install"
)

// How often progress is told: to a person's eyes, and as lines of a log.
const (
	terminalInterval = 100 * time.Millisecond
	logInterval      = 5 * time.Second
)

// installProgress tells how far an install has come: one line that is written over on
// a terminal, else a line of the log now and then.
func installProgress(p Process, log *slog.Logger) func(install.Progress) {
	last := time.Now()
	if !isTerminal(p.Stderr) {
		return func(now install.Progress) {
			if time.Since(last) >= logInterval {
				last = time.Now()
				log.Info("Installing", "stage", now.Stage, "bytes", now.Done, "of", now.Total)
			}
		}
	}
	return func(now install.Progress) {
		whole := now.Total > 0 && now.Done >= now.Total
		if whole {
			fmt.Fprint(p.errors, "\r\x1b[K")
		} else if time.Since(last) >= terminalInterval {
			last = time.Now()
			fmt.Fprintf(p.errors, "\r\x1b[K%s %s", now.Stage, progressText(now.Done, now.Total))
		}
	}
}

// isTerminal says whether a person may be looking.
func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// progressText is how much of the whole there is, in words.
func progressText(done, total int64) string {
	if total <= 0 {
		return megabytes(done)
	}
	return fmt.Sprintf("%s of %s (%d %%)", megabytes(done), megabytes(total), done*100/total)
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }
