package keep

import (
	"fmt"
	"html"
	"strings"
	"time"

	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/text"
)

// renderPage renders the whole page. It works without JavaScript.
func renderPage(v view, f filter) string {
	m := &markup{}
	parts := renderParts(v, f)
	slot := func(tag, id string) {
		name, _, _ := strings.Cut(tag, " ")
		m.raw("<" + tag + ` id="` + id + `">` + parts[id] + "</" + name + ">\n")
	}
	m.raw(pageHead)
	if v.url != "" {
		m.raw(`<p class="note">`).link(webAddress(v.url), v.url).raw("</p>\n")
	}
	slot(`p role="status"`, "status")
	if len(v.pools) > 1 {
		m.raw(`<nav aria-label="Pools"><ul>`)
		for i, p := range v.pools {
			m.raw(`<li><a href="#` + partID(i, "name") + `">`).text(p.name).raw("</a></li>")
		}
		m.raw("</ul></nav>\n")
	}
	m.raw(f.form() + "</header>\n<main id=\"main\">\n")
	for i, p := range v.pools {
		id := func(part string) string { return partID(i, part) }
		m.raw(`<section aria-labelledby="` + id("name") + `"><h2 id="` + id("name") + `">Pool `).text(p.name).raw("</h2>\n")
		slot(`p class="note"`, id("note"))
		m.raw(`<p class="note">`).link("#"+id("jobs"), "Jobs").raw(" ").link("#"+id("agents"), "Agents").raw(" ").link("#did", "Actions").raw("</p>\n")
		slot(`dl class="tiles"`, id("tiles"))
		if len(p.snapshot.Groups) > 0 {
			m.raw(tableHead("Groups", p.name, groupColumns))
			slot("tbody", id("groups"))
			m.raw(tableFoot)
		}
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

// renderParts are the parts of the page that change, by their ids.
func renderParts(v view, f filter) map[string]string {
	parts := map[string]string{"deeds": renderLog(v.log, len(v.pools) > 1), "status": ""}
	var status []string
	for i, p := range v.pools {
		parts[partID(i, "note")] = note(p)
		parts[partID(i, "tiles")] = tiles(p.snapshot, f, partID(i, "agents"))
		if len(p.snapshot.Groups) > 0 {
			parts[partID(i, "groups")] = groupTable(p.snapshot)
		}
		parts[partID(i, "jobs")] = jobTable(p.snapshot, f)
		parts[partID(i, "agents")] = agentTable(p.snapshot, f, v.url)
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
		m.raw(`<span class="bad">`).text(fmt.Sprintf("Unreachable since %s: %v.", p.failingSince.UTC().Format(time.TimeOnly), p.lastErr)).raw("</span> ")
	}
	if p.snapshot.At.IsZero() {
		return m.text("No data yet.").String()
	}
	return m.text("As of " + p.snapshot.At.UTC().Format(time.TimeOnly) + " UTC").String()
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
		m.raw("<li><time>" + d.At.UTC().Format(time.TimeOnly) + "</time><span" + class + ">").text(what).raw("</span></li>\n")
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

// link adds a link; without an address, only its text.
func (m *markup) link(address, text string) *markup {
	if address == "" {
		return m.text(text)
	}
	return m.raw(`<a href="`).text(address).raw(`">`).text(text).raw("</a>")
}
