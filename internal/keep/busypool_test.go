package keep_test

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/html"

	"github.com/azptend/azptend/internal/emulator"
	"github.com/azptend/azptend/internal/keep"
)

// busyPool is a pool of 400 agents with all kinds of problems.
func busyPool() (specs []emulator.AgentSpec) {
	for i := range 172 {
		specs = append(specs, ours(fmt.Sprintf("busy-%03d", i), online, withJob))
	}
	for i := range 154 {
		specs = append(specs, ours(fmt.Sprintf("idle-%03d", i), online))
	}
	for i := range 38 {
		specs = append(specs, ours(fmt.Sprintf("ghost-%03d", i)))
	}
	for i := range 36 {
		specs = append(specs, ours(fmt.Sprintf("offline-%03d", i), since(5*time.Minute)))
	}
	return specs
}

// TestABusyPool: with 400 agents the page shows the problems first, counts them, finds the other
// agents, and links to Azure DevOps.
func TestABusyPool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.put(busyPool()...)
		if _, err := w.emulator.QueueJob(emulator.JobSpec{Name: "trains a model", Script: "true", Demands: []string{"nosuch-cap", "Agent.OS"}, Force: true}); err != nil {
			t.Fatal(err)
		}
		k, _ := w.keeper(func(o *keep.Options) { o.Prune = false })
		stop := w.start(k)
		defer func() { _ = stop() }()
		later(time.Second)

		page := w.get(k, "/").Body.String()
		rows := tableRows(t, page, "p0-agents")
		for i, row := range rows {
			state := "busy"
			if i < 38 {
				state = "ghost"
			} else if i < 38+36 {
				state = "offline"
			}
			if i < 200 && !strings.HasPrefix(row, fmt.Sprintf("%s-", state)) {
				t.Fatalf("row %d is %q, want an agent that is %s", i, row, state)
			}
		}
		if len(rows) != 201 || rows[200] != "and 200 more" || len(page) > 150_000 {
			t.Errorf("%d rows, the last is %q, in %d bytes", len(rows), rows[len(rows)-1], len(page))
		}
		text, _ := readPage(t, page)
		for _, want := range []string{"ghosts38", "agents offline36", "agents busy172", "agents idle154", "http://emulator/emulated"} {
			if !strings.Contains(text, want) {
				t.Errorf("the page lacks %q", want)
			}
		}
		if jobs := tableRows(t, page, "p0-jobs"); !strings.HasPrefix(jobs[0], "trains a model") || !strings.Contains(jobs[0], "no agent has nosuch-cap") {
			t.Errorf("the first job is %q", jobs[0])
		}
		for _, link := range []string{
			`<a href="http://emulator/emulated/_settings/agentpools\?view=jobs&amp;poolId=1&amp;agentId=\d+">ghost-000</a>`,
			`<a href="http://emulator/emulated/[^"]*/_build/results\?buildId=\d+">emulated `, // a job
			`<a href="http://emulator/emulated/[^"]*/_build/results\?buildId=\d+">long</a>`,  // a busy agent's job
		} {
			if !regexp.MustCompile(link).MatchString(page) {
				t.Errorf("the page lacks the link %s", link)
			}
		}
	})
}

// TestFilter: the results of the filter for 400 agents, and no text becomes markup.
func TestFilter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.put(busyPool()...)
		k, _ := w.keeper(func(o *keep.Options) { o.Prune = false })
		stop := w.start(k)
		defer func() { _ = stop() }()
		later(time.Second)
		for query, want := range map[string]struct {
			first string
			rows  int // without the last row, which shows the count
		}{
			"state=idle":                        {"idle-000", 154},
			"state=ghost":                       {"ghost-000", 38},
			"q=OFFLINE-03":                      {"offline-030", 6},
			"q=IDLE-1":                          {"idle-100", 54},
			"state=busy&q=-17":                  {"busy-170", 2},
			"state=busy&q=ghost":                {"no agents that match the filter", 0},
			"state=nonsense":                    {"ghost-000", 200},
			"q=" + strings.Repeat("long", 1000): {"no agents that match the filter", 0},
		} {
			rows := tableRows(t, w.get(k, "/?"+query).Body.String(), "p0-agents")
			if !strings.HasPrefix(rows[0], want.first) || len(rows) != want.rows+1 {
				t.Errorf("%s: %d rows, the first is %q, the last is %q", query, len(rows), rows[0], rows[len(rows)-1])
			}
		}
		page := w.get(k, `/?q=%22%3E%3Cscript%3Ealert(1)%3C/script%3E`).Body.String()
		if _, tags := readPage(t, page); tags["script"] != 1 {
			t.Error("the words of the filter have become markup")
		}
	})
}

