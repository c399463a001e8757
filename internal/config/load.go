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

// IgnoreGoSettings undoes the effect of GOGC, GOMEMLIMIT and GODEBUG on this process. People
// set them for the Go programs of jobs, which still get them. GOMEMLIMIT=64MiB would make
// azptend collect garbage all the time, and with GOGC=off its memory would grow without bound.
func IgnoreGoSettings() {
	debug.SetGCPercent(100)
	debug.SetMemoryLimit(math.MaxInt64)
	_ = os.Unsetenv("GODEBUG") // the runtime notices the change
}

// LogFormatOf is the log format in the command line or the environment, for an error in the
// command line that comes before settings are loaded.
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

// AddFlags defines the flags of the settings in these groups; without groups, of all settings
// of an agent.
func AddFlags(flags *pflag.FlagSet, groups ...Group) {
	for _, row := range Table {
		if row.isIn(groups) {
			row.addFlag(flags)
		}
	}
}

// settingAnnotation is the annotation of a flag with its variable, for help and completion.
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

// Type is the type of a setting's values in the help.
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

// boolFlag is true without a value. With one, it accepts the same values as its variable, such
// as "yes", which pflag's bool does not.
type boolFlag struct{ text string }

func (v *boolFlag) String() string { return v.text }
func (v *boolFlag) Type() string   { return "bool" }
func (v *boolFlag) Set(s string) error {
	v.text = s
	return nil
}

// DurationFlag is the value of a command's own flag, in the format of a setting.
type DurationFlag struct {
	Target  *time.Duration
	Setting string // the setting with the same bounds; "": at most a year
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

// isIn says whether a command with these groups has the setting. A variable can be used like a
// group. A command without groups has all settings of an agent.
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

// Load reads the settings of these groups (without groups, all settings of an agent) from the
// flags that AddFlags defined (nil for none), the environment and the defaults. If
// AZP_PLACEHOLDER is set, it does not read settings of a running agent. The error is an
// *InvalidError.
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

// LoadPartial is Load for a command that continues although settings are wrong. Settings that
// could not be read have their zero value.
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
	if template && s.Placeholder { // --placeholder=false overrides it
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

// LoadIdentity is Load for commands that need only an identity. It reads only the Connection
// group, and AZP_URL is optional. The error is an *InvalidError.
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

// Location are the settings with which a probe, a preStop hook or a person finds an agent's
// azptend: the root, and whether jobs run as another user (see package control).
var Location = []Group{"AZP_AGENT_DIR", "AZP_AGENT_ROOT", "AZP_RUN_AS"}

// LoadLocation reads only the settings in Location. With the settings of `azptend run` it finds
// the same root. The error is an *InvalidError.
func LoadLocation(flags *pflag.FlagSet, environ []string) (Settings, error) {
	return loadFew(Location, flags, environ)
}

// serviceSettings are the settings of `azptend run` that a systemd unit contains.
var serviceSettings = []Group{"AZP_AGENT_DIR", "AZP_GRACE_PERIOD"}

// defaultServiceGrace is the default grace period in a unit. systemd waits as long as the unit
// says.
const defaultServiceGrace = time.Hour

// AddServiceFlags defines the flags that LoadService reads.
func AddServiceFlags(flags *pflag.FlagSet) {
	AddFlags(flags, serviceSettings...)
	flags.Lookup("grace-period").Usage = "time from SIGTERM to SIGKILL (default: 1h) (AZP_GRACE_PERIOD)"
}

// LoadService reads only serviceSettings. The error is an *InvalidError.
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
		_ = row.apply(s, value) // so that no check reports it as missing
		return
	}
	if err := row.apply(s, value); err != nil {
		bad.add(row.hint(), "%s %v", from, err)
	}
}

// lookup returns the value without white space around it, and its source for a message. A flag
// with an empty value ("--pool $POOL") counts as not set, like an empty variable.
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

// validateDirs checks that directories are absolute paths.
func (s *Settings) validateDirs(bad *problems) {
	for _, dir := range []struct{ name, value string }{
		{"AZP_AGENT_DIR (--agent-dir)", s.AgentDir}, {"AZP_AGENT_ROOT (--agent-root)", s.AgentRoot}, {"AZP_REGISTERED (--registered)", s.Registered},
	} {
		if dir.value != "" && !filepath.IsAbs(dir.value) {
			bad.add("use an absolute path", "%s is %q, which is not an absolute path", dir.name, dir.value)
		}
	}
}
