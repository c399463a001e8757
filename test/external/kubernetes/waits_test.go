package kubernetes

import (
	"bufio"
	"encoding/json"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/azptend/azptend/test/external/conformance/go/emulated"
)

// parts are the steps between a job's queueing and its start, in order.
var parts = []string{
	"KEDA's poll, until there is a Kubernetes Job",
	"the pod: controller, binding, the container's process",
	"azptend up, and the agent's root made",
	"the token",
	"the pool, and the agent registered",
	"the listener, until it has its session",
	"the job given to it and started",
}

// waiting holds the times that some jobs waited in each part, in no order.
type waiting struct {
	what  string
	parts [][]time.Duration
	total []time.Duration
}

// waited splits the waiting times of these jobs, from the emulator's journal, the API server's
// events, the kubelet, and the log of the azptend that ran each job. The time of the session is
// from the journal: azptend sees its own session later, sometimes after the job.
func (r *release) waited(t *testing.T, what string, ids []int64) waiting {
	t.Helper()
	w := waiting{what: what, parts: make([][]time.Duration, len(parts))}
	made := r.madeJobs()
	for _, id := range ids {
		queued := r.event(t, r.pool, "queued", isOf("job.queued", id))
		started := r.event(t, r.pool, "started", isOf("job.started", id))
		session := r.event(t, r.pool, "session", func(ev emulated.Event) bool { return ev.Type == "session.created" && ev.Agent == started.Agent })
		log := r.readLog(t, started.Agent)
		ready, told := log["The agent is ready"]
		if !told {
			t.Fatalf("the log of %s does not say how long its token took", started.Agent)
		}
		token := time.Duration(ready.TokenMS * float64(time.Millisecond))
		job := started.Agent[:strings.LastIndex(started.Agent, "-")] // the pod's name is the Job's with a suffix
		marks := []time.Time{queued.Time, made[job], r.kubelet.StartedAt(r.pool, started.Agent, "agent"), log["Starting"].Time,
			log["Starting"].Time.Add(token), log["Registered the agent"].Time, session.Time, started.Time}
		if marks[1].After(marks[2]) { // the Job existed before its pod's process; on a busy machine its event comes late
			marks[1] = marks[2]
		}
		for i := range parts {
			if marks[i].IsZero() || marks[i+1].Before(marks[i]) {
				t.Fatalf("job %s of %s: %q began and ended at no times that can be: %v", strconv.FormatInt(id, 10), started.Agent, parts[i], marks)
			}
			w.parts[i] = append(w.parts[i], marks[i+1].Sub(marks[i]))
		}
		w.total = append(w.total, started.Time.Sub(queued.Time))
	}
	return w
}

// line holds the fields of a line of azptend's log that the test needs.
type line struct {
	Time    time.Time `json:"time"`
	Msg     string    `json:"msg"`
	TokenMS float64   `json:"token_ms"`
}

// readLog returns the lines of an agent's azptend, the first one of each message.
func (r *release) readLog(t *testing.T, agent string) map[string]line {
	t.Helper()
	f, err := os.Open(r.path("logs/" + r.pool + "_" + agent + "_agent.log"))
	must(t, err)
	defer f.Close()
	lines := map[string]line{}
	for s := bufio.NewScanner(f); s.Scan(); {
		var l line
		if json.Unmarshal(s.Bytes(), &l) != nil {
			continue // a line of the listener
		}
		if _, known := lines[l.Msg]; !known {
			lines[l.Msg] = l
		}
	}
	return lines
}

func median(all []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(all))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}
