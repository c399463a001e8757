package fakeagent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// options are the command line of the listener (1.2, 4.2).
type options struct {
	verb        string
	version     bool
	once        bool
	startupType string
	unknown     []string
}

// parseOptions reads the arguments after argv[0], and for what they leave open
// the VSTS_AGENT_INPUT_* variables. Names are case-insensitive; what is unknown
// is collected and does not stop anything.
func parseOptions(args []string, inputs map[string]string) options {
	o := options{verb: "run", startupType: inputs["startuptype"]}
	o.once = strings.EqualFold(inputs["once"], "true") // bool.TryParse: "1" is no
	if len(args) > 0 && !strings.HasPrefix(args[0], "--") {
		o.verb, args = strings.ToLower(args[0]), args[1:]
	}
	for i := 0; i < len(args); i++ {
		name, value, inline := strings.Cut(args[i], "=")
		switch strings.ToLower(name) {
		case "--version":
			o.version = true
		case "--once":
			o.once = true
		case "--startuptype":
			if !inline && i+1 < len(args) {
				i++
				value = args[i]
			}
			o.startupType = value
		case "--commit", "--diagnostics", "--debug", "--help":
		default:
			o.unknown = append(o.unknown, args[i])
		}
	}
	return o
}

// asService says whether a service manager started the listener: it is then not
// interactive (4.2).
func (o options) asService() bool { return strings.EqualFold(o.startupType, "service") }

// settings are the fake agent's own settings; doc.go has their table.
type settings struct {
	timeScale       timeScale
	major           string
	connectsFirst   bool          // the notification socket is connected before the session
	closesSocket    bool          // the notification socket is closed once a job has started
	flagsTake       time.Duration // how long all look-ups of feature flags take
	endsWhenRefused bool          // a refused token ends the listener
	exit            int           // -1: no early exit
	exitAfter       string
	ignoresTerm     bool          // SIGTERM is ignored
	termTakes       time.Duration // how long a listener takes to end of SIGTERM
	obeysSignals    bool          // signal obeyBase+n: leave at once with code n
}

// flagLookUps is how many feature flags the listener asks for one after the other
// between its session and its socket; flagTakes is how long one takes, measured at
// 150 ms a request without TLS (corrections, 5.6).
const (
	flagLookUps = 3
	flagTakes   = 650 * time.Millisecond
)

// orderSignalBase is below the real-time signals that Go's runtime and a C library leave
// to programs, and that a listener may be told to obey.
const orderSignalBase = 40

func readSettings(env environ) (settings, error) {
	k := settings{timeScale: 1, major: "v5", exit: -1, exitAfter: env["AZPTEND_FAKEAGENT_EXIT_AFTER"]}
	if v := env["AZPTEND_FAKEAGENT_TIME_SCALE"]; v != "" {
		scale, err := strconv.ParseFloat(v, 64)
		if err != nil || !(scale >= 1 && scale <= 1e6) {
			return k, fmt.Errorf("cannot use AZPTEND_FAKEAGENT_TIME_SCALE=%q: want a number from 1 to 1000000", v)
		}
		k.timeScale = timeScale(scale)
	}
	if v := env["AZPTEND_FAKEAGENT_PLAYS"]; v != "" {
		if v != "v4" && v != "v5" {
			return k, fmt.Errorf("cannot use AZPTEND_FAKEAGENT_PLAYS=%q: want v4 or v5", v)
		}
		k.major = v
	}
	k.flagsTake = k.timeScale.scaled(flagLookUps * flagTakes)
	if v := env["AZPTEND_FAKEAGENT_FLAGS_TAKE"]; v != "" {
		takes, err := time.ParseDuration(v)
		if err != nil || takes < 0 {
			return k, fmt.Errorf("cannot use AZPTEND_FAKEAGENT_FLAGS_TAKE=%q: want a duration", v)
		}
		k.flagsTake = takes
	}
	switch v := env["AZPTEND_FAKEAGENT_CLOSES"]; v {
	case "", "job":
		k.closesSocket = v != ""
	default:
		return k, fmt.Errorf("cannot use AZPTEND_FAKEAGENT_CLOSES=%q: want job", v)
	}
	switch v := env["AZPTEND_FAKEAGENT_CONNECTS"]; v {
	case "":
	case "first":
		k.connectsFirst = true
	default:
		return k, fmt.Errorf("cannot use AZPTEND_FAKEAGENT_CONNECTS=%q: want first", v)
	}
	switch v := env["AZPTEND_FAKEAGENT_REFUSED"]; v {
	case "":
	case "ends":
		k.endsWhenRefused = true
	default:
		return k, fmt.Errorf("cannot use AZPTEND_FAKEAGENT_REFUSED=%q: want ends", v)
	}
	if v := env["AZPTEND_FAKEAGENT_EXIT"]; v != "" {
		code, err := strconv.ParseUint(v, 10, 8)
		if err != nil {
			return k, fmt.Errorf("cannot use AZPTEND_FAKEAGENT_EXIT=%q: want 0 to 255", v)
		}
		k.exit = int(code)
	}
	if k.exitAfter != "" && k.exitAfter != "session" {
		return k, fmt.Errorf("cannot use AZPTEND_FAKEAGENT_EXIT_AFTER=%q: want session", k.exitAfter)
	}
	return k, k.readTerm(env)
}

// readTerm reads what a listener does that is told to end by others than its own
// agent.
func (k *settings) readTerm(env environ) error {
	k.obeysSignals = env["AZPTEND_FAKEAGENT_OBEYS"] != ""
	switch v := env["AZPTEND_FAKEAGENT_TERM"]; v {
	case "":
	case "ignore":
		k.ignoresTerm = true
	default:
		takes, err := time.ParseDuration(v)
		if err != nil || takes < 0 || k.major != "v4" {
			return fmt.Errorf("cannot use AZPTEND_FAKEAGENT_TERM=%q: want ignore, or, of v4, a duration", v)
		}
		k.termTakes = takes
	}
	return nil
}

// timeScale divides the protocol's long times.
type timeScale float64

func (p timeScale) scaled(d time.Duration) time.Duration {
	return time.Duration(float64(d) / float64(p))
}

// sleep waits d of protocol time; false says that ctx ended first.
func (p timeScale) sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(p.scaled(d))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// installation is where the program is installed.
type installation struct {
	exe  string // the real file
	bin  string // its folder
	root string // the folder above: the agent's
}

// findInstallation resolves links, as the real apphost does: a linked program, or a
// linked bin, makes the link's target the root (3.9).
func findInstallation() (installation, error) {
	exe, err := os.Executable()
	if err != nil {
		return installation{}, fmt.Errorf("cannot find the running program: %w", err)
	}
	exe, err = filepath.EvalSymlinks(exe)
	if err != nil {
		return installation{}, fmt.Errorf("cannot find the running program: %w", err)
	}
	bin := filepath.Dir(exe)
	return installation{exe: exe, bin: bin, root: filepath.Dir(bin)}, nil
}

// checkListable fails when root or a folder above it cannot be listed (3.9: exit 1).
func checkListable(root string) error {
	for dir := root; ; dir = filepath.Dir(dir) {
		f, err := os.Open(dir)
		if err != nil {
			return fmt.Errorf("cannot list %s: %w", dir, err)
		}
		_, err = f.ReadDir(1)
		f.Close()
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("cannot list %s: %w", dir, err)
		}
		if dir == filepath.Dir(dir) {
			return nil
		}
	}
}
