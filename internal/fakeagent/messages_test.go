package fakeagent

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func seal(key, plain []byte) (iv, sealed []byte) {
	block, _ := aes.NewCipher(key)
	iv = bytes.Repeat([]byte{7}, aes.BlockSize)
	pad := aes.BlockSize - len(plain)%aes.BlockSize
	sealed = append(bytes.Clone(plain), bytes.Repeat([]byte{byte(pad)}, pad)...)
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(sealed, sealed)
	return iv, sealed
}

func TestSessionKey(t *testing.T) {
	aesKey := bytes.Repeat([]byte{3}, 32)
	wrapped, err := rsa.EncryptOAEP(sha1.New(), rand.Reader, &testKey().PublicKey, aesKey, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, body := range map[string]any{
		"encrypted": map[string]any{"sessionId": "s", "encryptionKey": map[string]any{"encrypted": true, "value": wrapped}},
		"in clear":  map[string]any{"sessionId": "s", "encryptionKey": map[string]any{"encrypted": false, "value": aesKey}},
	} {
		var a sessionAnswer
		if err := json.Unmarshal(mustJSON(t, body), &a); err != nil {
			t.Fatal(err)
		}
		s, err := openSession(a, testKey())
		if err != nil || !bytes.Equal(s.key, aesKey) {
			t.Errorf("%s: %v %v", name, s, err)
		}
		iv, sealed := seal(aesKey, []byte("\xef\xbb\xbf{}"))
		got, err := s.decrypt(&message{IV: iv, Body: base64.StdEncoding.EncodeToString(sealed)})
		if err != nil || string(got) != "{}" {
			t.Errorf("%s: %q %v", name, got, err)
		}
	}
	s, err := openSession(sessionAnswer{SessionID: "s"}, testKey())
	if err != nil || s.key != nil {
		t.Errorf("without a key: %v %v", s, err)
	}
	if got, err := s.decrypt(&message{Body: "{}"}); err != nil || string(got) != "{}" {
		t.Errorf("in clear: %q %v", got, err)
	}
}

func FuzzDecrypt(f *testing.F) {
	key := bytes.Repeat([]byte{3}, 32)
	iv, sealed := seal(key, []byte("hello"))
	f.Add(iv, base64.StdEncoding.EncodeToString(sealed))
	f.Add(iv[:3], "AAAA")
	f.Add(iv, "")
	f.Fuzz(func(t *testing.T, iv []byte, body string) {
		got, err := session{key: key}.decrypt(&message{IV: iv, Body: body})
		if err == nil && len(got) > len(body) {
			t.Errorf("%d bytes out of %d", len(got), len(body))
		}
	})
}

func TestTimeSpan(t *testing.T) {
	for in, want := range map[string]time.Duration{
		"00:05:00": 5 * time.Minute, "1.02:00:30": 26*time.Hour + 30*time.Second, "00:00:01.5000000": 1500 * time.Millisecond,
	} {
		if got, err := parseTimeSpan(in); err != nil || got != want {
			t.Errorf("%s: %v %v", in, got, err)
		}
	}
	for _, in := range []string{"", "5", "a:b:c", "00:05", "x.00:05:00"} {
		if _, err := parseTimeSpan(in); err == nil {
			t.Errorf("%q was read", in)
		}
	}
	if got := (cancelBody{Timeout: "00:00:05"}).timeout(); got != time.Minute {
		t.Errorf("a cancellation's timeout is %v", got)
	}
}

const jobJSON = `{"messageType":"PipelineAgentJobRequest","jobId":"7A0BC2A8-0000-0000-0000-000000000001","jobName":"__default",
"requestId":5,"plan":{"scopeIdentifier":"s","planId":"p","planType":"Build","version":7},"timeline":{"id":"t"},
"resources":{"endpoints":[{"name":"systemvssconnection","url":"http://127.0.0.1/org/","authorization":{"scheme":"OAuth","parameters":{"accessToken":"job-token"}}}]},
"variables":{"a.b":{"value":"1"},"number":{"value":12},"none":{"value":null},"pw":{"value":"hush","isSecret":true}},
"steps":[{"id":"x","name":"CmdLine","inputs":{"Script":"echo $(A.B) $(date) $(pw)"},"environment":{"E":"$(number)"}}]}`

func TestJobMessage(t *testing.T) {
	m, err := parseJobMessage([]byte("\xef\xbb\xbf" + jobJSON))
	if err != nil {
		t.Fatal(err)
	}
	if m.JobDisplayName != "__default" || m.reportsItself() {
		t.Errorf("read as %+v", m)
	}
	script, ok := lookUp(m.Steps[0].Inputs, "script")
	if got := m.expand(string(script)); !ok || got != "echo 1 $(date) hush" {
		t.Errorf("script %q", got)
	}
	if got := m.secretMask().Replace("hush, job-token"); got != "***, ***" {
		t.Errorf("masked %q", got)
	}
	if at, token, err := m.connection(); err != nil || at != "http://127.0.0.1/org/" || token != "job-token" {
		t.Errorf("connection %q %q %v", at, token, err)
	}
	for _, bad := range []string{"", "[]", "{}", `{"jobId":"x"}`} {
		if _, err := parseJobMessage([]byte(bad)); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
	if _, _, err := (jobMessage{}).connection(); err == nil {
		t.Error("a job without a connection has one")
	}
	if variableName("a.b c") != "A_B_C" {
		t.Error("variable names")
	}
}

func FuzzJobMessage(f *testing.F) {
	f.Add([]byte(jobJSON))
	f.Add([]byte(`{"jobId":"x","requestId":1,"steps":[{"inputs":{"script":"$($("}}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := parseJobMessage(body)
		if err != nil {
			return
		}
		m.secretMask()
		for _, s := range m.Steps {
			script, _ := lookUp(s.Inputs, "script")
			m.expand(string(script))
		}
		_, _ = newPlan(m, nil, "", 1)
	})
}

func FuzzFrame(f *testing.F) {
	var b bytes.Buffer
	if err := writeFrame(&b, ipcJob, []byte("{}")); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add([]byte{0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, in []byte) {
		kind, body, err := readFrame(bytes.NewReader(in))
		if err != nil {
			return
		}
		var again bytes.Buffer
		if err := writeFrame(&again, kind, body); err != nil || !bytes.HasPrefix(in, again.Bytes()) {
			t.Errorf("%x became %x", in, again.Bytes())
		}
	})
}

func TestTokenAnswers(t *testing.T) {
	token, life, err := parseToken(200, []byte(`{"access_token":"x","expires_in":"60"}`))
	if err != nil || token != "x" || life != time.Minute {
		t.Errorf("%q %v %v", token, life, err)
	}
	var refused *tokenError
	_, _, err = parseToken(400, []byte(`{"error":"invalid_client","error_description":"Current server time is 1"}`))
	if !errors.As(err, &refused) || !refused.isClockSkew() || isClientGone(err) {
		t.Errorf("skew: %v", err)
	}
	_, _, err = parseToken(400, []byte(`{"error":"invalid_client"}`))
	if !errors.As(err, &refused) || !isClientGone(err) {
		t.Errorf("gone: %v", err)
	}
	for _, body := range []string{"null", "{}", "<html>", ""} {
		if _, _, err := parseToken(200, []byte(body)); err == nil {
			t.Errorf("a token out of %q", body)
		}
	}
}

// TestFinishOfOldPlans: before plan version 8 the listener completes the job (7.4).
func TestFinishOfOldPlans(t *testing.T) {
	var got string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got = r.Method + " " + r.URL.RequestURI() + " " + string(b)
	}))
	defer srv.Close()
	hc := newHTTPClient()
	defer hc.CloseIdleConnections()
	c := &client{http: hc, token: func(context.Context, bool) (string, error) { return "x", nil }}
	pool := newPoolAPI(c, agentFile{PoolID: 3, ServerURL: srv.URL + "/org/"})
	if err := pool.finishJob(context.Background(), 5, succeededWithIssues); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"PATCH /org/_apis/distributedtask/pools/3/jobrequests/5?", "lockToken=" + noLock, `"result":"succeededWithIssues"`, `"finishTime":"`} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in %s", want, got)
		}
	}
}

func TestNotifierNeedsNoListener(t *testing.T) {
	var said bytes.Buffer
	for _, address := range []string{"", "localhost:1", "[::1]:1", "127.0.0.1", "127.0.0.1:1"} {
		n := connectNotifier(context.Background(), address, log.New(&said, "", 0))
		n.send("Starting job: x")
		n.close()
	}
	if got := strings.Count(said.String(), "cannot connect"); got != 4 {
		t.Errorf("said\n%s", said.String())
	}
}

func TestSteps(t *testing.T) {
	no := false
	for _, c := range []struct {
		s    step
		so   result
		want bool
	}{
		{step{}, succeeded, true}, {step{}, failed, false}, {step{Condition: "always()"}, failed, true},
		{step{Condition: "failed()"}, succeeded, false}, {step{Condition: " failed( ) "}, failed, true},
		{step{Condition: "succeededOrFailed()"}, failed, true}, {step{Enabled: &no}, succeeded, false},
		{step{}, succeededWithIssues, true},
	} {
		if got := c.s.mayRun(c.so); got != c.want {
			t.Errorf("%+v after %v: %v", c.s, c.so, got)
		}
	}
	if worseOf(succeeded, skipped) != succeeded || worseOf(failed, succeeded) != failed || worseOf(failed, canceled) != failed || worseOf(succeededWithIssues, succeeded) != succeededWithIssues {
		t.Error("the worse of two results")
	}
	for r := succeeded; r <= abandoned; r++ {
		if got, ok := resultOfWorker(workerExitBase + int(r)); !ok || got != r {
			t.Errorf("%v became %v", r, got)
		}
	}
	if _, ok := resultOfWorker(1); ok {
		t.Error("a crash is a result")
	}
	if succeededWithIssues.wire() != "succeededWithIssues" || result(42).String() != "Failed" {
		t.Error("names of results")
	}
}
