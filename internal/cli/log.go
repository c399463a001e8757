package cli

import (
	"bytes"
	"io"
	"log/slog"
	"os"

	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/logqueue"
)

// openStreams puts queues in front of standard error and standard output. If both are the same
// file, they share one queue, which keeps the order of the lines.
func (p *Process) openStreams() {
	p.errors, p.prints = logqueue.New(p.Stderr), logqueue.New(p.Stdout)
	out, errOut := p.Stdout.Stat()
	other, errOther := p.Stderr.Stat()
	if errOut == nil && errOther == nil && os.SameFile(out, other) {
		p.prints = p.errors
	}
}

// neverWait starts the queues, for a command that runs long: from now on no line waits for a
// reader.
func (p Process) neverWait() {
	p.errors.Start()
	p.prints.Start()
}

// flushStreams waits a moment for slow readers before the process exits.
func (p Process) flushStreams() {
	p.prints.Flush() // first, because lines that it dropped are reported on the other
	p.errors.Flush()
}

// openLog opens a command's log on standard error, and logs warnings about the settings.
func openLog(p Process, s config.Settings) *slog.Logger {
	p.remember(s)
	log := newLog(p.redactor.Writer(p.errors), s)
	if p.prints != p.errors {
		p.prints.OnDrop(func(dropped int) []byte {
			logDropped(log, "stdout", dropped)
			return nil
		})
	}
	p.errors.OnDrop(func(dropped int) []byte {
		var line bytes.Buffer
		logDropped(newLog(&line, s), "stderr", dropped)
		return line.Bytes()
	})
	for _, w := range s.Warnings {
		log.Warn("Suspicious setting", "what", w)
	}
	return log
}

// remember stores the settings, which decide about the hints and the format of errors. From
// now on their secrets are removed from the log and from errors. Secrets that azptend gets
// later are added to the redactor.
func (p Process) remember(s config.Settings) {
	*p.settings = s
	p.redactor.Add(s.Secrets()...)
	p.redactor.Add(s.ProxyPasswords()...)
}

func logDropped(log *slog.Logger, stream string, dropped int) {
	log.Warn("Dropped lines that nobody read in time", "dropped", dropped, "stream", stream)
}

func newLog(w io.Writer, s config.Settings) *slog.Logger {
	options := &slog.HandlerOptions{Level: s.LogLevel}
	if s.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}
