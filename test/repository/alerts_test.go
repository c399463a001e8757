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

	"github.com/azptend/azptend/internal/health"
	"github.com/azptend/azptend/test/internal/process"
)

// This file compares the dashboard and the alert rules in deploy/ with the metrics that exist:
// their names and labels, and for run also the labels' values.

// shownExprs are the expressions of the dashboard and the rules, by their place.
func shownExprs(t *testing.T) map[string][]string {
	t.Helper()
	b, err := os.ReadFile("../../deploy/grafana/dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard any
	if err := json.Unmarshal(b, &dashboard); err != nil {
		t.Fatal(err)
	}
	rules, err := os.ReadFile("../../deploy/prometheus/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]string{"dashboard.json": exprsOf(dashboard), "alerts.yaml": exprsOfRules(string(rules))}
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

// exprsOfRules are the expressions of our rules, in the two YAML forms that the file uses.
func exprsOfRules(rules string) []string {
	var found []string
	lines := strings.Split(rules, "\n")
	for i, line := range lines {
		expr, is := strings.CutPrefix(line, "        expr: ")
		for i++; is && strings.HasPrefix(expr, "|-") && strings.HasPrefix(lines[i], "          "); i++ {
			expr += " " + strings.TrimSpace(lines[i])
		}
		if is {
			found = append(found, strings.TrimPrefix(expr, "|-"))
		}
	}
	return found
}

var (
	selector = regexp.MustCompile(`\b(azptend_[a-z_]+|process_[a-z_]+)(?:\{([^}]*)\})?`)
	matcher  = regexp.MustCompile(`([a-z_]+)(=~|!~|!=|=)"([^"]*)"`)
	grouping = regexp.MustCompile(`\b(?:by|without) \(([a-z_, ]*)\)`)
)

// scraped are labels that Prometheus adds. le is a label of histograms.
func scraped() []string { return []string{"instance", "job", "le"} }

// mistakesOf returns names in an expression that do not exist.
func mistakesOf(expr string, begun string) (mistakes []string) {
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
	labels := scraped()
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

// TestEachAlertIsExplained: docs/metrics.md says what to do about each alert.
func TestEachAlertIsExplained(t *testing.T) {
	rules, err := os.ReadFile("../../deploy/prometheus/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	page := metricsPage(t)
	alerts := regexp.MustCompile(`- alert: (\w+)`).FindAllStringSubmatch(string(rules), -1)
	if len(alerts) < 10 {
		t.Errorf("there are the alerts %q: is this test blind?", alerts)
	}
	for _, a := range alerts {
		if !strings.Contains(page, "`"+a[1]+"`") {
			t.Errorf("docs/metrics.md does not name %s", a[1])
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

// TestAlertRules checks the rules and all expressions of the dashboard with Prometheus' parser, and
// runs the rules' tests. It needs promtool.
func TestAlertRules(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("there is no promtool")
	}
	var drawn strings.Builder
	drawn.WriteString("groups:\n- name: drawn\n  rules:\n")
	for _, expr := range shownExprs(t)["dashboard.json"] {
		b, _ := json.Marshal(strings.NewReplacer("$__rate_interval", "5m", "$agent", ".*").Replace(expr))
		drawn.WriteString("  - alert: Drawn\n    expr: " + string(b) + "\n    labels: {n: " + string(b) + "}\n")
	}
	file := filepath.Join(t.TempDir(), "drawn.yaml")
	if err := os.WriteFile(file, []byte(drawn.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, args := range [][]string{
		{"check", "rules", "../../deploy/prometheus/alerts.yaml"},
		{"check", "rules", file},
		{"test", "rules", "../../deploy/prometheus/alerts_test.yaml"},
	} {
		if out, err := process.Command(ctx, promtool, args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}
