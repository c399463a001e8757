package repository

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/azptend/azptend/internal/health"
	"github.com/azptend/azptend/test/internal/process"
)

// This file compares the dashboard and the alert rules in deploy/ with the metrics that exist:
// their names and labels, and for run also the labels' values.

const (
	dashboardFile = "../../deploy/grafana/dashboard.json"
	alertsFile    = "../../deploy/prometheus/alerts.yaml"
	playedFile    = "../../deploy/prometheus/alerts_test.yaml"
)

// readYAML reads a file of YAML or JSON.
func readYAML(t *testing.T, file string, into any) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(b, into); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

// shownExprs are the expressions of the dashboard and the rules, by their file.
func shownExprs(t *testing.T) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	for _, file := range []string{dashboardFile, alertsFile} {
		var content any
		readYAML(t, file, &content)
		found[filepath.Base(file)] = exprsOf(content)
	}
	return found
}

func exprsOf(node any) []string {
	var found []string
	switch node := node.(type) {
	case map[string]any:
		if expr, is := node["expr"].(string); is {
			found = append(found, expr)
		}
		for _, below := range node {
			found = append(found, exprsOf(below)...)
		}
	case []any:
		for _, below := range node {
			found = append(found, exprsOf(below)...)
		}
	}
	return found
}

// alert is a rule of alerts.yaml.
type alert struct {
	Alert, Expr string
	Annotations map[string]string
}

func alerts(t *testing.T) []alert {
	t.Helper()
	var file struct{ Groups []struct{ Rules []alert } }
	readYAML(t, alertsFile, &file)
	var all []alert
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	if len(all) < 10 {
		t.Fatalf("there are the alerts %v: is this test blind?", all)
	}
	return all
}

var (
	selector = regexp.MustCompile(`\b(azptend_[a-z_]+|process_[a-z_]+)(?:\{([^}]*)\})?`)
	matcher  = regexp.MustCompile(`([a-z_]+)(=~|!~|!=|=)"([^"]*)"`)
	grouping = regexp.MustCompile(`\b(?:by|without) \(([a-z_, ]*)\)`)
)

// scraped are labels that Prometheus adds. le is a label of histograms.
func scraped() []string {
	return []string{"instance", "job", "namespace", "pod", "node", "cluster", "le"}
}

// seriesLabels are the labels of each series that azptend exposes, by its name.
func seriesLabels() map[string][]string {
	known := map[string][]string{}
	for _, f := range ourMetrics() {
		names := []string{f.Name}
		if f.Kind == "histogram" {
			names = []string{f.Name + "_bucket", f.Name + "_sum", f.Name + "_count"}
		}
		for _, name := range names {
			known[name] = f.Labels
		}
	}
	return known
}

// mistakesOf returns names in an expression that do not exist.
func mistakesOf(expr string, begun string) (mistakes []string) {
	known, labels := seriesLabels(), scraped()
	for _, s := range selector.FindAllStringSubmatch(expr, -1) {
		own, is := known[s[1]]
		if !is {
			mistakes = append(mistakes, "there is no metric "+s[1])
		}
		labels = append(labels, own...)
		for _, m := range matcher.FindAllStringSubmatch(s[2], -1) {
			if !slices.Contains(own, m[1]) {
				mistakes = append(mistakes, s[1]+" has no label "+m[1])
			}
			mistakes = append(mistakes, strangeValues(begun, s[1], m[1], m[3])...)
		}
	}
	for _, g := range grouping.FindAllStringSubmatch(expr, -1) {
		for label := range strings.SplitSeq(g[1], ",") {
			if !slices.Contains(labels, strings.TrimSpace(label)) {
				mistakes = append(mistakes, "nothing in it has a label "+label)
			}
		}
	}
	return mistakes
}

// strangeValues are values of a label that no series of run has. Codes are HTTP statuses, and the
// agent is a variable of the dashboard.
func strangeValues(begun, metric, label, values string) (mistakes []string) {
	if !strings.Contains(begun, "\n"+metric+"{") || label == "code" || label == "agent" {
		return nil
	}
	for value := range strings.SplitSeq(values, "|") {
		if !regexp.MustCompile(`(?m)^` + metric + `\{.*` + label + `="` + value + `"`).MatchString(begun) {
			mistakes = append(mistakes, metric+" never has "+label+" "+value)
		}
	}
	return mistakes
}

