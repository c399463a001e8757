package fakeagent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/azptend/azptend/internal/proc"
)

// updateScript is a short form of update.sh.template (4.3). It is an orphan that waits until the
// listener is no longer in the process table (a zombie still is), replaces bin, and renames its
// log to a name with the result.
const updateScript = `#!/bin/sh
# azptend's fake agent: what _update.sh of the real agent does, cut down.
pid=$1 old=$2 new=$3 log=$4
cd "$5" || exit 1
echo "waiting for process $pid to end" >>"$log"
if [ -d /proc/self ]; then
  while [ -e "/proc/$pid" ]; do sleep 0.05; done
else
  while kill -0 "$pid" 2>/dev/null; do sleep 0.05; done
fi
if [ -n "$AZPTEND_FAKEAGENT_UPDATE_GATE" ]; then read -r _ <"$AZPTEND_FAKEAGENT_UPDATE_GATE"; fi
if { if [ -L bin ]; then rm bin; else mv bin "bin.$old"; fi; } && ln -s "bin.$new" bin; then
  mv "$log" "$log.succeed"
else
  mv "$log" "$log.failed"
fi
`

// stageUpdate handles an AgentRefresh: it puts the new version, which is a copy of this one,
// beside the old one. It replaces the old one after the running job.
func (l *listener) stageUpdate(body []byte) {
	if l.env["agent.disableupdate"] != "" { // deleted and ignored (4.3)
		l.log.Printf("ignoring an update: agent.disableupdate is set")
		return
	}
	var r refreshBody
	if err := json.Unmarshal(body, &r); err != nil {
		l.log.Printf("cannot read an update message: %v", err)
		return
	}
	if l.update != "" || !l.acceptsUpdate(r.TargetVersion) {
		l.log.Printf("ignoring an update to %q", r.TargetVersion)
		return
	}
	l.term.line("Agent update in progress, do not shutdown agent.")
	l.term.line("Downloading %s agent", r.TargetVersion)
	if err := l.copyVersion(r.TargetVersion); err != nil {
		l.term.err("An error occurred: cannot stage the update: %v", err)
		return
	}
	l.update = r.TargetVersion
	if l.current != nil {
		l.term.line("Waiting for current job finish running.")
	}
}

// acceptsUpdate says whether the target is a valid version, is not the one that runs, and is not
// a forbidden downgrade (4.3).
func (l *listener) acceptsUpdate(target string) bool {
	if target == l.version || !regexp.MustCompile(`^\d{1,9}\.\d{1,9}\.\d{1,9}$`).MatchString(target) {
		return false
	}
	return !strings.EqualFold(l.env["AZP_AGENT_DOWNGRADE_DISABLED"], "true") || !olderVersion(target, l.version)
}

func olderVersion(a, b string) bool {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	for i := range min(len(x), len(y)) {
		m, _ := strconv.Atoi(x[i])
		n, _ := strconv.Atoi(y[i])
		if m != n {
			return m < n
		}
	}
	return false
}

func (l *listener) copyVersion(target string) error {
	dir := filepath.Join(l.install.root, "bin."+target)
	if dir == l.install.bin {
		return fmt.Errorf("%s is the directory that runs", dir)
	}
	if err := copyPrograms(dir, filepath.Join(l.install.bin, listenerName)); err != nil {
		return err
	}
	return writeAtomically(filepath.Join(dir, versionFile), strings.NewReader(target+"\n"), 0o644)
}

// launchUpdate starts the script and returns the listener's exit code. false means that it could
// not be started, and the listener continues.
func (l *listener) launchUpdate() (int, bool) {
	target := l.update
	l.update = ""
	l.term.line("Generate and execute update script.")
	if err := l.startUpdateScript(target); err != nil {
		l.term.err("An error occurred: %v", err)
		return 0, false
	}
	l.term.line("Agent will exit shortly for update, should back online within 10 seconds.")
	if l.opts.once {
		return exitOnceUpdate, true
	}
	return exitUpdating, true
}

// exitAsOrdered exits with the code that a test ordered. For the codes of an update it makes a
// real update, to the next version.
func (l *listener) exitAsOrdered(code int) int {
	if code != exitUpdating && code != exitOnceUpdate {
		return code
	}
	target := nextVersion(l.version)
	err := l.copyVersion(target)
	if err == nil {
		err = l.startUpdateScript(target)
	}
	if err != nil {
		return l.term.fail(fmt.Errorf("cannot stage the update: %w", err), exitRetryable)
	}
	return code
}

// nextVersion increments the last number of a version.
func nextVersion(version string) string {
	at := strings.LastIndex(version, ".") + 1
	n, _ := strconv.Atoi(version[at:])
	return version[:at] + strconv.Itoa(n+1)
}

func (l *listener) startUpdateScript(target string) error {
	work, diag := l.agent.workDir(l.install.root), filepath.Join(l.install.root, "_diag")
	script := filepath.Join(work, "_update.sh")
	err := errors.Join(os.MkdirAll(work, 0o755), os.MkdirAll(diag, 0o755), os.WriteFile(script, []byte(updateScript), 0o755))
	if err != nil {
		return fmt.Errorf("cannot start the update: %w", err)
	}
	log := filepath.Join(diag, "SelfUpdate-"+time.Now().UTC().Format("20060102-150405")+".log")
	_, err = l.procs.Start(context.Background(), proc.Spec{
		Path: "/bin/sh",
		Args: []string{script, strconv.Itoa(os.Getpid()), l.version, target, log, l.install.root},
		Env:  l.env.list(),
	})
	return err
}
