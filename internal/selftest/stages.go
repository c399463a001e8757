package selftest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/azptend/azptend/internal/agentdir"
	"github.com/azptend/azptend/internal/azdo"
)

// readBack looks at what POST has made, at once.
func (t *trial) readBack(ctx context.Context) error {
	shown, a, err := t.get(ctx)
	if err != nil {
		return err
	}
	listed, err := t.named(ctx, t.name)
	if err != nil {
		return err
	}
	t.stale = shown.ID != t.id || len(listed) == 0
	t.saw("read-own-write", !t.stale, fmt.Sprintf("%s by its id, %d by its name", words(a), len(listed)))
	t.sawRead("post-capabilities", t.marked(shown), "the mark is "+kept(t.marked(shown)))
	t.sawRead("post-enabled", !enabled(shown), "it is "+switched(shown))
	own := shown.Authorization != nil && shown.Authorization.ClientID != ""
	t.sawRead("get-authorization", !own, map[bool]string{true: "shown", false: "not shown"}[own])
	return nil
}

func (t *trial) marked(a azdo.Agent) bool {
	return a.UserCapabilities[agentdir.TagInstance] == t.instance
}

func enabled(a azdo.Agent) bool { return a.Enabled == nil || *a.Enabled }

func switched(a azdo.Agent) string {
	if enabled(a) {
		return "enabled"
	}
	return "disabled"
}

func kept(is bool) string {
	if is {
		return "kept"
	}
	return "gone"
}

func (t *trial) nameTaken(ctx context.Context) error {
	var second azdo.Agent
	off := false
	id := t.id
	t.id = 0
	body := t.body(&off, t.marks())
	t.id = id
	a, err := t.ask(ctx, "add an agent of the same name", http.MethodPost, t.agentsPath(), body, &second)
	if err != nil {
		return err
	}
	if a.OK() && second.ID != 0 && second.ID != t.id {
		t.ids = append(t.ids, second.ID)
	}
	const exists = "TaskAgentExistsException"
	switch {
	case a.TypeKey == exists:
		t.saw("name-taken-status", a.Status == http.StatusConflict, words(a))
	default: // known neither by its status nor by its type
		t.row("name-taken-status", NotCovered, words(a))
	}
	return nil
}

// patch enables the agent, which has no session, and disables it again, with and
// without the id in the body. What the answers show counts: they are no reads.
func (t *trial) patch(ctx context.Context) error {
	with, _, err := t.setEnabled(ctx, true, true)
	if err != nil {
		return err
	}
	t.saw("patch-id-refused", with.OK(), words(with))
	without, shown, err := t.setEnabled(ctx, false, false)
	if err != nil {
		return err
	}
	t.saw("patch-id", !without.OK(), words(without))
	last := without
	if with.OK() {
		if last, shown, err = t.setEnabled(ctx, false, true); err != nil {
			return err
		}
	}
	if !t.stale {
		if shown, _, err = t.get(ctx); err != nil {
			return err
		}
	}
	t.saw("disable", last.OK() && !enabled(shown), fmt.Sprintf("%s, and it is %s", words(last), switched(shown)))
	return nil
}

func (t *trial) setEnabled(ctx context.Context, on, withID bool) (azdo.RawResponse, azdo.Agent, error) {
	body := azdo.Agent{Enabled: &on}
	if withID {
		body.ID = t.id
	}
	var shown azdo.Agent
	a, err := t.ask(ctx, "switch the throw-away agent", http.MethodPatch, t.path(), body, &shown)
	return a, shown, err
}

func (t *trial) capabilities(ctx context.Context) error {
	for _, c := range []struct {
		id    string
		query url.Values
		ok    bool
	}{{"capabilities-path", preview(), true}, {"preview-version", nil, false}} {
		a, err := t.writeMarks(ctx, c.query)
		if err != nil {
			return err
		}
		if c.id == "preview-version" && a.Status == http.StatusNotFound {
			t.row(c.id, NotKnown, words(a))
			return nil
		}
		if c.ok && !a.OK() && t.rows["post-capabilities"].Verdict == Covered { // then the mark cannot be written at all
			t.row(c.id, NotCovered, words(a))
			continue
		}
		t.saw(c.id, a.OK() == c.ok, words(a))
	}
	return nil
}

