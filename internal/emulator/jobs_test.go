package emulator

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func ids(g got) string {
	var out []string
	for i := range g.num("count") {
		out = append(out, fmt.Sprint(g.num("value", i, "requestId")))
	}
	return strings.Join(out, " ")
}

func TestJobRequestList(t *testing.T) {
	w := newWorld(t)
	admin := w.admin()
	l := w.start("a1")
	w.register("a2")
	for range 3 { // 1 and 2 done, 3 assigned, 4 and 5 waiting
		if _, err := w.QueueJob(JobSpec{Demands: []string{"Agent.OS -equals Linux"}}); err != nil {
			t.Fatal(err)
		}
	}
	w.want(204, l.takeJob().complete("succeeded", false))
	w.want(204, l.takeJob().complete("failed", false))
	for range 2 {
		if _, err := w.QueueJob(JobSpec{Demands: []string{"docker"}}); err != nil {
			t.Fatal(err)
		}
	}
	plan := w.jobs[0].planID
	const path = pools + "/1/jobrequests"
	for query, want := range map[string]string{
		"":                                      "5 4 3 2 1",
		"?completedRequestCount=0":              "5 4 3",
		"?completedRequestCount=1":              "5 4 3 2",
		"?$top=250":                             "5 4 3 2 1",
		"?%24top=2":                             "5 4",
		"?%24top=2&continuationToken=4":         "3 2",
		"?agentId=1":                            "3 2 1",
		"?agentId=1&completedRequestCount=0":    "3",
		"?agentIds=1,2&completedRequestCount=0": "3",
		"?agentId=2":                            "",
		"?planId=" + plan:                       "1",
		"?planId=" + plan + "&jobId=" + newGUID(): "",
	} {
		g := w.want(200, w.call("GET", path+query, admin, nil))
		if ids(g) != want {
			t.Errorf("%s: got %q, want %q", query, ids(g), want)
		}
		matched := strings.Contains(g.raw, "matchedAgents")
		if wantMatched := want != "" && !strings.Contains(query, "top="); matched != wantMatched {
			t.Errorf("%s: matchedAgents there: %v, want %v", query, matched, wantMatched)
		}
	}
	g := w.call("GET", path+"?$top=2", admin, nil)
	if g.Header.Get("X-MS-ContinuationToken") != "4" {
		t.Errorf("the continuation token is %q", g.Header.Get("X-MS-ContinuationToken"))
	}
	g = w.call("GET", path, admin, nil)
	for i, want := range []string{"", "", "a1", "a1", "a1"} {
		if g.text("value", i, "reservedAgent", "name") != want {
			t.Errorf("request %d is reserved for %s", i, g.text("value", i, "reservedAgent", "name"))
		}
	}
	if g.at("value", 0, "result") != nil || g.at("value", 2, "receiveTime") != nil || g.text("value", 3, "result") != "failed" ||
		g.text("value", 3, "receiveTime") == "" || g.text("value", 0, "demands", 0) != "docker" {
		t.Errorf("the list is %s", g.raw)
	}
	if g = w.want(200, w.call("GET", path+"/2?includeStatus=true", admin, nil)); g.text("result") != "failed" || g.num("poolId") != 1 {
		t.Errorf("one request is %s", g.raw)
	}
	w.wantError(404, "TaskAgentJobNotFoundException", "", w.call("GET", path+"/99", admin, nil))
	w.want(400, w.call("GET", path+"?$top=many", admin, nil))
}

func TestFinishByListener(t *testing.T) { // plan.version below 8, and DELETE
	w := newWorld(t)
	l := w.start("a1")
	for range 2 {
		if _, err := w.QueueJob(JobSpec{}); err != nil {
			t.Fatal(err)
		}
	}
	job := l.takeJob()
	path := fmt.Sprint(pools, "/1/jobrequests/", job.request, vp)
	w.want(400, w.call("PATCH", path, l.bearer, obj{"requestId": 9}))
	w.want(400, w.call("PATCH", path, l.bearer, obj{"requestId": job.request, "result": "splendid"}))
	w.want(403, w.call("PATCH", path, w.bearer(), obj{"requestId": job.request}))
	g := w.want(200, w.call("PATCH", path, l.bearer, obj{"requestId": job.request, "finishTime": "2026-11-22T20:00:00Z", "result": "Succeeded"}))
	if g.text("result") != "succeeded" || g.text("finishTime") == "" {
		t.Errorf("finished: %s", g.raw)
	}
	job = l.takeJob()
	w.want(204, w.call("DELETE", fmt.Sprint(pools, "/1/jobrequests/", job.request, vp, "&result=3&agentShuttingDown=true"), l.bearer, nil))
	if j, _ := w.Job(2); j.Result != "canceled" {
		t.Errorf("the second job is %+v", j)
	}
	if !w.State().Pool("Default").Agent("a1").ShuttingDown {
		t.Error("the agent is not shutting down")
	}
	l.open2(t)
}