// begunPage is the metrics page of a run that has just begun and has a token.
func begunPage() string {
	page := health.New("")
	page.ForAgent("scripted").Ready(map[string]time.Duration{"total": time.Second})
	page.TokenFetched("managed identity", time.Unix(1, 0), nil)
	w := httptest.NewRecorder()
	page.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	return w.Body.String()
}

func TestDashboardAndAlertsUseRealMetrics(t *testing.T) {
	begun := begunPage()
	for file, exprs := range shownExprs(t) {
		if len(exprs) < 10 {
			t.Errorf("%s has the expressions %q: is this test blind?", file, exprs)
		}
		for _, expr := range exprs {
			if !selector.MatchString(expr) {
				t.Errorf("%s: %q is about no metric of ours", file, expr)
			}
			for _, mistake := range mistakesOf(expr, begun) {
				t.Errorf("%s: %q: %s", file, expr, mistake)
			}
		}
	}
}

// TestEachAlertIsExplained: each alert leads to its section of docs/operations.md, and
// docs/metrics.md lists it.
func TestEachAlertIsExplained(t *testing.T) {
	const base = "https://github.com/azptend/azptend/blob/main/"
	page := metricsPage(t)
	for _, a := range alerts(t) {
		to, is := strings.CutPrefix(a.Annotations["runbook_url"], base)
		if want := "docs/operations.md#" + anchor(a.Alert); !is || to != want {
			t.Errorf("the runbook_url of %s is %q, want %s", a.Alert, a.Annotations["runbook_url"], base+want)
		} else if why := deadLink("../../README.md", to); why != "" {
			t.Errorf("the runbook_url of %s is %s: %s", a.Alert, to, why)
		}
		if !strings.Contains(page, "`"+a.Alert+"`") {
			t.Errorf("docs/metrics.md does not name %s", a.Alert)
		}
	}
}

// TestAlertsKeepLabels: "by" would drop the labels that say where an agent runs, such as namespace,
// pod and cluster.
func TestAlertsKeepLabels(t *testing.T) {
	for _, a := range alerts(t) {
		if regexp.MustCompile(`\bby\s*\(`).MatchString(a.Expr) {
			t.Errorf("%s groups with by, and not with without: %s", a.Alert, a.Expr)
		}
	}
}

// played is a test of alerts_test.yaml.
type played struct {
	Interval string
	Input    []struct{ Series, Values string } `yaml:"input_series"`
}

// TestPlayedSeriesAreReal: the rules are played on series with the names and labels that azptend
// exposes.
func TestPlayedSeriesAreReal(t *testing.T) {
	begun, known := begunPage(), seriesLabels()
	seen := 0
	for _, test := range playedTests(t) {
		for _, in := range test.Input {
			name, rest, _ := strings.Cut(in.Series, "{")
			if name == "up" { // Prometheus' own
				continue
			}
			seen++
			var labels []string
			for _, m := range matcher.FindAllStringSubmatch(rest, -1) {
				if !slices.Contains(scraped(), m[1]) {
					labels = append(labels, m[1])
					for _, mistake := range strangeValues(begun, name, m[1], m[3]) {
						t.Error(mistake)
					}
				}
			}
			own := slices.Clone(known[name])
			slices.Sort(own)
			slices.Sort(labels)
			if _, is := known[name]; !is || !slices.Equal(own, labels) {
				t.Errorf("%s is no series of azptend: its labels are %q", in.Series, own)
			}
		}
	}
	if seen < 20 {
		t.Errorf("%d series were seen: is this test blind?", seen)
	}
}

func playedTests(t *testing.T) []played {
	t.Helper()
	var file struct{ Tests []played }
	readYAML(t, playedFile, &file)
	return file.Tests
}

