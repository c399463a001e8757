package cli

import (
	"bytes"
	"io"
	"log/slog"
	"os"

	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/logqueue"
	"github.com/azptend/azptend/internal/secret"
)

// openStreams puts a queue in front of standard error and of standard output. One
// that is both has one queue, so that its lines keep their order.
func (p *Process) openStreams() {
	p.errors, p.prints = logqueue.New(p.Stderr), logqueue.New(p.Stdout)
	out, errOut := p.Stdout.Stat()
	other, errOther := p.Stderr.Stat()
	if errOut == nil && errOther == nil && os.SameFile(out, other) {
		p.prints = p.errors
	}
}

// neverWait is for a command that runs for long: nothing that it logs waits for a
// reader any more.
func (p Process) neverWait() {
	p.errors.Start()
	p.prints.Start()
}

// flushStreams gives slow readers a moment before the process ends.
func (p Process) flushStreams() {
	p.prints.Flush() // what is dropped there is reported on the other
	p.errors.Flush()
}

// openLog begins a command's log on standard error, with what is odd in its
// settings. The redactor keeps the secrets of the settings out of it; those that are
// got later are added to it; what Main says of an error passes it, too.
func openLog(p Process, s config.Settings) (*slog.Logger, *secret.Redactor) {
	p.remember(s)
	redactor := p.redactor
	redactor.Add(s.Secrets()...)
	redactor.Add(s.ProxyPasswords()...)
	log := newLog(redactor.Writer(p.errors), s)
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
	return log, redactor
}

// remember keeps the settings for the hints and the form of errors.
func (p Process) remember(s config.Settings) {
	if p.settings != nil {
		*p.settings = s
	}
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
