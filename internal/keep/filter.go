package keep

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/azptend/azptend/internal/pool"
)

// filter is what a person wants to see of the pools. It is in the page's address, so that it
// works without JavaScript, and page.js sends it with the request for events.
type filter struct {
	state pool.State // of agents; "": no filter
	query string     // substring, case-insensitive; "": no filter
	lower string     // the query in lower case
}

// maxQuery limits the query, which the page repeats, in runes. The input's maxlength counts
// UTF-16 units, of which a rune has one or two.
const maxQuery = 100

func readFilter(query url.Values) filter {
	f := filter{query: strings.TrimSpace(strings.ToValidUTF8(query.Get("q"), ""))}
	if runes := []rune(f.query); len(runes) > maxQuery {
		f.query = string(runes[:maxQuery])
	}
	f.lower = strings.ToLower(f.query)
	if state := pool.State(query.Get("state")); slices.Contains(agentOrder, state) {
		f.state = state
	}
	return f
}

// matches says whether one of the texts has the query.
func (f filter) matches(texts ...string) bool {
	return f.query == "" || slices.ContainsFunc(texts, func(text string) bool {
		return strings.Contains(strings.ToLower(text), f.lower)
	})
}

func (f filter) agents(all []agentRow) []agentRow {
	if f == (filter{}) {
		return all
	}
	var chosen []agentRow
	for _, a := range all {
		if (f.state == "" || f.state == a.state) && f.matches(a.name, a.job, a.version, a.why) {
			chosen = append(chosen, a)
		}
	}
	return chosen
}

// jobs filters by the query alone: jobs have other states than agents.
func (f filter) jobs(all []jobRow) []jobRow {
	if f.query == "" {
		return all
	}
	var chosen []jobRow
	for _, j := range all {
		if f.matches(j.name, j.from, j.agent, j.waitsFor, j.demands) {
			chosen = append(chosen, j)
		}
	}
	return chosen
}

// address is the page with another state of agents, and the same query.
func (f filter) address(state pool.State) string {
	query := url.Values{"state": {string(state)}}
	if f.query != "" {
		query.Set("q", f.query)
	}
	return "?" + query.Encode()
}

// form is the filter's own form.
func (f filter) form() string {
	m := &markup{}
	m.raw(`<form role="search" method="get"><label>Filter <input type="search" name="q" value="`).text(f.query).
		raw(`" maxlength="` + strconv.Itoa(maxQuery) + `"></label> <label>Agents <select name="state"><option value="">all</option>`)
	for _, state := range agentOrder {
		selected := ""
		if state == f.state {
			selected = " selected"
		}
		m.element(`option`+selected, string(state))
	}
	m.raw(`</select></label> <button>Show</button>`)
	if f != (filter{}) {
		m.raw(` <a href="./">Show all</a>`)
	}
	return m.raw("</form>\n").String()
}
