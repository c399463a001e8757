package selftest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/azptend/azptend/internal/agentdir"
	"github.com/azptend/azptend/internal/azdo"
)

// readBack reads what POST has created, at once.
func (t *tester) readBack(ctx context.Context) error {
	shown, a, err := t.get(ctx)
	if err != nil {
		return err
	}
	listed, err := t.findByName(ctx, t.name)
	if err != nil {
		return err
	}
	t.readsLag = shown.ID != t.id || len(listed) == 0
	t.record("read-own-write", !t.readsLag, fmt.Sprintf("%s by its id, %d by its name", summarize(a), len(listed)))
	t.recordRead("post-capabilities", t.hasTags(shown), "the owner tag is "+word(t.hasTags(shown), "kept", "gone"))
	t.recordRead("post-enabled", !shown.IsEnabled(), enabledText(shown))
	own := shown.Authorization != nil && shown.Authorization.ClientID != ""
	t.recordRead("get-authorization", !own, word(own, "shown", "not shown"))
	return nil
}

func (t *tester) hasTags(a azdo.Agent) bool {
	return a.UserCapabilities[agentdir.TagInstance] == t.instance
}

// word is one of two words for a report.
func word(is bool, yes, no string) string {
	if is {
		return yes
	}
	return no
}

func enabledText(a azdo.Agent) string {
	return word(a.IsEnabled(), "it is enabled", "it is disabled")
}

func (t *tester) addSameName(ctx context.Context) error {
	var second azdo.Agent
	off := false
	body := t.agentBody(&off, t.ownerTags())
	body.ID = 0
	a, err := t.request(ctx, "add an agent of the same name", http.MethodPost, t.agentsPath(), body, &second)
	if err != nil {
		return err
	}
	if a.Err == nil && second.ID != 0 && second.ID != t.id {
		t.createdIDs = append(t.createdIDs, second.ID)
	}
	if a.TypeKey != "TaskAgentExistsException" { // azptend cannot recognise it
		t.setRow("name-taken-status", NotCovered, summarize(a))
		return nil
	}
	t.record("name-taken-status", a.Status == http.StatusConflict, summarize(a))
	return nil
}

// patch enables the agent, which has no session, and disables it again, with and without the
// id in the body. The answers count: unlike reads, they do not lag.
func (t *tester) patch(ctx context.Context) error {
	with, _, err := t.setEnabled(ctx, true, true)
	if err != nil {
		return err
	}
	t.record("patch-id-refused", with.Err == nil, summarize(with))
	without, shown, err := t.setEnabled(ctx, false, false)
	if err != nil {
		return err
	}
	t.record("patch-id", without.Err != nil, summarize(without))
	last := without
	if with.Err == nil {
		if last, shown, err = t.setEnabled(ctx, false, true); err != nil {
			return err
		}
	}
	if !t.readsLag {
		if shown, _, err = t.get(ctx); err != nil {
			return err
		}
	}
	t.record("disable", last.Err == nil && !shown.IsEnabled(), fmt.Sprintf("%s, and %s", summarize(last), enabledText(shown)))
	return nil
}

func (t *tester) setEnabled(ctx context.Context, on, withID bool) (azdo.RawResponse, azdo.Agent, error) {
	body := azdo.Agent{Enabled: &on}
	if withID {
		body.ID = t.id
	}
	var shown azdo.Agent
	a, err := t.request(ctx, "switch the throw-away agent", http.MethodPatch, t.path(), body, &shown)
	return a, shown, err
}

func (t *tester) writeCapabilities(ctx context.Context) error {
	for _, c := range []struct {
		id    string
		query url.Values
		ok    bool
	}{{"capabilities-path", preview, true}, {"preview-version", nil, false}} {
		a, err := t.writeOwnerTags(ctx, c.query)
		if err != nil {
			return err
		}
		if c.id == "preview-version" && a.Status == http.StatusNotFound {
			t.setRow(c.id, Unknown, summarize(a))
			return nil
		}
		if c.ok && a.Err != nil && t.rows["post-capabilities"].Verdict == Covered { // then the owner tag cannot be written at all
			t.setRow(c.id, NotCovered, summarize(a))
			continue
		}
		t.record(c.id, a.Err == nil == c.ok, summarize(a))
	}
	return nil
}

