package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/template"
	"time"

	"github.com/azptend/azptend/test/internal/launch"
	"github.com/azptend/azptend/test/internal/process"
)

// outcome is the result of all runs.
type outcome struct {
	options       options
	runs          []runResult
	first         int // how many runs had ended when before was counted
	before, after inventory
	took          time.Duration
}

// wrong counts the runs that went wrong.
func (o outcome) wrong() int {
	n := 0
	for _, l := range o.runs {
		if l.wrong != "" {
			n++
		}
	}
	return n
}

// maxGrowth is by how much the median memory of the last runs may exceed that of the first.
// Each azptend is a new process, and how much garbage it has depends on how busy the
// machine is.
const maxGrowth = 0.1

func (o outcome) verdict() error {
	var errs []error
	if n := o.wrong(); n > 0 {
		errs = append(errs, fmt.Errorf("%d runs went wrong, with -seed %d", n, o.options.seed))
	}
	if more := o.after.increases(o.before); more != "" {
		errs = append(errs, fmt.Errorf("there is more than before: %s", more))
	}
	begin, end := o.memory()
	if end > begin*(1+maxGrowth) {
		errs = append(errs, fmt.Errorf("an azptend needs %.1f MB at the end, and %.1f MB at the beginning", end, begin))
	}
	return errors.Join(errs...)
}

// memory returns the median of azptend's largest memory, over the first runs and over the
// last.
func (o outcome) memory() (begin, end float64) {
	return median(o.runs[:o.first]), median(o.runs[len(o.runs)-o.first:])
}

func median(runs []runResult) float64 {
	var values []float64
	for _, l := range runs {
		values = append(values, l.rss)
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// row is a scenario on the page.
type row struct {
	Name, Jobs string
	Lives      int
	Median     string
	Worst      string
}

func (o outcome) rows() []row {
	var rows []row
	for _, t := range scenarios() {
		var took []time.Duration
		for _, l := range o.runs {
			if l.scenario.name == t.name {
				took = append(took, l.took)
			}
		}
		if len(took) == 0 {
			continue
		}
		slices.Sort(took)
		r := row{Name: t.name, Jobs: "succeeded", Lives: len(took),
			Median: took[len(took)/2].Round(100 * time.Millisecond).String(), Worst: took[len(took)-1].Round(100 * time.Millisecond).String()}
		if t.losesJob {
			r.Jobs = "abandoned, as must be"
		}
		rows = append(rows, r)
	}
	return rows
}

func (o outcome) publish(page string) error {
	begin, end := o.memory()
	var b strings.Builder
	err := part.Execute(&b, map[string]any{
		"Lives": len(o.runs), "Seats": o.options.slots, "Seed": o.options.seed, "Took": o.took.Round(time.Second), "Wrong": o.wrong(),
		"First": o.first, "Before": o.before, "After": o.after, "Begin": begin, "End": end, "Rows": o.rows(),
		"Machine": process.Machine(), "Date": time.Now().UTC().Format(time.DateOnly), "Scale": scale,
	})
	if err != nil {
		return err
	}
	return launch.FillIn(page, "soak", b.String())
}

var part = template.Must(template.New("").Parse(`
Written by ` + "`make soak`" + ` on {{.Date}}; do not edit. {{.Lives}} runs of ` + "`azptend run --once`" + `, {{.Seats}} at once, in {{.Took}},
against one emulator whose slow times are divided by {{.Scale}}. The fault of each was chosen with seed {{.Seed}}.
**{{.Wrong}} runs lost a job that could be saved, left an agent or a process, or exited with a wrong code.**

| fault | runs | their jobs | time of a run (median) | at most |
|---|---|---|---|---|
{{range .Rows}}| {{.Name}} | {{.Lives}} | {{.Jobs}} | {{.Median}} | {{.Worst}} |
{{end}}
| resource | after the first {{.First}} runs | after the last |
|---|---|---|
| largest memory of an azptend (median of the first and of the last {{.First}}) | {{printf "%.1f" .Begin}} MB | {{printf "%.1f" .End}} MB |
| goroutines of the emulator's process | {{.Before.Goroutines}} | {{.After.Goroutines}} |
| descriptors of the emulator's process | {{.Before.Descriptors}} | {{.After.Descriptors}} |
| processes of azptend, listeners, workers and jobs | {{.Before.Processes}} | {{.After.Processes}} |
| agents in the pools | {{.Before.Agents}} | {{.After.Agents}} |
| sessions | {{.Before.Sessions}} | {{.After.Sessions}} |
| files in the agents' directories, except the agents' own logs and work | {{.Before.Files}} | {{.After.Files}} |

The machine: {{.Machine}}.
`))
