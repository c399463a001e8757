package config

import (
	"cmp"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/azptend/azptend/internal/text"
)

// Environment is the process's environment.
func Environment() []string { return os.Environ() }

// IgnoreGoSettings undoes what GOGC, GOMEMLIMIT and GODEBUG have changed in this process.
// People set them for the Go programs of jobs, which still get them: GOMEMLIMIT=64MiB
// would make azptend collect garbage all the time, and GOGC=off would make it grow
// without bound.
func IgnoreGoSettings() {
	debug.SetGCPercent(100)
	debug.SetMemoryLimit(math.MaxInt64)
	_ = os.Unsetenv("GODEBUG") // the runtime reads it again
}

// LogFormatOf is how a command line that cannot be read is complained about: the format
// that it or the environment asks for, before any setting is loaded.
func LogFormatOf(args, environ []string) string {
	format := environMap(environ)["AZP_LOG_FORMAT"]
	for i, arg := range args {
		if value, is := strings.CutPrefix(arg, "--log-format="); is {
			format = value
		} else if arg == "--log-format" && i+1 < len(args) {
			format = args[i+1]
		}
	}
	if strings.EqualFold(strings.TrimSpace(format), "json") {
		return "json"
	}
	return "text"
}

// AddFlags defines the flags of the settings in these groups; without groups, of all
// that an agent has.
func AddFlags(flags *pflag.FlagSet, groups ...Group) {
	for _, row := range Table {
		if row.isIn(groups) {
			row.addFlag(flags)
		}
	}
}

// settingAnnotation holds the variable of a flag, for the help and for completion.
const settingAnnotation = "azptend-setting"

// SettingOf is the setting of a flag; false for a command's own flag.
func SettingOf(flag *pflag.Flag) (Setting, bool) {
	if name := flag.Annotations[settingAnnotation]; len(name) == 1 {
		return find(name[0]), true
	}
	return Setting{}, false
}

// find is a row of the table.
func find(variable string) Setting {
	return Table[slices.IndexFunc(Table, func(r Setting) bool { return r.Env == variable })]
}

// Type is what the help calls the values of a setting.
func (r Setting) Type() string {
	switch {
	case r.Repeatable:
		return "list"
	case r.Bool != nil:
		return "bool"
	case r.duration != nil:
		return "duration"
	case r.number != nil:
		return "int"
	}
	return "string"
}

func (r Setting) addFlag(flags *pflag.FlagSet) {
	usage := fmt.Sprintf("%s (%s)", r.Help, r.Env)
	switch {
	case r.Flag == "":
		return
	case r.Repeatable:
		flags.StringArray(r.Flag, nil, usage)
	case r.Bool != nil:
		flags.Var(&boolFlag{r.Default}, r.Flag, usage)
		flags.Lookup(r.Flag).NoOptDefVal = "true"
	default:
		flags.String(r.Flag, r.Default, usage)
	}
	flags.Lookup(r.Flag).Annotations = map[string][]string{settingAnnotation: {r.Env}}
}

// boolFlag means true without a value, and otherwise takes what its variable takes:
// pflag's own bool knows no "yes".
type boolFlag struct{ text string }

func (v *boolFlag) String() string { return v.text }
func (v *boolFlag) Type() string   { return "bool" }
func (v *boolFlag) Set(s string) error {
	v.text = s
	return nil
}

// DurationFlag is the value of a command's own flag, which is written as a setting is.
type DurationFlag struct {
	Target  *time.Duration
	Setting string // whose bounds it has; "": at most a year
}

func (f DurationFlag) String() string {
	if f.Target == nil { // pflag compares with the zero value
		return ""
	}
	return text.Duration(*f.Target)
}

// Set implements pflag.Value.
func (f DurationFlag) Set(v string) error {
	row := Setting{Max: maxRun}
	if f.Setting != "" {
		row = find(f.Setting)
	}
	if err := setDuration(f.Target, v, row.Min, row.Max); err != nil {
		return fmt.Errorf("it %w; %s", err, durationHint)
	}
	return nil
}

