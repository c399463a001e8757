package repository

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/azptend/azptend/internal/doctor"
)

// TestDoctorCoversTheStart: each reason for which run fails before its agent is ready is found by a check
// of the doctor, or is an exception.
func TestDoctorCoversTheStart(t *testing.T) {
	type cover struct {
		check     doctor.Name
		exception string // why no check can find it
	}
	const beside = "doctor runs beside the azptend that has it"
	steps := map[string]cover{ // in internal/cli/run.go: what returns an error
		"config.Load": {check: doctor.Settings}, "s.OnPlatform": {check: doctor.Settings},
		"proc.ReserveThreads": {exception: "a limit of processes that is reached at that moment"},
		"openHealth":          {check: doctor.Settings},
		"r.prepareDirs":       {check: doctor.Folder},
		"proc.NewInit":        {exception: "doctor makes one itself, and fails with the same error"},
		"r.superviseAgents":   {exception: "its own steps are in this table"},
		"r.agentOptions":      {exception: "its own steps are in this table"},
		"r.oneAgent":          {exception: "its own steps are in this table"},
		"agentdir.Dir":        {exception: beside}, // Lock; ReadHandoff is part of the check folder
		"r.newClient":         {check: doctor.Identity},
		"mslistener.CABundle": {check: doctor.Folder},
		"proc.RunAs":          {check: doctor.Settings},
	}
	outcomes := map[string]cover{ // of a call before the agent is ready, in internal/lifecycle/event.go
		"AnswerLost": {check: doctor.Network}, "Unreachable": {check: doctor.Network}, "Unclear": {check: doctor.Organisation},
		"Denied": {check: doctor.Role}, "Refused": {check: doctor.PoolKind}, "DirUnusable": {check: doctor.Folder},
		"ListenerFailed": {check: doctor.Clock}, "DirInUse": {exception: beside},
		"NameTaken":     {exception: "run waits for AZP_NAME_WAIT, and doctor cannot know who has the name by then"},
		"InternalError": {exception: "a fault of azptend, or the machine is out of resources at that moment"},
		"OK":            {exception: "no failure"},
		"NotFound":      {exception: "only after the agent was registered"}, "JobRunning": {exception: "only after the agent was registered"},
		"JobCut": {exception: "only after the agent was ready"}, "JobCancelled": {exception: "only after the agent was ready"}, "NotRemoved": {exception: "only after the agent was registered"},
	}
	known := map[doctor.Name]bool{}
	for _, c := range doctor.Checks() {
		known[c.Name] = true
	}
	for _, source := range []struct {
		file, pattern string
		covers        map[string]cover
	}{
		{"../../internal/cli/run.go", `(?m)^\t+(?:if )?[\w., ]*\berr :?= ([\w.]+)[({]`, steps},
		{"../../internal/lifecycle/event.go", `(?m)^\t(\w+) +Outcome = "`, outcomes},
	} {
		b, err := os.ReadFile(source.file)
		if err != nil {
			t.Fatal(err)
		}
		found := map[string]bool{}
		for _, m := range regexp.MustCompile(source.pattern).FindAllSubmatch(b, -1) {
			found[string(m[1])] = true
		}
		want := slices.Sorted(maps.Keys(source.covers))
		if got := slices.Sorted(maps.Keys(found)); !slices.Equal(got, want) {
			t.Errorf("%s has %q; this test knows %q: give each new one a check of the doctor, or say why there is none", source.file, got, want)
		}
		for name, c := range source.covers {
			if known[c.check] == (c.exception != "") {
				t.Errorf("%s: check %q, exception %q", name, c.check, c.exception)
			}
		}
	}
}
