package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/azptend/azptend/test/internal/cells"
)

type property = cells.Property[cell, facts]

func properties() []property {
	return []property{
		{Name: "azptend ends within the budget", What: "the time from the first request to drain to the end of the process is within the grace period", Broken: overstayed},
		{Name: "the exit code is right", What: "[the table](exit-codes.md) has it for what happened", Broken: wrongCode},
		{Name: "no job is cut while drain budget is left", What: "unless SIGINT escalated, or the event itself ended its process", Broken: cutJob},
		{Name: "no ghost", What: "the pool is empty, or each agent in it is named in the log, and pruning empties it", Broken: ghost},
		{Name: "no process stays", What: "including daemons that left the job's group and session", Broken: survivor},
		{Name: "no file stays", What: "except what the agent itself leaves: _work, _diag and its bins", Broken: litter},
	}
}

func overstayed(_ cell, f facts) string {
	if f.asked.IsZero() {
		return ""
	}
	if f.ended.IsZero() {
		return "it did not end"
	}
	if took := f.ended.Sub(f.asked); took > grace+margin {
		return fmt.Sprintf("it took %v of %v", took.Round(time.Millisecond), grace)
	}
	return ""
}

func wrongCode(c cell, f facts) string {
	if len(f.codes) == 0 {
		return "it did not end"
	}
	last := f.codes[len(f.codes)-1]
	if may := codesFor(c, f); !slices.Contains(may, last) {
		return fmt.Sprintf("it is %d, and not of %v", last, may)
	}
	if c.event.kind != kill {
		return ""
	}
	for _, code := range f.codes[1 : len(f.codes)-1] {
		if may := codesOfStart(c); !slices.Contains(may, code) {
			return fmt.Sprintf("a start that failed ended with %d, and not of %v", code, may)
		}
	}
	return ""
}

// endsTheJob reports whether the event itself ends the job's process, or the listener,
// without which the job fails.
func (e event) endsTheJob() bool {
	return e.kind == ends || (e.kind == toAll && e.name != "SIGTERM to all, listener ignores it")
}

func cutJob(c cell, f facts) string {
	if f.job.RequestID == 0 || f.job.Result == "succeeded" || c.event.endsTheJob() {
		return ""
	}
	var may time.Time
	if !f.asked.IsZero() {
		may = f.asked.Add(drainPart)
	}
	if !f.insisted.IsZero() && (may.IsZero() || f.insisted.Before(may)) {
		may = f.insisted
	}
	switch {
	case may.IsZero():
		return fmt.Sprintf("the job is %s, and nobody had asked for an end", f.job.State+" "+f.job.Result)
	case f.jobEnded.IsZero():
		return fmt.Sprintf("the job is %s, and nobody knows when it ended", f.job.State+" "+f.job.Result)
	case f.jobEnded.Before(may):
		return fmt.Sprintf("the job is %s, %v before it might be", f.job.State+" "+f.job.Result, may.Sub(f.jobEnded).Round(time.Millisecond))
	}
	return ""
}

func ghost(_ cell, f facts) string {
	switch {
	case len(f.unnamed) > 0:
		return fmt.Sprintf("agents %v stay, and are not named", f.unnamed)
	case len(f.unpruned) > 0:
		return fmt.Sprintf("agents %v stay even when they are pruned", f.unpruned)
	}
	return ""
}

func survivor(_ cell, f facts) string {
	if len(f.running) == 0 {
		return ""
	}
	return fmt.Sprintf("there still run %v", f.running)
}

func litter(_ cell, f facts) string {
	if len(f.files) == 0 {
		return ""
	}
	return fmt.Sprintf("there still are %v", f.files)
}
