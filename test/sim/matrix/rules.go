package main

// rule removes cells that are impossible, or that repeat another cell.
type rule struct {
	name string
	why  string
	is   func(cell) bool
}

func rules() []rule {
	return []rule{
		{"no listener", "there is no listener that could exit",
			func(c cell) bool { return c.event.kind == ends && !c.phase.listener }},
		{"no worker", "a worker lives only while a job runs",
			func(c cell) bool {
				return c.event.name == workerKilled && (c.phase.job == noJob || c.phase.hold != nil)
			}},
		{"updates wait for jobs", "a listener exits with 3 or 4 only without a job (agent-protocol.md 4.3)",
			func(c cell) bool {
				return c.event.kind == ends && (c.event.code == 3 || c.event.code == 4) && c.phase.job != noJob
			}},
		{"one process", "SIGTERM to every process is SIGTERM where azptend is alone",
			func(c cell) bool { return c.event.kind == toAll && !c.phase.listener && c.phase.name != "updating" }},
		{"the outcome is known at once", "the script of an update dies of SIGTERM or ignores it, and takes no time",
			func(c cell) bool {
				return c.phase.name == "updating" && c.event.kind == toAll && c.event.name == "SIGTERM to all, listener takes its time"
			}},
		{"drained already", "a second azptend drain changes nothing: it equals the cell with SIGTERM",
			func(c cell) bool { return c.phase.drained && c.event.name == "azptend drain, then SIGTERM" }},
		{"nothing waits for the answer", "before its POST azptend exits at once: the answer changes nothing",
			func(c cell) bool {
				return c.phase.name == "before the token" && c.event.kind != kill && c.outcome.fault != nil
			}},
		{"no listener, no order", "azptend exits before it starts a listener",
			func(c cell) bool {
				return c.order.name != orders()[0].name && c.phase.beforeListener() && c.event.kind != kill
			}},
	}
}

// ruleAgainst returns the name of the first rule that removes the cell, or "".
func ruleAgainst(c cell) string {
	for _, r := range rules() {
		if r.is(c) {
			return r.name
		}
	}
	return ""
}
