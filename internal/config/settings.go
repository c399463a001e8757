package config

import (
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/pflag"

	"github.com/azptend/azptend/internal/secret"
	"github.com/azptend/azptend/internal/text"
)

// Settings are what a person decided about one agent. They are complete and
// valid when Load returned them without an error.
type Settings struct {
	URL          string
	Pool         string
	PoolID       int    // 0: look Pool up
	AgentName    string // see Name; "" where the command has a default of its own
	NamePrefix   string // "" when the name is given as a whole
	NameWait     time.Duration
	WorkFolder   string
	AgentDir     string
	AgentRoot    string // see Root
	Agents       int
	Install      bool   // the agent package into AgentDir, if no agent is there
	Registered   string // the folder of an agent that somebody else has registered; "": register one
	Once         bool
	Placeholder  bool          // make a placeholder, and run nothing
	Platform     string        // a word of package platform; "": find it
	GracePeriod  time.Duration // 0: the platform's
	StrictRemove bool
	ReplaceFiles bool // of an agent in the agent folder that azptend has not registered
	CancelOnTerm bool
	// ApproveEvents tells Azure to go ahead once the agent has drained for an event.
	ApproveEvents bool
	NoUpdate      bool

	IdleTimeout    time.Duration // 0: never; Unset: the platform's
	MaxLifetime    time.Duration // 0: never
	MaxJobs        int           // 0: never
	ReplicaTimeout time.Duration // 0: there is none, or it is not known
	JobMax         time.Duration

	AgentVersion  string // "": the newest
	AgentPackage  string
	AgentPlatform string // "": this machine's
	AgentFile     string // "": download it
	AgentSHA256   string // "": the organisation says it

	Capabilities map[string]string
	PassEnv      []string
	RunAs        string // user or user:group of the listener; empty: this process's

	Token     secret.Text
	TokenFile string
	FileToken secret.Text    // what TokenFile held at the start, where a command has looked
	Auth      Source         // what may be used
	Identity  IdentityChoice // what is used

	// A managed identity, by one of three names.
	ObjectID         string
	IdentityClientID string
	ResourceID       string
	// A service principal.
	ClientID          string
	ClientSecret      secret.Text
	ClientCertificate string // a file, PEM or an old PKCS#12
	TenantID          string

	ProxyURL secret.Text // for both schemes; may hold a password
	CAFile   string      // trusted beside the system's authorities
	CA       []byte      // what it holds; without one, what AZP_CUSTOM_CERT_PEM holds

	HealthAddr string // host:port; "": nowhere

	LogFormat string // "text" or "json"
	LogLevel  slog.Level

	KeepInterval    time.Duration
	KeepPrune       bool
	KeepOlderThan   time.Duration
	KeepAnyOwner    bool
	KeepMatch       string // "": every name
	KeepPlaceholder bool
	KeepListen      string // host:port; "": nowhere
	KeepToken       secret.Text
	KeepTokenFile   string

	HostName     string
	DiagFolder   string   // where the agent keeps its logs, if a person moved them
	Environ      []string // the whole environment, for what the listener inherits
	UnknownNames []string // AZP_ names that azptend does not know
	Warnings     []string // about settings that are odd and not wrong
}

// Problem is one thing that is wrong with the settings.
type Problem struct {
	What string // names the variable and the flag
	Hint string
}

// InvalidError holds everything that is wrong with the settings.
type InvalidError struct {
	Problems  []Problem
	LogFormat string // in which to tell them: the one that was set, where that much was right
}

func (e *InvalidError) Error() string {
	var what []string
	for _, p := range e.Problems {
		what = append(what, p.What)
	}
	return "cannot use the settings: " + strings.Join(what, "; ")
}

// Environment is the process's environment.
func Environment() []string { return os.Environ() }

// AddFlags defines the flags of the settings in these groups; without groups, of
// all that an agent has.
func AddFlags(flags *pflag.FlagSet, groups ...Group) {
	for _, row := range Table() {
		if row.inGroups(groups) {
			row.addFlag(flags)
		}
	}
}