// TestFilterOfALongQueue: the filter searches all waiting jobs, and the page counts the matches
// that it does not show. The state filter of agents does not apply to jobs.
func TestFilterOfALongQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		for i := range 500 {
			name := "compile"
			if i >= 200 {
				name = "deploy"
			}
			w.queue(fmt.Sprintf("%s %03d", name, i))
		}
		k, _ := w.keeper()
		stop := w.start(k)
		defer func() { _ = stop() }()
		later(time.Second)
		for query, want := range map[string]struct {
			first, last string
			rows        int
		}{
			"":                     {"compile 000", "and 308 more", 193},
			"state=idle":           {"compile 000", "and 308 more", 193},
			"q=Deploy":             {"deploy 200", "and 108 more", 193},
			"q=deploy+49":          {"deploy 490", "deploy 499", 10},
			"q=nobody":             {"no jobs that match the filter", "no jobs that match the filter", 1},
			"q=nobody&state=ghost": {"no jobs that match the filter", "no jobs that match the filter", 1},
		} {
			rows := tableRows(t, w.get(k, "/?"+query).Body.String(), "p0-jobs")
			if last := rows[len(rows)-1]; len(rows) != want.rows || !strings.HasPrefix(rows[0], want.first) || !strings.HasPrefix(last, want.last) {
				t.Errorf("%s: %d rows, the first is %q, the last is %q", query, len(rows), rows[0], last)
			}
		}
	})
}

// TestAFilterOfAgentsHidesNoJob: for a pool without jobs, the page does not say that a filter hides
// them.
func TestAFilterOfAgentsHidesNoJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		k, _ := w.keeper()
		stop := w.start(k)
		defer func() { _ = stop() }()
		later(time.Second)
		if rows := tableRows(t, w.get(k, "/?state=idle").Body.String(), "p0-jobs"); rows[0] != "no jobs" {
			t.Errorf("the page says %q", rows[0])
		}
	})
}

// TestTilesKeepTheQuery: a tile changes the state and keeps the query.
func TestTilesKeepTheQuery(t *testing.T) {
	w := newWorld(t)
	k, _ := w.keeper()
	for query, want := range map[string]string{
		"":                `href="?state=ghost#p0-agents"`,
		"?q=a%26b":        `href="?q=a%26b&amp;state=ghost#p0-agents"`,
		"?q=a&state=idle": `href="?q=a&amp;state=ghost#p0-agents"`,
	} {
		if page := w.get(k, "/"+query).Body.String(); !strings.Contains(page, want) {
			t.Errorf("%s: the page lacks %s", query, want)
		}
	}
}

// TestLongQueries: a query is cut at the same place as in the browser.
func TestLongQueries(t *testing.T) {
	w := newWorld(t)
	k, _ := w.keeper()
	long := strings.Repeat("ü", 100)
	for query, want := range map[string]string{long: long, long + "x": long, "a\xffb": "ab"} {
		page := w.get(k, "/?q="+url.QueryEscape(query)).Body.String()
		if !strings.Contains(page, `name="q" value="`+want+`" maxlength="100"`) {
			t.Errorf("the query %q is not repeated as %q", query, want)
		}
	}
}

// tableRows are the texts of the rows of a table's body.
func tableRows(t *testing.T, page, id string) (rows []string) {
	t.Helper()
	root, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	for n := range root.Descendants() {
		if n.Type != html.ElementNode || n.Data != "tr" || n.Parent.Attr == nil || n.Parent.Attr[0].Val != id {
			continue
		}
		var text strings.Builder
		for part := range n.Descendants() {
			if part.Type == html.TextNode {
				text.WriteString(part.Data)
			}
		}
		rows = append(rows, text.String())
	}
	return rows
}
