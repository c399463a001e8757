package keep

import (
	"cmp"
	"fmt"
	"html"
	"strconv"
	"strings"
	"time"

	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/pool"
	"github.com/azptend/azptend/internal/text"
)

// renderPage renders the whole page. It works without JavaScript.
func renderPage(v view) string {
	m := &markup{}
	parts := renderParts(v)
	slot := func(tag, id string) {
		name, _, _ := strings.Cut(tag, " ")
		m.raw("<" + tag + ` id="` + id + `">` + parts[id] + "</" + name + ">\n")
	}
	m.raw(pageHead)
	slot(`p role="status"`, "status")
	if len(v.pools) > 1 {
		m.raw(`<nav aria-label="Pools"><ul>`)
		for i, p := range v.pools {
			m.raw(`<li><a href="#` + partID(i, "name") + `">`).text(p.name).raw("</a></li>")
		}
		m.raw("</ul></nav>\n")
	}
	m.raw("</header>\n<main id=\"main\">\n")
	for i, p := range v.pools {
		id := func(part string) string { return partID(i, part) }
		m.raw(`<section aria-labelledby="` + id("name") + `"><h2 id="` + id("name") + `">Pool `).text(p.name).raw("</h2>\n")
		slot(`p class="note"`, id("note"))
		slot(`dl class="tiles"`, id("tiles"))
		m.raw(`<figure class="card" aria-labelledby="` + id("waiting") + `"><figcaption><h3 id="` + id("waiting") + `">Waiting time</h3>`)
		slot(`p class="note"`, id("waited"))
		m.raw(chartKey + "</figcaption>\n")
		slot(`div class="chart" aria-hidden="true"`, id("chart"))
		m.raw("</figure>\n")
		m.raw(tableHead("Jobs", p.name, jobColumns))
		slot("tbody", id("jobs"))
		m.raw(tableFoot + tableHead("Agents", p.name, agentColumns))
		slot("tbody", id("agents"))
		m.raw(tableFoot + "</section>\n")
	}
	m.raw(`<section class="card" aria-labelledby="did"><h2 id="did">Actions of the keeper</h2>`)
	slot(`ol class="deeds"`, "deeds")
	m.raw("</section>\n</main>\n" + pageFoot)
	return m.String()
}

func partID(pool int, part string) string {
	return fmt.Sprintf("p%d-%s", pool, part)
}

const pageHead = `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>azptend keep</title>
<link rel="icon" type="image/svg+xml" href="icon.svg">
<link rel="stylesheet" href="page.css">
<script src="page.js" defer></script>
</head>
<body>
<a class="skip" href="#main">Skip to the pools</a>
<header>
<h1>azptend keep</h1>
<p id="live" aria-live="polite" hidden></p>
<noscript><p><a href="./">Refresh</a></p></noscript>
`

const chartKey = `<p class="key"><span>longest wait of started jobs</span><span class="waits">oldest waiting job</span></p>`

const pageFoot = `<footer><p>Read-only. The same numbers for Prometheus: <a href="metrics">metrics</a></p></footer>
</body>
</html>
`

// column is a column of a table. A phone has no room for a wide one.
type column struct {
	name string
	wide bool
}

