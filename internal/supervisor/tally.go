package supervisor

import "log/slog"

// tally logs something that a job can make happen without end: the first time at
// once, and the number of times at the end.
type tally struct {
	log   *slog.Logger
	what  string
	times int
}

func newTally(log *slog.Logger) *tally { return &tally{log: log} }

func (t *tally) count(times int, what string, args ...any) {
	if t.times == 0 {
		t.what = what
		t.log.Warn(what, args...)
	}
	t.times += times
}

func (t *tally) end() {
	if t.times > 1 {
		t.log.Warn(t.what, "times", t.times)
	}
}
