package config_test

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/pool"
)

const groupsFile = `# all that a group may have
groups:
- name: linux
  pool: LINUX
  agents: "linux-*"
  capabilities: {docker: true, java: 17.0.2, Agent.OSArchitecture: ARM64}
  max: 20
  warm:
  - {count: 3, days: mon-fri, hours: "07:00-18:30", zone: Europe/Zurich}
  - count: 1
- name: night
  max: 2
  pool: linux
  warm: [{count: 2, days: [fri, sat-sun], hours: 22:00-06:00, zone: UTC}]
`

func TestGroupsFile(t *testing.T) {
	got, wrong := config.ParseGroups([]byte(groupsFile), []string{"linux", "windows"})
	if len(wrong) > 0 {
		t.Fatal(wrong)
	}
	zurich, err := time.LoadLocation("Europe/Zurich")
	if err != nil {
		t.Fatal(err)
	}
	every := [7]bool{true, true, true, true, true, true, true}
	want := []pool.Group{
		{
			Name: "linux", Pool: "linux", Agents: "linux-*", Max: 20,
			Capabilities: map[string]string{"docker": "true", "java": "17.0.2", "Agent.OSArchitecture": "ARM64"},
			Warm: []pool.Window{
				{Count: 3, Days: [7]bool{false, true, true, true, true, true, false}, From: 420, To: 1110, Zone: zurich},
				{Count: 1, Days: every, To: 1440, Zone: time.UTC},
			},
		},
		{Name: "night", Pool: "linux", Max: 2, Warm: []pool.Window{
			{Count: 2, Days: [7]bool{true, false, false, false, false, true, true}, From: 1320, To: 360, Zone: time.UTC},
		}},
	}
	zones := cmp.Comparer(func(a, b *time.Location) bool { return a.String() == b.String() })
	if d := cmp.Diff(want, got, zones); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}

	for _, tt := range []struct {
		pools []string
		want  string
	}{{nil, ""}, {[]string{"Default"}, "Default"}} {
		got, wrong := config.ParseGroups([]byte("groups: [{name: a, max: 1}]"), tt.pools)
		if len(wrong) > 0 || got[0].Pool != tt.want {
			t.Errorf("pools %q: %+v, %v", tt.pools, got, wrong)
		}
	}
}

// TestWrongGroups: an error names the line, what is wrong with it, and what to do.
func TestWrongGroups(t *testing.T) {
	group := "groups:\n- name: a\n  max: 5\n"
	for _, tt := range []struct {
		file       string
		line       int
		what, hint string
	}{
		{"", 1, "the file is empty", `begin with "groups:"`},
		{"# only a comment\n", 1, "the file is empty", `begin with "groups:"`},
		{"groups:\n- name: [\n", 2, "not YAML", "check the indentation"},
		{"a\n", 1, "the file is not a mapping", `begin with "groups:"`},
		{"grups: []\n", 1, `unknown key "grups"`, "did you mean groups?"},
		{"groups: {}\n", 1, "groups is not a list of groups", `begin with "groups:"`},
		{"groups: []\n", 1, "groups is not a list of groups", `begin with "groups:"`},
		{"groups:\n- a\n", 2, "a group is not a mapping", `write it as "- name: linux"`},
		{"groups:\n- max: 5\n", 2, "a group has no name", `write it as "- name: linux"`},
		{"groups:\n- name: a\n", 2, "a group has no max", `"max: 10"`},
		{group + "- name: A\n  max: 1\n", 4, `the name "A" is used twice, first in line 2`, "another name"},
		{"groups:\n- name: a b\n  max: 1\n", 2, `name is "a b", which is no name of a group`, "use letters, digits and dashes"},
		{"groups:\n- name: a\n  max: 0\n", 3, `max is "0"`, "use a number from 1 to 10000"},
		{"groups:\n- name: a\n  max: many\n", 3, `max is "many"`, "use a number"},
		{group + "  max: 6\n", 4, "max is set twice, first in line 3", "remove one of them"},
		{group + "  capabilites: {}\n", 4, `unknown key "capabilites"`, "did you mean capabilities?"},
		{group + "  minReplicaCount: 1\n", 4, `unknown key "minReplicaCount"`, "use agents, capabilities, max, name, pool, warm"},
		{group + "  capabilities: docker\n", 4, "capabilities is not a mapping", "{docker: true"},
		{group + "  capabilities:\n    docker: [1]\n", 5, `capability "docker" is not a name and a value`, "{docker: true"},
		{group + "  capabilities:\n    azptend.kind: x\n", 5, "names that begin with azptend. are azptend's own", "another name"},
		{group + "  pool: windows2\n", 4, `pool is "windows2", which the keeper does not keep`, "did you mean windows?"},
		{group + "  pool: x\n", 4, `pool is "x"`, "use one of AZP_POOL (--pool): linux, windows"},
		{group, 2, `group "a" has no pool, and the keeper has 2`, "add pool: with one of linux, windows"},
		{group + "  warm: 3\n", 4, "warm is not a list", `write it as "- {count: 2`},
		{group + "  warm:\n  - days: mon\n    zone: UTC\n", 5, "a window has no count", "write at least count"},
		{group + "  warm: [{count: 6}]\n", 4, "count is 6, and max of the group is 5", "lower it, or raise max"},
		{group + "  warm:\n  - count: 1\n    days: mon-fr\n    zone: UTC\n", 6, `days has "mon-fr", which is not a day`, "use mon, tue"},
		{group + "  warm:\n  - count: 1\n    days: []\n    zone: UTC\n", 6, "days is empty", "name at least one day"},
		{group + "  warm:\n  - count: 1\n    hours: 7-18\n    zone: UTC\n", 6, `hours is "7-18"`, "use 24 hours in quotes"},
		{group + "  warm:\n  - count: 1\n    hours: 07:00-25:00\n    zone: UTC\n", 6, "which is no time of a day", "use 24 hours in quotes"},
		{group + "  warm:\n  - count: 1\n    hours: 07:00-07:00\n    zone: UTC\n", 6, "which is empty", "00:00-24:00"},
		{group + "  warm:\n  - count: 1\n    days: mon\n", 5, "a window with days or hours has no zone", "add zone"},
		{group + "  warm:\n  - count: 1\n    zone: Europe/Zurch\n", 6, `zone is "Europe/Zurch", which is no time zone`, "Europe/Zurich"},
		{group + "  warm:\n  - count: 1\n    zone: Local\n", 6, `zone is "Local"`, "or UTC"},
		{group + "  warm:\n  - count: 1\n    zone: ../../etc/passwd\n", 6, "which is no time zone", "or UTC"},
		{group + "---\ngroups: []\n", 4, "a second document begins here", "below one groups:"},
	} {
		groups, wrong := config.ParseGroups([]byte(tt.file), []string{"linux", "windows"})
		found := false
		for _, w := range wrong {
			found = found || w.Line == tt.line && strings.Contains(w.What, tt.what) && strings.Contains(w.Hint, tt.hint)
		}
		if !found || groups != nil {
			t.Errorf("%q: %+v, want line %d: %s (%s)", tt.file, wrong, tt.line, tt.what, tt.hint)
		}
	}
	if _, wrong := config.ParseGroups([]byte("groups:\n"+strings.Repeat("- {name: a, max: 0, mx: 1}\n", 3)), nil); len(wrong) != 8 {
		t.Errorf("of eight errors %d are found: %v", len(wrong), wrong)
	}
}

