package browser

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// timeout limits each wait. Only a failing test reaches it.
const timeout = 60 * time.Second

// stage is an emulator, a running agent, and a keeper that shows their pool: three processes of the
// built binary.
type stage struct {
	t      *testing.T
	binary string
	dir    string
	base   string   // URL of the emulator
	env    []string // the variables that the emulator prints to export
	page   string
}

// newStage starts the processes. keepEnv holds additional settings for the keeper.
func newStage(t *testing.T, keepEnv ...string) *stage {
	t.Helper()
	s := &stage{t: t, dir: t.TempDir()}
	s.binary = filepath.Join(s.dir, "azptend")
	build := exec.Command("go", "-C", "../../..", "build", "-o", s.binary, "./cmd/azptend-lab") // it has all of azptend's commands
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("cannot build azptend: %v\n%s", err, out)
	}
	export := regexp.MustCompile(`^export (\S+)$`)
	agents := filepath.Join(s.dir, "agent")
	s.start(nil, regexp.MustCompile(`curl .* (http://\S+)/_emulator/jobs`), &s.base, func(line string) {
		if m := export.FindStringSubmatch(line); m != nil {
			s.env = append(s.env, m[1])
		}
	}, "emulate", "--listen", "127.0.0.1:0", "--agent-dir", agents)
	s.put(scene)
	s.start(append(slices.Clone(s.env), keepEnv...), regexp.MustCompile(`page=(http://\S+)`), &s.page, nil, "keep", "--interval", "5s", "--listen", "127.0.0.1:0")
	s.start(append(s.env, "AZP_AGENT_NAME=linux-builder-1", "AZP_PLATFORM=none"), regexp.MustCompile(`(The agent is ready)`), new(string), nil, "run")
	return s
}

// start starts azptend, and waits for a line that matches. It stores a part of that line.
func (s *stage) start(env []string, wanted *regexp.Regexp, part *string, each func(string), args ...string) {
	s.t.Helper()
	r, w := io.Pipe()
	cmd := exec.Command(s.binary, args...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.dir}, env...)
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		w.Close()
	})
	found := make(chan string, 1)
	go func() {
		for lines := bufio.NewScanner(r); lines.Scan(); {
			if each != nil {
				each(lines.Text())
			}
			if m := wanted.FindStringSubmatch(lines.Text()); m != nil {
				select {
				case found <- m[1]:
				default:
				}
			}
		}
	}()
	select {
	case *part = <-found:
	case <-time.After(timeout):
		s.t.Fatalf("azptend %s does not say %s", args[0], wanted)
	}
}

// scene is a pool with agents of each kind.
const scene = `[
 {"name":"linux-builder-2","online":true,"createdAgo":"5h","changedAgo":"5h","version":"5.282.3","userCapabilities":{"azptend.kind":"agent","azptend.instance":"2"},"job":{"name":"Integration tests"}},
 {"name":"windows-signing","online":true,"disabled":true,"createdAgo":"720h","changedAgo":"30h","version":"4.258.1"},
 {"name":"linux-builder-x7k2q","createdAgo":"9h","changedAgo":"3h","userCapabilities":{"azptend.kind":"agent","azptend.instance":"3"}},
 {"name":"linux-builder-p0m4w","createdAgo":"7h","changedAgo":"2h","userCapabilities":{"azptend.kind":"agent","azptend.instance":"4"}},
 {"name":"gpu-spot-11","createdAgo":"26h","changedAgo":"4m","userCapabilities":{"azptend.kind":"agent","azptend.instance":"5"}},
 {"name":"R&D <blue> box","createdAgo":"26h","changedAgo":"6h"}
]`

func (s *stage) call(method, path, body string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, s.base+path, bytes.NewBufferString(body))
	if err != nil {
		s.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(resp.Body)
		s.t.Fatalf("%s %s: %s %s", method, path, resp.Status, text)
	}
}

func (s *stage) put(agents string) { s.t.Helper(); s.call(http.MethodPut, "/_emulator/agents", agents) }

func (s *stage) queue(name, script string, demands ...string) {
	s.t.Helper()
	body, err := json.Marshal(map[string]any{"name": name, "script": script, "demands": demands, "force": true})
	if err != nil {
		s.t.Fatal(err)
	}
	s.call(http.MethodPost, "/_emulator/jobs", string(body))
}

// elapse advances the server's clock.
func (s *stage) elapse(d time.Duration) {
	s.t.Helper()
	s.call(http.MethodPost, "/_emulator/clock", fmt.Sprintf(`{"advance":%q}`, d))
}

// chromium is the path of the browser. The test reports if there is none.
func chromium(t *testing.T) string {
	t.Helper()
	for _, name := range strings.Fields(os.Getenv("CHROMIUM") + " chromium chromium-browser google-chrome") {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatal("there is no chromium: make test-browser installs it")
	return ""
}