func (t *tester) writeOwnerTags(ctx context.Context, version url.Values) (azdo.RawResponse, error) {
	return t.options.Server.DoRaw(ctx, azdo.RawRequest{Op: "set user capabilities", Method: http.MethodPut, Path: t.path() + "/usercapabilities",
		Query: version, Body: t.ownerTags()})
}

// put replaces the agent, without user capabilities and enabled.
func (t *tester) put(ctx context.Context) error {
	a, err := t.putAgent(ctx, nil, nil)
	if err != nil {
		return err
	}
	if a.Err != nil {
		t.setRow("put-capabilities", Unknown, summarize(a))
		t.setRow("put-enabled", Unknown, summarize(a))
		return nil
	}
	shown, _, err := t.get(ctx)
	if err != nil {
		return err
	}
	t.recordRead("put-capabilities", !t.hasTags(shown), "they are "+word(t.hasTags(shown), "kept", "gone"))
	t.recordRead("put-enabled", !shown.IsEnabled(), enabledText(shown))
	return nil
}

// replaceAgent removes the first agent and adds the second one.
func (t *tester) replaceAgent(ctx context.Context) error {
	a, err := t.request(ctx, "remove the throw-away agent", http.MethodDelete, t.path(), nil, nil)
	switch {
	case err != nil:
		return err
	case a.Err != nil:
		t.record("remove", false, summarize(a))
		return a.Err
	}
	t.instance = agentdir.NewGUID()
	a, made, err := t.post(ctx, shortName)
	switch {
	case err != nil:
		return err
	case a.Err != nil:
		return a.Err
	}
	if err := t.checkAdded(a, made); err != nil || t.rows["post-capabilities"].Verdict == AsExpected {
		return err
	}
	a, err = t.writeOwnerTags(ctx, preview)
	t.untagged = a.Err != nil
	return err
}

func (t *tester) putAgent(ctx context.Context, on *bool, marks map[string]string) (azdo.RawResponse, error) {
	var made azdo.Agent
	a, err := t.request(ctx, "replace the throw-away agent", http.MethodPut, t.path(), t.agentBody(on, marks), &made)
	if err == nil && a.Err == nil && made.Authorization != nil && made.Authorization.ClientID != "" && made.Authorization.AuthorizationURL != "" {
		t.auth = *made.Authorization
	}
	return a, err
}

// The lifetimes of client assertions: the listener's, and twice that.
const (
	usualLifetime = 5 * time.Minute
	longLifetime  = 10 * time.Minute
)

func (t *tester) logOn(ctx context.Context) error {
	endpoint := agentdir.OAuthEndpointURL(t.options.ServerURL, t.auth.AuthorizationURL)
	for _, life := range []time.Duration{usualLifetime, longLifetime} {
		proof, err := agentdir.Assertion(t.key, t.auth.ClientID, t.auth.AuthorizationURL, time.Now(), life)
		if err != nil {
			return err
		}
		token, refusal, err := exchange(ctx, t.options.Web, endpoint, proof)
		if err != nil {
			return err
		}
		if life == longLifetime {
			t.record("assertion-life", token == "", word(token == "", refusal, "taken"))
			continue
		}
		t.record("token", token != "", word(token == "", refusal, "a token"))
		if token == "" {
			return nil // and no session either
		}
		t.agent = t.options.AsAgent(agentToken(token))
	}
	return nil
}

func (t *tester) sessionsPath() string {
	return "_apis/distributedtask/pools/" + strconv.Itoa(t.options.PoolID) + "/sessions"
}

