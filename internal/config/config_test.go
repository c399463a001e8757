package config_test

import (
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/identity"
	"github.com/azptend/azptend/internal/install"
	"github.com/azptend/azptend/internal/lifecycle"
	"github.com/azptend/azptend/internal/secret"
	"github.com/azptend/azptend/internal/text"
)

// object is the object id of a managed identity.
const object = "0b6bd18c-0000-4000-8000-00000000000a"

// least is a minimal environment for azptend run.
func least(more ...string) []string {
	return append([]string{"AZP_URL=https://dev.azure.com/org", "MANAGED_IDENTITY_OBJECT_ID=" + object}, more...)
}

func load(t *testing.T, environ []string, args ...string) (config.Settings, error) {
	t.Helper()
	flags := pflag.NewFlagSet("run", pflag.ContinueOnError)
	config.AddFlags(flags)
	if err := flags.Parse(args); err != nil {
		t.Fatal(err)
	}
	return config.Load(flags, environ, "the-host")
}

// loadFor is load for a command that has the setting.
func loadFor(t *testing.T, row config.Setting, environ []string, args ...string) (config.Settings, error) {
	t.Helper()
	if row.Group != config.Keeper {
		return load(t, environ, args...)
	}
	flags := pflag.NewFlagSet("keep", pflag.ContinueOnError)
	config.AddKeepFlags(flags)
	if err := flags.Parse(args); err != nil {
		t.Fatal(err)
	}
	return config.LoadKeep(flags, environ, "the-host")
}

func loaded(t *testing.T, environ []string, args ...string) config.Settings {
	t.Helper()
	return loadedFor(t, config.Setting{}, environ, args...)
}

