package supervisor

import "log/slog"

// repeatLogger logs something that a job can make happen without end: the first time at
// once, and the number of times at the end.
type repeatLogger struct {
	log   *slog.Logger
	what  string
	times int
}

func newRepeatLogger(log *slog.Logger) *repeatLogger { return &repeatLogger{log: log} }

func (t *repeatLogger) count(times int, what string, args ...any) {
	if t.times == 0 {
		t.what = what
		t.log.Warn(what, args...)
	}
	t.times += times
}

func (t *repeatLogger) end() {
	if t.times > 1 {
		t.log.Warn(t.what, "times", t.times)
	}
}
