package fakeagent

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// poolAPI has the listener's requests to its pool, with the agent's token.
type poolAPI struct {
	client *client
	base   string // {serverUrl}/_apis/distributedtask/pools/{id}
}

func newPoolAPI(c *client, a agentFile) *poolAPI {
	return &poolAPI{client: c, base: fmt.Sprintf("%s/_apis/distributedtask/pools/%d", strings.TrimRight(a.ServerURL, "/"), a.PoolID)}
}

func (p *poolAPI) url(path string, query url.Values) string {
	if query == nil {
		query = url.Values{}
	}
	query.Set("api-version", apiVersion)
	return p.base + path + "?" + query.Encode()
}

// sessionRequest is the body of 7.2.
type sessionRequest struct {
	OwnerName          string            `json:"ownerName"`
	Agent              agentReference    `json:"agent"`
	SystemCapabilities map[string]string `json:"systemCapabilities"`
}

type agentReference struct {
	ID            int    `json:"id"`
	Name          string `json:"name"`
	Version       string `json:"version"`
	OSDescription string `json:"osDescription"`
}

// sessionAnswer is the server's answer. The key may be absent, or not encrypted (7.2).
type sessionAnswer struct {
	SessionID     string `json:"sessionId"`
	EncryptionKey *struct {
		Encrypted bool   `json:"encrypted"`
		Value     []byte `json:"value"`
	} `json:"encryptionKey"`
}

func (p *poolAPI) createSession(ctx context.Context, r sessionRequest) (sessionAnswer, error) {
	var a sessionAnswer
	err := p.client.call(ctx, http.MethodPost, p.url("/sessions", nil), r, &a)
	if err == nil && a.SessionID == "" {
		err = fmt.Errorf("cannot use the session: it has no id")
	}
	return a, err
}

func (p *poolAPI) deleteSession(ctx context.Context, id string) error {
	return p.client.call(ctx, http.MethodDelete, p.url("/sessions/"+url.PathEscape(id), nil), nil, nil)
}

// message is a message (7.3) whose body is not decrypted.
type message struct {
	ID   int64  `json:"messageId"`
	Type string `json:"messageType"`
	IV   []byte `json:"iv"`
	Body string `json:"body"`
}

// nextMessage is the long poll. It returns nil if there is no message. The first call has no
// lastMessageId.
func (p *poolAPI) nextMessage(ctx context.Context, session string, last int64) (*message, error) {
	query := url.Values{"sessionId": {session}}
	if last > 0 {
		query.Set("lastMessageId", strconv.FormatInt(last, 10))
	}
	ctx, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()
	var m *message
	err := p.client.call(ctx, http.MethodGet, p.url("/messages", query), nil, &m)
	if m != nil && m.ID == 0 && m.Type == "" {
		m = nil // "{}"
	}
	return m, err
}

func (p *poolAPI) deleteMessage(ctx context.Context, session string, id int64) error {
	path := "/messages/" + strconv.FormatInt(id, 10)
	return p.client.call(ctx, http.MethodDelete, p.url(path, url.Values{"sessionId": {session}}), nil, nil)
}

// noLock is the lock token that agents send (7.4).
const noLock = "00000000-0000-0000-0000-000000000000"

func (p *poolAPI) jobRequest(ctx context.Context, id int64, body, answer any) error {
	path := "/jobrequests/" + strconv.FormatInt(id, 10)
	return p.client.call(ctx, http.MethodPatch, p.url(path, url.Values{"lockToken": {noLock}}), body, answer)
}

// renewJob renews the job's lock, and returns when it expires.
func (p *poolAPI) renewJob(ctx context.Context, id int64) (time.Time, error) {
	var a struct {
		LockedUntil time.Time `json:"lockedUntil"`
	}
	err := p.jobRequest(ctx, id, map[string]any{"requestId": id}, &a)
	return a.LockedUntil, err
}

// finishJob completes a job of a plan older than version 8 (7.4).
func (p *poolAPI) finishJob(ctx context.Context, id int64, r result) error {
	return p.jobRequest(ctx, id, map[string]any{"requestId": id, "finishTime": jsonTime(time.Now()), "result": r.wire()}, nil)
}

func jsonTime(t time.Time) string {
	return t.UTC().Format("2006-01-02T15:04:05.0000000Z")
}