func (r Setting) addFlag(flags *pflag.FlagSet) {
	usage := fmt.Sprintf("%s (%s)", r.Help, r.Env)
	switch {
	case r.Flag == "":
	case r.Repeatable:
		flags.StringArray(r.Flag, nil, usage)
	case r.Bool:
		value := boolFlag(r.Default)
		flags.Var(&value, r.Flag, usage)
		flags.Lookup(r.Flag).NoOptDefVal = "true"
	default:
		flags.String(r.Flag, r.Default, usage)
	}
}

func (r Setting) inGroups(groups []Group) bool {
	if len(groups) == 0 {
		return r.Group != Keeper
	}
	return slices.Contains(groups, r.Group)
}

// boolFlag is a flag that means true when it stands alone, and otherwise
// takes what its variable takes: pflag's own bool knows no "yes".
type boolFlag string

func (v *boolFlag) String() string     { return string(*v) }
func (v *boolFlag) Set(s string) error { *v = boolFlag(s); return nil }
func (v *boolFlag) Type() string       { return "bool" }

// Load reads the settings of these groups (without groups, of all that an agent
// has) from flags
// that AddFlags defined for them (nil for none), the environment and the
// defaults. Where AZP_PLACEHOLDER is set, what only matters to an agent that
// runs is not judged. The error is an *InvalidError.
func Load(flags *pflag.FlagSet, environ []string, hostName string, groups ...Group) (Settings, error) {
	s, problems := LoadPartial(flags, environ, hostName, groups...)
	if len(problems) > 0 {
		for _, name := range s.UnknownNames { // often the very reason
			problems = append(problems, Problem{What: unknownMessage(name)})
		}
		return Settings{}, &InvalidError{Problems: problems, LogFormat: s.LogFormat}
	}
	return s, nil
}

// LoadPartial is Load for whoever wants to see how far the settings carry: what could
// not be read is left at nothing, an address that is none among it, and the rest
// is there.
func LoadPartial(flags *pflag.FlagSet, environ []string, hostName string, groups ...Group) (Settings, []Problem) {
	env := environMap(environ)
	// The agent's own variable, not one of ours: it is passed on as it is.
	s := Settings{HostName: hostName, IdleTimeout: Unset, Environ: environ, DiagFolder: env["AGENT_DIAGLOGPATH"]}
	life := len(groups) == 0 || slices.Contains(groups, Running)
	named := life || slices.Contains(groups, Naming)
	template := life && applyTemplateJob(env)
	problems := s.read(Table(), groups, flags, env)
	s.applyRandomSuffix(env, func(hint, format string, args ...any) {
		problems = append(problems, Problem{What: fmt.Sprintf(format, args...), Hint: hint})
	})
	if s.AgentName != "" && s.NamePrefix != "" {
		s.Warnings = append(s.Warnings, "AZP_AGENT_NAME (--agent-name) is not used: AZP_AGENT_NAME_PREFIX (--agent-name-prefix) makes the name")
	}
	if s.AgentName == "" && named {
		s.AgentName = hostName
	}
	if template && s.Placeholder { // the flag may say no
		s.setTemplateName()
	}
	problems = append(problems, s.validate(life, env)...)
	s.UnknownNames = unknownNames(env)
	for _, name := range s.UnknownNames {
		s.Warnings = append(s.Warnings, unknownMessage(name))
	}
	s.Warnings = append(s.Warnings, s.warnings(env)...)
	return s, problems
}

// read takes what is set of these groups (without groups, of all that an agent
// has), and what is not by its default.
func (s *Settings) read(rows []Setting, groups []Group, flags *pflag.FlagSet, env map[string]string) []Problem {
	var problems []Problem
	for _, row := range rows {
		value, from := row.lookup(flags, env)
		idle := s.Placeholder && (row.Group == Running || row.Group == Naming) // nobody will live it
		if idle || !row.inGroups(groups) || (value == "" && row.Default == "") {
			continue
		}
		if err := row.apply(s, value); err != nil {
			problems = append(problems, Problem{What: fmt.Sprintf("%s %v", from, err), Hint: row.Hint})
		}
	}
	return problems
}

