package repository

import (
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// allowed lists, for each package of this module, which others it may import. An
// import that is not listed fails. A new one needs a reason (CONTRIBUTING.md).
var allowed = map[string][]string{
	"cmd/azptend":         {"internal/cli", "internal/config"},
	"cmd/azptend-lab":     {"internal/cli", "internal/config", "internal/lab"},
	"internal/bounded":    {}, // a leaf
	"internal/cli":        {"internal/agentdir", "internal/azdo", "internal/bounded", "internal/config", "internal/connlimit", "internal/control", "internal/doctor", "internal/exitcode", "internal/health", "internal/httpclient", "internal/identity", "internal/install", "internal/keep", "internal/lifecycle", "internal/logqueue", "internal/mslistener", "internal/platform", "internal/pool", "internal/proc", "internal/safefile", "internal/secret", "internal/selftest", "internal/setup", "internal/supervisor", "internal/systemd", "internal/term", "internal/text"},
	"internal/supervisor": {"internal/agentdir", "internal/azdo", "internal/bounded", "internal/control", "internal/exitcode", "internal/lifecycle", "internal/mslistener", "internal/proc", "internal/retry"},                                                                                                                        // control for the status
	"internal/mslistener": {"internal/agentdir", "internal/bounded", "internal/lifecycle", "internal/proc", "internal/safefile", "internal/secret"},                                                                                                                                                                                   // lifecycle for the events
	"internal/pool":       {"internal/agentdir", "internal/azdo", "internal/retry", "internal/text"},                                                                                                                                                                                                                                  // agentdir for the owner tags
	"internal/exitcode":   {"internal/agentdir", "internal/azdo", "internal/config", "internal/install", "internal/lifecycle", "internal/pool", "internal/setup"},                                                                                                                                                                     // it maps their errors
	"internal/doctor":     {"internal/agentdir", "internal/azdo", "internal/config", "internal/connlimit", "internal/exitcode", "internal/identity", "internal/install", "internal/lifecycle", "internal/mslistener", "internal/platform", "internal/pool", "internal/proc", "internal/safefile", "internal/secret", "internal/text"}, // it has the same parts as run, and explains their errors
	"internal/setup":      {"internal/azdo", "internal/retry"},
	"internal/selftest":   {"internal/agentdir", "internal/azdo", "internal/retry", "internal/secret"},          // agent for the key and the marks; secret is what an Authorizer gives
	"internal/health":     {"internal/connlimit", "internal/control", "internal/lifecycle", "internal/metrics"}, // control for the status: its words are healthcheck's
	"internal/keep":       {"internal/azdo", "internal/metrics", "internal/pool", "internal/retry", "internal/secret", "internal/text"},
	"internal/metrics":    {"internal/azdo"},
	// config builds the values that these packages need.
	"internal/config":       {"internal/azdo", "internal/identity", "internal/install", "internal/lifecycle", "internal/platform", "internal/pool", "internal/safefile", "internal/secret", "internal/text"},
	"internal/term":         {}, // imported by commands only
	"internal/retry":        {},
	"internal/text":         {},
	"internal/control":      {"internal/connlimit", "internal/retry"},
	"internal/connlimit":    {"internal/text"},
	"internal/identity":     {"internal/httpclient", "internal/retry", "internal/safefile", "internal/secret"},
	"internal/azdo":         {"internal/httpclient", "internal/retry", "internal/secret"},
	"internal/agentdir":     {"internal/proc", "internal/safefile"}, // proc for the user whose files they are
	"internal/platform":     {"internal/retry"},
	"internal/install":      {"internal/agentdir", "internal/azdo", "internal/retry", "internal/safefile", "internal/secret"}, // agentdir for the lock of a root, azdo for the organisation's list of packages
	"internal/proc":         {"internal/bounded", "internal/safefile"},
	"internal/safefile":     {"internal/bounded"},
	"internal/lifecycle":    {},
	"internal/logqueue":     {},
	"internal/systemd":      {"internal/control"},
	"internal/secret":       {},
	"internal/httpclient":   {},
	"emulator":              {"internal/emulator"}, // public
	"internal/lab":          {"internal/azdo", "internal/cli", "internal/connlimit", "internal/emulator", "internal/exitcode", "internal/fakeagent", "internal/httpclient", "internal/keep", "internal/proc", "internal/secret", "internal/term"},
	"internal/emulator":     {},
	"internal/fakeagent":    {"internal/agentdir", "internal/proc"}, // agentdir for the client assertion
	"test/external/browser": {},                                     // a module of its own
	"test/sim/assumptions":  {},
	"test/sim/bench":        {"internal/emulator", "internal/install", "test/internal/launch", "test/internal/process"},
	"test/sim/matrix":       {"internal/emulator", "test/internal/cells", "test/internal/launch", "test/internal/process"},
	"test/external/engine":  {"internal/emulator", "test/internal/dockerfile", "test/internal/launch"},
	"test/sim/scale":        {"internal/azdo", "internal/emulator", "internal/secret", "internal/supervisor", "test/internal/launch", "test/internal/process"}, // azdo: azptend's own client is held against the simulation
	"test/sim/soak":         {"internal/emulator", "test/internal/launch", "test/internal/process"},
	"test/repository":       {},
	"test/script":           {},
	"test/security":         {},
	"test/security/thief":   {},
	"test/external/vm":      {"internal/emulator", "test/internal/launch"},
	"test/security/vandal":  {"internal/emulator", "test/internal/cells", "test/internal/fault", "test/internal/launch", "test/internal/process"},

	"test/internal/cells":      {}, // what matrix and vandal share
	"test/internal/dockerfile": {}, // what the linter of images and engine share
	"test/internal/fault":      {"test/internal/launch"},
	"test/internal/launch":     {"internal/emulator", "internal/fakeagent"},
	"test/internal/process":    {},
}

// restricted lists imports and functions that only some packages may use.
var restricted = []struct {
	what string
	in   []string
}{
	{`"os/exec"`, []string{"test/sim/bench", "test/external/engine", "test/internal/launch", "test/internal/process", "test/sim/matrix", "test/sim/soak", "test/security/thief", "test/security/vandal", "test/external/vm"}}, // not even proc: see its package comment
	{"syscall.ForkExec", []string{"internal/proc", "test/security/vandal"}},
	{"syscall.Exec(", []string{"internal/proc", "test/security/vandal"}},
	{"unix.Exec(", []string{"internal/proc"}},
	{"syscall.StartProcess", []string{"internal/proc"}},
	{"os.StartProcess", nil},
	{"os.Exit", []string{"cmd/azptend", "cmd/azptend-lab", "test/sim/bench", "test/external/engine", "test/sim/matrix", "test/sim/scale", "test/sim/soak", "test/security/thief", "test/security/vandal", "test/external/vm"}},
	{"log.Fatal", nil}, // it exits without removing the agent
	{"log.Panic", nil},
	{"syscall.Exit", nil},
	{"os.Getenv", []string{"internal/config", "test/security/thief", "test/security/vandal"}},
	{"os.LookupEnv", []string{"internal/config"}},
	{"os.ExpandEnv", []string{"internal/config"}},
	{"os.UserHomeDir", nil}, // reads $HOME
	{"os.Setenv", nil},
	{"os.Unsetenv", []string{"internal/config"}}, // GODEBUG, see IgnoreGoSettings
	{"os.Clearenv", nil},
	{"ProxyFromEnvironment", nil},
	{"http.DefaultTransport", nil}, // it reads the proxy from the environment
	{"http.DefaultClient", []string{"test/sim/matrix"}},
	{"syscall.Getenv", nil},
	{"syscall.Environ", nil},
	{"os.Environ", []string{"internal/config", "test/internal/launch", "test/security/thief", "test/security/vandal", "test/sim/bench"}},
}

const module = "github.com/azptend/azptend/"

// sources parses all Go files except tests, by directory.
func sources(t *testing.T) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	err := filepath.WalkDir("../..", func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && d.Name() != ".." || d.Name() == "tools" || otherModule(path)) {
			return filepath.SkipDir
		}
		if strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") {
			dir := filepath.ToSlash(strings.TrimPrefix(filepath.Dir(path), "../../"))
			found[dir] = append(found[dir], path)
		}
		return nil
	})
	if err != nil || len(found) < 10 {
		t.Fatalf("cannot find the sources: %v, %v", found, err)
	}
	return found
}