func (t *trial) writeMarks(ctx context.Context, version url.Values) (azdo.RawResponse, error) {
	return t.o.Server.DoRaw(ctx, azdo.RawRequest{Op: "set user capabilities", Method: http.MethodPut, Path: t.path() + "/usercapabilities",
		Query: version, Body: t.marks()})
}

// put replaces the agent, without what it may leave alone.
func (t *trial) put(ctx context.Context) error {
	a, err := t.replace(ctx, nil, nil)
	if err != nil {
		return err
	}
	if !a.OK() {
		t.row("put-capabilities", NotKnown, words(a))
		t.row("put-enabled", NotKnown, words(a))
		return nil
	}
	shown, _, err := t.get(ctx)
	if err != nil {
		return err
	}
	t.sawRead("put-capabilities", !t.marked(shown), "they are "+kept(t.marked(shown)))
	t.sawRead("put-enabled", !enabled(shown), "it is "+switched(shown))
	return nil
}

// another takes the place of the first agent.
func (t *trial) another(ctx context.Context) error {
	a, err := t.ask(ctx, "remove the throw-away agent", http.MethodDelete, t.path(), nil, nil)
	switch {
	case err != nil:
		return err
	case !a.OK():
		t.saw("remove", false, words(a))
		return a.Err
	}
	t.instance = newGUID()
	a, made, err := t.post(ctx, usualName)
	switch {
	case err != nil:
		return err
	case !a.OK():
		return a.Err
	}
	if err := t.added(a, made); err != nil || t.rows["post-capabilities"].Verdict == AsBelieved {
		return err
	}
	a, err = t.writeMarks(ctx, preview())
	t.unmarked = !a.OK()
	return err
}

func (t *trial) replace(ctx context.Context, on *bool, marks map[string]string) (azdo.RawResponse, error) {
	var made azdo.Agent
	a, err := t.ask(ctx, "replace the throw-away agent", http.MethodPut, t.path(), t.body(on, marks), &made)
	if err == nil && a.OK() && made.Authorization != nil && made.Authorization.ClientID != "" && made.Authorization.AuthorizationURL != "" {
		t.auth = *made.Authorization
	}
	return a, err
}

// The lives of client assertions: what the listener asks for, and twice that.
const (
	usualLife = 5 * time.Minute
	longLife  = 10 * time.Minute
)

func (t *trial) logOn(ctx context.Context) error {
	endpoint := agentdir.OAuthEndpointURL(t.o.ServerURL, t.auth.AuthorizationURL)
	for _, life := range []time.Duration{usualLife, longLife} {
		proof, err := assertion(t.key, t.auth.ClientID, t.auth.AuthorizationURL, time.Now(), life)
		if err != nil {
			return err
		}
		token, refusal, err := exchange(ctx, t.o.Web, endpoint, proof)
		if err != nil {
			return err
		}
		if life == longLife {
			t.saw("assertion-life", token == "", map[bool]string{true: refusal, false: "taken"}[token == ""])
			continue
		}
		t.saw("token", token != "", map[bool]string{true: refusal, false: "a token"}[token == ""])
		if token == "" {
			return nil // and no session either
		}
		t.agent = t.o.AsAgent(ownToken(token))
	}
	return nil
}

func (t *trial) sessionsPath() string {
	return "_apis/distributedtask/pools/" + strconv.Itoa(t.o.PoolID) + "/sessions"
}

