package fakeagent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
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

// parseOptions parses the arguments after argv[0]. For options that they do not set it uses the
// VSTS_AGENT_INPUT_* variables. Names are case-insensitive. Unknown arguments are collected and
// have no effect.
func parseOptions(args []string, inputs map[string]string) options {
	o := options{verb: "run", startupType: inputs["startuptype"]}
	o.once = strings.EqualFold(inputs["once"], "true") // bool.TryParse does not accept "1"
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

// asService says whether a service manager started the listener, so that it is not interactive
// (4.2).
func (o options) asService() bool {
	return strings.EqualFold(o.startupType, "service")
}

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
	termTakes       time.Duration // how long the listener takes to exit after SIGTERM
	obeysSignals    bool          // after signal orderSignalBase+n it exits at once with code n
}

// flagLookUps is how many feature flags the real listener looks up one after the other between
// its session and its socket. flagTakes is how long one takes, measured with 150 ms for a
// request without TLS (corrections, 5.6).
const (
	flagLookUps = 3
	flagTakes   = 650 * time.Millisecond
)

// orderSignalBase is the first of the signals with which tests order the listener to exit. They
// are real-time signals that neither Go's runtime nor a C library uses.
const orderSignalBase = 40

func readSettings(env environ) (settings, error) {
	r := settingsReader{env: env}
	s := settings{
		timeScale: 1, exit: -1,
		major:           cmp.Or(r.choice("PLAYS", "v4", "v5"), "v5"),
		connectsFirst:   r.choice("CONNECTS", "first") != "",
		closesSocket:    r.choice("CLOSES", "job") != "",
		endsWhenRefused: r.choice("REFUSED", "ends") != "",
		exitAfter:       r.choice("EXIT_AFTER", "session"),
		obeysSignals:    r.value("OBEYS") != "",
		ignoresTerm:     r.value("TERM") == "ignore",
	}
	if v := r.value("TIME_SCALE"); v != "" {
		scale, err := strconv.ParseFloat(v, 64)
		r.require(err == nil && scale >= 1 && scale <= 1e6, "TIME_SCALE", "a number from 1 to 1000000")
		s.timeScale = timeScale(scale)
	}
	if v := r.value("EXIT"); v != "" {
		code, err := strconv.ParseUint(v, 10, 8)
		r.require(err == nil, "EXIT", "0 to 255")
		s.exit = int(code)
	}
	s.flagsTake = s.timeScale.scaled(flagLookUps * flagTakes)
	if r.value("FLAGS_TAKE") != "" {
		s.flagsTake = r.duration("FLAGS_TAKE", "a duration")
	}
	if r.value("TERM") != "" && !s.ignoresTerm {
		s.termTakes = r.duration("TERM", "ignore, or, of v4, a duration")
		r.require(s.major == "v4", "TERM", "ignore, or, of v4, a duration")
	}
	return s, r.err
}

// settingsReader reads AZPTEND_FAKEAGENT_* variables and stores the first error.
type settingsReader struct {
	env environ
	err error
}

func (r *settingsReader) value(name string) string {
	return r.env["AZPTEND_FAKEAGENT_"+name]
}

func (r *settingsReader) require(ok bool, name, want string) {
	if !ok && r.err == nil {
		r.err = fmt.Errorf("cannot use AZPTEND_FAKEAGENT_%s=%q: want %s", name, r.value(name), want)
	}
}

func (r *settingsReader) choice(name string, allowed ...string) string {
	v := r.value(name)
	r.require(v == "" || slices.Contains(allowed, v), name, strings.Join(allowed, " or "))
	return v
}

func (r *settingsReader) duration(name, want string) time.Duration {
	d, err := time.ParseDuration(r.value(name))
	r.require(err == nil && d >= 0, name, want)
	return d
}

// timeScale divides the protocol's waits.
type timeScale float64

func (p timeScale) scaled(d time.Duration) time.Duration {
	return time.Duration(float64(d) / float64(p))
}

// sleep waits d of protocol time. It returns false if ctx has ended.
func (p timeScale) sleep(ctx context.Context, d time.Duration) bool {
	return pause(ctx, p.scaled(d))
}

// pause waits d of real time. It returns false if ctx has ended.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}

// installation is where the program is installed.
type installation struct {
	bin  string // the program's directory
	root string // the directory above it, which is the agent's
}

// findInstallation resolves links, as the real apphost does: if the program or bin is a link, the
// root is that of the target (3.9).
func findInstallation() (installation, error) {
	exe, err := os.Executable()
	if err == nil {
		exe, err = filepath.EvalSymlinks(exe)
	}
	if err != nil {
		return installation{}, fmt.Errorf("cannot find the running program: %w", err)
	}
	bin := filepath.Dir(exe)
	return installation{bin: bin, root: filepath.Dir(bin)}, nil
}

// checkListable fails if root or a directory above it cannot be listed (3.9: exit 1).
func checkListable(root string) error {
	for dir := root; ; dir = filepath.Dir(dir) {
		f, err := os.Open(dir)
		if err == nil {
			_, err = f.ReadDir(1)
			f.Close()
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("cannot list %s: %w", dir, err)
		}
		if dir == filepath.Dir(dir) {
			return nil
		}
	}
}
