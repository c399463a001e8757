// Package selftest tests azptend's assumptions about Azure DevOps with a temporary agent
// in a real pool, and says whether azptend handles what it saw. Each assumption is a row
// of docs/assumptions.md, or one of the basics without which nothing works.
//
// It is safe in a pool that is in use: the agent is disabled from the start, so that it
// gets no job, it has a name of its own, and it is always removed. An assumption that
// cannot be tested this way is reported with the reason.
//
// The listener's part (a token for the agent's own key, a session) is small enough to be
// implemented here: agent-protocol.md 7.1, 7.2.
package selftest

import (
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/azptend/azptend/internal/agentdir"
	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/retry"
)

// Requester makes requests, and returns the answers as they are.
type Requester interface {
	DoRaw(ctx context.Context, q azdo.RawRequest) (azdo.RawResponse, error)
}

// Options say which server is tested, and with which identities.
type Options struct {
	Server    Requester                       // as azptend
	AsAgent   func(azdo.Authorizer) Requester // as the agent itself
	Web       *http.Client                    // to the agents' token endpoint
	ServerURL string
	PoolID    int
	Key       *rsa.PrivateKey // of the agents; nil: a new one
	OnRow     func(Row)       // called for each row; may be nil
}

// Report is the result.
type Report struct {
	Rows []Row    `json:"rows"`
	Left []string `json:"left,omitempty"` // agents that could not be removed
}

// Uncovered are the rows that azptend does not handle.
func (r Report) Uncovered() []Row {
	return slices.DeleteFunc(slices.Clone(r.Rows), func(row Row) bool { return row.Verdict != NotCovered })
}

// tester has two temporary agents, one after the other. Only the second one goes online. It was
// never enabled, because a server may be slow to apply that an agent was disabled.
type tester struct {
	options    Options
	rows       map[string]Row
	name       string   // random at its end
	names      []string // all that were used
	instance   string
	key        *rsa.PrivateKey
	createdIDs []int // of all agents that were created
	id         int
	auth       azdo.Authorization
	readsLag   bool // what GET shows proves nothing
	disabled   bool // since it was created: the server assigns no job
	untagged   bool // the second agent has no owner tag that a session could remove
	agent      Requester
	session    string
}

// maxName is the longest name that azptend accepts (agent-protocol.md 11). shortName is short
// enough for any server.
const (
	maxName    = 64
	shortName  = 30
	namePrefix = "azptend-selftest-" // of all our names
)

// makeName makes a name of this length with a random end.
func (t *tester) makeName(length int) string {
	end := strings.ReplaceAll(t.instance, "-", "")
	if room := length - len(namePrefix); room < len(end) {
		return namePrefix + end[:room]
	}
	return namePrefix + strings.Repeat("x", length-len(namePrefix)-len(end)) + end
}

// cleanUpTimeout limits the removal of the agents, after a signal too.
const cleanUpTimeout = 30 * time.Second

// maxRemovals is how often the removal of an agent is tried.
const maxRemovals = 3

// Run tests all assumptions. An error says that it could not go on: the report has what was seen
// until then. It always removes the agents that it created.
func Run(ctx context.Context, o Options) (Report, error) {
	if o.OnRow == nil {
		o.OnRow = func(Row) {}
	}
	if o.Key == nil {
		var err error
		if o.Key, err = agentdir.GenerateKey(); err != nil {
			return Report{}, err
		}
	}
	t := &tester{options: o, rows: map[string]Row{}, instance: agentdir.NewGUID(), key: o.Key}
	err := t.runStages(ctx)
	left := t.cleanUp(ctx)
	report := Report{Left: left}
	for _, b := range assumptions() {
		row, seen := t.rows[b.id]
		if !seen {
			if row = b.judge(Unknown, ""); err == nil && row.Verdict == Unknown {
				row.Seen = "an assumption that it depends on does not hold"
			}
		}
		report.Rows = append(report.Rows, row)
	}
	return report, err
}

