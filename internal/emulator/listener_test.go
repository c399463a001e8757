package emulator

import (
	"context"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net/url"
	"sync"
	"testing"
	"time"
)

// listener is the agent's side of the protocol, written from agent-protocol.md 7 with plain crypto.
type listener struct {
	*world
	key     *rsa.PrivateKey
	id      int
	name    string
	client  string
	authURL string
	bearer  string
	session string
	aes     []byte
}

var agentKey = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

func publicKeyOf(k *rsa.PrivateKey) publicKeyJSON {
	return publicKeyJSON{
		Exponent: base64.StdEncoding.EncodeToString(big.NewInt(int64(k.E)).Bytes()),
		Modulus:  base64.StdEncoding.EncodeToString(k.N.FillBytes(make([]byte, 256))),
	}
}

func agentBody(name string) obj {
	return obj{
		"name": name, "version": "5.282.3", "osDescription": "Debian GNU/Linux 12 (bookworm)", "maxParallelism": 1,
		"provisioningState": "Provisioned", "authorization": obj{"publicKey": publicKeyOf(agentKey())},
		"systemCapabilities": obj{"Agent.Name": name, "Agent.OS": "Linux", "Agent.Version": "5.282.3"},
		"userCapabilities":   obj{"azptend.instance": "i-1"},
	}
}

// register adds an agent to pool 1.
func (w *world) register(name string) *listener {
	w.Helper()
	g := w.want(200, w.call("POST", agents+v71, w.bearer(), agentBody(name)))
	return &listener{world: w, key: agentKey(), id: g.num("id"), name: name,
		client: g.text("authorization", "clientId"), authURL: g.text("authorization", "authorizationUrl")}
}

// assertion is the client assertion of agent-protocol.md 7.1. change can make it invalid.
func (l *listener) assertion(change func(obj)) string {
	now := l.Now().Unix()
	claims := obj{"sub": l.client, "jti": newGUID(), "iss": l.client, "aud": l.authURL, "nbf": now, "exp": now + 300}
	if change != nil {
		change(claims)
	}
	body, _ := json.Marshal(claims)
	signed := b64url.EncodeToString([]byte(`{"alg":"RS256","typ":"JWT"}`)) + "." + b64url.EncodeToString(body)
	sum := sha256.Sum256([]byte(signed))
	sig, err := rsa.SignPKCS1v15(nil, l.key, crypto.SHA256, sum[:])
	if err != nil {
		l.Fatal(err)
	}
	return signed + "." + b64url.EncodeToString(sig)
}

func (l *listener) exchange(assertion string) got {
	l.Helper()
	form := url.Values{"grant_type": {"client_credentials"}, "client_assertion_type": {assertionType}, "client_assertion": {assertion}}
	return l.call("POST", "!"+l.authURL, "", form.Encode(), "Content-Type: application/x-www-form-urlencoded", "Accept: application/json")
}

func (l *listener) signIn() {
	l.Helper()
	l.bearer = "Bearer " + l.want(200, l.exchange(l.assertion(nil))).text("access_token")
}

func (l *listener) tryOpen() got {
	l.Helper()
	return l.call("POST", pools+"/1/sessions"+vp, l.bearer, obj{"ownerName": "host-1",
		"agent":              obj{"id": l.id, "name": l.name, "version": "5.282.3", "osDescription": "Debian"},
		"systemCapabilities": obj{"Agent.Name": l.name, "Agent.OS": "Linux", "Agent.Version": "5.282.3", "docker": "/usr/bin/docker"}})
}

func (l *listener) open() {
	l.Helper()
	g := l.want(200, l.tryOpen())
	l.session = g.text("sessionId")
	sealed, err := base64.StdEncoding.DecodeString(g.text("encryptionKey", "value"))
	if err != nil {
		l.Fatal(err)
	}
	if l.aes, err = rsa.DecryptOAEP(sha1.New(), nil, l.key, sealed, nil); err != nil || len(l.aes) != 32 {
		l.Fatalf("cannot open the session key (%d bytes): %v", len(l.aes), err)
	}
}