func loadedFor(t *testing.T, row config.Setting, environ []string, args ...string) config.Settings {
	t.Helper()
	s, err := loadFor(t, row, environ, args...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func problems(t *testing.T, err error) []config.Problem {
	t.Helper()
	var invalid *config.InvalidError
	if !errors.As(err, &invalid) {
		t.Fatalf("error is %T %v", err, err)
	}
	return invalid.Problems
}

var sameText = cmp.Comparer(func(a, b secret.Text) bool { return a.Reveal() == b.Reveal() })

func TestDefaults(t *testing.T) {
	want := config.Settings{
		URL: "https://dev.azure.com/org", Pool: "Default", AgentName: "the-host", WorkFolder: "_work", Package: install.Package{Kind: install.Full},
		Policy:   lifecycle.Policy{NameWait: 6 * time.Minute, Limits: lifecycle.Limits{Idle: -1}}, // -1: the platform's
		AgentDir: "/azp", Agents: 1, Managed: identity.ManagedID{ObjectID: object}, Auth: "auto",
		Identity:  config.ChosenIdentity{Options: identity.Options{Source: identity.ManagedIdentity, Managed: identity.ManagedID{ObjectID: object}, Host: identity.MetadataService}, Setting: "MANAGED_IDENTITY_OBJECT_ID"},
		LogFormat: "text", LogLevel: slog.LevelInfo, HostName: "the-host", Environ: least(),
	}
	for name, got := range map[string]config.Settings{
		"nothing else": loaded(t, least()),
		// Platforms set variables without a value.
		"all set to nothing": func() config.Settings {
			var environ []string
			for _, r := range config.Table {
				environ = append(environ, r.Env+"=")
			}
			s := loaded(t, append(environ, least()...))
			s.Environ = least()
			return s
		}(),
		"flags set to nothing": loaded(t, least(), "--pool", "", "--agent-name=", "--work", " ", "--capability", "", "--name-wait", ""),
	} {
		if d := cmp.Diff(want, got, sameText); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
	if _, err := config.Load(nil, least(), "the-host"); err != nil {
		t.Errorf("without flags: %v", err)
	}
}

// example is a valid value of a setting that is not the default, other ways to write it, and
// invalid values.
type example struct {
	good string // the table's, or a file that exists
	also []string
	bad  []string
}

func examples(t *testing.T) map[string]example {
	dir := t.TempDir()
	file, long, groups, authority := filepath.Join(dir, "token"), filepath.Join(dir, "keep-token"), filepath.Join(dir, "groups"), caFile(t)
	for path, content := range map[string]string{file: "x", long: "0123456789abcdef\n", groups: "groups: [{name: linux, max: 3}]"} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	all := map[string]example{
		"AZP_PROXY":   {bad: []string{"proxy:3128", "socks5://proxy", "http://"}},
		"AZP_CA_FILE": {good: authority, bad: []string{file, "/nowhere/at/all", "/"}},
		"AZP_URL": {bad: []string{"dev.azure.com/org", "ftp://x", "https://", "https://:8080/x", "https://dev.azure.com", "https://dev.azure.com//",
			"https://user:p@dev.azure.com/org", "https://dev.azure.com/org?a=b", "https://dev.azure.com/org#x", "https://%zz", "https:///org"}},
		"AZP_POOL_ID":                {bad: []string{"0", "-1", "twelve", "1.5", "99999999999999999999"}},
		"AZP_AGENT_NAME":             {bad: []string{"a/b", `a\b`, "a<b", "a\tb", strings.Repeat("ä", 65)}},
		"AZP_NAME_WAIT":              {also: []string{"90"}, bad: []string{"soon", "-1s", "-5", "6 m"}},
		"AZP_TOKEN":                  {bad: []string{"null", "two words", "t\u00f6ken", "a\x01b"}},
		"AZP_TOKEN_FILE":             {good: file, bad: []string{"/nowhere/at/all", "/", "/dev/null"}},
		"MANAGED_IDENTITY_OBJECT_ID": {bad: []string{"my-identity", "0b6bd18c", object + "0", "/subscriptions/x"}},
		"USRMI_ID":                   {bad: []string{"my-identity", "0b6bd18c"}},
		"AZP_IDENTITY_RESOURCE_ID":   {bad: []string{"my-identity", "subscriptions/s"}},
		"AZP_CLIENTID":               {bad: []string{"my-app", "0b6bd18c"}},
		"AZP_CLIENTCERTIFICATE":      {good: file, bad: []string{"/nowhere/at/all", "/"}},
		"AZP_TENANTID":               {bad: []string{"a/b", "a b"}},
		"AZP_AUTH":                   {also: []string{"Managed-Identity"}, bad: []string{"none", "msi"}},
		"AZP_AGENT_DIR":              {bad: []string{"azp", "./azp"}},
		"AZP_AGENT_ROOT":             {bad: []string{"agent", "./agent"}},
		"AZP_AGENTS":                 {bad: []string{"0", "-1", "many"}},
		"AZP_INSTALL":                {bad: []string{"perhaps"}},
		"AZP_AGENT_VERSION":          {also: []string{"v5.282.3"}, bad: []string{"5.282", "newest", "5.282.3-x"}},
		"AZP_AGENT_PACKAGE":          {bad: []string{"vsts-agent", "slim"}},
		"AZP_AGENT_PLATFORM":         {bad: []string{"amd64", "win-x64", "linux"}},
		"AZP_AGENT_SHA256":           {also: []string{strings.Repeat("01234567-89ABCDEF-", 4)}, bad: []string{"abc", strings.Repeat("g", 64)}},
		"AZP_ONCE":                   {also: []string{"Yes"}, bad: []string{"maybe", "2"}},
		"AZP_PLACEHOLDER":            {also: []string{"anything"}},
		"AZP_PLATFORM":               {also: []string{"Container-Apps"}, bad: []string{"azure", "aca"}},
		"AZP_GRACE_PERIOD":           {also: []string{"3600"}, bad: []string{"0", "500ms", "-1", "long", "d", "-1d", "1d-1h", "99999d", "2000000h", "30d1s", "2592001", "9999999999999999999999", "106751d2562047h"}},
		"AZP_STRICT_REMOVE":          {also: []string{"on"}, bad: []string{"ja"}},
		"AZP_REPLACE_AGENT_FILES":    {also: []string{"on"}, bad: []string{"ja"}},
		"AZP_APPROVE_EVENTS":         {also: []string{"yes"}, bad: []string{"ja"}},
		"AZP_AGENT_NAME_PREFIX":      {bad: []string{"a/b", `a\b`}},
		"AZP_REGISTERED":             {bad: []string{"registered"}},
		"AZP_ON_TERM":                {also: []string{"Cancel"}, bad: []string{"kill"}},
		"AZP_IDLE_TIMEOUT":           {bad: []string{"soon", "-1"}},
		"AZP_MAX_LIFETIME":           {bad: []string{"1dd", "-1s"}},
		"AZP_MAX_JOBS":               {bad: []string{"-1", "many", "1.5"}},
		"AZP_REPLICA_TIMEOUT":        {also: []string{"7200"}, bad: []string{"soon", "-1"}},
		"AZP_JOB_MAX":                {bad: []string{"long"}},
		"AZP_UPDATE":                 {also: []string{"Never"}, bad: []string{"no", "false"}},
		"AZP_CAPABILITIES":           {also: []string{"docker=true, gpu = a100"}, bad: []string{"docker", "=x", "a=b,c", "azptend.kind=x", "AZPTEND.x=y"}},
		"AZP_KEEP_INTERVAL":          {bad: []string{"4s", "often", "-1"}},
		"AZP_KEEP_PRUNE":             {also: []string{"no"}, bad: []string{"perhaps"}},
		"AZP_KEEP_OLDER_THAN":        {bad: []string{"-6h", "old", "20", "14m59s"}},
		"AZP_KEEP_ANY_OWNER":         {also: []string{"yes"}, bad: []string{"theirs"}},
		"AZP_KEEP_PLACEHOLDER":       {also: []string{"0"}, bad: []string{"perhaps"}},
		"AZP_KEEP_LISTEN":            {bad: []string{"8141", "localhost", "127.0.0.1:", ":8141", "10.0.0.4:8141", "keep.corp:80"}},
		"AZP_KEEP_HEALTH_LISTEN":     {bad: []string{"8142", "localhost", "127.0.0.1:"}},
		"AZP_KEEP_TOKEN":             {bad: []string{"short"}},
		"AZP_KEEP_TOKEN_FILE":        {good: long, bad: []string{"/nowhere/at/all", "/", file}},
		"AZP_GROUP":                  {bad: []string{"two words", "a/b", "-x", strings.Repeat("g", 41)}},
		"AZP_KEEP_GROUPS_FILE":       {good: groups, bad: []string{"/nowhere/at/all", "/", file}},
		"AZP_KEEP_SCALE_TOKEN":       {bad: []string{"short"}},
		"AZP_KEEP_SCALE_TOKEN_FILE":  {good: long, bad: []string{"/nowhere/at/all", "/", file}},
		"AZP_HEALTH_ADDR":            {bad: []string{"8080", "localhost", "127.0.0.1:"}},
		"AZP_LOG_FORMAT":             {also: []string{"JSON"}, bad: []string{"xml"}},
		"AZP_LOG_LEVEL":              {also: []string{"Debug"}, bad: []string{"verbose", "info+2", "debug-1"}},
	}
	for _, row := range config.Table {
		e := all[row.Env]
		if e.good == "" {
			e.good = row.Example
		}
		all[row.Env] = e
	}
	return all
}

// TestEachSetting: each row of the table is complete: it has texts, its value has an effect,
// and an error for a bad value names the setting.
func TestEachSetting(t *testing.T) {
	all := examples(t)
	if len(all) != len(config.Table) {
		t.Errorf("there are values for %d settings, and %d settings", len(all), len(config.Table))
	}
	seen := map[string]bool{}
	for _, row := range config.Table {
		t.Run(row.Env, func(t *testing.T) {
			ex := all[row.Env]
			if row.Example == "" || row.Example == row.Default {
				t.Fatal("there is no example")
			}
			if seen[row.Env] || (row.Flag != "" && seen[row.Flag]) {
				t.Error("there are two of this name")
			}
			seen[row.Env], seen[row.Flag] = true, true
			if row.Group == "" {
				t.Error("it says not which commands it is for")
			}
			if row.Help == "" || strings.HasSuffix(row.Help, ".") {
				t.Errorf("help is %q: want a sentence without its period", row.Help)
			}
			rest := append(without(least(), row.Env), companions(row.Env, all)...)
			if slices.Contains([]string{"MANAGED_IDENTITY_OBJECT_ID", "USRMI_ID", "AZP_IDENTITY_RESOURCE_ID"}, row.Env) {
				rest = append(without(rest, "MANAGED_IDENTITY_OBJECT_ID"), "AZP_TOKEN=a-token") // only one of the two may be set
			}
			byDefault, _ := loadFor(t, row, least())
			byVariable := loadedFor(t, row, append(rest, row.Env+"="+ex.good))
			if same(byDefault, byVariable) {
				t.Errorf("%s=%s has no effect", row.Env, ex.good)
			}
			for _, also := range ex.also {
				if other := loadedFor(t, row, append(rest, row.Env+"="+also)); !same(byVariable, other) {
					t.Errorf("%s=%s does something else than %s", row.Env, also, ex.good)
				}
			}
			if padded := loadedFor(t, row, append(rest, row.Env+"= "+ex.good+"\n")); !same(byVariable, padded) {
				t.Error("white space around it has an effect")
			}
			if row.Flag == "" {
				if !slices.Contains([]string{"AZP_TOKEN", "AZP_CLIENTSECRET", "AZP_KEEP_TOKEN", "AZP_KEEP_SCALE_TOKEN"}, row.Env) {
					t.Error("only a secret has no flag")
				}
			} else {
				if byFlag := loadedFor(t, row, rest, "--"+row.Flag+"="+ex.good); !same(byVariable, byFlag) {
					t.Errorf("--%s does something else than %s:\n%+v\n%+v", row.Flag, row.Env, byFlag, byVariable)
				}
				wrong := row.Env + "=other"
				if len(ex.bad) > 0 {
					wrong = row.Env + "=" + ex.bad[0]
				}
				if row.Env == "AZP_PLACEHOLDER" {
					wrong = row.Env + "=no"
				}
				if byBoth := loadedFor(t, row, append(rest, wrong), "--"+row.Flag+"="+ex.good); !same(byVariable, byBoth) {
					t.Errorf("the flag does not outweigh %s", wrong)
				}
			}
			for _, bad := range ex.bad {
				_, err := loadFor(t, row, append(rest, row.Env+"="+bad))
				if err == nil {
					t.Errorf("takes %q", bad)
					continue
				}
				if got := problems(t, err); len(got) != 1 || !strings.Contains(got[0].What, row.Env) {
					t.Errorf("%q: problems are %+v", bad, got)
				}
				if row.Flag == "" || len(row.Env+bad) > 100 {
					continue
				}
				_, err = loadFor(t, row, rest, "--"+row.Flag+"="+bad)
				if err == nil || !strings.Contains(err.Error(), "--"+row.Flag) {
					t.Errorf("--%s %q: %v", row.Flag, bad, err)
				}
			}
		})
	}
}

// caFile is a file with a certificate.
func caFile(t *testing.T) string {
	t.Helper()
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// companions are other settings that a setting needs to have an effect.
func companions(name string, all map[string]example) []string {
	var more []string
	needs := map[string][]string{
		"AZP_CLIENTID": {"AZP_CLIENTSECRET", "AZP_TENANTID"}, "AZP_CLIENTSECRET": {"AZP_CLIENTID", "AZP_TENANTID"},
		"AZP_CLIENTCERTIFICATE": {"AZP_CLIENTID", "AZP_TENANTID"}, "AZP_TENANTID": {"AZP_CLIENTID", "AZP_CLIENTSECRET"},
		"AZP_AUTH": {"AZP_TOKEN"}, "AZP_AGENTS": {"AZP_AGENT_ROOT"},
	}
	for _, other := range needs[name] {
		more = append(more, other+"="+all[other].good)
	}
	if strings.HasPrefix(name, "AZP_CLIENT") || name == "AZP_TENANTID" {
		more = append(more, "AZURE_TENANT_ID=the-platforms", "AZURE_CLIENT_ID=0b6bd18c-0000-4000-8000-00000000000e", "AZURE_FEDERATED_TOKEN_FILE=/var/run/secrets/x")
	}
	return more
}

func without(environ []string, name string) []string {
	var rest []string
	for _, pair := range environ {
		if !strings.HasPrefix(pair, name+"=") {
			rest = append(rest, pair)
		}
	}
	return rest
}

// same compares settings without their sources.
func same(a, b config.Settings) bool {
	a.Environ, b.Environ = nil, nil
	if a.Application.Secret.Reveal() != b.Application.Secret.Reveal() || a.ProxyURL.Reveal() != b.ProxyURL.Reveal() {
		return false
	}
	a.ProxyURL, b.ProxyURL = secret.Text{}, secret.Text{}
	a.Identity.PAT, b.Identity.PAT = secret.Text{}, secret.Text{}
	for _, app := range []*identity.Application{&a.Application, &b.Application, &a.Identity.Application, &b.Identity.Application} {
		app.Secret = secret.Text{}
	}
	a.Identity.Application.CertificatePassword, b.Identity.Application.CertificatePassword = secret.Text{}, secret.Text{}
	return a.Token.Reveal() == b.Token.Reveal() && func() bool { a.Token, b.Token = secret.Text{}, secret.Text{}; return reflect.DeepEqual(a, b) }()
}

func TestValuesOfManyKinds(t *testing.T) {
	s := loaded(t, least("AZP_CAPABILITIES=a=1", "AZP_GRACE_PERIOD=90", "AZP_URL=https://dev.azure.com/org//"),
		"--capability", `docker=true,gpu=a=100,dotnet=8\,9`, "--capability", `empty=,path=C:\tools`, "--pass-env", "A, B", "--pass-env", "C", "--once", "--name-wait", "0")
	want := map[string]string{"docker": "true", "gpu": "a=100", "dotnet": "8,9", "empty": "", "path": `C:\tools`}
	if d := cmp.Diff(want, s.Capabilities); d != "" {
		t.Errorf("capabilities (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]string{"A", "B", "C"}, s.PassEnv); d != "" {
		t.Errorf("passed on (-want +got):\n%s", d)
	}
	if !s.Once || s.Grace != 90*time.Second || s.NameWait != 0 || s.URL != "https://dev.azure.com/org" {
		t.Errorf("settings are %+v", s)
	}
	if s := loaded(t, least("AZP_TOKEN=p4t\r\n")); s.Token.Reveal() != "p4t" {
		t.Errorf("token is %q", s.Token.Reveal())
	}
}

// TestEveryProblemAtOnce: all problems are reported together.
func TestEveryProblemAtOnce(t *testing.T) {
	_, err := load(t, []string{
		"AZP_URL=dev.azure.com", "AZP_POOL_ID=x", "AZP_ONCE=perhaps", "AZP_GRACE_PERIOD=never", "AZP_CAPABILITIES=x",
		"AZP_AGENT_DIR=azp", "AZP_AGENT_NAME=a/b", "AZP_TOKEN_FILE=/nowhere", "AZP_LOG_LEVEL=loud",
	})
	var what []string
	for _, p := range problems(t, err) {
		what = append(what, strings.Fields(p.What)[0])
		if !strings.Contains(err.Error(), p.What) {
			t.Errorf("the error leaves out %s", p.What)
		}
	}
	want := []string{
		"AZP_POOL_ID", "AZP_CAPABILITIES", "AZP_ONCE", "AZP_GRACE_PERIOD", "AZP_LOG_LEVEL",
		"AZP_URL", "AZP_AGENT_NAME", "AZP_AGENT_DIR", "AZP_TOKEN_FILE",
	}
	if d := cmp.Diff(want, what); d != "" {
		t.Errorf("problems (-want +got):\n%s\n%v", d, err)
	}
}

func TestNothingIsSet(t *testing.T) {
	_, err := config.Load(nil, nil, "")
	got := problems(t, err)
	if len(got) != 2 || !strings.Contains(got[0].What, "AZP_URL (--url) is not set") ||
		!strings.Contains(got[1].What, "this host has no name") {
		t.Errorf("problems are %+v", got)
	}
	if got[0].Hint == "" {
		t.Errorf("without a hint: %+v", got)
	}
}

// TestErrorsHoldNoSecret: errors contain no secrets, because many can read logs.
func TestErrorsHoldNoSecret(t *testing.T) {
	const hidden = "s3cr3t"
	for _, environ := range [][]string{
		{"AZP_URL=https://user:" + hidden + "@dev.azure.com/org"},
		{"AZP_URL=ftp://user:" + hidden + "@dev.azure.com/org"},
		{"AZP_URL=https://user:" + hidden + "?x@dev.azure.com/org"},
		{"AZP_URL=https://" + hidden + "@"},
		{"AZP_URL=dev.azure.com/org?token=" + hidden},
		{"AZP_URL=https://dev.azure.com/org?token=" + hidden},
		{"AZP_URL=https://dev.azure.com/?token=" + hidden},
		{"AZP_URL=https://dev.azure.com/org#" + hidden},
		{"AZP_TOKEN=" + hidden + " " + hidden},
		{"AZP_PROXY=socks5://user:" + hidden + "@proxy"},
		{"AZP_PROXY=http://user:" + hidden + "@proxy", "AZP_ONCE=x"},
		{"AZP_CLIENTSECRET=" + hidden, "AZP_ONCE=x"},
		{"AZP_TOKEN=" + hidden, "AZP_ONCE=x"},
		{"AZP_TOKNE=" + hidden, "AZP_ONCE=x"},
	} {
		s, err := load(t, append(environ, "MANAGED_IDENTITY_OBJECT_ID="+object))
		if err == nil {
			t.Errorf("%q is taken", environ)
		}
		if shown := fmt.Sprintf("%v %+v %#v %+v", err, err, err, s); strings.Contains(shown, hidden) {
			t.Errorf("%q: shows it: %s", environ, shown)
		}
	}
	s := loaded(t, least("AZP_TOKEN="+hidden, "AZP_TOKNE="+hidden))
	s.Environ = nil // only this field may contain secrets
	if shown := fmt.Sprintf("%v %+v %#v", s, s, s); strings.Contains(shown, hidden) {
		t.Errorf("settings show it: %s", shown)
	}
}

func TestWarnings(t *testing.T) {
	for _, tt := range []struct {
		set  string
		want []string
	}{
		{"AZP_TOKNE=x", []string{"AZP_TOKNE is not a setting of azptend; jobs do not get it; did you mean AZP_TOKEN?"}},
		{"AZP_AGENTNAME=x", []string{"AZP_AGENTNAME is not a setting of azptend; jobs do not get it; did you mean AZP_AGENT_NAME?"}},
		{"AZP_WORKDIR=x", []string{"AZP_WORKDIR is not a setting of azptend; jobs do not get it; did you mean AZP_WORK?"}},
		{"AZP_XYZ=x", []string{"AZP_XYZ is not a setting of azptend; jobs do not get it"}},
		{"AZP_SOMETHING_ELSE=x", []string{"AZP_SOMETHING_ELSE is not a setting of azptend; jobs do not get it"}},
		{"AZP_SOMETHING_ELSE=", nil},
		{"AZP_AGENT_DOWNGRADE_DISABLED=true", nil},
		{"AZP_PLACEHOLDER=false", nil},
		{"OTHER=x", nil},
		{"AZP_URL=http://tfs.corp/tfs", []string{"AZP_URL (--url) is http: everybody on the network can read the tokens"}},
		{"AZP_URL=http://127.0.0.1:8140/emulated", nil},
		{"AZP_URL=http://[::1]:8140/emulated", nil},
		{"AZP_URL=http://localhost/emulated", nil},
	} {
		if d := cmp.Diff(tt.want, loaded(t, least(tt.set)).Warnings); d != "" {
			t.Errorf("%s (-want +got):\n%s", tt.set, d)
		}
	}
}

// TestPlaceholder: AZP_PLACEHOLDER is set by any value that does not mean false, as in
// Microsoft's tutorial.
func TestPlaceholder(t *testing.T) {
	for value, want := range map[string]bool{"": false, "0": false, "false": false, "No": false, "off": false, "1": true, "true": true, "anything": true} {
		if got := loaded(t, least("AZP_PLACEHOLDER="+value)).Placeholder; got != want {
			t.Errorf("%q means %v", value, got)
		}
	}
}

// TestPlaceholderIgnoresOtherSettings: wrong settings of a running agent do not matter for a
// placeholder.
func TestPlaceholderIgnoresOtherSettings(t *testing.T) {
	wrong := []string{
		"AZP_NAME_WAIT=soon", "AZP_AGENT_DIR=azp", "AZP_ONCE=perhaps", "AZP_GRACE_PERIOD=never", "AZP_STRICT_REMOVE=ja", "AZP_PLATFORM=mars",
	}
	s := loaded(t, least(append(wrong, "AZP_PLACEHOLDER=1")...))
	if !s.Placeholder || s.AgentName != "the-host" {
		t.Errorf("settings are %+v", s)
	}
	_, err := load(t, append(wrong, "AZP_PLACEHOLDER=1", "AZP_URL=dev.azure.com", "AZP_TOKEN_FILE=/nowhere"))
	if got := problems(t, err); len(got) != 2 {
		t.Errorf("what is its business is judged: %+v", got)
	}
	_, err = load(t, least(append(wrong, "AZP_PLACEHOLDER=no")...))
	if got := problems(t, err); len(got) != len(wrong) {
		t.Errorf("an agent that runs is not judged whole: %+v", got)
	}
}

// TestGroups: a command has the flags of its groups, and no others.
func TestGroups(t *testing.T) {
	flags := pflag.NewFlagSet("show", pflag.ContinueOnError)
	config.AddFlags(flags, config.Connection, config.AgentPool, config.Agent)
	if flags.Lookup("pool-id") == nil || flags.Lookup("once") != nil || flags.Lookup("placeholder") != nil {
		t.Error("the flags are not those of the groups")
	}
	environ := least("AZP_ONCE=perhaps", "AZP_PLACEHOLDER=1", "AZP_POOL=p")
	s, err := config.Load(flags, environ, "the-host", config.Connection, config.AgentPool, config.Agent)
	if err != nil || s.Pool != "p" || s.AgentName != "" || s.Placeholder || s.AgentDir != "" {
		t.Errorf("settings are %+v, %v", s, err)
	}
	s, err = config.Load(nil, append(environ, "AZP_AGENT_NAME=a/b"), "the-host", config.Agent)
	if err == nil || s.AgentName != "" {
		t.Errorf("takes a bad name: %v", err)
	}
}

func TestVariable(t *testing.T) {
	s := loaded(t, least("CONTAINER_APP_NAME=ca"))
	if s.Getenv("CONTAINER_APP_NAME") != "ca" || s.Getenv("CONTAINER_APP_REVISION") != "" {
		t.Error("a variable is not found, or one that is not there is")
	}
}

func TestProxy(t *testing.T) {
	for _, tt := range []struct {
		environ []string
		to      string
		want    string
	}{
		{nil, "https://dev.azure.com/org", ""},
		{[]string{"HTTPS_PROXY=http://proxy:3128"}, "https://dev.azure.com/org", "http://proxy:3128"},
		{[]string{"https_proxy=proxy:3128"}, "https://dev.azure.com/org", "http://proxy:3128"},
		{[]string{"HTTPS_PROXY=http://a:1", "https_proxy=http://b:2"}, "https://dev.azure.com/org", "http://a:1"},
		{[]string{"HTTP_PROXY=http://proxy:3128"}, "https://dev.azure.com/org", ""},
		{[]string{"http_proxy=http://proxy:3128"}, "http://tfs.corp/tfs", "http://proxy:3128"},
		{[]string{"HTTPS_PROXY=http://proxy:3128", "no_proxy=.azure.com"}, "https://dev.azure.com/org", ""},
		{[]string{"AZP_PROXY=http://own:1", "HTTPS_PROXY=http://proxy:3128"}, "https://dev.azure.com/org", "http://own:1"},
		{[]string{"AZP_PROXY=http://own:1", "HTTP_PROXY=http://proxy:3128"}, "http://tfs.corp/tfs", "http://own:1"},
		{[]string{"AZP_PROXY=http://own:1", "NO_PROXY=.corp"}, "http://tfs.corp/tfs", ""},
		{[]string{"HTTP_PROXY=http://proxy:3128"}, "http://127.0.0.1:8140/emulated", ""},
		{[]string{"VSTS_HTTP_PROXY=http://agents:1"}, "https://dev.azure.com/org", "http://agents:1"},
		{[]string{"VSTS_HTTP_PROXY=http://agents:1"}, "http://tfs.corp/tfs", "http://agents:1"},
		{[]string{"VSTS_HTTP_PROXY=http://agents:1", "VSTS_HTTP_PROXY_USERNAME=us@er", "VSTS_HTTP_PROXY_PASSWORD=p4ss/word"}, "https://dev.azure.com/org", "http://us%40er:p4ss%2Fword@agents:1"},
		{[]string{"VSTS_HTTP_PROXY=http://agents:1", "HTTPS_PROXY=http://proxy:3128"}, "https://dev.azure.com/org", "http://proxy:3128"},
		{[]string{"VSTS_HTTP_PROXY=http://agents:1", "AZP_PROXY=http://own:1"}, "https://dev.azure.com/org", "http://own:1"},
		{[]string{"VSTS_HTTP_PROXY=http://agents:1", "no_proxy=.azure.com"}, "https://dev.azure.com/org", ""},
	} {
		s := loaded(t, least(tt.environ...))
		u, err := url.Parse(tt.to)
		if err != nil {
			t.Fatal(err)
		}
		via, err := s.Proxy()(&http.Request{URL: u})
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if via != nil {
			got = via.String()
		}
		if got != tt.want {
			t.Errorf("%v: %s goes through %q, want %q", tt.environ, tt.to, got, tt.want)
		}
	}
}

// TestAgentEnviron: the agent uses other variables than Go programs (agent-protocol.md 10.7,
// 10.8).
func TestAgentEnviron(t *testing.T) {
	ca := caFile(t)
	for _, tt := range []struct {
		environ []string
		want    []string
	}{
		{nil, nil},
		{[]string{"AZP_PROXY=http://us%40er:p4ss%2Fword@proxy:3128"}, []string{
			"VSTS_HTTP_PROXY=http://proxy:3128", "VSTS_HTTP_PROXY_USERNAME=us@er", "VSTS_HTTP_PROXY_PASSWORD=p4ss/word"}},
		{[]string{"HTTPS_PROXY=http://proxy:3128"}, []string{"VSTS_HTTP_PROXY=http://proxy:3128"}},
		{[]string{"https_proxy=proxy:3128"}, []string{"VSTS_HTTP_PROXY=http://proxy:3128"}},
		{[]string{"HTTPS_PROXY=http://proxy:3128", "NO_PROXY=dev.azure.com"}, nil},
		{[]string{"HTTP_PROXY=http://proxy:3128"}, nil}, // not for an https address
		{[]string{"AZP_PROXY=http://proxy:3128", "VSTS_HTTP_PROXY=http://agents:1"}, nil},
		{[]string{"VSTS_HTTP_PROXY=http://agents:1", "VSTS_HTTP_PROXY_USERNAME=u", "VSTS_HTTP_PROXY_PASSWORD=p"}, nil},
		{[]string{"AZP_CA_FILE=" + ca}, []string{"SSL_CERT_FILE=" + ca, "NODE_EXTRA_CA_CERTS=" + ca}},
		{[]string{"AZP_CA_FILE=" + ca, "SSL_CERT_FILE=/etc/own.pem"}, []string{"SSL_CERT_FILE=" + ca, "NODE_EXTRA_CA_CERTS=" + ca}},
	} {
		if d := cmp.Diff(tt.want, loaded(t, least(tt.environ...)).AgentEnviron()); d != "" {
			t.Errorf("%v (-want +got):\n%s", tt.environ, d)
		}
	}
}

// TestBoolFlags: a bool flag without a value does not take the next argument as its value.
func TestBoolFlags(t *testing.T) {
	flags := pflag.NewFlagSet("run", pflag.ContinueOnError)
	config.AddFlags(flags)
	if err := flags.Parse([]string{"--once", "false", "--strict-remove=no"}); err != nil || flags.NArg() != 1 {
		t.Fatalf("%v, %q", err, flags.Args())
	}
	s, err := config.Load(flags, least(), "the-host")
	if err != nil || !s.Once || s.StrictRemove {
		t.Errorf("%+v, %v", s, err)
	}
	if flags.Lookup("token") != nil {
		t.Error("there is a flag for the token: argv is public")
	}
}

// TestDurations: a duration outside of its bounds is refused with the setting's name, and the
// bounds leave room for sums. A setting without bounds would refuse everything.
func TestDurations(t *testing.T) {
	for _, row := range config.Table {
		if row.Max == 0 {
			continue
		}
		t.Run(row.Env, func(t *testing.T) {
			if row.Max > 10*365*24*time.Hour {
				t.Errorf("%v is more than one waits", row.Max)
			}
			rest := without(least(), row.Env)
			if row.Env == "AZP_REPLICA_TIMEOUT" {
				rest = append(rest, "AZP_JOB_MAX=1h")
			}
			loadedFor(t, row, append(rest, fmt.Sprintf("%s=%d", row.Env, row.Max/time.Second)))
			beyond := []string{(row.Max + 1).String(), fmt.Sprint(int64(row.Max/time.Second) + 1), "2562047h", "99999999999d", "106751d23h", "106751d2562047h", "18446744073709551617"}
			for _, v := range beyond {
				_, err := loadFor(t, row, append(rest, row.Env+"="+v))
				if err == nil || !strings.Contains(err.Error(), row.Env) || !strings.Contains(err.Error(), "which is too long: at most "+fmt.Sprint(int64(row.Max/(24*time.Hour)))+" day") {
					t.Errorf("%q: %v", v, err)
				}
			}
			if row.Min > 0 {
				if _, err := loadFor(t, row, append(rest, row.Env+"="+(row.Min-1).String())); err == nil || !strings.Contains(err.Error(), "shorter than "+text.Duration(row.Min)) {
					t.Errorf("just too short: %v", err)
				}
			}
		})
	}
}
