// Package config holds the settings. It is the only package that reads the environment,
// except for what the Azure SDK reads itself.
//
// Each setting is a row of [Table]: its variable, flag, default and help, and where its
// value goes. A flag overrides the environment, and the environment overrides the
// default. An empty variable counts as not set, because container platforms set variables
// without a value.
//
// A setting travels once: a row writes into the value that a package takes
// (lifecycle.Policy, identity.Application, install.Package, pool.Rules), and nobody copies
// it field by field. identity.go chooses the identity, by what a person set and what a
// platform injected. The exception is that package cli fills supervisor.Options.
// CONTRIBUTING.md says how to add a setting.
//
// [Load] validates everything and reports all problems at once, so that four typos do not
// need four starts of a container.
package config

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/azptend/azptend/internal/identity"
	"github.com/azptend/azptend/internal/install"
	"github.com/azptend/azptend/internal/lifecycle"
	"github.com/azptend/azptend/internal/platform"
	"github.com/azptend/azptend/internal/pool"
	"github.com/azptend/azptend/internal/secret"
)

// Settings are what a person configured. Load returns them complete and valid. A
// package that needs several of them gets them as its own type: lifecycle.Policy,
// install.Package, pool.Rules, identity.Options.
type Settings struct {
	URL        string
	Pool       string
	PoolID     int    // 0: find Pool by its name
	AgentName  string // see Name; "" if the command has a default of its own
	NamePrefix string // "" if AgentName is the whole name
	WorkFolder string
	AgentDir   string
	AgentRoot  string // see Root
	Agents     int
	Registered string // directory of an agent that another azptend registered; "": register one

	// Policy is what a run does and when it ends. OnPlatform completes it.
	lifecycle.Policy
	MaxLifetime    time.Duration     // 0: no limit
	ReplicaTimeout time.Duration     // 0: none, or unknown
	JobMax         time.Duration     // 0: half of ReplicaTimeout
	Platform       platform.Platform // "": detect it

	Placeholder   bool // create a placeholder, and run nothing
	ReplaceFiles  bool // of an agent that azptend did not register
	NoUpdate      bool
	ApproveEvents bool // approve a scheduled event after the drain for it

	Install   bool            // the agent package into AgentDir, if it holds no agent
	Package   install.Package // the one to install; empty fields are chosen at the install
	AgentFile string          // "": download it

	Capabilities map[string]string
	PassEnv      []string
	RunAs        string // user or user:group of the agent; "": this process's user

	Identity  ChosenIdentity
	Auth      string      // see auths
	Token     secret.Text // a personal access token
	TokenFile string
	FileToken secret.Text // what TokenFile held at startup, if a command has read it
	// The ids of identities, as they are set. validateIdentity chooses among them.
	Managed     identity.ManagedID
	Application identity.Application

	ProxyURL secret.Text // for http and https; may hold a password
	CAFile   string
	CA       []byte // what CAFile holds; without it, what AZP_CUSTOM_CERT_PEM holds

	HealthAddr string // host:port; "": disabled

	LogFormat string // "text" or "json"
	LogLevel  slog.Level

	KeepInterval    time.Duration
	KeepPrune       bool
	KeepPlaceholder bool
	KeepListen      string // host:port; "": disabled
	KeepToken       secret.Text
	KeepTokenFile   string
	Ghosts          pool.Rules

	HostName     string
	DiagFolder   string   // where the agent keeps its logs, if a person moved them
	Environ      []string // the whole environment
	UnknownNames []string // AZP_ names that azptend does not know
	Warnings     []string // about settings that are suspicious and not wrong
}

// ChosenIdentity is the identity that the settings select.
type ChosenIdentity struct {
	identity.Options
	Setting string   // the variable that selects it; "": none does
	Ignored []string // settings for other identities
}

// Reason says for a person why this identity was chosen.
func (c ChosenIdentity) Reason() string {
	if c.Setting == "" {
		return "nothing else is set"
	}
	return c.Setting
}

// Problem is one thing that is wrong with the settings.
type Problem struct {
	What    string // names the variable and the flag
	Hint    string
	Setting string // the variable, if its value is a template: nothing else that is wrong with it matters
}

// problems collects what is wrong.
type problems []Problem

func (p *problems) add(hint, format string, args ...any) {
	what := fmt.Sprintf(format, args...)
	if name, _, _ := strings.Cut(what, " "); !p.haveTemplate(name) {
		*p = append(*p, Problem{What: what, Hint: hint})
	}
}

// addTemplate adds that the value of a variable is a template.
func (p *problems) addTemplate(variable, hint, what string) {
	*p = append(*p, Problem{What: what, Hint: hint, Setting: variable})
}