// start registers an agent, signs in and opens a session.
func (w *world) start(name string) *listener {
	w.Helper()
	l := w.register(name)
	l.signIn()
	l.open()
	return l
}

func (l *listener) poll(ctx context.Context, last int) (got, error) {
	q := vp + "&sessionId=" + l.session
	if last > 0 {
		q += fmt.Sprint("&lastMessageId=", last)
	}
	return l.try(ctx, "GET", pools+"/1/messages"+q, l.bearer, nil)
}

// open decrypts the body of a message.
func (l *listener) body(g got) got {
	l.Helper()
	iv, err1 := base64.StdEncoding.DecodeString(g.text("iv"))
	body, err2 := base64.StdEncoding.DecodeString(g.text("body"))
	if err1 != nil || err2 != nil || len(body) == 0 || len(body)%aes.BlockSize != 0 {
		l.Fatalf("message %s is not what a listener can read", g.raw)
	}
	block, err := aes.NewCipher(l.aes)
	if err != nil {
		l.Fatal(err)
	}
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(body, body)
	out := got{raw: string(body[:len(body)-int(body[len(body)-1])])}
	if err := json.Unmarshal([]byte(out.raw), &out.json); err != nil {
		l.Fatalf("the message's body is no JSON: %v: %s", err, out.raw)
	}
	return out
}

// next polls for a message that must come, decrypts it and deletes it.
func (l *listener) next(kind string) (int, got) {
	l.Helper()
	g, err := l.poll(l.ctx(), 0)
	if err != nil {
		l.Fatal(err)
	}
	if l.want(200, g); g.text("messageType") != kind {
		l.Fatalf("got message %s, want a %s", g.raw, kind)
	}
	b := l.body(g)
	l.ack(g.num("messageId"))
	return g.num("messageId"), b
}

func (l *listener) ack(id int) {
	l.Helper()
	l.want(204, l.call("DELETE", fmt.Sprintf("%s/1/messages/%d%s&sessionId=%s", pools, id, vp, l.session), l.bearer, nil))
}

func (l *listener) tryRenew(request int) got {
	l.Helper()
	return l.call("PATCH", fmt.Sprintf("%s/1/jobrequests/%d%s&lockToken=00000000-0000-0000-0000-000000000000", pools, request, vp),
		l.bearer, obj{"requestId": request})
}

// work is one job, as a worker sees it.
type work struct {
	*listener
	message              got
	request              int
	jobID, token, base   string
	timeline, step, plan string
	script, jobDisplay   string
	endpointName         string
}

func (l *listener) takeJob() *work {
	l.Helper()
	_, b := l.next(msgJob)
	w := &work{listener: l, message: b, request: b.num("requestId"), jobID: b.text("jobId"), timeline: b.text("timeline", "id"),
		step: b.text("steps", 0, "id"), script: b.text("steps", 0, "inputs", "script"), plan: b.text("plan", "planId"),
		jobDisplay: b.text("jobDisplayName"), endpointName: b.text("resources", "endpoints", 0, "name")}
	w.token = "Bearer " + b.text("resources", "endpoints", 0, "authorization", "parameters", "AccessToken")
	w.base = "!" + b.text("resources", "endpoints", 0, "url") + b.text("plan", "scopeIdentifier") +
		"/_apis/distributedtask/hubs/" + b.text("plan", "planType") + "/plans/" + w.plan
	if b.num("plan", "version") < 8 || b.text("steps", 0, "type") != "task" || b.text("steps", 0, "reference", "name") != "CmdLine" {
		l.Errorf("not the job that was expected: %s", b.raw)
	}
	return w
}

func (w *work) complete(result string, shuttingDown bool) got {
	w.Helper()
	return w.call("POST", w.base+"/events?api-version=2.0-preview.1", w.token, obj{
		"name": "JobCompleted", "jobId": w.jobID, "requestId": w.request, "result": result, "agentShuttingDown": shuttingDown})
}