// apply sets what a row is about.
func (r Setting) apply(s *Settings, value string) error {
	if r.duration != nil {
		return setDuration(r.duration(s), value, r.Min, r.Max)
	}
	return r.set(s, value)
}

// lookup finds a setting, and says where for a message. White space around it is
// an accident of whoever set it, and a flag that is set to nothing ("--pool
// $POOL") counts as not set, like a variable.
func (r Setting) lookup(flags *pflag.FlagSet, env map[string]string) (value, from string) {
	if flags != nil && r.Flag != "" && flags.Changed(r.Flag) {
		if v := strings.TrimSpace(flagValue(flags.Lookup(r.Flag))); v != "" {
			return v, "--" + r.Flag
		}
	}
	if v := strings.TrimSpace(env[r.Env]); v != "" {
		return v, r.Env
	}
	return r.Default, r.names()
}

func flagValue(flag *pflag.Flag) string {
	if many, ok := flag.Value.(pflag.SliceValue); ok {
		return strings.Join(many.GetSlice(), "\n")
	}
	return flag.Value.String()
}

// Getenv is a variable of the environment, "" where it is not set. It is for
// those who look for what a platform has set, and not for settings.
func (s Settings) Getenv(name string) string { return environMap(s.Environ)[name] }

// Secrets are the values that are or may become azptend's credential, whichever
// of them is used: no log line and no job may have one.
func (s Settings) Secrets() []secret.Text {
	all := []secret.Text{s.Token, s.FileToken, s.ClientSecret, s.KeepToken, s.Identity.ClientSecret, s.Identity.CertificatePassword}
	for _, name := range []string{"IDENTITY_HEADER", "MSI_SECRET", "AZURE_CLIENT_SECRET", "AZURE_CLIENT_CERTIFICATE_PASSWORD", "AZURE_PASSWORD"} {
		all = append(all, secret.New(s.Getenv(name)))
	}
	return slices.DeleteFunc(all, secret.Text.IsZero)
}

// names names a setting by all its names.
func (r Setting) names() string {
	if r.Flag == "" {
		return r.Env
	}
	return fmt.Sprintf("%s (--%s)", r.Env, r.Flag)
}

func environMap(environ []string) map[string]string {
	env := map[string]string{}
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		env[name] = value
	}
	return env
}

// unknownMessage is what is said of such a name.
func unknownMessage(name string) string {
	w := oneLine(name) + " is no setting of azptend, and jobs do not get it"
	var known []string
	for _, r := range Table() {
		known = append(known, strings.TrimPrefix(r.Env, "AZP_"))
	}
	if near := text.Nearest(strings.TrimPrefix(name, "AZP_"), known); near != "" {
		w += "; did you mean AZP_" + near + "?"
	}
	return w
}

// oneLine is a name that breaks no line of the log.
func oneLine(name string) string {
	if strings.ContainsFunc(name, unicode.IsControl) {
		return strconv.Quote(name)
	}
	return name
}

// unknownNames finds AZP_ names that mean nothing to this version: a typo, or a
// setting of another image. Jobs do not get them: a mistyped AZP_TOKEN is a
// secret all the same.
func unknownNames(env map[string]string) []string {
	var found []string
	for name, value := range env {
		if !strings.HasPrefix(name, "AZP_") || value == "" || isKnown(name) {
			continue
		}
		found = append(found, name)
	}
	sort.Strings(found)
	return found
}

func isKnown(name string) bool {
	for _, r := range Table() {
		if r.Env == name {
			return true
		}
	}
	return slices.Contains(agentVariables(), name) || slices.Contains(compatNames(), name)
}

// agentVariables are the settings of the agent itself that look like ours
// (agent-protocol.md 4.5).
func agentVariables() []string {
	return []string{"AZP_AGENT_DOWNGRADE_DISABLED", "AZP_AGENT_DOWNLOAD_TIMEOUT", "AZP_AGENT_USE_LEGACY_HTTP"}
}