// open asks for a session (agent-protocol.md 7.2).
func (t *trial) open(ctx context.Context, owner string) (azdo.RawResponse, string, error) {
	var made struct {
		ID string `json:"sessionId"`
	}
	body := t.body(nil, nil)
	a, err := t.agent.DoRaw(ctx, azdo.RawRequest{Op: "open a session", Method: http.MethodPost, Path: t.sessionsPath(), Query: preview(), Into: &made,
		Body: map[string]any{
			"ownerName": owner, "systemCapabilities": body.SystemCapabilities,
			"agent": azdo.Agent{ID: t.id, Name: t.name, Version: body.Version, OSDescription: body.OSDescription},
		}})
	return a, made.ID, err
}

// openSession makes the agent online, if it is certain that no job can come.
func (t *trial) openSession(ctx context.Context) error {
	switch {
	case t.agent == nil:
		return nil
	case !t.disabled:
		t.row("session", NotKnown, "not tried: the server makes no disabled agents, and a job could have come")
		return nil
	}
	a, id, err := t.open(ctx, "azptend selftest")
	if err != nil {
		return err
	}
	t.session = id
	shown, _, err := t.get(ctx)
	if err != nil {
		return err
	}
	if seen := words(a); t.stale {
		t.saw("session", id != "", seen)
	} else {
		t.saw("session", id != "" && shown.Online(), seen+", and it is "+shown.Status)
	}
	if id == "" {
		return nil
	}
	if t.unmarked {
		t.row("session-capabilities", NotKnown, "there were none to be kept")
	} else {
		t.sawRead("session-capabilities", t.marked(shown), "they are "+kept(t.marked(shown)))
	}
	a, second, err := t.open(ctx, "azptend selftest, again")
	if err == nil {
		t.saw("session-conflict", a.Status == http.StatusConflict && a.TypeKey == "TaskAgentSessionConflictException", words(a))
		if second != "" {
			t.session = second
		}
	}
	return err
}

func (t *trial) putOnline(ctx context.Context) error {
	if t.session == "" {
		return nil
	}
	off := false
	a, err := t.replace(ctx, &off, maps.Clone(t.marks()))
	if err != nil {
		return err
	}
	shown, _, err := t.get(ctx)
	switch {
	case err != nil:
		return err
	case !a.OK():
		t.row("put-session", NotKnown, words(a))
	default:
		t.sawRead("put-session", shown.Online(), "it is "+shown.Status)
	}
	return nil
}

// noAnswer is how long a poll is waited for that ought to be refused at once.
const noAnswer = 5 * time.Second

// remove deletes the agent while it is online, and looks what its listener would
// see.
func (t *trial) remove(ctx context.Context) error {
	a, err := t.ask(ctx, "remove the throw-away agent", http.MethodDelete, t.path(), nil, nil)
	if err != nil {
		return err
	}
	t.saw("remove", a.OK(), words(a))
	if !a.OK() {
		return nil
	}
	t.saw("delete-status", a.Status == http.StatusNoContent, words(a))
	if t.session != "" {
		if err := t.pollRemoved(ctx); err != nil {
			return err
		}
	}
	again, err := t.ask(ctx, "remove the throw-away agent again", http.MethodDelete, t.path(), nil, nil)
	if err == nil {
		t.saw("delete-missing", again.Status == http.StatusNotFound, words(again))
	}
	return err
}

func (t *trial) pollRemoved(ctx context.Context) error {
	short, cancel := context.WithTimeout(ctx, noAnswer)
	defer cancel()
	query := preview()
	query.Set("sessionId", t.session)
	query.Set("lastMessageId", "0")
	a, err := t.agent.DoRaw(short, azdo.RawRequest{Op: "poll as the removed agent", Method: http.MethodGet,
		Path: "_apis/distributedtask/pools/" + strconv.Itoa(t.o.PoolID) + "/messages", Query: query})
	waits := errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil
	switch {
	case waits:
		t.saw("session-after-delete", false, fmt.Sprintf("a poll is still open after %v", noAnswer))
		t.saw("removed-agent", false, fmt.Sprintf("no answer within %v", noAnswer))
		return nil
	case err != nil:
		return err
	}
	t.saw("session-after-delete", !a.OK(), words(a))
	t.saw("removed-agent", a.Status == http.StatusNotFound, words(a))
	return nil
}
