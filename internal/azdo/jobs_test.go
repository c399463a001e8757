package azdo_test

import (
	"testing"

	"github.com/azptend/azptend/internal/azdo"
)

func TestJobRequestsAreReadWhole(t *testing.T) {
	const list = `{"count":4,"value":[
		{"requestId":890666,"queueTime":"2026-09-28T11:20:22.4633333Z","jobName":"build","demands":["docker","Agent.Version -gtVersion 2.182.1"],
		 "matchedAgents":[{"id":3,"name":"placeholder","status":"offline"}],"definition":{"_links":{},"id":3129,"name":"ci"},"owner":{"id":673585,"name":"20260928.11"}},
		{"requestId":890665,"queueTime":"2026-09-28T11:20:21Z","assignTime":"2026-09-28T11:20:22Z","reservedAgent":{"id":7,"name":"a"},"demands":[]},
		{"requestId":890664,"queueTime":"2026-09-28T11:20:20Z","assignTime":"2026-09-28T11:20:22Z","receiveTime":"2026-09-28T11:20:23Z","result":null},
		{"requestId":890663,"queueTime":"2026-09-28T11:20:19Z","assignTime":"2026-09-28T11:20:22Z","receiveTime":"2026-09-28T11:20:23Z","finishTime":"2026-09-28T11:21:00Z","result":"succeeded"}]}`
	s := newServer(t, says(200, asJSON, list))
	got, err := s.client.JobRequests(t.Context(), 12, 25)
	if err != nil || len(got) != 4 {
		t.Fatalf("%d requests, %v", len(got), err)
	}
	for i, want := range []azdo.JobState{azdo.JobQueued, azdo.JobAssigned, azdo.JobRunning, azdo.JobFinished} {
		if state := got[i].State(); state != want {
			t.Errorf("request %d is %s, want %s", got[i].RequestID, state, want)
		}
	}
	queued := got[0]
	if len(queued.Demands) != 2 || queued.MatchedAgents[0].Name != "placeholder" || queued.Definition.Name != "ci" || queued.Owner.ID != 673585 {
		t.Errorf("the queued request is %+v", queued)
	}
	if got[1].ReservedAgent == nil || got[1].ReservedAgent.ID != 7 {
		t.Errorf("the assigned request is %+v", got[1])
	}
	q := s.seen()[0].Query
	if q.Get("completedRequestCount") != "25" || q.Has("$top") || q.Get("api-version") != "7.1-preview.1" {
		t.Errorf("asked with %v", q)
	}
}