// otherModule says whether a directory is another module, which only uses azptend's binary, such as the
// clients in test/external/conformance.
func otherModule(path string) bool {
	_, err := os.Stat(filepath.Join(path, "go.mod"))
	return err == nil && path != "../.."
}

func TestImports(t *testing.T) {
	for dir, files := range sources(t) {
		targets, known := allowed[dir]
		if !known {
			t.Errorf("%s is not in the table of who may import whom", dir)
			continue
		}
		for _, file := range files {
			f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
			if err != nil {
				t.Fatal(err)
			}
			for _, spec := range f.Imports {
				path, _ := strconv.Unquote(spec.Path.Value)
				target, ours := strings.CutPrefix(path, module)
				if ours && !slices.Contains(targets, target) {
					t.Errorf("%s imports %s, which %s may not", file, target, dir)
				}
				if dir == "internal/lifecycle" && strings.Contains(path, ".") {
					t.Errorf("%s imports %s: lifecycle imports the standard library alone", file, path)
				}
			}
		}
	}
}

func TestRestrictedUse(t *testing.T) {
	for dir, files := range sources(t) {
		for _, file := range files {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range restricted {
				if strings.Contains(withoutComments(string(b)), r.what) && !slices.Contains(r.in, dir) {
					t.Errorf("%s has %s, which only %v may use", file, r.what, r.in)
				}
			}
		}
	}
}

func withoutComments(source string) string {
	var code []string
	for line := range strings.SplitSeq(source, "\n") {
		if !strings.HasPrefix(strings.TrimSpace(line), "//") {
			code = append(code, line)
		}
	}
	return strings.Join(code, "\n")
}

// TestPackagesHaveDocComments: every package has a doc comment, in one file.
func TestPackagesHaveDocComments(t *testing.T) {
	for dir, files := range sources(t) {
		docs := 0
		for _, file := range files {
			f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.PackageClauseOnly|parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			if f.Doc != nil {
				docs++
			}
		}
		if docs != 1 {
			t.Errorf("%s has %d package comments", dir, docs)
		}
	}
}