// open2 checks that a new session gets jobs again after a shutdown.
func (l *listener) open2(t *testing.T) {
	t.Helper()
	l.want(204, l.call("DELETE", pools+"/1/sessions/"+l.session+vp, l.bearer, nil))
	l.open()
	if l.State().Pool("Default").Agent("a1").ShuttingDown {
		t.Error("the agent is still shutting down in its next session")
	}
}

func TestQueueAndCancel(t *testing.T) {
	w := newWorld(t)
	if _, err := w.QueueJob(JobSpec{Pool: "nowhere"}); err == nil {
		t.Error("a job for no pool was queued")
	}
	if _, err := w.QueueJob(JobSpec{}); err == nil || !strings.Contains(err.Error(), "No agent found in pool Default which satisfies") {
		t.Errorf("a job nobody can take: %v", err)
	}
	j, err := w.QueueJob(JobSpec{Force: true, Demands: []string{"docker"}})
	if err != nil || j.Name != "Job 1" {
		t.Fatal(j, err)
	}
	w.register("offline")
	if _, err := w.QueueJob(JobSpec{}); err != nil {
		t.Errorf("an offline agent does not count: %v", err)
	}
	for range 2 {
		if err := w.CancelJob(j.RequestID); err != nil {
			t.Fatal(err)
		}
	}
	if j, _ = w.Job(j.RequestID); j.Result != "canceled" || j.Canceling {
		t.Errorf("the canceled job is %+v", j)
	}
	for _, err := range []error{w.CancelJob(99), second(w.Job(99)), second(w.JobLog(0))} {
		if !errors.Is(err, ErrNotFound) {
			t.Errorf("no such job: %v", err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// TestJobToken: the plan routes accept only the token of a job, and only for its own plan.
func TestJobToken(t *testing.T) {
	w := newWorld(t)
	l := w.start("a1")
	if _, err := w.QueueJob(JobSpec{}); err != nil {
		t.Fatal(err)
	}
	job := l.takeJob()
	path := job.base + "/timelines/" + job.timeline + "/records" + vp
	none := obj{"count": 0, "value": []obj{}}
	w.want(200, w.call("PATCH", path, job.token, none))
	w.want(200, w.call("GET", path, job.token, nil))
	w.want(403, w.call("PATCH", path, l.bearer, none))
	w.want(403, w.call("PATCH", path, w.admin(), none))
	w.want(401, w.call("PATCH", path, "", none))
	w.wantError(404, "TaskOrchestrationPlanNotFoundException", "", w.call("PATCH", strings.Replace(path, job.plan, newGUID(), 1), job.token, none))
	w.wantError(404, "TimelineNotFoundException", "", w.call("PATCH", strings.Replace(path, job.timeline, newGUID(), 1), job.token, none))
	w.want(400, w.call("PATCH", path, job.token, obj{"value": []obj{{"name": "no id"}}}))
	w.want(404, w.call("POST", job.base+"/logs/9"+vp, job.token, "x"))
	w.want(404, w.call("GET", job.base+"/logs/9", job.token, nil))
	w.want(400, w.call("POST", job.base+"/events"+vp, job.token, obj{"name": "JobCompleted", "jobId": newGUID()}))
	w.want(400, w.call("POST", job.base+"/events"+vp, job.token, obj{"name": "JobCompleted", "jobId": job.jobID, "result": "splendid"}))
	w.want(204, w.call("POST", job.base+"/events"+vp, job.token, obj{"name": "JobStarted", "jobId": job.jobID}))
	w.want(200, w.call("GET", job.base+"/timelines", job.token, nil))
	w.want(200, w.call("GET", job.base+"/logs", job.token, nil))
	if g := w.call("GET", pools, job.token, nil); g.num("count") != 0 {
		t.Errorf("a job sees pools: %s", g.raw)
	}
	w.want(204, job.complete("failed", false))
}

func TestDemands(t *testing.T) {
	a := &agent{system: map[string]string{"Agent.OS": "Linux", "Agent.Version": "5.282.3", "docker": "/usr/bin/docker"}, user: map[string]string{"gpu": "A100 80G"}}
	for d, want := range map[string]bool{
		"": false, "docker": true, "DOCKER": true, "maven": false, "Agent.OS -equals linux": true, "Agent.OS -equals Windows": false,
		"gpu -equals A100 80G": true, "Agent.Version -gtVersion 2.182.1": true, "Agent.Version -gtVersion 5.282.3": true,
		"Agent.Version -gtVersion 5.282.4": false, "Agent.OS -gtVersion 1.0.0": false, "docker -like x": false, " docker ": true,
	} {
		if a.satisfies([]string{d}) != want {
			t.Errorf("%q is met: %v, want %v", d, !want, want)
		}
	}
	if !a.satisfies(nil) || a.satisfies([]string{"docker", "maven"}) {
		t.Error("all demands must be met, and none are")
	}
}
