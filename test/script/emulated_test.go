package script

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/azptend/azptend/internal/emulator"
	"github.com/azptend/azptend/test/internal/process"
)

// cmdQueue queues a job: queue NAME SCRIPT [POOL]. With demands ("demands=gpu,docker" instead of a pool)
// the server refuses a job that no agent matches: ! queue.
func cmdQueue(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: [!] queue NAME SCRIPT [POOL|demands=DEMAND,...]")
	}
	spec := emulator.JobSpec{Name: args[0], Script: args[1], Force: true}
	if len(args) > 2 {
		if demands, is := strings.CutPrefix(args[2], "demands="); is {
			spec.Demands, spec.Force = strings.Split(demands, ","), false
		} else {
			spec.Pool = args[2]
		}
	}
	_, err := stageOf(ts).emulator.QueueJob(spec)
	if neg && err == nil {
		ts.Fatalf("the server accepts the job")
	} else if !neg {
		ts.Check(err)
	}
}

// cmdAwait waits for the next event of a type: await TYPE [job=N] [result=R].
func cmdAwait(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: await TYPE [job=N] [result=R]")
	}
	s := stageOf(ts)
	ctx, cancel := inTime()
	defer cancel()
	e, err := s.emulator.WaitEvent(ctx, s.seen, func(e emulator.Event) bool {
		if e.Type != args[0] {
			return false
		}
		for _, arg := range args[1:] {
			key, want, _ := strings.Cut(arg, "=")
			got := map[string]string{"job": fmt.Sprint(e.RequestID), "result": e.Result}[key]
			if got != want {
				return false
			}
		}
		return true
	})
	if err != nil {
		events, _ := s.emulator.Events(ctx, 0)
		for name, a := range s.processes {
			ts.Logf("%s said:\n%s", name, a.Output())
		}
		ts.Fatalf("no %s: %v; there were %+v", words(args), err, events)
	}
	s.seen = e.Seq
}

// cmdJob checks a job's result or state: job N RESULT-or-STATE.
func cmdJob(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: [!] job N RESULT")
	}
	id, err := strconv.ParseInt(args[0], 10, 64)
	ts.Check(err)
	job, err := stageOf(ts).emulator.Job(id)
	ts.Check(err)
	stands := job.Result
	if stands == "" {
		stands = job.State
	}
	if (stands == args[1]) == neg {
		ts.Fatalf("job %d is %s", id, stands)
	}
}

// cmdJobLog waits until a job's log has a line: joblog N REGEXP. With ! it checks that there is
// none now.
func cmdJobLog(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: [!] joblog N REGEXP")
	}
	s := stageOf(ts)
	id, err := strconv.ParseInt(args[0], 10, 64)
	ts.Check(err)
	what := regexp.MustCompile(words(args[1:]))
	ctx, cancel := inTime()
	defer cancel()
	_, text, err := s.emulator.WaitJob(ctx, id, func(_ emulator.Job, log string) bool {
		return neg || what.MatchString(log)
	})
	if err != nil {
		ts.Fatalf("job %d does not say %q: %v:\n%s", id, what, err, text)
	}
	if neg && what.MatchString(text) {
		ts.Fatalf("job %d says %q:\n%s", id, what, text)
	}
}

// cmdPool checks the number of agents in the pool: pool N.
func cmdPool(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: pool N")
	}
	var names []string
	for _, pool := range stageOf(ts).emulator.State().Pools {
		for _, a := range pool.Agents {
			names = append(names, a.Name)
		}
	}
	if fmt.Sprint(len(names)) != args[0] {
		ts.Fatalf("the pool holds %d agents: %v", len(names), names)
	}
}

// cmdCalls checks how often the emulator was called: calls N METHOD REGEXP.
func cmdCalls(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: calls N METHOD REGEXP")
	}
	path := regexp.MustCompile(args[2])
	n := 0
	for _, c := range stageOf(ts).emulator.Calls() {
		if c.Method == args[1] && path.MatchString(c.Path+"?"+c.Query) {
			n++
		}
	}
	if fmt.Sprint(n) != args[0] {
		ts.Fatalf("there were %d calls of %s %s", n, args[1], args[2])
	}
}

// cmdFault adds a fault from a file: fault FILE. ! fault removes all faults.
func cmdFault(ts *testscript.TestScript, neg bool, args []string) {
	if neg != (len(args) == 0) || len(args) > 1 {
		ts.Fatalf("usage: fault FILE, or ! fault")
	}
	if neg {
		stageOf(ts).emulator.RemoveFault("")
		return
	}
	var f emulator.Fault
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &f))
	_, err := stageOf(ts).emulator.AddFault(f)
	ts.Check(err)
}

// cmdAssume changes an unverified assumption about the server: assume JSON.
func cmdAssume(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: assume JSON")
	}
	var b emulator.Assumptions
	ts.Check(json.Unmarshal([]byte(args[0]), &b))
	stageOf(ts).emulator.SetAssumptions(b)
}

// cmdHold holds the next matching call: hold METHOD REGEXP [before|after].
func cmdHold(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: hold METHOD REGEXP [before|after]")
	}
	h := emulator.Hold{Method: args[0], Path: args[1]}
	if len(args) > 2 {
		h.When = args[2]
	}
	s := stageOf(ts)
	id, err := s.emulator.AddHold(h)
	ts.Check(err)
	s.holds = append(s.holds, id)
}

// cmdReached waits until the latest hold holds a call.
func cmdReached(ts *testscript.TestScript, _ bool, _ []string) {
	s := stageOf(ts)
	ctx, cancel := inTime()
	defer cancel()
	ts.Check(s.emulator.WaitHold(ctx, s.holds[len(s.holds)-1]))
}