var (
	jobColumns   = []column{{"Job", false}, {"State", false}, {"Waited", false}, {"Ran", false}, {"Agent", true}, {"Demands", true}}
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

// renderParts are the parts of the page that change, by their ids.
func renderParts(v view) map[string]string {
	parts := map[string]string{"deeds": renderLog(v.log, len(v.pools) > 1), "status": ""}
	var status []string
	for i, p := range v.pools {
		parts[partID(i, "note")] = note(p)
		parts[partID(i, "tiles")] = tiles(p.snapshot)
		parts[partID(i, "jobs")] = jobTable(p.snapshot)
		parts[partID(i, "agents")] = agentTable(p.snapshot)
		shown := chartSlots(p.slots)
		parts[partID(i, "waited")] = waitedSentence(shown)
		parts[partID(i, "chart")] = chart(shown, p.now)
		status = append(status, statusOf(p))
	}
	parts["status"] = (&markup{}).text(strings.Join(status, " · ")).String()
	return parts
}

// statusOf is what a screen reader reads when it changes: counts, and no times.
func statusOf(p poolView) string {
	switch {
	case p.lastErr != nil:
		return p.name + ": unreachable"
	case p.snapshot.At.IsZero():
		return p.name + ": no data yet"
	}
	return fmt.Sprintf("%s: %s waiting, %d running, %s", p.name, text.Count(p.snapshot.JobsBy[azdo.JobQueued], "job"),
		p.snapshot.JobsBy[azdo.JobAssigned]+p.snapshot.JobsBy[azdo.JobRunning], text.Count(p.snapshot.agents(), "agent"))
}

func (p Snapshot) agents() int {
	n := 0
	for _, of := range p.AgentsBy {
		n += of
	}
	return n
}

// note says how old the snapshot is, and why there is none.
func note(p poolView) string {
	m := &markup{}
	if p.lastErr != nil {
		m.raw(`<span class="bad">`).text(fmt.Sprintf("Unreachable since %s: %v.", clock(p.failingSince), p.lastErr)).raw("</span> ")
	}
	if p.snapshot.At.IsZero() {
		return m.text("No data yet.").String()
	}
	return m.text("As of " + clock(p.snapshot.At) + " UTC").String()
}

func clock(at time.Time) string { return at.UTC().Format("15:04:05") }

func tiles(p Snapshot) string {
	m := &markup{}
	tile := func(name, value string, alert bool) {
		class := ""
		if alert {
			class = ` class="alert"`
		}
		m.raw("<div"+class+">").element("dt", name).element("dd", value).raw("</div>")
	}
	oldest := "–"
	if p.JobsBy[azdo.JobQueued] > 0 {
		oldest = text.Duration(p.Oldest)
	}
	tile("jobs waiting", strconv.Itoa(p.JobsBy[azdo.JobQueued]), p.JobsBy[azdo.JobQueued] > 0)
	tile("oldest wait", oldest, false)
	tile("jobs running", strconv.Itoa(p.JobsBy[azdo.JobAssigned]+p.JobsBy[azdo.JobRunning]), false)
	tile("agents busy", strconv.Itoa(p.AgentsBy[pool.StateBusy]), false)
	tile("agents idle", strconv.Itoa(p.AgentsBy[pool.StateIdle]), false)
	tile("agents offline", strconv.Itoa(p.AgentsBy[pool.StateOffline]+p.AgentsBy[pool.StateGhost]), false)
	return m.String()
}

func none(columns []column, what string) string {
	return (&markup{}).element(`td class="none" colspan="`+strconv.Itoa(len(columns))+`"`, what).String()
}

func jobTable(p Snapshot) string {
	if len(p.Jobs) == 0 {
		return "<tr>" + none(jobColumns, "no jobs") + "</tr>"
	}
	m := &markup{}
	for _, j := range p.Jobs {
		state, ran, agent := string(j.State()), "–", ""
		if j.State() == azdo.JobFinished {
			state = j.Result
		}
		end := cmp.Or(j.FinishTime.Time, p.At)
		if !j.ReceiveTime.IsZero() && end.After(j.ReceiveTime.Time) {
			ran = text.Duration(end.Sub(j.ReceiveTime.Time))
		}
		if j.ReservedAgent != nil {
			agent = j.ReservedAgent.Name
		}
		m.raw(`<tr><th scope="row">`).text(j.JobName)
		if from := strings.Trim(j.Definition.Name+" "+j.Owner.Name, " "); from != "" {
			m.raw(`<br><small>`).text(from).raw("</small>")
		}
		m.raw("</th><td>"+stateLabel(state)).raw("</td>").
			element(`td class="n"`, text.Duration(max(cmp.Or(j.ReceiveTime.Time, end).Sub(j.QueueTime.Time), 0))).element(`td class="n"`, ran).
			element(`td class="wide wrap"`, agent).element(`td class="wide wrap"`, strings.Join(j.Demands, ", ")).raw("</tr>\n")
	}
	unfinished := p.JobsBy[azdo.JobQueued] + p.JobsBy[azdo.JobAssigned] + p.JobsBy[azdo.JobRunning]
	return m.raw(more(jobColumns, unfinished-maxRows+maxDone)).String()
}

func agentTable(p Snapshot) string {
	if len(p.Agents) == 0 {
		return "<tr>" + none(agentColumns, "no agents") + "</tr>"
	}
	m := &markup{}
	for _, v := range p.Agents {
		a, job, age := v.Agent, "", "–"
		since := cmp.Or(a.StatusChangedOn.Time, a.CreatedOn.Time)
		if r := a.AssignedRequest; r != nil {
			job = cmp.Or(r.JobName, r.Definition.Name)
			since = cmp.Or(r.ReceiveTime.Time, r.AssignTime.Time, since)
		}
		if !since.IsZero() {
			age = text.Duration(p.At.Sub(since))
		}
		m.raw("<tr>").element(`th scope="row"`, a.Name).raw("<td>"+stateLabel(string(v.State()))+"</td>").
			element(`td class="n"`, age).element(`td class="wrap"`, job).
			element(`td class="wide n"`, a.Version).element(`td class="wide wrap"`, v.String()).raw("</tr>\n")
	}
	return m.raw(more(agentColumns, p.agents()-len(p.Agents))).String()
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

func renderLog(deeds []LogEntry, named bool) string {
	m := &markup{}
	for _, d := range deeds {
		class := ""
		if d.Failed {
			class = ` class="bad"`
		}
		what := d.Message
		if named {
			what = d.Pool + ": " + what
		}
		m.raw("<li><time>" + clock(d.At) + "</time><span" + class + ">").text(what).raw("</span></li>\n")
	}
	if len(deeds) == 0 {
		return `<li><span></span><span>no actions yet</span></li>`
	}
	return m.String()
}

// markup builds HTML. All text is escaped: anybody may name an agent or a job.
// html/template would do the same, and make the binary three megabytes larger.
type markup struct{ strings.Builder }

// raw adds HTML.
func (m *markup) raw(s string) *markup {
	m.WriteString(s)
	return m
}

// text adds text, escaped.
func (m *markup) text(s string) *markup { return m.raw(html.EscapeString(s)) }

// element adds an element with its attributes (tag) around a text.
func (m *markup) element(tag, text string) *markup {
	name, _, _ := strings.Cut(tag, " ")
	return m.raw("<" + tag + ">").text(text).raw("</" + name + ">")
}
