package emulator

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestPutAgents(t *testing.T) {
	w := newWorld(t)
	specs := []AgentSpec{
		{Name: "dead", CreatedAgo: 26 * time.Hour, ChangedAgo: 3 * time.Hour, UserCapabilities: map[string]string{"k": "v"}, LastJob: &JobSpec{Demands: []string{"docker"}}},
		{Name: "busy", Version: "4.9.0", Online: true, SystemCapabilities: map[string]string{"docker": "1"}, Job: &JobSpec{Name: "long"}, JobAgo: time.Hour},
		{Name: "cut", Disabled: true, ChangedAgo: -1, CreatedAgo: -1, Job: &JobSpec{}},
		{Name: "idle", Online: true},
	}
	put, err := NewControl(w.url, nil).PutAgents(w.ctx(), specs...)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(w.State().Pools[0].Agents, put); diff != "" || len(put) != 4 {
		t.Fatalf("it answers something else than there is: %s", diff)
	}
	now := testClock()
	dead, busy, cut := put[0], put[1], put[2]
	if !dead.CreatedOn.Equal(now.Add(-26*time.Hour)) || !dead.StatusChangedOn.Equal(now.Add(-3*time.Hour)) || dead.Status != "offline" || dead.Version != "5.282.3" {
		t.Errorf("dead is %+v", dead)
	}
	if busy.Status != "online" || busy.Version != "4.9.0" || busy.AssignedRequest == 0 || busy.AssignedRequest == cut.AssignedRequest || cut.Enabled {
		t.Errorf("busy is %+v, cut is %+v", busy, cut)
	}
	all := w.want(200, w.call("GET", "/_apis/distributedtask/pools/1/agents"+v71+"&includeCapabilities=true&includeAssignedRequest=true&includeLastCompletedRequest=true", w.admin(), nil))
	if all.text("value", 0, "lastCompletedRequest", "demands", 0) != "docker" || all.text("value", 1, "assignedRequest", "jobName") != "long" ||
		all.at("value", 2, "createdOn") != nil || all.at("value", 2, "statusChangedOn") != nil {
		t.Errorf("on the wire they are %s", all.raw)
	}
	if j, _ := w.Job(busy.AssignedRequest); !j.AssignTime.Equal(now.Add(-time.Hour)) || j.State != JobRunning {
		t.Errorf("its job is %+v", j)
	}
	w.Advance(48 * time.Hour) // neither the session nor the lock expires
	if s := w.State().Pools[0]; s.Agent("busy").Status != "online" || s.Agent("cut").AssignedRequest != cut.AssignedRequest {
		t.Errorf("two days later they are %+v", s.Agents)
	}
	if _, err := w.QueueJob(JobSpec{Force: true}); err != nil || w.State().Pools[0].Agent("idle").AssignedRequest == 0 {
		t.Errorf("the job was not given to who was idle: %v", err)
	}
	again, err := w.PutAgents(AgentSpec{Name: "BUSY"})
	if err != nil || again[0].ID <= put[3].ID || w.State().Pools[0].Agent("busy") != nil {
		t.Errorf("put again it is %+v, %v", again, err)
	}
	if j, _ := w.Job(busy.AssignedRequest); j.Result != "abandoned" {
		t.Errorf("the job of who was replaced is %+v", j)
	}
}

func TestPutAgentsRefuses(t *testing.T) {
	w := newWorld(t)
	for why, spec := range map[string]AgentSpec{
		"no pool": {Name: "a", Pool: "x"}, "no name": {}, "version": {Name: "a", Version: "4"},
	} {
		if _, err := w.PutAgents(AgentSpec{Name: "good"}, spec); err == nil || !strings.Contains(err.Error(), why) || len(w.State().Pools[0].Agents) != 0 {
			t.Errorf("%s: %v", why, err)
		}
	}
	for _, text := range []string{`{"name":"a","changedAgo":"yesterday"}`, `{"name":"a","changedAgo":"-3h"}`, `{"nmae":"a"}`} {
		var s AgentSpec
		if err := json.Unmarshal([]byte(text), &s); err == nil {
			t.Errorf("%s is read as %+v", text, s)
		}
	}
}