// haveTemplate says that one of these settings has a template as its value.
func (p *problems) haveTemplate(settings ...string) bool {
	return slices.ContainsFunc(*p, func(have Problem) bool { return slices.Contains(settings, have.Setting) })
}

// err is nil if nothing is wrong.
func (p problems) err(s Settings) error {
	if len(p) == 0 {
		return nil
	}
	return &InvalidError{Problems: p, LogFormat: s.LogFormat}
}

// InvalidError holds everything that is wrong with the settings.
type InvalidError struct {
	Problems  []Problem
	LogFormat string // how to print them: AZP_LOG_FORMAT, if that was right
}

func (e *InvalidError) Error() string {
	var what []string
	for _, p := range e.Problems {
		what = append(what, p.What)
	}
	return "cannot use the settings: " + strings.Join(what, "; ")
}

// Getenv returns a variable of the environment. It is for what a platform sets, not
// for settings.
func (s Settings) Getenv(name string) string { return environMap(s.Environ)[name] }

// Secrets are the values that are or may become azptend's credential, whichever of
// them is used. No log line and no job may have one.
func (s Settings) Secrets() []secret.Text {
	all := []secret.Text{s.Token, s.FileToken, s.Application.Secret, s.KeepToken, s.Identity.Application.Secret, s.Identity.Application.CertificatePassword}
	for _, name := range secret.IdentityVariables {
		all = append(all, secret.New(s.Getenv(name)))
	}
	return slices.DeleteFunc(all, secret.Text.IsZero)
}

// Root is the directory in which the agent runs and writes. The directories of
// several agents are below it.
func (s Settings) Root() string {
	if s.AgentRoot != "" {
		return s.AgentRoot
	}
	return s.AgentDir
}

// HasSeparateRoot says that agents run in roots that are made from the installation.
func (s Settings) HasSeparateRoot() bool {
	return s.AgentDir != "" && s.Root() != filepath.Clean(s.AgentDir)
}

// ForAgent returns the settings of one of several agents, counted from 1, with its own
// root, name and directories. With one agent they are the settings themselves.
func (s Settings) ForAgent(n int) Settings {
	if s.Agents <= 1 {
		return s
	}
	number := strconv.Itoa(n)
	s.AgentRoot = filepath.Join(s.Root(), number)
	s.AgentName += "-" + number
	if filepath.IsAbs(s.WorkFolder) {
		s.WorkFolder = filepath.Join(s.WorkFolder, number)
	}
	if s.DiagFolder != "" {
		s.DiagFolder = filepath.Join(s.DiagFolder, number)
	}
	s.Agents = 1
	return s
}

// maxName is what the server is known to keep of an agent's name
// (agent-protocol.md 10.4).
const maxName = 64

// Name is the agent's name: AgentName, or the prefix with a suffix that the caller
// makes unique. If both are too long, the prefix is cut.
func (s Settings) Name(suffix string) string {
	if s.NamePrefix == "" {
		return s.AgentName
	}
	prefix := strings.TrimRight(s.NamePrefix, "-_.")
	room := maxName - 1 - utf8.RuneCountInString(suffix)
	if letters := []rune(prefix); len(letters) > room {
		prefix = string(letters[:room])
	}
	return prefix + "-" + suffix
}

// unset marks a limit that no setting names, where 0 means something else.
const unset time.Duration = -1

// DetectPlatform finds the platform, unless AZP_PLATFORM names it.
func (s Settings) DetectPlatform() platform.Info {
	return platform.Detect(platform.Options{
		Getenv: s.Getenv, Files: os.DirFS("/"), Pid: os.Getpid(), ParentPid: os.Getppid(), Override: s.Platform,
	})
}

// OnPlatform completes the policy with what depends on the platform. The error is an
// *InvalidError: a limit that leaves no time for a job.
func (s Settings) OnPlatform(p platform.Info) (Settings, error) {
	if s.Grace == 0 {
		s.Grace = p.GracePeriod
	}
	if s.Limits.Idle == unset {
		s.Limits.Idle = p.IdleTimeout(s.Once)
	}
	// The platform ends a replica at its timeout, whatever runs in it. A job that is
	// accepted later than this could not be finished.
	s.Limits.Lifetime = s.MaxLifetime
	if s.ReplicaTimeout > 0 {
		s.Limits.Lifetime = s.ReplicaTimeout - s.longestJob() - s.Grace
		if s.MaxLifetime > 0 {
			s.Limits.Lifetime = min(s.Limits.Lifetime, s.MaxLifetime)
		}
	}
	var bad problems
	s.validateLimits(&bad)
	return s, bad.err(s)
}

func (s Settings) longestJob() time.Duration {
	if s.JobMax == 0 {
		return s.ReplicaTimeout / 2
	}
	return s.JobMax
}