// cmdRelease releases the latest hold, or the one before it: release [earlier].
func cmdRelease(ts *testscript.TestScript, neg bool, args []string) {
	s := stageOf(ts)
	at := len(s.holds) - 1
	switch {
	case neg || len(args) > 1 || (len(args) == 1 && args[0] != "earlier"):
		ts.Fatalf("usage: release [earlier]")
	case len(args) == 1:
		at--
	}
	ts.Check(s.emulator.Release(s.holds[at]))
}

// cmdKeeps checks that azptend's secrets are not where a job could find them: in the environment
// and the arguments of all processes below it, and in the agent's capabilities: keeps NAME.
func cmdKeeps(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: keeps NAME")
	}
	s := stageOf(ts)
	pids := process.Descendants(s.process(ts, args[0]).Pid())
	if len(pids) == 0 {
		ts.Fatalf("%s has no listener", args[0])
	}
	places := map[string][]byte{}
	for _, pid := range pids {
		for _, file := range []string{"environ", "cmdline"} {
			path := fmt.Sprintf("/proc/%d/%s", pid, file)
			b, err := os.ReadFile(path)
			if err == nil && len(b) > 0 {
				places[path] = b
			}
		}
	}
	if len(places) < 2 {
		ts.Fatalf("cannot read /proc: %v", places)
	}
	capabilities, err := json.Marshal(s.emulator.State())
	ts.Check(err)
	places["the pool's state"] = capabilities
	for where, b := range places {
		for name, value := range s.secrets {
			if bytes.Contains(b, []byte(value)) {
				ts.Fatalf("%s is in %s", name, where)
			}
		}
		for _, name := range []string{"IDENTITY_ENDPOINT", "IDENTITY_HEADER", "MANAGED_IDENTITY_OBJECT_ID", "AZP_TOKEN", "Bearer "} {
			if bytes.Contains(b, []byte(name)) {
				ts.Fatalf("%s is named in %s", name, where)
			}
		}
	}
}

// cmdUnpublished checks that the agents' capabilities have neither a variable's name nor its
// value, and that they have others: unpublished VARIABLE.
func cmdUnpublished(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: unpublished VARIABLE")
	}
	value := ts.Getenv(args[0])
	published := 0
	for _, pool := range stageOf(ts).emulator.State().Pools {
		for _, a := range pool.Agents {
			for name, text := range a.SystemCapabilities {
				published++
				if strings.EqualFold(name, args[0]) || strings.Contains(text, value) {
					ts.Fatalf("%s is published: %s=%s", args[0], name, text)
				}
			}
		}
	}
	if value == "" || published < 5 {
		ts.Fatalf("%s is %q, and %d capabilities are published: there is nothing to see", args[0], value, published)
	}
}

// cmdNobody checks that no command line of any process on the machine contains a text, which must
// be unique to the script: nobody TEXT.
func cmdNobody(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: nobody TEXT")
	}
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err == nil && bytes.Contains(b, []byte(args[0])) {
			ts.Fatalf("%s still runs: %q", file, b)
		}
	}
}

// cmdAgent adds an agent without azptend: agent NAME [CAPABILITY=VALUE]. The capability "version"
// is the agent's version. ! agent NAME deletes the agent, as in the portal.
func cmdAgent(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 1 || (neg && len(args) > 1) {
		ts.Fatalf("usage: agent NAME [CAPABILITY=VALUE...], or ! agent NAME")
	}
	if neg {
		deleteAgent(ts, args[0])
		return
	}
	capabilities := map[string]string{}
	for _, arg := range args[1:] {
		name, value, _ := strings.Cut(arg, "=")
		capabilities[name] = value
	}
	version := cmp.Or(capabilities["version"], "4.0.0")
	delete(capabilities, "version")
	ts.Check(addAgent(ts.Getenv("EMULATOR"), ts.Getenv("PAT"), 1, args[0], version, capabilities))
}

// addAgent adds an agent that does not run.
func addAgent(emulatorURL, pat string, pool int, name, version string, capabilities map[string]string) error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	body, err := json.Marshal(map[string]any{"name": name, "version": version, "userCapabilities": capabilities,
		"authorization": map[string]any{"publicKey": map[string]any{"exponent": "AQAB", "modulus": key.N.Bytes()}}})
	if err != nil {
		return err
	}
	return askPool(emulatorURL, pat, http.MethodPost, fmt.Sprintf("%d/agents", pool), body)
}

// deleteAgent deletes the agent with this name in the first pool.
func deleteAgent(ts *testscript.TestScript, name string) {
	for _, a := range stageOf(ts).emulator.State().Pools[0].Agents {
		if a.Name == name {
			ts.Check(askPool(ts.Getenv("EMULATOR"), ts.Getenv("PAT"), http.MethodDelete, fmt.Sprintf("1/agents/%d", a.ID), nil))
			return
		}
	}
	ts.Fatalf("there is no agent %s", name)
}

// askPool sends a request about a pool, with a person's token.
func askPool(emulatorURL, pat, method, path string, body []byte) error {
	url := emulatorURL + "/emulated/_apis/distributedtask/pools/" + path + "?api-version=7.1"
	req, err := http.NewRequest(method, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.SetBasicAuth("", pat)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		answer, _ := io.ReadAll(resp.Body)
		return fmt.Errorf("cannot %s %s: %s %s", method, path, resp.Status, answer)
	}
	return nil
}
