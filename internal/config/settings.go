// Package config reads the settings. Only this package reads the environment, except for
// variables that the Azure SDK reads itself.
//
// Each setting is a row of [Table]: its variable, flag, default and help, and where its
// value goes. A flag overrides the environment, and the environment overrides the
// default. An empty variable counts as not set, because container platforms set variables
// without a value.
//
// A row writes directly into the type of the package that uses the setting (lifecycle.Policy,
// identity.Application, install.Package, pool.Rules), so no code copies single fields. The
// exception is supervisor.Options, which package cli fills. identity.go chooses the identity
// from the settings and the variables that a platform sets. CONTRIBUTING.md says how to add a
// setting.
//
// [Load] validates all settings and reports all problems at once, so that four typos do not
// need four starts of a container.
package config

import (
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/identity"
	"github.com/azptend/azptend/internal/install"
	"github.com/azptend/azptend/internal/lifecycle"
	"github.com/azptend/azptend/internal/platform"
	"github.com/azptend/azptend/internal/pool"
	"github.com/azptend/azptend/internal/secret"
)

// Settings are the values of all settings. Load returns them complete and valid. Settings that
// belong together are in the type of the package that uses them: lifecycle.Policy,
// install.Package, pool.Rules, identity.Options.
type Settings struct {
	URL        string
	Pool       string
	PoolID     int    // 0: find Pool by its name
	AgentName  string // see Name; "" if it is not set and the command has another default
	NamePrefix string // "" if AgentName is the whole name
	WorkFolder string
	AgentDir   string
	AgentRoot  string // see Root
	AgentGroup string // the agent's group; "": none
	Agents     int
	Registered string // directory of an agent that another azptend registered; "": register one

	// Policy is the policy of a run. OnPlatform completes it.
	lifecycle.Policy
	MaxLifetime    time.Duration     // 0: no limit
	ReplicaTimeout time.Duration     // 0: none, or unknown
	JobMax         time.Duration     // 0: half of ReplicaTimeout
	Platform       platform.Platform // "": detect it

	Placeholder   bool // create a placeholder, and run nothing
	ReplaceFiles  bool // move aside the files of an agent that azptend did not register
	NoUpdate      bool
	ApproveEvents bool // approve a scheduled event after the drain for it

	Install   bool            // install the agent package into AgentDir if there is none
	Package   install.Package // the package to install; install chooses empty fields
	AgentFile string          // "": download it

	Capabilities map[string]string
	PassEnv      []string
	RunAs        string // user or user:group of the agent; "": this process's user

	Identity  ChosenIdentity
	Auth      string      // see auths
	Token     secret.Text // a personal access token
	TokenFile string
	FileToken secret.Text // the content of TokenFile at startup, see WithFileToken
	// Managed and Application are as they are set. Identity is the one that is used.
	Managed     identity.ManagedID
	Application identity.Application

	ProxyURL secret.Text // for http and https; may contain a password
	CAFile   string
	CA       []byte // certificates (PEM) of CAFile, or else of AZP_CUSTOM_CERT_PEM

	HealthAddr string // host:port; "": disabled

	LogFormat string // "text" or "json"
	LogLevel  slog.Level

	KeepInterval     time.Duration
	KeepPrune        bool
	KeepPlaceholder  bool
	KeepListen       string // host:port; "": disabled
	KeepHealthListen string // the same
	KeepToken        secret.Text
	KeepTokenFile    string
	ScaleToken       secret.Text
	ScaleTokenFile   string
	GroupsFile       string
	Groups           []pool.Group // of GroupsFile
	Ghosts           pool.Rules

	HostName     string
	DiagFolder   string   // AGENT_DIAGLOGPATH, the directory of the agent's logs
	Environ      []string // the whole environment
	UnknownNames []string // AZP_ names that azptend does not know
	Warnings     []string // about suspicious settings
}

// ChosenIdentity is the identity that the settings select.
type ChosenIdentity struct {
	identity.Options
	Setting string   // the variable that selects it; "": none does
	Ignored []string // settings of other identities, which are not used
}

