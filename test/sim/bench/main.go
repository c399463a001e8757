// Command bench measures what azptend needs, against an emulator with a delay on each call,
// as a distant server has, and writes a Markdown page that names the machine. `make bench`
// runs it. It does not fail if a goal is missed, it only shows it.
package main

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"text/template"
	"time"

	"github.com/azptend/azptend/test/internal/launch"
	"github.com/azptend/azptend/test/internal/process"
)

func main() {
	flags := launch.Flags()
	out := flag.String("o", "", "the file to write; standard output without it")
	what := flag.String("what", "life", "what to measure: life, hundred, pool, agents, keep, install")
	runs := flag.Int("n", 20, "how many runs of each kind")
	delay := flag.Duration("delay", 80*time.Millisecond, "the delay of each call")
	flag.Parse()
	programs, err := flags.Absolute()
	if err == nil {
		err = run(*what, programs, *out, *runs, *delay)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench: cannot measure:", err)
		os.Exit(1)
	}
}

// run measures one thing, and writes its part of a page. The measurement "life" writes the
// page's head, and "hundred" fills another page.
func run(what string, programs launch.Programs, out string, runs int, delay time.Duration) error {
	var text string
	var err error
	section := what
	switch what {
	case "life":
		text, err = measure(programs, runs, delay)
		section = ""
	case "hundred":
		return throttling(programs, out)
	case "pool":
		text, err = measurePool(programs.Azptend, delay)
	case "agents":
		text, err = measureAgents(programs, delay)
	case "keep":
		text, err = measureKeep(programs.Azptend, delay)
	case "install":
		text, err = measureInstall(programs.Azptend)
	default:
		return fmt.Errorf("there is no measurement %q", what)
	}
	if err != nil {
		return err
	}
	return write(out, text, section)
}

// write prints the text, and puts it into the page at path: into a section, or, without a
// section's name, in place of everything before the first section.
func write(path, text, section string) error {
	fmt.Print(text)
	if path == "" {
		return nil
	}
	old, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	if section != "" {
		text = withSection(string(old), section, text)
	} else {
		text = withHead(string(old), text)
	}
	return os.WriteFile(path, []byte(text), 0o644)
}

// sample is one measurement, repeated.
type sample struct {
	Name   string
	Goal   string
	values []float64
	Unit   string
}

func (s *sample) add(v float64) { s.values = append(s.values, v) }

func (s *sample) at(part float64) string {
	if len(s.values) == 0 {
		return "not measured"
	}
	sorted := slices.Sorted(slices.Values(s.values))
	return fmt.Sprintf("%.1f %s", sorted[min(int(part*float64(len(sorted))), len(sorted)-1)], s.Unit)
}

// Median, P90 and Worst format values for the page.
func (s *sample) Median() string { return s.at(0.5) }
func (s *sample) P90() string    { return s.at(0.9) }
func (s *sample) Worst() string  { return s.at(1) }

func measure(programs launch.Programs, runs int, delay time.Duration) (string, error) {
	ms := func(d time.Duration) string { return fmt.Sprintf("%d ms", d.Milliseconds()) }
	m := measurements{
		launch:  &sample{Name: "start of azptend to listener launched", Goal: "three round trips + 50 ms = " + ms(3*delay+50*time.Millisecond), Unit: "ms"},
		ready:   &sample{Name: "start of azptend to session exists (the fake agent's own calls included)", Goal: "", Unit: "ms"},
		idle:    &sample{Name: "SIGTERM while idle to agent removed", Goal: "", Unit: "ms"},
		once:    &sample{Name: "job end to agent removed, with --once", Goal: "two round trips + 50 ms = " + ms(2*delay+50*time.Millisecond), Unit: "ms"},
		memory:  &sample{Name: "resident memory while a job runs", Goal: "under 20 MB", Unit: "MB"},
		private: &sample{Name: "of which not shared with other azptends (anonymous)", Goal: "", Unit: "MB"},
	}
	for i := range runs {
		fmt.Fprintf(os.Stderr, "\rrun %d of %d", i+1, runs)
		if err := m.measureIdle(programs, delay); err != nil {
			return "", err
		}
		if err := m.measureOnce(programs, delay); err != nil {
			return "", err
		}
	}
	fmt.Fprintln(os.Stderr)
	size, err := os.Stat(programs.Azptend)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	err = page.Execute(&b, map[string]any{
		"Samples": []*sample{m.launch, m.ready, m.idle, m.once, m.memory, m.private},
		"Size":    fmt.Sprintf("%.1f MB", float64(size.Size())/1e6),
		"Delay":   delay, "Lives": runs, "Machine": process.Machine(), "Date": time.Now().UTC().Format(time.DateOnly),
	})
	return b.String(), err
}

var page = template.Must(template.New("").Parse(`# Performance

Written by ` + "`make bench`" + ` on {{.Date}}; do not edit. Each call to the emulated server
and identity endpoint is delayed by {{.Delay}}; {{.Lives}} runs of each kind.
The agent is azptend's fake agent. Microsoft's agent adds its own startup time,
which azptend cannot shorten. Nothing was measured on real Azure.

| what | median | 90 % | worst | goal |
|---|---|---|---|---|
{{range .Samples}}| {{.Name}} | {{.Median}} | {{.P90}} | {{.Worst}} | {{.Goal}} |
{{end}}| binary, stripped and static | {{.Size}} | | | under 15 MB |

The machine: {{.Machine}}.

How it was measured: "listener launched" is to_launch_ms of azptend's log line "The
agent is ready", from the first line of main. Removals are times in the emulator's
journal, from the signal or from job.finished. Memory is VmRSS and RssAnon of
/proc/PID/status. The key (2048 bits RSA) and the listener's --version run in
parallel to the token and the look-up of the pool.
`))
