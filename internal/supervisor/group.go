package supervisor

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/azptend/azptend/internal/exitcode"
	"github.com/azptend/azptend/internal/lifecycle"
)

// Group are those of all lives of a process, which are talked to as one: a
// question is asked of each, and each has to answer.
type Group []*Handle

// Status is how the lives are now. The error is ctx's.
func (ls Group) Status(ctx context.Context) (Snapshot, error) {
	return ls.callAll(func(l *Handle) (Snapshot, error) { return l.Status(ctx) })
}

// Drain asks each for a drain; see Line.
func (ls Group) Drain(ctx context.Context, reason string, clock bool) (Snapshot, error) {
	return ls.callAll(func(l *Handle) (Snapshot, error) { return l.Drain(ctx, reason, clock) })
}

// DrainBy asks each for a drain that has an end; see Line.
func (ls Group) DrainBy(ctx context.Context, reason string, by time.Time) (Snapshot, error) {
	return ls.callAll(func(l *Handle) (Snapshot, error) { return l.DrainBy(ctx, reason, by) })
}

// Next is how the lives are as soon as their phase is another than this one, or
// all have ended. The error is ctx's.
func (ls Group) Next(ctx context.Context, phase lifecycle.Phase) (Snapshot, error) {
	for {
		s, err := ls.Status(ctx)
		if err != nil || s.Phase != phase || s.End != nil {
			return s, err
		}
		if err := ls.waitForChange(ctx, s); err != nil {
			return Snapshot{}, err
		}
	}
}

// waitForChange waits until one of the lives is in another phase than it was.
func (ls Group) waitForChange(ctx context.Context, was Snapshot) error {
	waiting, moved := context.WithCancel(ctx)
	defer moved()
	each := was.Each
	if len(ls) == 1 {
		each = []Snapshot{was}
	}
	var last error
	done := make(chan error, len(ls))
	waits := 0
	for i, l := range ls {
		if each[i].End == nil {
			waits++
			go func() { _, err := l.Next(waiting, each[i].Phase); done <- err }()
		}
	}
	for first := true; waits > 0; waits-- {
		if err := <-done; first {
			last, first = err, false
			moved() // the others need not wait on
		}
	}
	return last
}

// callAll asks each at the same time. One that does not answer has no answer made up
// for it.
func (ls Group) callAll(ask func(*Handle) (Snapshot, error)) (Snapshot, error) {
	each, errs := make([]Snapshot, len(ls)), make(chan error, len(ls))
	for i, l := range ls {
		go func() {
			var err error
			each[i], err = ask(l)
			errs <- err
		}()
	}
	var failed error
	for range ls {
		if err := <-errs; err != nil {
			failed = err
		}
	}
	if failed != nil {
		return Snapshot{}, failed
	}
	return merge(each), nil
}

// merge is several lives as one: as far as the one that is least far on its
// way, ready when all are, ended when all have.
func merge(each []Snapshot) Snapshot {
	if len(each) == 1 {
		return each[0]
	}
	s := each[0]
	s.Each, s.AgentID, s.Jobs, s.End = each, 0, 0, nil
	s.Agent = fmt.Sprintf("%s … %s", each[0].Agent, each[len(each)-1].Agent)
	var ends []End
	for _, e := range each {
		s.Jobs += e.Jobs
		if progress(e.Phase) < progress(s.Phase) {
			s.Phase, s.Registration = e.Phase, e.Registration
		}
		if e.Since.After(s.Since) {
			s.Since = e.Since
		}
		if e.Deadline.After(s.Deadline) {
			s.Deadline = e.Deadline
		}
		if s.Reason == "" {
			s.Reason = e.Reason
		}
		if e.Job != lifecycle.NoJob && s.Job != lifecycle.RunningJob {
			s.Job = e.Job
		}
		if e.End != nil {
			ends = append(ends, *e.End)
		}
	}
	if len(ends) == len(each) {
		worst := Worst(ends)
		s.End = &worst
		s.Registration = each[slices.Index(ends, worst)].Registration
	}
	return s
}

// progress orders the phases by how far on its way a life is in them. Of several that
// are up, one that has a job says it.
func progress(p lifecycle.Phase) int {
	return slices.Index([]lifecycle.Phase{
		lifecycle.Booting, lifecycle.Registering, lifecycle.Starting, lifecycle.Busy, lifecycle.Idle,
		lifecycle.Draining, lifecycle.Stopping, lifecycle.Removing, lifecycle.Gone,
	}, p)
}

// Worst is the end that says most of several: a fault before what needs a person,
// that before what may pass by itself, and that before what was wanted. Of equals
// it is the first.
func Worst(ends []End) End {
	worst := ends[0]
	for _, e := range ends {
		if exitcode.Severity(e.Code) > exitcode.Severity(worst.Code) {
			worst = e
		}
	}
	return worst
}