// TestListenerRoundTrip: an agent registers, runs one job and is removed.
func TestListenerRoundTrip(t *testing.T) {
	w := newWorld(t)
	l := w.start("a1")
	j, err := w.QueueJob(JobSpec{Name: "hello", Script: "echo hello", Demands: []string{"docker", "Agent.Version -gtVersion 2.182.1"}})
	if err != nil || j.State != JobAssigned {
		t.Fatalf("queued %+v, %v", j, err)
	}
	w.wantError(400, "TaskAgentJobStillRunningException", `Agent "a1" is running a job for pool "Default"`,
		w.call("DELETE", fmt.Sprint(agents, "/", l.id, v71), w.bearer(), nil))

	job := l.takeJob()
	if job.script != "echo hello" || job.jobDisplay != "hello" || job.endpointName != "SystemVssConnection" {
		t.Errorf("got job %+v", job)
	}
	if j, _ = w.Job(j.RequestID); j.State != JobReceived {
		t.Errorf("after the acknowledgement the job is %s", j.State)
	}
	if g := w.want(200, l.tryRenew(job.request)); g.text("lockedUntil") != "2026-11-22T20:10:00.1234567Z" {
		t.Errorf("renewed until %s", g.text("lockedUntil"))
	}
	job.report(t)
	if s, _ := w.JobLog(j.RequestID); s != "hello\nworld\n" {
		t.Errorf("live log is %q", s)
	}
	w.want(204, job.complete("succeeded", true))
	w.want(204, job.complete("succeeded", true)) // a repeated event has no effect
	if j, _ = w.Job(j.RequestID); j.State != JobCompleted || j.Result != "succeeded" || j.Agent != "a1" {
		t.Errorf("at the end the job is %+v", j)
	}
	if s, _ := w.JobLog(j.RequestID); s != "2026-11-22 hello\n2026-11-22 world\n" {
		t.Errorf("final log is %q", s)
	}
	w.wantError(404, "TaskAgentJobTokenExpiredException", "", l.tryRenew(job.request))

	if j2, _ := w.QueueJob(JobSpec{Script: "true"}); j2.State != JobQueued {
		t.Errorf("an agent that is shutting down was given job %+v", j2)
	}
	w.want(204, l.call("DELETE", pools+"/1/sessions/"+l.session+vp, l.bearer, nil))
	w.want(204, w.call("DELETE", fmt.Sprint(agents, "/", l.id, v71), w.bearer(), nil))
	w.checkJournal(EventAgentAdded, EventAgentToken, EventSessionCreated, EventJobQueued, EventJobAssigned, EventMessageDelivered,
		EventMessageDeleted, EventJobReceived, EventJobStarted, EventAgentShutting, EventJobFinished, EventJobQueued,
		EventSessionDeleted, EventAgentRemoved)
}