// createSession asks for a session (agent-protocol.md 7.2).
func (t *tester) createSession(ctx context.Context, owner string) (azdo.RawResponse, string, error) {
	var made struct {
		ID string `json:"sessionId"`
	}
	body := t.agentBody(nil, nil)
	a, err := t.agent.DoRaw(ctx, azdo.RawRequest{Op: "open a session", Method: http.MethodPost, Path: t.sessionsPath(), Query: preview, Into: &made,
		Body: map[string]any{
			"ownerName": owner, "systemCapabilities": body.SystemCapabilities,
			"agent": azdo.Agent{ID: t.id, Name: t.name, Version: body.Version, OSDescription: body.OSDescription},
		}})
	return a, made.ID, err
}

// openSession brings the agent online, if the server cannot assign a job to it.
func (t *tester) openSession(ctx context.Context) error {
	switch {
	case t.agent == nil:
		return nil
	case !t.disabled:
		t.setRow("session", Unknown, "not tested: the server created an enabled agent, which could have received a job")
		return nil
	}
	a, id, err := t.createSession(ctx, "azptend selftest")
	if err != nil {
		return err
	}
	t.session = id
	shown, _, err := t.get(ctx)
	if err != nil {
		return err
	}
	if seen := summarize(a); t.readsLag {
		t.record("session", id != "", seen)
	} else {
		t.record("session", id != "" && shown.Online(), seen+", and it is "+shown.Status)
	}
	if id == "" {
		return nil
	}
	if t.untagged {
		t.setRow("session-capabilities", Unknown, "there were none to keep")
	} else {
		t.recordRead("session-capabilities", t.hasTags(shown), "they are "+word(t.hasTags(shown), "kept", "gone"))
	}
	a, second, err := t.createSession(ctx, "azptend selftest, again")
	if err == nil {
		t.record("session-conflict", a.Status == http.StatusConflict && a.TypeKey == "TaskAgentSessionConflictException", summarize(a))
		if second != "" {
			t.session = second
		}
	}
	return err
}

func (t *tester) putOnline(ctx context.Context) error {
	if t.session == "" {
		return nil
	}
	off := false
	a, err := t.putAgent(ctx, &off, t.ownerTags())
	if err != nil {
		return err
	}
	shown, _, err := t.get(ctx)
	switch {
	case err != nil:
		return err
	case a.Err != nil:
		t.setRow("put-session", Unknown, summarize(a))
	default:
		t.recordRead("put-session", shown.Online(), "it is "+shown.Status)
	}
	return nil
}

// pollTimeout is for a poll that the server should refuse at once.
const pollTimeout = 5 * time.Second

// remove deletes the agent while it is online, and polls as its listener would.
func (t *tester) remove(ctx context.Context) error {
	a, err := t.request(ctx, "remove the throw-away agent", http.MethodDelete, t.path(), nil, nil)
	if err != nil {
		return err
	}
	t.record("remove", a.Err == nil, summarize(a))
	if a.Err != nil {
		return nil
	}
	t.record("delete-status", a.Status == http.StatusNoContent, summarize(a))
	if t.session != "" {
		if err := t.pollRemoved(ctx); err != nil {
			return err
		}
	}
	again, err := t.request(ctx, "remove the throw-away agent again", http.MethodDelete, t.path(), nil, nil)
	if err == nil {
		t.record("delete-missing", again.Status == http.StatusNotFound, summarize(again))
	}
	return err
}

func (t *tester) pollRemoved(ctx context.Context) error {
	short, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()
	query := url.Values{"api-version": {previewVersion}, "sessionId": {t.session}, "lastMessageId": {"0"}}
	a, err := t.agent.DoRaw(short, azdo.RawRequest{Op: "poll as the removed agent", Method: http.MethodGet,
		Path: "_apis/distributedtask/pools/" + strconv.Itoa(t.options.PoolID) + "/messages", Query: query})
	switch {
	case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
		t.record("session-after-delete", false, fmt.Sprintf("a poll is still open after %v", pollTimeout))
		t.record("removed-agent", false, fmt.Sprintf("no answer within %v", pollTimeout))
		return nil
	case err != nil:
		return err
	}
	t.record("session-after-delete", a.Err != nil, summarize(a))
	t.record("removed-agent", a.Status == http.StatusNotFound, summarize(a))
	return nil
}