// Type implements pflag.Value.
func (DurationFlag) Type() string { return "duration" }

// variablesOf are the variables of the settings of a group.
func variablesOf(group Group) []string {
	var names []string
	for _, row := range Table {
		if row.Group == group {
			names = append(names, row.Env)
		}
	}
	return names
}

// isIn says that a command with these groups takes the setting. A variable is a group of
// its own. Without groups it takes all settings of an agent.
func (r Setting) isIn(groups []Group) bool {
	group := r.Group
	switch {
	case len(groups) == 0:
		return group != Keeper
	case group == Identity || group == Logging:
		group = Connection
	case group == Stopping:
		group = Running
	}
	return slices.Contains(groups, group) || slices.Contains(groups, Group(r.Env))
}

// Load reads the settings of these groups (without groups, of all that an agent has)
// from the flags that AddFlags defined (nil for none), the environment and the
// defaults. If AZP_PLACEHOLDER is set, settings of a running agent are not validated.
// The error is an *InvalidError.
func Load(flags *pflag.FlagSet, environ []string, hostName string, groups ...Group) (Settings, error) {
	s, bad := LoadPartial(flags, environ, hostName, groups...)
	if len(bad) > 0 {
		for _, message := range s.nameMessages(flags) {
			bad = append(bad, Problem{What: message})
		}
		return Settings{}, problems(bad).err(s)
	}
	return s, nil
}

// LoadPartial is Load for a command that goes on with wrong settings. What could not
// be read is left at its zero value.
func LoadPartial(flags *pflag.FlagSet, environ []string, hostName string, groups ...Group) (Settings, []Problem) {
	env := environMap(environ)
	s := Settings{HostName: hostName, Environ: environ, DiagFolder: env["AGENT_DIAGLOGPATH"]}
	s.Limits.Idle = unset
	runs := len(groups) == 0 || slices.Contains(groups, Running)
	named := runs || slices.Contains(groups, Naming)
	template := runs && applyTemplateJob(env)
	var bad problems
	s.read(groups, flags, env, &bad)
	s.applyRandomSuffix(env, &bad)
	if s.AgentName != "" && s.NamePrefix != "" {
		s.Warnings = append(s.Warnings, "AZP_AGENT_NAME (--agent-name) has no effect: AZP_AGENT_NAME_PREFIX (--agent-name-prefix) is set")
	}
	if s.AgentName == "" && named {
		s.AgentName = hostName
	}
	if template && s.Placeholder { // the flag may say no
		s.setTemplateName()
	}
	s.checkOtherTemplates(env, &bad)
	s.validate(runs, env, &bad)
	if named {
		refuseDeploymentTargets(env, &bad)
	}
	s.UnknownNames = unknownNames(env)
	s.Warnings = append(s.Warnings, s.nameMessages(flags)...)
	s.addWarnings(env)
	if runs && !s.Placeholder {
		s.warnOfProxyFile()
	}
	return s, bad
}

// LoadIdentity is Load for commands that need an identity and no agent: AZP_URL is
// optional, and so is everything but the Connection group. The error is an
// *InvalidError.
func LoadIdentity(flags *pflag.FlagSet, environ []string) (Settings, error) {
	env := environMap(environ)
	s := Settings{Environ: environ}
	var bad problems
	s.read([]Group{Connection}, flags, env, &bad)
	if s.URL != "" {
		s.validateURL(&bad)
	}
	s.validateIdentity(env, &bad)
	s.loadCA(&bad)
	s.addWarnings(env)
	return s, bad.err(s)
}

// Location are the settings by which a probe, a preStop hook and a person find the azptend
// of an agent: its root, and whether its jobs run as another user (package control has the
// rule).
var Location = []Group{"AZP_AGENT_DIR", "AZP_AGENT_ROOT", "AZP_RUN_AS"}

