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
)

// Asker makes requests and tells the answers as they are.
type Asker interface {
	DoRaw(ctx context.Context, q azdo.RawRequest) (azdo.RawResponse, error)
}

// Options are where it is tried, and as whom.
type Options struct {
	Server    Asker                       // as azptend
	AsAgent   func(azdo.Authorizer) Asker // as the agent itself
	Web       *http.Client                // to the agents' token endpoint
	ServerURL string
	PoolID    int
	Key       *rsa.PrivateKey // the agents'; nil: a new one
	Tell      func(Row)       // each row as it is seen; nil: nobody
}

// Report is what was seen.
type Report struct {
	Rows []Row    `json:"rows"`
	Left []string `json:"left,omitempty"` // agents that could not be removed
}

// Uncovered are the rows that azptend has no answer to.
func (r Report) Uncovered() []Row {
	return slices.DeleteFunc(slices.Clone(r.Rows), func(row Row) bool { return row.Verdict != NotCovered })
}

// trial is a throw-away agent, and after it another: one that was never enabled,
// for a server may be slow to believe that an agent was disabled, and the second
// goes online.
type trial struct {
	o        Options
	rows     map[string]Row
	name     string   // random at its end
	names    []string // that were tried
	instance string
	key      *rsa.PrivateKey
	ids      []int // of agents that were made, and not seen to be removed
	id       int
	auth     azdo.Authorization
	stale    bool // GET lags: what it shows proves nothing
	disabled bool // and was never enabled: no job can come
	unmarked bool // the second agent has no mark that a session could take
	agent    Asker
	session  string
}

// longestName is the longest that azptend lets pass (agent-protocol.md 11); the
// other is short enough for any server.
const (
	longestName = 64
	usualName   = 30
	beginning   = "azptend-selftest-" // of all our names
)

// nameOf is a name that nobody else has, of a length: its end is random.
func (t *trial) nameOf(length int) string {
	end := strings.ReplaceAll(t.instance, "-", "")
	if room := length - len(beginning); room < len(end) {
		return beginning + end[:room]
	}
	return beginning + strings.Repeat("x", length-len(beginning)-len(end)) + end
}

// cleanUp is how long the removal of what was made may take, after a signal too.
const cleanUp = 30 * time.Second

// removals is how often the removal of an agent is tried.
const removals = 3

// Run tries everything, in the order of docs/assumptions.md's life of an agent. Its
// error is that it could not go on: what was seen until then is in the report. It
// removes what it made in any case.
func Run(ctx context.Context, o Options) (Report, error) {
	if o.Tell == nil {
		o.Tell = func(Row) {}
	}
	if o.Key == nil {
		var err error
		if o.Key, err = agentdir.GenerateKey(); err != nil {
			return Report{}, err
		}
	}
	t := &trial{o: o, rows: map[string]Row{}, instance: newGUID(), key: o.Key}
	err := t.try(ctx)
	left := t.clear(ctx)
	report := Report{Left: left}
	for _, b := range beliefs() {
		row, seen := t.rows[b.id]
		if !seen {
			if row = b.judge(NotKnown, ""); err == nil && row.Verdict == NotKnown {
				row.Seen = "what it depends on is otherwise"
			}
		}
		report.Rows = append(report.Rows, row)
	}
	return report, err
}

func (t *trial) try(ctx context.Context) error {
	for _, stage := range []func(context.Context) error{
		t.missingPool, t.add, t.readBack, t.nameTaken, t.patch, t.capabilities, t.put, t.another, t.logOn, t.openSession, t.putOnline, t.remove,
	} {
		if err := stage(ctx); err != nil {
			return err
		}
	}
	return nil
}

// saw writes a row down.
func (t *trial) saw(id string, asBelieved bool, seen string) {
	verdict := AsBelieved
	if !asBelieved {
		verdict = Covered
	}
	t.row(id, verdict, seen)
}

func (t *trial) row(id string, verdict Verdict, seen string) {
	for _, b := range beliefs() {
		if b.id == id {
			t.rows[id] = b.judge(verdict, seen)
			t.o.Tell(t.rows[id])
			return
		}
	}
	panic("selftest: no belief is called " + id) // a fault of this package's own
}

// sawRead is saw for what was learnt by reading, which proves nothing where reads
// lag.
func (t *trial) sawRead(id string, asBelieved bool, seen string) {
	if t.stale {
		t.row(id, NotKnown, "reads lag")
		return
	}
	t.saw(id, asBelieved, seen)
}

// words are an answer without what it may name.
func words(a azdo.RawResponse) string {
	return strings.TrimSpace(fmt.Sprintf("%d %s", a.Status, a.TypeKey))
}

func (t *trial) ask(ctx context.Context, op, method, path string, body, into any) (azdo.RawResponse, error) {
	return t.o.Server.DoRaw(ctx, azdo.RawRequest{Op: op, Method: method, Path: path, Body: body, Into: into})
}

func (t *trial) agentsPath() string {
	return "_apis/distributedtask/pools/" + strconv.Itoa(t.o.PoolID) + "/agents"
}

func (t *trial) path() string { return t.agentsPath() + "/" + strconv.Itoa(t.id) }

// marks are the user capabilities by which azptend knows what is its own.
func (t *trial) marks() map[string]string {
	return map[string]string{agentdir.TagInstance: t.instance, agentdir.TagKind: agentdir.KindSelftest}
}