// Reason says for a person why this identity was chosen.
func (c ChosenIdentity) Reason() string {
	if c.Setting == "" {
		return "nothing else is set"
	}
	return c.Setting
}

// IsFallback says that no setting and no platform names an identity, so that only a metadata
// service can have one.
func (c ChosenIdentity) IsFallback() bool {
	return c.Setting == "" && c.Source == identity.ManagedIdentity && c.Host == identity.MetadataService
}

// PoolRef is the pool in the settings.
func (s Settings) PoolRef() azdo.PoolRef { return azdo.PoolRef{ID: s.PoolID, Name: s.Pool} }

// NewIdentity makes the identity that the settings select. web is the client for Entra ID.
func (s Settings) NewIdentity(web *http.Client, log *slog.Logger, redactor *secret.Redactor) (*identity.Identity, error) {
	o := s.Identity.Options
	o.EntraClient, o.Log, o.Redactor = web, log, redactor
	return identity.New(o)
}

// Problem is a problem with a setting.
type Problem struct {
	What    string // begins with the variable and the flag
	Hint    string
	Setting string // the variable, if its value is a template: its other problems are not reported
}

// problems are all problems with the settings.
type problems []Problem

func (p *problems) add(hint, format string, args ...any) {
	what := fmt.Sprintf(format, args...)
	if name, _, _ := strings.Cut(what, " "); !p.haveTemplate(name) {
		*p = append(*p, Problem{What: what, Hint: hint})
	}
}

// addTemplate adds the problem that the value of a variable is a template.
func (p *problems) addTemplate(variable, hint, what string) {
	*p = append(*p, Problem{What: what, Hint: hint, Setting: variable})
}

// haveTemplate says whether the value of one of these settings is a template.
func (p *problems) haveTemplate(settings ...string) bool {
	return slices.ContainsFunc(*p, func(have Problem) bool { return slices.Contains(settings, have.Setting) })
}

// err is an *InvalidError, or nil if there are no problems.
func (p problems) err(s Settings) error {
	if len(p) == 0 {
		return nil
	}
	return &InvalidError{Problems: p, LogFormat: s.LogFormat}
}

// InvalidError has all problems with the settings.
type InvalidError struct {
	Problems  []Problem
	LogFormat string // AZP_LOG_FORMAT, in which to print them; "" if that is wrong too
}

func (e *InvalidError) Error() string {
	var what []string
	for _, p := range e.Problems {
		what = append(what, p.What)
	}
	return "cannot use the settings: " + strings.Join(what, "; ")
}

// Getenv returns a variable of the environment. It is for variables that a platform sets, not
// for settings.
func (s Settings) Getenv(name string) string { return environMap(s.Environ)[name] }

// Secrets are all values that may be used as azptend's credential. No log line and no job may
// contain one.
func (s Settings) Secrets() []secret.Text {
	all := []secret.Text{s.Token, s.FileToken, s.Application.Secret, s.KeepToken, s.ScaleToken, s.Identity.Application.Secret, s.Identity.Application.CertificatePassword}
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

// HasSeparateRoot says whether agents run in roots that are made from the installation.
func (s Settings) HasSeparateRoot() bool {
	return s.AgentDir != "" && s.Root() != filepath.Clean(s.AgentDir)
}

// ForAgent returns the settings of agent n of several, counted from 1, with its own root, name
// and directories. If there is one agent, it returns s.
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

// maxName is the maximum length of an agent's name (agent-protocol.md 10.4).
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

// unset is the value of a limit that is not set, because 0 means no limit.
const unset time.Duration = -1

// DetectPlatform detects the platform, unless AZP_PLATFORM names it.
func (s Settings) DetectPlatform() platform.Info {
	return platform.Detect(platform.Options{
		Getenv: s.Getenv, Files: os.DirFS("/"), Pid: os.Getpid(), ParentPid: os.Getppid(), Override: s.Platform,
	})
}

// OnPlatform completes the policy with values that depend on the platform. The error is an
// *InvalidError if a limit leaves no time for a job.
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