func (t *tester) runStages(ctx context.Context) error {
	for _, stage := range []func(context.Context) error{
		t.missingPool, t.add, t.readBack, t.addSameName, t.patch, t.writeCapabilities, t.put, t.replaceAgent, t.logOn, t.openSession, t.putOnline, t.remove,
	} {
		if err := stage(ctx); err != nil {
			return err
		}
	}
	return nil
}

// record sets a row.
func (t *tester) record(id string, asExpected bool, seen string) {
	verdict := AsExpected
	if !asExpected {
		verdict = Covered
	}
	t.setRow(id, verdict, seen)
}

func (t *tester) setRow(id string, verdict Verdict, seen string) {
	for _, b := range assumptions() {
		if b.id == id {
			t.rows[id] = b.judge(verdict, seen)
			t.options.OnRow(t.rows[id])
			return
		}
	}
	panic("selftest: there is no row " + id)
}

// recordRead is record for what was read, which proves nothing if reads lag.
func (t *tester) recordRead(id string, asExpected bool, seen string) {
	if t.readsLag {
		t.setRow(id, Unknown, "reads lag")
		return
	}
	t.record(id, asExpected, seen)
}

// summarize describes an answer without the names in it.
func summarize(a azdo.RawResponse) string {
	return strings.TrimSpace(fmt.Sprintf("%d %s", a.Status, a.TypeKey))
}

func (t *tester) request(ctx context.Context, op, method, path string, body, into any) (azdo.RawResponse, error) {
	return t.options.Server.DoRaw(ctx, azdo.RawRequest{Op: op, Method: method, Path: path, Body: body, Into: into})
}

func (t *tester) agentsPath() string {
	return "_apis/distributedtask/pools/" + strconv.Itoa(t.options.PoolID) + "/agents"
}

func (t *tester) path() string { return t.agentsPath() + "/" + strconv.Itoa(t.id) }

// ownerTags are the user capabilities that azptend recognises its agents by.
func (t *tester) ownerTags() map[string]string {
	return map[string]string{agentdir.TagInstance: t.instance, agentdir.TagKind: agentdir.KindSelftest}
}

// agentBody is the agent of a request. Enabled and tags are omitted if they are nil.
func (t *tester) agentBody(enabled *bool, tags map[string]string) azdo.Agent {
	exponent, modulus := agentdir.PublicKey(t.key)
	return azdo.Agent{
		ID: t.id, Name: t.name, Version: agentdir.PlaceholderVersionPrefix + "999.9", OSDescription: agentdir.OSDescription(), MaxParallelism: 1,
		Enabled: enabled, UserCapabilities: tags, SystemCapabilities: map[string]string{"Agent.Name": t.name},
		Authorization: &azdo.Authorization{PublicKey: &azdo.PublicKey{Exponent: exponent, Modulus: modulus}},
	}
}

func (t *tester) missingPool(ctx context.Context) error {
	const none = 1<<31 - 2
	a, err := t.request(ctx, "look at a pool that is not there", http.MethodGet, "_apis/distributedtask/pools/"+strconv.Itoa(none), nil, nil)
	if err == nil {
		t.record("missing-pool", a.Status == http.StatusNotFound, summarize(a))
	}
	return err
}

// add adds the agent, disabled. A refusal for another reason than the length of its name ends the
// test with the server's message.
func (t *tester) add(ctx context.Context) error {
	for _, length := range []int{maxName, shortName} {
		a, made, err := t.post(ctx, length)
		switch {
		case err != nil:
			return err
		case a.Err == nil:
			if length == maxName {
				t.record("name-length", true, summarize(a))
			}
			return t.checkAdded(a, made)
		case a.Status != http.StatusBadRequest || length == shortName:
			return a.Err
		}
		t.record("name-length", false, summarize(a))
	}
	return nil
}

// post adds a disabled agent with a name of this length.
func (t *tester) post(ctx context.Context, length int) (azdo.RawResponse, azdo.Agent, error) {
	t.name, t.id = t.makeName(length), 0
	t.names = append(t.names, t.name)
	var made azdo.Agent
	off := false
	a, err := t.request(ctx, "add a throw-away agent", http.MethodPost, t.agentsPath(), t.agentBody(&off, t.ownerTags()), &made)
	return a, made, err
}

