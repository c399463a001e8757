package fakeagent

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/azptend/azptend/internal/agentdir"
	"github.com/azptend/azptend/internal/proc"
)

// The times between the signals of a cancellation (5.3), and how long a step's output may stay
// open after its process has exited.
const (
	sigintWait  = 7500 * time.Millisecond
	sigtermWait = 2500 * time.Millisecond
	outputWait  = 10 * time.Second
)

// runSteps runs the steps in order. After a stop request the remaining steps are skipped,
// whatever their conditions (5.3).
func (w *workerJob) runSteps(ctx context.Context, records []record) result {
	report, outcome := context.WithoutCancel(ctx), succeeded
	for i, s := range w.message.Steps {
		r := &records[i]
		if ctx.Err() != nil || !s.mayRun(outcome) {
			r.end(skipped)
			w.report(report, *r)
			continue
		}
		r.begin()
		w.report(report, *r)
		res := w.runStep(ctx, s, r)
		if res == failed && s.ContinueOnError {
			res = succeededWithIssues
		}
		r.end(res)
		w.report(report, *r)
		outcome = worseOf(outcome, res)
	}
	return outcome
}

// mayRun evaluates the step's condition. It knows the four simple ones.
func (s step) mayRun(so result) bool {
	if s.Enabled != nil && !*s.Enabled {
		return false
	}
	switch strings.ToLower(strings.ReplaceAll(s.Condition, " ", "")) {
	case "always()", "succeededorfailed()":
		return true
	case "failed()":
		return so == failed
	}
	return so != failed
}

func worseOf(a, b result) result {
	if a == failed || b == skipped {
		return a
	}
	return max(a, b)
}

// runStep runs one step with its console and log.
func (w *workerJob) runStep(ctx context.Context, s step, r *record) result {
	report := context.WithoutCancel(ctx)
	c := openConsole(report, w.plan, r.ID, w.mask, w.log)
	defer func() { r.Log = c.close(report) }()
	script, ok := lookUp(s.Inputs, "script")
	if !ok {
		c.line("azptend's fake agent runs scripts alone; this task is skipped.")
		return skipped
	}
	code, err := w.runScript(ctx, s, w.message.expand(string(script)), c)
	outcome, issue := succeeded, ""
	switch {
	case ctx.Err() != nil:
		outcome, issue = canceled, "The operation was canceled."
	case err != nil:
		outcome, issue = failed, err.Error()
	case code != 0:
		outcome, issue = failed, fmt.Sprintf("Bash exited with code '%d'.", code)
	}
	if issue != "" {
		c.line("##[error]" + issue)
		r.addError(issue)
	}
	return outcome
}

// runScript runs the script in its own process group and returns the exit code.
func (w *workerJob) runScript(ctx context.Context, s step, script string, c *console) (int, error) {
	spec, file, err := w.scriptSpec(s, script)
	if err != nil {
		return 0, err
	}
	defer os.Remove(file)
	out, in, err := os.Pipe()
	if err != nil {
		return 0, fmt.Errorf("cannot read the script's output: %w", err)
	}
	defer out.Close()
	spec.Stdout, spec.Stderr = in, in
	child, err := w.procs.Start(context.Background(), spec)
	in.Close()
	if err != nil {
		return 0, err
	}
	read := make(chan struct{})
	go func() { defer close(read); copyLines(out, c) }()
	select {
	case <-child.Done():
	case <-ctx.Done():
		w.stopStep(context.WithoutCancel(ctx), child)
	}
	w.awaitOutput(ctx, read, out, c)
	return child.Status().ExitCode(), nil
}

// stopStep sends SIGINT, then SIGTERM, and then kills the process tree (5.3).
func (w *workerJob) stopStep(ctx context.Context, child *proc.Child) {
	w.stoppedSteps = append(w.stoppedSteps, child)
	for _, rung := range []struct {
		signal syscall.Signal
		wait   time.Duration
	}{{syscall.SIGINT, sigintWait}, {syscall.SIGTERM, sigtermWait}} {
		if err := child.Signal(rung.signal); err != nil {
			w.log.Print(err)
		}
		select {
		case <-child.Done():
			return
		case <-time.After(w.timeScale.scaled(rung.wait)):
		}
	}
	child.KillTree(ctx)
	<-child.Done()
}

// awaitOutput waits for the end of the output for a limited time: a process that the script left
// may have it open.
func (w *workerJob) awaitOutput(ctx context.Context, read <-chan struct{}, out *os.File, c *console) {
	if ctx.Err() == nil {
		select {
		case <-read:
			return
		case <-time.After(w.timeScale.scaled(outputWait)):
			c.line("##[warning]The STDIO streams did not close within 10 seconds of the exit event from process '/bin/bash'. This may indicate a child process inherited the STDIO streams and has not yet exited.")
		case <-ctx.Done():
		}
	}
	// The data in the pipe is still read, which a deadline in the past would prevent. This time
	// is not one of the protocol, so it is not scaled.
	_ = out.SetReadDeadline(time.Now().Add(time.Second))
	<-read
}

func copyLines(r io.Reader, c *console) {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			c.line(line)
		}
		if err != nil {
			return
		}
	}
}

// scriptSpec writes the script to _temp in the work directory, and returns how to run it.
func (w *workerJob) scriptSpec(s step, script string) (proc.Spec, string, error) {
	work := w.agent.workDir(w.install.root)
	temp, sources := filepath.Join(work, "_temp"), filepath.Join(work, "1", "s")
	for _, dir := range []string{temp, sources} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return proc.Spec{}, "", fmt.Errorf("cannot create the work directory: %w", err)
		}
	}
	file := filepath.Join(temp, agentdir.NewGUID()+".sh")
	if err := os.WriteFile(file, []byte(script), 0o700); err != nil {
		return proc.Spec{}, "", fmt.Errorf("cannot write the script: %w", err)
	}
	dir := cmp.Or(w.message.expand(string(s.Inputs["workingDirectory"])), sources)
	shell, args := "/bin/bash", []string{"--noprofile", "--norc", "-e", file}
	if _, err := os.Stat(shell); err != nil {
		shell, args = "/bin/sh", []string{"-e", file}
	}
	return proc.Spec{Path: shell, Args: args, Env: w.stepEnv(s, temp, work, sources), Dir: dir}, file, nil
}

// stepEnv is the environment of a step: the listener's, TF_BUILD, and the job's variables except
// secret ones (4.4).
func (w *workerJob) stepEnv(s step, temp, work, sources string) []string {
	env := environ{}
	maps.Copy(env, w.env)
	for name, v := range w.message.Variables {
		if !v.IsSecret && name != "" && !strings.Contains(name+string(v.Value), "\x00") {
			env[variableName(name)] = string(v.Value)
		}
	}
	maps.Copy(env, map[string]string{
		"TF_BUILD": "True", "AGENT_NAME": w.agent.AgentName, "AGENT_ID": strconv.Itoa(w.agent.AgentID),
		"AGENT_VERSION": w.version, "AGENT_HOMEDIRECTORY": w.install.root, "AGENT_WORKFOLDER": work,
		"AGENT_TEMPDIRECTORY": temp, "SYSTEM_DEFAULTWORKINGDIRECTORY": sources,
	})
	for name, value := range s.Environment {
		env[name] = w.message.expand(string(value))
	}
	return env.list()
}

// variableName is the name of a pipeline variable in the environment.
func variableName(name string) string {
	return strings.ToUpper(strings.NewReplacer(".", "_", " ", "_").Replace(name))
}
