package keep

import (
	"net/url"
	"slices"
	"strings"

	"github.com/azptend/azptend/internal/pool"
)

// filter is what a person wants to see of the pools. It is in the page's address, so that it
// works without JavaScript, and its events know it too.
type filter struct {
	state pool.State // "" is all
	words string     // that a row has, in any case; "" is all
}

// maxWords bounds the words of a filter, which the page repeats.
const maxWords = 100

func readFilter(query url.Values) filter {
	f := filter{words: strings.TrimSpace(query.Get("q"))}
	if len(f.words) > maxWords {
		f.words = strings.ToValidUTF8(f.words[:maxWords], "")
	}
	if state := pool.State(query.Get("state")); slices.Contains(agentOrder, state) {
		f.state = state
	}
	return f
}

// matches says whether one of the texts has the words.
func (f filter) matches(texts ...string) bool {
	return slices.ContainsFunc(texts, func(text string) bool {
		return strings.Contains(strings.ToLower(text), strings.ToLower(f.words))
	})
}

func (f filter) agents(all []agentRow) []agentRow {
	return choose(all, func(a agentRow) bool {
		return (f.state == "" || f.state == a.state) && f.matches(a.name, a.job, a.version, a.why)
	})
}

func (f filter) jobs(all []jobRow) []jobRow {
	return choose(all, func(j jobRow) bool {
		agent := ""
		if j.ReservedAgent != nil {
			agent = j.ReservedAgent.Name
		}
		return f.matches(j.JobName, j.Definition.Name, j.Owner.Name, agent, j.waitsFor, strings.Join(j.Demands, ", "))
	})
}

func choose[R any](all []R, is func(R) bool) []R {
	return slices.DeleteFunc(slices.Clone(all), func(r R) bool { return !is(r) })
}

// form is the filter's own form.
func (f filter) form() string {
	m := &markup{}
	m.raw(`<form role="search" method="get"><label>Filter <input type="search" name="q" value="`).text(f.words).
		raw(`" maxlength="100"></label> <label>Agents <select name="state"><option value="">all</option>`)
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
