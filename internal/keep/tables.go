package keep

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/pool"
	"github.com/azptend/azptend/internal/text"
)

// column is a column of a table. A phone has no room for a wide one.
type column struct {
	name string
	wide bool
}

var (
	jobColumns   = []column{{"Job", false}, {"State", false}, {"Waited", false}, {"Ran", false}, {"Agent", true}, {"Demands", true}}
	groupColumns = []column{{"Group", false}, {"Desired", false}, {"Waiting", false}, {"Busy", false}, {"Idle", false}, {"Warm", false}, {"Max", false}}
	agentColumns = []column{{"Agent", false}, {"State", false}, {"Since", false}, {"Job", false}, {"Version", true}, {"Ghost or not", true}}
)

func tableHead(caption, poolName string, columns []column) string {
	m := &markup{}
	m.raw(`<div class="card"><div class="scroll" tabindex="0" role="region" aria-label="`).text(caption + " of pool " + poolName).
		raw(`"><table><caption>`).text(caption).raw("</caption><thead><tr>")
	for _, c := range columns {
		class := ""
		if c.wide {
			class = ` class="wide"`
		}
		m.element(`th scope="col"`+class, c.name)
	}
	return m.raw("</tr></thead>\n").String()
}

const tableFoot = "</table></div></div>\n"

func tiles(p Snapshot, f filter, agentsID string) string {
	m := &markup{}
	const alert, bad = ` class="alert"`, ` class="bad"`
	tile := func(name, value, class string) {
		m.raw("<div"+class+">").element("dt", name).element("dd", value).raw("</div>")
	}
	// An agents' tile leads to these agents.
	agents := func(state pool.State, name, class string) {
		n := p.AgentsBy[state]
		if n == 0 {
			class = ""
		}
		m.raw(`<div`+class+`><dt>`).link(f.address(state)+"#"+agentsID, name).raw("</dt>").element("dd", strconv.Itoa(n)).raw("</div>")
	}
	waiting, blocked := p.JobsBy[azdo.JobQueued], ""
	if waiting > 0 {
		blocked = alert
	}
	if p.Blocked > 0 {
		blocked = bad
	}
	oldest := "–"
	if waiting > 0 {
		oldest = text.Duration(p.Oldest)
	}
	tile("jobs waiting", strconv.Itoa(waiting), blocked)
	tile("oldest wait", oldest, "")
	tile("jobs running", strconv.Itoa(p.JobsBy[azdo.JobAssigned]+p.JobsBy[azdo.JobRunning]), "")
	agents(pool.StateGhost, "ghosts", bad)
	agents(pool.StateOffline, "agents offline", alert)
	agents(pool.StateBusy, "agents busy", "")
	agents(pool.StateIdle, "agents idle", "")
	return m.String()
}

func none(columns []column, what string) string {
	return (&markup{}).element(`td class="none" colspan="`+strconv.Itoa(len(columns))+`"`, what).String()
}

func groupTable(p Snapshot) string {
	m := &markup{}
	for _, g := range p.Groups {
		m.raw("<tr>").element(`th scope="row"`, g.name)
		for _, n := range []int{g.desired, g.count.Waiting, g.count.Busy, g.count.Idle, g.warm, g.max} {
			m.element(`td class="n"`, strconv.Itoa(n))
		}
		m.raw("</tr>\n")
	}
	return m.String()
}

func jobTable(p Snapshot, f filter) string {
	open, done := f.jobs(p.Open), f.jobs(p.Done)
	if len(open)+len(done) == 0 {
		return emptyTable(jobColumns, "jobs", f.query != "")
	}
	m := &markup{}
	const room = maxRows - maxDone
	for _, j := range slices.Concat(open[:min(len(open), room)], done) {
		state, ran := string(j.state), "–"
		if j.state == azdo.JobFinished {
			state = j.result
		}
		end := cmp.Or(j.finished, p.At)
		if !j.received.IsZero() && end.After(j.received) {
			ran = text.Duration(end.Sub(j.received))
		}
		m.raw(`<tr><th scope="row">`).text(j.name)
		if j.from != "" {
			m.raw(`<br><small>`).link(j.run, j.from).raw("</small>")
		}
		if j.waitsFor != "" {
			class := ""
			if j.blocked {
				class = ` class="bad"`
			}
			m.raw("<br>").element("small"+class, j.waitsFor)
		}
		m.raw("</th><td>"+stateLabel(state)).raw("</td>").
			element(`td class="n"`, text.Duration(max(cmp.Or(j.received, end).Sub(j.queued), 0))).element(`td class="n"`, ran).
			element(`td class="wide wrap"`, j.agent).element(`td class="wide wrap"`, j.demands).raw("</tr>\n")
	}
	return m.raw(more(jobColumns, len(open)-room)).String()
}

func agentTable(p Snapshot, f filter, organisation string) string {
	agents := f.agents(p.Agents)
	if len(agents) == 0 {
		return emptyTable(agentColumns, "agents", f != (filter{}))
	}
	m := &markup{}
	base := webAddress(strings.TrimRight(organisation, "/"))
	for _, a := range agents[:min(len(agents), maxRows)] {
		age, page := "–", ""
		if !a.since.IsZero() {
			age = text.Duration(p.At.Sub(a.since))
		}
		if base != "" { // azure-devops-rest.md 2.2
			page = fmt.Sprintf("%s/_settings/agentpools?view=jobs&poolId=%d&agentId=%d", base, p.PoolID, a.id)
		}
		m.raw(`<tr><th scope="row">`).link(page, a.name).raw("</th><td>"+stateLabel(string(a.state))+"</td>").
			element(`td class="n"`, age).raw(`<td class="wrap">`).link(a.run, a.job).raw("</td>").
			element(`td class="wide n"`, a.version).element(`td class="wide wrap"`, a.why).raw("</tr>\n")
	}
	m.raw(more(agentColumns, len(agents)-maxRows))
	if f != (filter{}) {
		m.raw("<tr>" + none(agentColumns, fmt.Sprintf("%d of %s match the filter", len(agents), text.Count(len(p.Agents), "agent"))) + "</tr>")
	}
	return m.String()
}

// emptyTable says why a table has no rows.
func emptyTable(columns []column, what string, filtered bool) string {
	if filtered {
		what += " that match the filter"
	}
	return "<tr>" + none(columns, "no "+what) + "</tr>"
}

// more says how many rows are left out.
func more(columns []column, n int) string {
	if n <= 0 {
		return ""
	}
	return "<tr>" + none(columns, fmt.Sprintf("and %d more", n)) + "</tr>"
}

// stateLabel is a state: a word and its colour.
func stateLabel(state string) string {
	return (&markup{}).raw(`<span class="state `).text(state).raw(`">`).text(state).raw("</span>").String()
}