// LoadLocation reads only what says where an agent runs. With the settings of its
// `azptend run` it finds the same place. The error is an *InvalidError.
func LoadLocation(flags *pflag.FlagSet, environ []string) (Settings, error) {
	return loadFew(Location, flags, environ)
}

// serviceSettings are those of `azptend run` that a systemd unit contains.
var serviceSettings = []Group{"AZP_AGENT_DIR", "AZP_GRACE_PERIOD"}

// defaultServiceGrace is the grace period of a unit: systemd waits as long as the unit says.
const defaultServiceGrace = time.Hour

// AddServiceFlags defines the flags that LoadService reads.
func AddServiceFlags(flags *pflag.FlagSet) {
	AddFlags(flags, serviceSettings...)
	flags.Lookup("grace-period").Usage = "time from SIGTERM to SIGKILL (default: 1h) (AZP_GRACE_PERIOD)"
}

// LoadService reads only what a unit contains. The error is an *InvalidError.
func LoadService(flags *pflag.FlagSet, environ []string) (Settings, error) {
	s, err := loadFew(serviceSettings, flags, environ)
	s.Grace = cmp.Or(s.Grace, defaultServiceGrace)
	return s, err
}

func loadFew(settings []Group, flags *pflag.FlagSet, environ []string) (Settings, error) {
	var s Settings
	var bad problems
	s.read(settings, flags, environMap(environ), &bad)
	s.validateDirs(&bad)
	return s, bad.err(s)
}

// read reads the settings of these groups, or their defaults.
func (s *Settings) read(groups []Group, flags *pflag.FlagSet, env map[string]string, bad *problems) {
	for _, row := range Table {
		skip := s.Placeholder && slices.Contains([]Group{Naming, Running, Stopping}, row.Group)
		if !skip && row.isIn(groups) {
			s.readOne(row, flags, env, bad)
		}
	}
}

func (s *Settings) readOne(row Setting, flags *pflag.FlagSet, env map[string]string, bad *problems) {
	value, from := row.lookup(flags, env)
	if value == "" {
		return
	}
	if problem, hint := row.checkTemplate(value); problem != "" {
		bad.addTemplate(row.Env, hint, from+" "+problem)
		_ = row.apply(s, value) // so that no check says that it is missing
		return
	}
	if err := row.apply(s, value); err != nil {
		bad.add(row.hint(), "%s %v", from, err)
	}
}

// lookup finds the value, and its source for a message. White space around it is an
// accident. A flag with an empty value ("--pool $POOL") counts as not set, like a
// variable.
func (r Setting) lookup(flags *pflag.FlagSet, env map[string]string) (value, from string) {
	if flags != nil && r.Flag != "" && flags.Changed(r.Flag) {
		if v := strings.TrimSpace(flagValue(flags.Lookup(r.Flag))); v != "" {
			return v, "--" + r.Flag
		}
	}
	if v := strings.TrimSpace(env[r.Env]); v != "" {
		return v, r.Env
	}
	from = r.Env
	if r.Flag != "" {
		from += " (--" + r.Flag + ")"
	}
	return r.Default, from
}

func flagValue(flag *pflag.Flag) string {
	if many, ok := flag.Value.(pflag.SliceValue); ok {
		return strings.Join(many.GetSlice(), "\n")
	}
	return flag.Value.String()
}

func environMap(environ []string) map[string]string {
	env := map[string]string{}
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		env[name] = value
	}
	return env
}

// validateDirs wants absolute paths.
func (s *Settings) validateDirs(bad *problems) {
	for _, dir := range []struct{ name, value string }{
		{"AZP_AGENT_DIR (--agent-dir)", s.AgentDir}, {"AZP_AGENT_ROOT (--agent-root)", s.AgentRoot}, {"AZP_REGISTERED (--registered)", s.Registered},
	} {
		if dir.value != "" && !filepath.IsAbs(dir.value) {
			bad.add("use an absolute path", "%s is %q, which is not an absolute path", dir.name, dir.value)
		}
	}
}
