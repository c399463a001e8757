package repository

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

// workflow has the fields of a workflow that decide what it may do. actionlint checks the rest.
type workflow struct {
	Permissions map[string]string `yaml:"permissions"`
	Jobs        map[string]struct {
		Permissions map[string]string `yaml:"permissions"`
		Environment string            `yaml:"environment"`
		Timeout     int               `yaml:"timeout-minutes"`
		Strategy    struct {
			Matrix struct {
				Target []string `yaml:"target"`
			} `yaml:"matrix"`
		} `yaml:"strategy"`
		Steps []struct {
			Uses string            `yaml:"uses"`
			Run  string            `yaml:"run"`
			With map[string]string `yaml:"with"`
		} `yaml:"steps"`
	} `yaml:"jobs"`
}

func readWorkflows(t *testing.T) map[string]workflow {
	files, err := filepath.Glob("../../.github/workflows/*.yml")
	if err != nil || len(files) < 4 {
		t.Fatalf("workflows are %q, %v", files, err)
	}
	read := map[string]workflow{}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var w workflow
		if err := yaml.Unmarshal(b, &w); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		read[filepath.Base(file)] = w
	}
	return read
}

var pinned = regexp.MustCompile(`^[\w.-]+(/[\w.-]+)+@[0-9a-f]{40}$`)

// TestWorkflowsAreNarrow: a job has the permissions that it names and no others, runs no action that can
// change under it, and leaves no token behind. What publishes waits for a person.
func TestWorkflowsAreNarrow(t *testing.T) {
	for name, w := range readWorkflows(t) {
		if w.Permissions == nil || len(w.Permissions) > 0 {
			t.Errorf("%s: permissions of all jobs are %v, not {}", name, w.Permissions)
		}
		for id, job := range w.Jobs {
			if len(job.Permissions) == 0 || job.Timeout == 0 {
				t.Errorf("%s: job %s has no permissions or no timeout", name, id)
			}
			writes := slices.Contains(slices.Collect(maps.Values(job.Permissions)), "write")
			if writes && name == "release.yml" && job.Environment != "release" {
				t.Errorf("%s: job %s publishes without the environment release", name, id)
			}
			for _, step := range job.Steps {
				if step.Uses != "" && !pinned.MatchString(step.Uses) {
					t.Errorf("%s: job %s uses %s, which has no full commit", name, id, step.Uses)
				}
				if strings.HasPrefix(step.Uses, "actions/checkout@") && step.With["persist-credentials"] != "false" {
					t.Errorf("%s: job %s leaves its token in the checkout", name, id)
				}
				if strings.Contains(step.Run, "${{") {
					t.Errorf("%s: job %s puts an expression into a script: use env", name, id)
				}
			}
		}
	}
}

// TestWorkflowsPinOneVersion: the comment beside a commit names its version, and an action has one
// version in all workflows.
func TestWorkflowsPinOneVersion(t *testing.T) {
	uses := regexp.MustCompile(`uses: ([\w.-]+/[\w.-]+)[\w./-]*@(.*)`)
	versions := map[string]string{}
	files, _ := filepath.Glob("../../.github/workflows/*.yml")
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range uses.FindAllStringSubmatch(string(b), -1) {
			action, version := m[1], m[2]
			if !regexp.MustCompile(`^[0-9a-f]{40} # v\d+\.\d+\.\d+$`).MatchString(version) {
				t.Errorf("%s: %s is at %q, not at a commit with its version", file, action, version)
			}
			if other := versions[action]; other != "" && other != version {
				t.Errorf("%s: %s is at %s, and elsewhere at %s", file, action, version, other)
			}
			versions[action] = version
		}
	}
	if len(versions) < 5 {
		t.Errorf("actions are %v", versions)
	}
}

// manual are make targets that neither .ci/run nor the nightly workflow calls, each with a reason.
var manual = map[string]string{
	"bench": "measures, into a page", "bench-hundred": "measures", "bench-pool": "measures", "bench-agents": "measures", "bench-keep": "measures", "bench-install": "measures",
	"scale": "a simulation, into a page", "test": ".ci/run calls test/run", "build": "other targets need it", "demo": ".ci/run calls it by go run",
	"vulnerabilities": "security.yml calls it", "release": "release.yml calls it", "release-notes": "release.yml calls it", "chart": "release-check calls it",
	"notices": "writes a file that a test compares", "promtool": ".ci/run calls it by its file",
}

// TestNightlyRunsEverySuite compares the nightly workflow with the Makefile.
func TestNightlyRunsEverySuite(t *testing.T) {
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	ci, err := os.ReadFile("../../.ci/run")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	_, phony, _ := strings.Cut(string(makefile), "\n.PHONY: ")
	phony, _, _ = strings.Cut(phony, "\n")
	for _, target := range strings.Fields(phony) {
		if manual[target] == "" && !strings.Contains(string(ci), "make -s "+target+"\n") {
			want = append(want, target)
		}
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, readWorkflows(t)["nightly.yml"].Jobs["suite"].Strategy.Matrix.Target); diff != "" {
		t.Errorf("the nightly suites (-in the Makefile, +in nightly.yml):\n%s", diff)
	}
}

// TestDependabotKnowsEveryModule compares dependabot.yml with the repository.
func TestDependabotKnowsEveryModule(t *testing.T) {
	b, err := os.ReadFile("../../.github/dependabot.yml")
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Updates []struct {
			Ecosystem   string   `yaml:"package-ecosystem"`
			Directory   string   `yaml:"directory"`
			Directories []string `yaml:"directories"`
		} `yaml:"updates"`
	}
	if err := yaml.Unmarshal(b, &d); err != nil {
		t.Fatal(err)
	}
	updated := map[string][]string{}
	for _, u := range d.Updates {
		updated[u.Ecosystem] = append(updated[u.Ecosystem], u.Directories...)
		if u.Directory != "" {
			updated[u.Ecosystem] = append(updated[u.Ecosystem], u.Directory)
		}
	}
	want := map[string][]string{"github-actions": {"/"}, "docker": {"/deploy/images"}}
	err = filepath.WalkDir("../..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && slices.Contains([]string{"node_modules", ".git", "bin", "dist"}, entry.Name()) {
			return filepath.SkipDir
		}
		ecosystem := map[string]string{"go.mod": "gomod", "package.json": "npm"}[entry.Name()]
		if ecosystem != "" {
			dir, err := filepath.Rel("../..", filepath.Dir(path))
			if err != nil {
				return err
			}
			want[ecosystem] = append(want[ecosystem], filepath.Join("/", dir))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, directories := range []map[string][]string{want, updated} {
		for _, list := range directories {
			slices.Sort(list)
		}
	}
	if diff := cmp.Diff(want, updated); diff != "" {
		t.Errorf("what Dependabot updates (-in the repository, +in dependabot.yml):\n%s", diff)
	}
}

// TestBugReportAsksForDoctor: a report without these cannot be answered.
func TestBugReportAsksForDoctor(t *testing.T) {
	for _, form := range []string{"bug.yml", "selftest.yml"} {
		b, err := os.ReadFile("../../.github/ISSUE_TEMPLATE/" + form)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"azptend doctor --json", "azptend selftest"} {
			if !strings.Contains(string(b), want) {
				t.Errorf("%s does not ask for %s", form, want)
			}
		}
	}
}