// body is the agent as it is sent; a nil enabled and nil marks are left out.
func (t *trial) body(enabled *bool, marks map[string]string) azdo.Agent {
	exponent, modulus := agentdir.PublicKey(t.key)
	return azdo.Agent{
		ID: t.id, Name: t.name, Version: agentdir.PlaceholderVersionPrefix + "999.9", OSDescription: agentdir.OSDescription(), MaxParallelism: 1,
		Enabled: enabled, UserCapabilities: marks, SystemCapabilities: map[string]string{"Agent.Name": t.name},
		Authorization: &azdo.Authorization{PublicKey: &azdo.PublicKey{Exponent: exponent, Modulus: modulus}},
	}
}

func (t *trial) missingPool(ctx context.Context) error {
	const none = 1<<31 - 2
	a, err := t.ask(ctx, "look at a pool that is not there", http.MethodGet, "_apis/distributedtask/pools/"+strconv.Itoa(none), nil, nil)
	if err == nil {
		t.saw("missing-pool", a.Status == http.StatusNotFound, words(a))
	}
	return err
}

// add makes the agent, disabled. A refusal that is not for its name's length ends
// the test: it is the caller's, with the server's own words.
func (t *trial) add(ctx context.Context) error {
	for _, length := range []int{longestName, usualName} {
		a, made, err := t.post(ctx, length)
		switch {
		case err != nil:
			return err
		case a.OK():
			if length == longestName {
				t.saw("name-length", true, words(a))
			}
			return t.added(a, made)
		case a.Status != http.StatusBadRequest || length == usualName:
			return a.Err
		}
		t.saw("name-length", false, words(a))
	}
	return nil
}

// post adds an agent with a name of a length, disabled.
func (t *trial) post(ctx context.Context, length int) (azdo.RawResponse, azdo.Agent, error) {
	t.name, t.id = t.nameOf(length), 0
	t.names = append(t.names, t.name)
	var made azdo.Agent
	off := false
	a, err := t.ask(ctx, "add a throw-away agent", http.MethodPost, t.agentsPath(), t.body(&off, t.marks()), &made)
	return a, made, err
}

// errIncomplete ends the test: without these nothing else can be tried.
var errIncomplete = errors.New("the answer to POST of an agent names no agent, or not how it logs on")

func (t *trial) added(a azdo.RawResponse, made azdo.Agent) error {
	t.id = made.ID
	t.disabled = made.Enabled != nil && !*made.Enabled
	complete := made.ID != 0 && made.Authorization != nil && made.Authorization.ClientID != "" && made.Authorization.AuthorizationURL != ""
	t.saw("add", complete, words(a))
	if made.ID != 0 {
		t.ids = append(t.ids, made.ID)
	}
	if !complete {
		return errIncomplete
	}
	t.auth = *made.Authorization
	return nil
}

// get reads the agent, with its capabilities.
func (t *trial) get(ctx context.Context) (azdo.Agent, azdo.RawResponse, error) {
	var shown azdo.Agent
	a, err := t.o.Server.DoRaw(ctx, azdo.RawRequest{Op: "look at the throw-away agent", Method: http.MethodGet, Path: t.path(),
		Query: url.Values{"includeCapabilities": {"true"}}, Into: &shown})
	return shown, a, err
}

// named lists the agents of a name.
func (t *trial) named(ctx context.Context, name string) ([]azdo.Agent, error) {
	var list struct{ Value []azdo.Agent }
	a, err := t.o.Server.DoRaw(ctx, azdo.RawRequest{Op: "look the throw-away agent up", Method: http.MethodGet, Path: t.agentsPath(),
		Query: url.Values{"agentName": {name}}, Into: &list})
	if err == nil {
		err = a.Err
	}
	ours := slices.DeleteFunc(list.Value, func(a azdo.Agent) bool { return !strings.EqualFold(a.Name, name) })
	return ours, err
}

// clear removes what was made, found by its id or, where an answer was lost, by its
// name; after a signal too. It returns what stays.
func (t *trial) clear(ctx context.Context) []string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanUp)
	defer cancel()
	if t.session != "" && t.agent != nil {
		_, _ = t.agent.DoRaw(ctx, azdo.RawRequest{Op: "end the session", Method: http.MethodDelete, Path: t.sessionsPath() + "/" + t.session, Query: preview()})
	}
	var left []string
	for _, name := range t.names {
		found, err := t.named(ctx, name)
		for _, a := range found {
			if !slices.Contains(t.ids, a.ID) {
				t.ids = append(t.ids, a.ID)
			}
		}
		if err != nil && len(t.ids) == 0 {
			left = append(left, fmt.Sprintf("agent %q in pool %d, if it was made: %v", name, t.o.PoolID, err))
		}
	}
	for _, id := range t.ids {
		if !t.removed(ctx, id) {
			left = append(left, fmt.Sprintf("agent %d in pool %d, whose name begins with %s", id, t.o.PoolID, beginning))
		}
	}
	seen := "nothing is left"
	if len(left) > 0 {
		seen = strconv.Itoa(len(left)) + " left"
	}
	t.saw("clean", len(left) == 0, seen)
	return left
}

// removed deletes an agent, and tries again after a failure that may pass.
func (t *trial) removed(ctx context.Context, id int) bool {
	for try := 1; ; try++ {
		a, err := t.ask(ctx, "remove the throw-away agent", http.MethodDelete, t.agentsPath()+"/"+strconv.Itoa(id), nil, nil)
		switch {
		case err == nil && (a.OK() || a.Status == http.StatusNotFound):
			return true
		case try == removals:
			return false
		}
		timer := time.NewTimer(time.Duration(try) * time.Second)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return false
		}
	}
}

func preview() url.Values { return url.Values{"api-version": {"7.1-preview.1"}} }