// TestLogAlertsUseRealLines: each text that alerts.bicep searches for begins a line that azptend
// logs.
func TestLogAlertsUseRealLines(t *testing.T) {
	b, err := os.ReadFile("../../deploy/container-apps/alerts.bicep")
	if err != nil {
		t.Fatal(err)
	}
	searched := regexp.MustCompile(`contains "([^"]+)"`).FindAllStringSubmatch(string(b), -1)
	if len(searched) < 3 {
		t.Errorf("%q was seen: is this test blind?", searched)
	}
	lines := loggedLines(t)
	for _, s := range searched {
		found := false
		for line := range lines {
			found = found || strings.HasPrefix(line, s[1])
		}
		if !found {
			t.Errorf("nothing logs %q", s[1])
		}
	}
}

// TestExpressionRules shows that each rule finds a fault.
func TestExpressionRules(t *testing.T) {
	begun := begunPage()
	for expr, says := range map[string]string{
		`increase(azptend_jobs_ended_total{result="cut"}[1h])`:        "",
		`sum by (le) (rate(azptend_job_duration_seconds_bucket[1h]))`: "",
		`azptend_job_duration_seconds > 1`:                            "no metric",
		`azptend_jobs_total`:                                          "no metric",
		`azptend_jobs_ended_total{pool="x"}`:                          "no label pool",
		`azptend_jobs_ended_total{result="succeeded"}`:                "never has result succeeded",
		`azptend_phase{phase=~"idle|working"}`:                        "never has phase working",
		`sum by (pool) (azptend_phase)`:                               "label pool",
	} {
		got := strings.Join(mistakesOf(expr, begun), "; ")
		if (says == "") != (got == "") || !strings.Contains(got, says) {
			t.Errorf("of %q it is said %q, want %q", expr, got, says)
		}
	}
}

// panelTest is a test of promtool: the first expression of each panel about what ends with an agent
// has a value for agents with --once, whose last counters nobody scrapes.
func panelTest(t *testing.T) string {
	t.Helper()
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	readYAML(t, dashboardFile, &dashboard)
	tests := playedTests(t)
	once := slices.IndexFunc(tests, func(p played) bool { return strings.Contains(p.Input[0].Series, "once-1") })
	type sample struct {
		Labels string
		Value  int
	}
	type exprTest struct {
		Expr    string
		At      string   `yaml:"eval_time"`
		Samples []sample `yaml:"exp_samples"`
	}
	var exprs []exprTest
	for _, p := range dashboard.Panels {
		if slices.Contains([]string{"Jobs that ended", "Job duration", "Removals"}, p.Title) {
			exprs = append(exprs, exprTest{"sum(" + drawn(p.Targets[0].Expr) + ") > bool 0", "22m", []sample{{"{}", 1}}})
		}
	}
	if len(exprs) != 3 {
		t.Errorf("the dashboard has %d of the 3 panels", len(exprs))
	}
	b, err := yaml.Marshal(map[string]any{"tests": []any{map[string]any{
		"interval": tests[once].Interval, "input_series": tests[once].Input, "promql_expr_test": exprs,
	}}})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// drawn is an expression of the dashboard with a value for each of Grafana's variables.
func drawn(expr string) string {
	return strings.NewReplacer("$__rate_interval", "5m", "$agent", ".*").Replace(expr)
}

// TestAlertRules checks the rules and all expressions of the dashboard with Prometheus' parser, and
// plays the rules and the panels. It needs promtool.
func TestAlertRules(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("there is no promtool")
	}
	rules := "groups:\n- name: drawn\n  rules:\n"
	for _, expr := range shownExprs(t)["dashboard.json"] {
		b, _ := json.Marshal(drawn(expr))
		rules += "  - alert: Drawn\n    expr: " + string(b) + "\n    labels: {n: " + string(b) + "}\n"
	}
	drawnFile, panelsFile := filepath.Join(t.TempDir(), "drawn.yaml"), filepath.Join(t.TempDir(), "panels.yaml")
	for file, text := range map[string]string{drawnFile: rules, panelsFile: panelTest(t)} {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, args := range [][]string{
		{"check", "rules", alertsFile},
		{"check", "rules", drawnFile},
		{"test", "rules", playedFile},
		{"test", "rules", panelsFile},
	} {
		if out, err := process.Command(ctx, promtool, args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}