// TestGroupsOfAKeeper: what the settings say of the file, and of settings that do not fit it.
func TestGroupsOfAKeeper(t *testing.T) {
	file := filepath.Join(t.TempDir(), "groups.yaml")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("groups:\n- name: " + strings.Repeat("g", 40) + "\n  max: 3\n")
	keep := config.Setting{Group: config.Keeper}
	environ := least("AZP_KEEP_GROUPS_FILE=" + file)
	if s := loadedFor(t, keep, environ); len(s.Groups) != 1 || len(s.Warnings) != 0 {
		t.Errorf("%+v, %q", s.Groups, s.Warnings)
	}
	if s := loadedFor(t, keep, append(environ, "AZP_CAPABILITIES=a=b")); len(s.Warnings) != 1 || !strings.Contains(s.Warnings[0], "AZP_CAPABILITIES (--capability) has no effect") {
		t.Errorf("%q", s.Warnings)
	}
	for want, more := range map[string][]string{
		"has more than 64 characters":                        {"AZP_AGENT_NAME=" + strings.Repeat("p", 24)},
		"AZP_KEEP_SCALE_TOKEN is the same as AZP_KEEP_TOKEN": {"AZP_KEEP_TOKEN=0123456789abcdef", "AZP_KEEP_SCALE_TOKEN=0123456789abcdef"},
	} {
		if _, err := loadFor(t, keep, append(environ, more...)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	write("groups:\n- name: linux\n  max: 1\n  pool: other\n")
	if _, err := loadFor(t, keep, append(environ, "AZP_POOL_ID=7")); err == nil || !strings.Contains(err.Error(), `group "linux" has the pool "other", but the keeper's pool is given by its id`) {
		t.Errorf("%v", err)
	}
	s := loaded(t, environ)
	if wrong := s.LoadGroups(); len(wrong) > 0 || len(pool.GroupsOf(s.Groups, "Other")) != 1 || len(pool.GroupsOf(s.Groups, "linux")) != 0 {
		t.Errorf("for doctor: %v, %+v", wrong, s.Groups)
	}
	write("groups:\n- name: linux\n  max: none\n")
	if _, err := loadFor(t, keep, environ); err == nil || !strings.Contains(err.Error(), `AZP_KEEP_GROUPS_FILE (--groups-file) line 3: max is "none"`) {
		t.Errorf("%v", err)
	}
}

// FuzzGroups: of any file there are either groups that fit together, or errors that name a line and
// what to do.
func FuzzGroups(f *testing.F) {
	f.Add(groupsFile)
	f.Add("groups: [{name: a, max: 1, warm: [{count: 1, days: 'mon-mon,', hours: '24:00-1:0', zone: ''}]}]")
	f.Add("groups: &a\n- &b {name: *b, max: *a}\n")
	f.Add("groups: [&a {name: a, max: 1}, *a]")
	f.Add("? [a]\n: b\n---\n")
	f.Add("\xff\xfe\x00")
	f.Fuzz(func(t *testing.T, file string) {
		groups, wrong := config.ParseGroups([]byte(file), []string{"linux"})
		if (len(groups) > 0) == (len(wrong) > 0) {
			t.Fatalf("%q: %d groups and the errors %v", file, len(groups), wrong)
		}
		for _, w := range wrong {
			if w.Line < 1 || w.What == "" || w.Hint == "" {
				t.Fatalf("%q: %+v", file, w)
			}
		}
		names := map[string]bool{}
		for _, g := range groups {
			if g.Max < 1 || g.Name == "" || names[strings.ToLower(g.Name)] || g.Pool != "linux" {
				t.Fatalf("%q: %+v", file, g)
			}
			names[strings.ToLower(g.Name)] = true
			for _, w := range g.Warm {
				if w.Count < 1 || w.Count > g.Max || w.Zone == nil || w.From == w.To || w.From < 0 || w.From >= 1440 || w.To < 0 || w.To > 1440 || reflect.ValueOf(w.Days).IsZero() {
					t.Fatalf("%q: %+v", file, w)
				}
			}
		}
	})
}
