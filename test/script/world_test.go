package script

import (
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"github.com/azptend/azptend/internal/emulator"
)

// cmdRole replaces the roles of IDENTITY_ENDPOINT's identity on all pools: role Reader, role none.
// ! role removes the identity from the organisation.
func cmdRole(ts *testscript.TestScript, neg bool, args []string) {
	if neg != (len(args) == 0) || len(args) > 1 {
		ts.Fatalf("usage: role ROLE, or ! role")
	}
	e := stageOf(ts).emulator
	for _, i := range e.Identities() {
		if i.ObjectID != ts.Getenv("MANAGED_IDENTITY_OBJECT_ID") {
			continue
		}
		i.Member, i.Roles = !neg, nil
		if !neg && args[0] != "none" {
			i.Roles = map[string]string{emulator.AllPools: args[0]}
		}
		ts.Check(e.PutIdentity(i))
		return
	}
	ts.Fatalf("the emulator does not know MANAGED_IDENTITY_OBJECT_ID")
}

// cmdLicence sets the licence of IDENTITY_ENDPOINT's identity: licence none, licence stakeholder,
// licence express.
func cmdLicence(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: licence LICENCE")
	}
	e := stageOf(ts).emulator
	for _, i := range e.Identities() {
		if i.ObjectID == ts.Getenv("MANAGED_IDENTITY_OBJECT_ID") {
			i.License = args[0]
			ts.Check(e.PutIdentity(i))
			return
		}
	}
	ts.Fatalf("the emulator does not know MANAGED_IDENTITY_OBJECT_ID")
}

// cmdPAT makes a personal access token and sets AZP_TOKEN to it: pat expired, pat unscoped.
func cmdPAT(ts *testscript.TestScript, neg bool, args []string) {
	pat := emulator.PAT{Roles: emulator.Roles{emulator.AllPools: emulator.RoleAdministrator}}
	switch strings.Join(args, " ") {
	case "expired":
		pat.Expires = time.Now().Add(-time.Hour)
	case "unscoped":
		pat.Scopes = []string{"vso.code"}
	default:
		neg = true
	}
	if neg {
		ts.Fatalf("usage: pat expired, or pat unscoped")
	}
	made, err := stageOf(ts).emulator.PutPAT(pat)
	ts.Check(err)
	ts.Setenv("AZP_TOKEN", made.Token)
}

// cmdAllow limits how many calls each identity may make in five minutes before they are delayed.
// From twice as many on they are refused: allow N.
func cmdAllow(ts *testscript.TestScript, neg bool, args []string) {
	n := 0
	if len(args) == 1 {
		n, _ = strconv.Atoi(args[0])
	}
	if neg || n <= 0 {
		ts.Fatalf("usage: allow N")
	}
	ts.Check(stageOf(ts).emulator.SetRateLimit(emulator.RateLimit{Budget: float64(n)}))
}

// cmdLimit lowers a running process's limit of descriptors, so that it cannot open another file:
// limit NAME.
func cmdLimit(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: limit NAME")
	}
	pid := stageOf(ts).process(ts, args[0]).Pid()
	ts.Check(unix.Prlimit(pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 3, Max: 3}, nil))
}

// cmdNoFork keeps a running process of a user other than root from creating processes and
// threads: nofork NAME UID.
func cmdNoFork(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: nofork NAME UID")
	}
	uid, err := strconv.ParseUint(args[1], 10, 32)
	ts.Check(err)
	pid := stageOf(ts).process(ts, args[0]).Pid()
	// Run as that user, because root in a container may lack CAP_SYS_RESOURCE.
	c := exec.Command("prlimit", "--nproc=0:0", "--pid", fmt.Sprint(pid))
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	out, err := c.CombinedOutput()
	ts.Logf("%s", out)
	ts.Check(err)
}

// cmdClock sets the difference between the server's clock and ours: clock DURATION.
func cmdClock(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: clock DURATION")
	}
	d, err := time.ParseDuration(args[0])
	ts.Check(err)
	stageOf(ts).emulator.Advance(d)
}