// errIncomplete ends the test: without these values nothing else can be tested.
var errIncomplete = errors.New("the answer to POST of an agent names no agent, or not how it logs on")

func (t *tester) checkAdded(a azdo.RawResponse, made azdo.Agent) error {
	t.id = made.ID
	t.disabled = made.Enabled != nil && !*made.Enabled
	complete := made.ID != 0 && made.Authorization != nil && made.Authorization.ClientID != "" && made.Authorization.AuthorizationURL != ""
	t.record("add", complete, summarize(a))
	if made.ID != 0 {
		t.createdIDs = append(t.createdIDs, made.ID)
	}
	if !complete {
		return errIncomplete
	}
	t.auth = *made.Authorization
	return nil
}

// get reads the agent, with its capabilities.
func (t *tester) get(ctx context.Context) (azdo.Agent, azdo.RawResponse, error) {
	var shown azdo.Agent
	a, err := t.options.Server.DoRaw(ctx, azdo.RawRequest{Op: "look at the throw-away agent", Method: http.MethodGet, Path: t.path(),
		Query: url.Values{"includeCapabilities": {"true"}}, Into: &shown})
	return shown, a, err
}

// findByName lists the agents of a name.
func (t *tester) findByName(ctx context.Context, name string) ([]azdo.Agent, error) {
	var list struct{ Value []azdo.Agent }
	a, err := t.options.Server.DoRaw(ctx, azdo.RawRequest{Op: "look the throw-away agent up", Method: http.MethodGet, Path: t.agentsPath(),
		Query: url.Values{"agentName": {name}}, Into: &list})
	if err == nil {
		err = a.Err
	}
	ours := slices.DeleteFunc(list.Value, func(a azdo.Agent) bool { return !strings.EqualFold(a.Name, name) })
	return ours, err
}

// cleanUp removes the agents by their ids, and by their names in case an answer was lost. It
// returns what it could not remove.
func (t *tester) cleanUp(ctx context.Context) []string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanUpTimeout)
	defer cancel()
	if t.session != "" && t.agent != nil {
		_, _ = t.agent.DoRaw(ctx, azdo.RawRequest{Op: "end the session", Method: http.MethodDelete, Path: t.sessionsPath() + "/" + t.session, Query: preview})
	}
	var left []string
	for _, name := range t.names {
		found, err := t.findByName(ctx, name)
		for _, a := range found {
			if !slices.Contains(t.createdIDs, a.ID) {
				t.createdIDs = append(t.createdIDs, a.ID)
			}
		}
		if err != nil && len(t.createdIDs) == 0 {
			left = append(left, fmt.Sprintf("agent %q in pool %d, if it was created: %v", name, t.options.PoolID, err))
		}
	}
	for _, id := range t.createdIDs {
		if !t.removeWithRetry(ctx, id) {
			left = append(left, fmt.Sprintf("agent %d in pool %d, whose name begins with %s", id, t.options.PoolID, namePrefix))
		}
	}
	seen := "nothing is left"
	if len(left) > 0 {
		seen = strconv.Itoa(len(left)) + " left"
	}
	t.record("clean", len(left) == 0, seen)
	return left
}

// removeWithRetry deletes an agent, and retries any failure.
func (t *tester) removeWithRetry(ctx context.Context, id int) bool {
	err := retry.Policy{First: time.Second, Max: 5 * time.Second, Tries: maxRemovals}.Do(ctx, func(ctx context.Context) error {
		a, err := t.request(ctx, "remove the throw-away agent", http.MethodDelete, t.agentsPath()+"/"+strconv.Itoa(id), nil, nil)
		if err == nil && a.Status != http.StatusNotFound {
			err = a.Err
		}
		return err
	})
	return err == nil
}

// previewVersion is for requests that exist only as a preview.
const previewVersion = "7.1-preview.1"

var preview = url.Values{"api-version": {previewVersion}}