// report sends what a worker sends during a job: records, feed, log.
func (w *work) report(t *testing.T) {
	t.Helper()
	tl := w.base + "/timelines/" + w.timeline
	records := func(v ...obj) obj { return obj{"count": len(v), "value": v} }
	w.want(200, w.call("PATCH", tl+"/records"+vp, w.token, records(
		obj{"id": w.jobID, "type": "Job", "name": "Job", "state": "inProgress", "workerName": "a1"},
		obj{"id": w.step, "parentId": w.jobID, "type": "Task", "name": "CmdLine", "state": "inProgress"})))
	w.want(204, w.call("POST", tl+"/records/"+w.step+"/feed"+vp, w.token, obj{"value": []string{"hello", "world"}, "count": 2, "stepId": w.step, "startLine": 1}))
	log := w.want(200, w.call("POST", w.base+"/logs"+vp, w.token, obj{"path": `logs\` + w.step}))
	path := fmt.Sprint(w.base, "/logs/", log.num("id"))
	w.want(200, w.call("POST", path+vp, w.token, "2026-11-22 hello\n", "Content-Type: application/octet-stream"))
	if g := w.want(200, w.call("POST", path+vp, w.token, "2026-11-22 world\n")); g.num("lineCount") != 2 {
		t.Errorf("log has %d lines", g.num("lineCount"))
	}
	w.want(200, w.call("PATCH", tl+"/records"+vp, w.token, records(
		obj{"id": w.step, "state": "completed", "result": "succeeded", "log": obj{"id": log.num("id")}})))
	g := w.want(200, w.call("GET", tl+"?includeRecords=true&api-version=7.1-preview.1", w.token, nil))
	if g.text("records", 1, "name") != "CmdLine" || g.text("records", 1, "state") != "completed" || g.text("records", 0, "type") != "Job" {
		t.Errorf("the timeline is %s", g.raw)
	}
	if g := w.want(200, w.call("GET", path, w.token, nil)); g.raw != "2026-11-22 hello\n2026-11-22 world\n" {
		t.Errorf("the log is %q", g.raw)
	}
}

// checkJournal compares the types of events, without those of tokens and pools.
func (w *world) checkJournal(want ...string) {
	w.Helper()
	events, err := w.Events(w.ctx(), 0)
	if err != nil {
		w.Fatal(err)
	}
	var have []string
	for i, ev := range events {
		if ev.Seq != uint64(i+1) {
			w.Errorf("event %d has number %d", i+1, ev.Seq)
		}
		if ev.Type != EventTokenIssued && ev.Type != EventPoolAdded && ev.Type != EventQueueAdded {
			have = append(have, ev.Type)
		}
	}
	if fmt.Sprint(have) != fmt.Sprint(want) {
		w.Errorf("the journal has\n%v, want\n%v", have, want)
	}
}

// TestPollWaits: a poll returns a message that arrives during the poll. The message is delivered
// again until it is deleted.
func TestPollWaits(t *testing.T) {
	w := newWorld(t)
	l := w.start("a1")
	hold := make(chan got, 1)
	go func() {
		g, _ := l.poll(w.ctx(), 0)
		hold <- g
	}()
	if _, err := w.WaitState(w.ctx(), func(s State) bool { return s.Pool("Default").Agent("a1").Session.Polling }); err != nil {
		t.Fatal(err)
	}
	if _, err := w.QueueJob(JobSpec{Script: "true"}); err != nil {
		t.Fatal(err)
	}
	first := w.want(200, <-hold)
	id := first.num("messageId")
	again, err := l.poll(w.ctx(), 0)
	if err != nil || again.num("messageId") != id {
		t.Errorf("not redelivered: %v %v", again.raw, err)
	}
	l.body(again)
	l.ack(id)
	l.ack(id) // a second deletion has no effect

	// With lastMessageId an undeleted message is not delivered again, and an idle poll returns
	// nothing.
	if err := w.CancelJob(1); err != nil {
		t.Fatal(err)
	}
	second, err := l.poll(w.ctx(), id)
	if b := l.body(second); err != nil || second.text("messageType") != msgCancel || b.text("jobId") == "" || b.text("timeout") != "00:05:00" {
		t.Errorf("the cancellation is %s, %v", b.raw, err)
	}
	id = second.num("messageId") // not deleted
	go func() {
		g, _ := l.poll(w.ctx(), id)
		hold <- g
	}()
	if _, err := w.WaitState(w.ctx(), func(s State) bool { return s.Pool("Default").Agent("a1").Session.Polling }); err != nil {
		t.Fatal(err)
	}
	w.Advance(longPoll)
	if g := w.want(200, <-hold); g.raw != "" {
		t.Errorf("an idle poll answered %q", g.raw)
	}
}

// TestPollOfRemovedAgent: the DELETE of an agent ends its poll.
func TestPollOfRemovedAgent(t *testing.T) {
	for assumed, status := range map[bool]int{false: 404, true: 401} {
		w := newWorld(t, func(o *Options) { o.Assumptions.RemovedAgentUnauthorized = assumed })
		l := w.start("a1")
		hold := make(chan got, 1)
		go func() {
			g, _ := l.poll(w.ctx(), 0)
			hold <- g
		}()
		if _, err := w.WaitState(w.ctx(), func(s State) bool { return s.Pool("Default").Agent("a1").Session.Polling }); err != nil {
			t.Fatal(err)
		}
		w.want(204, w.call("DELETE", fmt.Sprint(agents, "/", l.id, v71), w.bearer(), nil))
		g := w.want(status, <-hold)
		if status == 404 {
			w.wantError(404, "TaskAgentNotFoundException", "No agent found for pool 1 with identifier 1.", g)
		}
		w.want(status, l.tryOpen())
		if g := w.want(400, l.exchange(l.assertion(nil))); g.text("error") != "invalid_client" ||
			g.text("error_description") != "Registration "+l.client+" was not found." {
			t.Errorf("the exchange answered %s", g.raw)
		}
	}
}

func TestSessions(t *testing.T) {
	w := newWorld(t)
	l := w.start("a1")
	w.wantError(409, "TaskAgentSessionConflictException", "The task agent a1 already has an active session for owner host-1.", l.tryOpen())
	w.wantError(403, "AccessDeniedException", "Access denied. emulated-agents needs Listen permissions for pool Default to perform the action. For more information, contact the Azure DevOps Server administrator.",
		w.call("POST", pools+"/1/sessions"+vp, w.bearer(), obj{"agent": obj{"id": l.id}}))
	other := w.register("a2")
	other.signIn()
	other.session = l.session
	if g, _ := other.poll(w.ctx(), 0); g.StatusCode != 404 || g.text("typeKey") != "TaskAgentSessionExpiredException" {
		t.Errorf("another agent's session: %s", g.raw)
	}
	if a := w.State().Pool("Default").Agent("a1"); a.Status != "online" || a.SystemCapabilities["docker"] == "" || a.UserCapabilities["azptend.instance"] != "i-1" {
		t.Errorf("online agent is %+v", a)
	}
	w.Advance(sessionLife - time.Second)
	if a := w.State().Pool("Default").Agent("a1"); a.Status != "online" {
		t.Error("the session expired early")
	}
	w.Advance(time.Second)
	w.waitFor(EventSessionExpired)
	if a := w.State().Pool("Default").Agent("a1"); a.Status != "offline" || !a.StatusChangedOn.Equal(w.Now()) {
		t.Errorf("after the session's life the agent is %+v", a)
	}
	g, _ := l.poll(w.ctx(), 0)
	w.wantError(404, "TaskAgentSessionExpiredException", "", g)
	l.open()
	w.want(204, l.call("DELETE", pools+"/1/sessions/"+l.session+vp, l.bearer, nil))
	w.wantError(404, "TaskAgentSessionExpiredException", "", l.call("DELETE", pools+"/1/sessions/"+l.session+vp, l.bearer, nil))
}

// TestAbandoned: a lock that is not renewed expires, and the agent is free again.
func TestAbandoned(t *testing.T) {
	w := newWorld(t)
	l := w.start("a1")
	for _, script := range []string{"one", "two"} {
		if _, err := w.QueueJob(JobSpec{Script: script}); err != nil {
			t.Fatal(err)
		}
	}
	job := l.takeJob()
	w.want(200, l.tryRenew(job.request))
	for range 2 { // a renewal extends the lock; the session that is not polled ends meanwhile, which does not affect the job
		w.Advance(sessionLife - time.Second)
		w.want(200, l.tryRenew(job.request))
	}
	w.Advance(renewedLock)
	if j, _ := w.Job(1); j.Result != "abandoned" {
		t.Errorf("the first job is %+v", j)
	}
	w.wantError(404, "TaskAgentJobTokenExpiredException", "", l.tryRenew(job.request))
	w.wantError(404, "TaskAgentJobNotFoundException", "No agent job request found with identifier 77.", l.tryRenew(77))
	l.open()
	if j, _ := w.Job(2); j.State != JobAssigned {
		t.Errorf("the second job is %+v", j)
	}
	w.Advance(firstLock) // never received
	if j, _ := w.Job(2); j.Result != "abandoned" {
		t.Errorf("the second job is %+v", j)
	}
	if n := w.State().Pool("Default").Agent("a1").Inbox; n != 0 {
		t.Errorf("%d messages about an abandoned job are left", n)
	}
}
