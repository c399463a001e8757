package script

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/azptend/azptend/internal/emulator"
	"github.com/azptend/azptend/test/internal/process"
)

// patience is the timeout of each wait of a script.
const patience = 60 * time.Second

// scale divides the long times of the protocol (the pause after an empty poll, the long poll, the
// job's lock). It does not change times of azptend, which has no such switch.
const scale = 20

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:   "testdata",
		Setup: setUp,
		Condition: func(cond string) (bool, error) {
			switch cond {
			case "root":
				return os.Getuid() == 0, nil
			case "netns": // a network namespace with the metadata service's address
				return process.Command(context.Background(), "unshare", "-rn", "ip", "link", "set", "lo", "up").Run() == nil, nil
			case "pids": // a control group whose processes can be limited
				dir, err := os.MkdirTemp("/sys/fs/cgroup/pids", "azptend-")
				if err == nil {
					err = os.Remove(dir)
				}
				return err == nil, nil
			case "earlier": // an old azptend, as azptend-earlier
				return buildEarlier()
			case "fuse": // a file system that hangs, in a mount namespace
				f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
				if err == nil {
					f.Close()
				}
				return err == nil && os.Getuid() == 0 && process.Command(context.Background(), "unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt").Run() == nil &&
					process.Command(context.Background(), "python3", "-c", "").Run() == nil, nil
			case "mountns": // a mount namespace
				return process.Command(context.Background(), "unshare", "-rm", "mount", "-t", "tmpfs", "none", "/mnt").Run() == nil, nil
			}
			return false, fmt.Errorf("there is no condition %s", cond)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"start":   cmdStart,
			"signal":  cmdSignal,
			"ends":    cmdEnds,
			"says":    cmdSays,
			"queue":   cmdQueue,
			"await":   cmdAwait,
			"job":     cmdJob,
			"joblog":  cmdJobLog,
			"pool":    cmdPool,
			"calls":   cmdCalls,
			"fault":   cmdFault,
			"hold":    cmdHold,
			"reached": cmdReached,
			"release": cmdRelease,
			"keeps":   cmdKeeps,
			"nobody":  cmdNobody,
			"agent":   cmdAgent,
			"assume":  cmdAssume,
			"lease":   cmdLease,
			"opened":  cmdOpened,
			"limit":   cmdLimit,
			"allow":   cmdAllow,
			"role":    cmdRole,
			"pat":     cmdPAT,
			"stage":   cmdStage,
			"remain":  cmdRemain,
			"nofork":  cmdNoFork,
			"licence": cmdLicence,
			"systemd": cmdSystemd,
			"told":    cmdTold,
			"page":    cmdPage,
			"sees":    cmdSees,
			"ask":     cmdAsk,

			"identity":    cmdIdentity,
			"certificate": cmdCertificate,
			"project":     cmdProject,
			"elapse":      cmdElapse,
			"clock":       cmdClock,
			"elsewhere":   cmdElsewhere,
			"proxy":       cmdProxy,
			"proxied":     cmdProxied,
			"unpublished": cmdUnpublished,

			"containerapps": cmdContainerApps,
			"sidecar":       cmdSidecar,
		},
	})
}

// stage is the environment of a script: an emulator and the processes that it started.
type stage struct {
	emulator  *emulator.Emulator
	seen      uint64 // the last event that await returned
	holds     []string
	processes map[string]*process.Process
	systemd   *systemd
	secrets   map[string]string // secrets by name, which no job may find
	proxied   atomic.Int64      // requests through the script's proxy
	leases    map[string]*os.File
	sidecar   sidecar
}

type stageKey struct{}

// setUp makes an emulator and an agent's directory for a script, and exports the variables of a
// container.
func setUp(env *testscript.Env) error {
	e, err := emulator.New(emulator.Options{TimeScale: scale})
	if err != nil {
		return err
	}
	server, entra := httptest.NewServer(e), httptest.NewTLSServer(e)
	agentDir := filepath.Join(env.WorkDir, "agent")
	s := &stage{emulator: e, processes: map[string]*process.Process{}, secrets: map[string]string{"PAT": e.DefaultPAT}, leases: map[string]*os.File{}}
	env.Defer(func() {
		process.KillAllIn(agentDir) // processes of an azptend that crashed, which have its output open
		for _, a := range s.processes {
			a.Kill()
		}
		process.KillAllIn(agentDir)
		e.Close()
		server.Close()
		entra.Close()
	})
	if err := exportEntra(env, e, entra); err != nil {
		return err
	}
	env.Values[stageKey{}] = s

	if err := programs.LayOut(agentDir); err != nil {
		return err
	}
	for _, v := range e.Environment(server.URL) {
		env.Setenv(v.Name, v.Value)
		if v.Name == "IDENTITY_HEADER" {
			s.secrets[v.Name] = v.Value
		}
	}
	env.Setenv("PAT", e.DefaultPAT)
	env.Setenv("EMULATOR", server.URL)
	env.Setenv("AZP_AGENT_DIR", agentDir)
	env.Setenv("AZP_AGENT_NAME", "scripted")
	env.Setenv("AZP_PLATFORM", "none") // the grace period must not depend on where the tests run
	env.Setenv("AZPTEND_FAKEAGENT_TIME_SCALE", "20")
	env.Setenv("PATH", filepath.Dir(programs.Azptend)+string(os.PathListSeparator)+os.Getenv("PATH"))
	env.Setenv("HOME", env.WorkDir)
	return nil
}

func stageOf(ts *testscript.TestScript) *stage { return ts.Value(stageKey{}).(*stage) }

func inTime() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), patience)
}

// forALife is a context for all waits of a script together.
func forALife() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), 4*patience)
}

// words joins a command's arguments.
func words(args []string) string { return strings.Join(args, " ") }
