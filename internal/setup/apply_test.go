package setup_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/emulator"
	"github.com/azptend/azptend/internal/secret"
	"github.com/azptend/azptend/internal/setup"
)

// bearer is an Authorizer with one header.
type bearer string

func (b bearer) Authorization(context.Context, secret.Text) (secret.Text, error) {
	return secret.New(string(b)), nil
}

// org is an emulated organisation, and its administrator's way in.
type org struct {
	*emulator.Emulator
	url    string
	client *http.Client
	admin  string
	last   int
}

func newOrg(t *testing.T) *org {
	t.Helper()
	e, err := emulator.New(emulator.Options{Projects: []string{"web"}})
	if err != nil {
		t.Fatal(err)
	}
	// No sockets: a bubble's goroutines could not wait on one.
	o := &org{Emulator: e, url: "http://devops.test/emulated", client: &http.Client{Transport: direct{e}}}
	t.Cleanup(e.Close)
	for _, id := range e.Identities() {
		if id.Admin {
			o.admin = id.ObjectID
		}
	}
	return o
}

// direct is a network of one host: the emulator.
type direct struct{ to http.Handler }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body == nil {
		r.Body = http.NoBody
	}
	w := httptest.NewRecorder()
	if err := serve(d.to, w, r); err != nil {
		return nil, err
	}
	resp := w.Result()
	resp.Request = r
	return resp, nil
}

// serve is false to its caller where the emulator breaks the connection.
func serve(to http.Handler, w *httptest.ResponseRecorder, r *http.Request) (err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("the connection was closed")
		}
	}()
	to.ServeHTTP(w, r)
	return nil
}

// place is the organisation as an identity sees it.
func (o *org) place(t interface{ Fatal(...any) }, objectID string) setup.Organization {
	token, err := o.IssueToken(objectID, "")
	if err != nil {
		t.Fatal(err)
	}
	client := azdo.New(o.url, o.client, bearer("Bearer "+token), nil)
	users, err := client.Account(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return setup.Organization{Users: users, Server: client}
}

// stranger is an identity of the directory.
func (o *org) stranger(t interface{ Fatal(...any) }, change func(*emulator.Identity)) string {
	o.last++
	id := emulator.Identity{ObjectID: fmt.Sprintf("11111111-1111-4111-8111-%012d", o.last), Name: fmt.Sprintf("stranger %d", o.last),
		ClientID: fmt.Sprintf("22222222-2222-4222-8222-%012d", o.last)}
	if change != nil {
		change(&id)
	}
	if err := o.PutIdentity(id); err != nil {
		t.Fatal(err)
	}
	return id.ObjectID
}

func (o *org) identity(objectID string) emulator.Identity {
	all := o.Identities()
	return all[slices.IndexFunc(all, func(id emulator.Identity) bool { return id.ObjectID == objectID })]
}

// run reads, plans and applies.
func run(ctx context.Context, p setup.Organization, w setup.Spec, o setup.Options) (setup.Plan, error) {
	s, err := p.Read(ctx, w)
	if err != nil {
		return setup.Plan{}, err
	}
	plan := setup.MakePlan(w, s)
	_, err = p.Apply(ctx, w, s, plan, o)
	return plan, err
}

func did(p setup.Plan) string {
	var names []string
	for _, s := range p.Steps {
		names = append(names, string(s.Action))
	}
	return strings.Join(names, " ")
}

func TestThereAndBack(t *testing.T) {
	o := newOrg(t)
	oid := o.stranger(t, nil)
	p := o.place(t, o.admin)
	w := setup.Spec{Identity: oid, Pool: "linux", CreatePool: true, NoAutoUpdate: true, Role: "administrator", Project: "web", OpenToAll: true}
	for _, want := range []string{"add-identity make-pool stop-updates give-role add-to-project open-to-all-pipelines", ""} {
		plan, err := run(t.Context(), p, w, setup.Options{})
		if err != nil || did(plan) != want {
			t.Fatalf("it did %q, %v; want %q", did(plan), err, want)
		}
	}
	id, state := o.identity(oid), o.State()
	if q := state.Projects[0].Queues; !id.Member || id.License != "express" || id.Roles["linux"] != "Administrator" || state.Pool("linux").AutoUpdate ||
		len(q) != 2 || !q[1].AllPipelines || q[0].AllPipelines {
		t.Errorf("it made %+v of %+v", id, state.Projects)
	}
	w.Remove = true
	for _, want := range []string{"close-to-all-pipelines take-role remove-identity", ""} {
		plan, err := run(t.Context(), p, w, setup.Options{})
		if err != nil || did(plan) != want {
			t.Fatalf("it took back %q, %v; want %q", did(plan), err, want)
		}
	}
	if id := o.identity(oid); id.Member || len(id.Roles) != 0 || o.State().Pool("linux") == nil || o.State().Projects[0].Queues[1].AllPipelines {
		t.Errorf("afterwards there is %+v, %+v", id, o.State().Projects)
	}
}

// Whoever is used elsewhere stays a user.
func TestElsewhere(t *testing.T) {
	o := newOrg(t)
	p := o.place(t, o.admin)
	for _, on := range []string{"other", emulator.AllPools} {
		oid := o.stranger(t, func(i *emulator.Identity) {
			i.Member, i.License, i.Roles = true, "express", map[string]string{"Default": "Administrator", on: "Reader"}
		})
		if o.State().Pool("other") == nil {
			if _, err := p.Server.AddPool(t.Context(), "other"); err != nil {
				t.Fatal(err)
			}
		}
		plan, err := run(t.Context(), p, setup.Spec{Identity: oid, Pool: "Default", Remove: true}, setup.Options{})
		if err != nil || did(plan) != "take-role" || len(plan.Notes) != 1 || !strings.Contains(plan.Notes[0], "it has the role Reader on ") {
			t.Errorf("%s: it did %q, %v, and says %q", on, did(plan), err, plan.Notes)
		}
	}
}

// An identity that was only just made is waited for, and not for ever.
func TestFresh(t *testing.T) {
	for _, c := range []struct {
		fresh int
		ok    bool
	}{{3, true}, {1000, false}} {
		synctest.Test(t, func(t *testing.T) {
			o := newOrg(t)
			oid := o.stranger(t, func(i *emulator.Identity) { i.Fresh = c.fresh })
			waited := time.Duration(0)
			_, err := run(t.Context(), o.place(t, o.admin), setup.Spec{Identity: oid, Pool: "Default", Role: "Administrator"},
				setup.Options{Timeout: 5 * time.Minute, OnProgress: func(p setup.Progress) { waited += p.Waiting }})
			var failed *setup.Error
			switch {
			case c.ok && (err != nil || waited < 7*time.Second || waited > 21*time.Second || o.identity(oid).Roles["Default"] != "Administrator"):
				t.Errorf("fresh for %d tries: %v after %v", c.fresh, err, waited)
			case !c.ok && (!errors.As(err, &failed) || azdo.ClassOf(err) != azdo.NotReady || waited < 4*time.Minute || waited > 5*time.Minute || !strings.Contains(failed.Hint(), "takes a minute or two")):
				t.Errorf("fresh for ever: %v after %v", err, waited)
			}
		})
	}
}

func TestWrongID(t *testing.T) {
	o := newOrg(t)
	p := o.place(t, o.admin)
	member := o.identity(o.stranger(t, func(i *emulator.Identity) { i.Member, i.License = true, "express" }))
	stranger := o.identity(o.stranger(t, func(i *emulator.Identity) { i.ApplicationObjectID = "33333333-3333-4333-8333-333333333333" }))
	for _, c := range []struct{ name, id, says, hint string }{
		{"a user's application id", member.ClientID, "it is an application (client) id, of \"" + member.Name + "\"", "use its object id: " + member.ObjectID},
		{"a stranger's application id", stranger.ClientID, "it is an application (client) id, of \"" + stranger.Name + "\"", "use its object id: " + stranger.ObjectID},
		{"an app registration", stranger.ApplicationObjectID, "it is the object id of an app registration", "Enterprise applications"},
	} {
		_, err := run(t.Context(), p, setup.Spec{Identity: c.id, Pool: "Default", Role: "Administrator"}, setup.Options{Timeout: time.Hour})
		var wrong *setup.Error
		if !errors.As(err, &wrong) || wrong.Kind != setup.InvalidArgument || !strings.Contains(err.Error(), c.says) || !strings.Contains(wrong.Hint(), c.hint) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if id := o.identity(stranger.ObjectID); id.Member {
		t.Error("somebody was added")
	}
}

// Who may not do it is told what they would have to be.
func TestNotAllowed(t *testing.T) {
	o := newOrg(t)
	oid := o.stranger(t, nil)
	user := o.stranger(t, func(i *emulator.Identity) { i.Member, i.License = true, "express" })
	admin := func(i *emulator.Identity) {
		i.Member, i.License, i.Roles = true, "express", map[string]string{"Default": "Administrator"}
	}
	for _, c := range []struct {
		name, caller string
		w            setup.Spec
		hint         string
	}{
		{"to add users", o.stranger(t, admin), setup.Spec{Identity: oid, Pool: "Default", Role: "Administrator"}, "a Project Collection Administrator"},
		{"to make pools", o.stranger(t, admin), setup.Spec{Identity: user, Pool: "mine", CreatePool: true, Role: "Administrator"}, "an Administrator of all pools"},
		{"to give roles", o.stranger(t, func(i *emulator.Identity) { admin(i); i.Roles = map[string]string{"Default": "Reader"} }),
			setup.Spec{Identity: user, Pool: "Default", Role: "Administrator"}, "an Administrator of the pool"},
	} {
		_, err := run(t.Context(), o.place(t, c.caller), c.w, setup.Options{})
		var failed *setup.Error
		if !errors.As(err, &failed) || azdo.Status(err) != http.StatusForbidden || !strings.Contains(failed.Hint(), c.hint) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// A token of narrow scopes is refused with an empty 401, which is no unknown caller.
func TestNarrowToken(t *testing.T) {
	o := newOrg(t)
	pat, err := o.PutPAT(emulator.PAT{Owner: o.admin, Scopes: []string{"vso.agentpools_manage"}})
	if err != nil {
		t.Fatal(err)
	}
	client := azdo.New(o.url, o.client, bearer("Basic "+base64.StdEncoding.EncodeToString([]byte(":"+pat.Token))), nil)
	users, err := client.Account(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, err = setup.Organization{Users: users, Server: client}.Read(t.Context(), setup.Spec{Identity: o.stranger(t, nil), Pool: "Default"})
	var not *setup.Error
	if !errors.As(err, &not) || azdo.Status(err) != http.StatusUnauthorized || !strings.Contains(not.Hint(), "Graph") {
		t.Errorf("it says %v", err)
	}
}

// TestNoPool: the hint says how to create the pool, or how to go on without it.
func TestNoPool(t *testing.T) {
	o := newOrg(t)
	for remove, hint := range map[bool]string{false: "--create-pool", true: "name another pool"} {
		_, err := o.place(t, o.admin).Read(t.Context(), setup.Spec{Identity: o.stranger(t, nil), Pool: "nowhere", Remove: remove})
		var failed *setup.Error
		if !errors.As(err, &failed) || !errors.Is(err, azdo.ErrNoPool) || !strings.Contains(failed.Hint(), hint) {
			t.Errorf("remove %v: %v", remove, err)
		}
	}
}

// What the service says that it did and did not do is found by reading back.
func TestReadBack(t *testing.T) {
	for _, c := range []struct {
		name, path, body string
		missing          string
	}{
		{"a role", "PUT roleassignments", `{"count":1,"value":[{"identity":{"id":"%s"},"role":{"name":"Administrator"}}]}`, `give the identity the role Administrator on pool "Default" (id 1)`},
		{"updates", "PATCH distributedtask/pools", `{"id":1}`, `turn off agent updates in pool "Default" (id 1)`},
	} {
		synctest.Test(t, func(t *testing.T) {
			o := newOrg(t)
			oid := o.stranger(t, func(i *emulator.Identity) { i.Member, i.License = true, "express" })
			p := o.place(t, o.admin)
			w := setup.Spec{Identity: oid, Pool: "Default", Role: "Administrator", NoAutoUpdate: true}
			s, err := p.Read(t.Context(), w)
			if err != nil {
				t.Fatal(err)
			}
			method, path, _ := strings.Cut(c.path, " ")
			body := c.body
			if strings.Contains(body, "%s") {
				body = fmt.Sprintf(body, s.User.ID)
			}
			if _, err := o.AddFault(emulator.Fault{Method: method, Path: path, Status: 200, Body: body}); err != nil {
				t.Fatal(err)
			}
			_, err = p.Apply(t.Context(), w, s, setup.MakePlan(w, s), setup.Options{})
			var not *setup.Error
			if !errors.As(err, &not) || not.Kind != setup.Unconfirmed || not.Hint() == "" || !strings.HasSuffix(err.Error(), "this is still missing: "+c.missing) {
				t.Errorf("%s: %v", c.name, err)
			}
		})
	}
}

// TestNobodysRole: the trap itself: 200, and nobody got the role. It may be for want
// of time.
func TestNobodysRole(t *testing.T) {
	for _, times := range []int{3, 0} {
		synctest.Test(t, func(t *testing.T) {
			o := newOrg(t)
			oid := o.stranger(t, func(i *emulator.Identity) { i.Member, i.License = true, "express" })
			if _, err := o.AddFault(emulator.Fault{Method: "PUT", Path: "roleassignments", Times: times, Status: 200, Body: `{"count":0,"value":[]}`}); err != nil {
				t.Fatal(err)
			}
			waited := time.Duration(0)
			_, err := run(t.Context(), o.place(t, o.admin), setup.Spec{Identity: oid, Pool: "Default", Role: "Administrator"},
				setup.Options{Timeout: time.Hour, OnProgress: func(p setup.Progress) { waited += p.Waiting }})
			switch {
			case times > 0 && (err != nil || waited < 7*time.Second || waited > 21*time.Second || o.identity(oid).Roles["Default"] != "Administrator"):
				t.Errorf("known a little later: %v after %v", err, waited)
			case times == 0 && (err == nil || !strings.Contains(err.Error(), "it does not know that identity") || waited < 10*time.Second || waited > 30*time.Second):
				t.Errorf("a role for nobody: %v after %v", err, waited)
			}
		})
	}
}

// TestCancelledWait: whoever ends a wait gets that as the error, and not the last
// refusal, which has another exit code.
func TestCancelledWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOrg(t)
		oid := o.stranger(t, func(i *emulator.Identity) { i.Member, i.License = true, "express" })
		if _, err := o.AddFault(emulator.Fault{Method: "PUT", Path: "roleassignments", Status: 200, Body: `{"count":0,"value":[]}`}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		_, err := run(ctx, o.place(t, o.admin), setup.Spec{Identity: oid, Pool: "Default", Role: "Administrator"},
			setup.Options{Timeout: time.Hour, OnProgress: func(p setup.Progress) {
				if p.Waiting > 0 {
					cancel()
				}
			}})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("error is %v", err)
		}
	})
}

// TestInterrupted: whatever call fails, in whatever way, running it again ends as if
// none had.
func TestInterrupted(t *testing.T) {
	o := newOrg(t)
	p := o.place(t, o.admin)
	rapid.Check(t, func(t *rapid.T) {
		oid := o.stranger(t, func(i *emulator.Identity) {
			i.Member = rapid.Bool().Draw(t, "a user")
			i.License = rapid.SampledFrom([]string{"stakeholder", "express"}).Draw(t, "licence")
		})
		w := setup.Spec{Identity: oid, Pool: fmt.Sprintf("pool %d", o.last), CreatePool: true, Role: "Administrator", Project: "web",
			NoAutoUpdate: rapid.Bool().Draw(t, "no auto-update"), OpenToAll: rapid.Bool().Draw(t, "open")}
		fault := rapid.SampledFrom([]emulator.Fault{{Status: 503}, {DropAnswer: emulator.DropBefore}, {DropAnswer: emulator.DropAfter}}).Draw(t, "fault")
		fault.Nth, fault.Times = rapid.IntRange(1, 25).Draw(t, "at call"), 1
		if _, err := o.AddFault(fault); err != nil {
			t.Fatal(err)
		}
		_, err := run(context.Background(), p, w, setup.Options{})
		o.RemoveFault("")
		o.endsRight(t, p, w, err)
	})
}

// endsRight runs it again if it has to, and looks.
func (o *org) endsRight(t interface{ Fatalf(string, ...any) }, p setup.Organization, w setup.Spec, err error) {
	if err != nil {
		if _, err = run(context.Background(), p, w, setup.Options{}); err != nil {
			t.Fatalf("run again: %v", err)
		}
	}
	id, state := o.identity(w.Identity), o.State()
	pool := state.Pool(w.Pool)
	i := slices.IndexFunc(state.Projects[0].Queues, func(q emulator.QueueState) bool { return pool != nil && q.PoolID == pool.ID })
	if !id.Member || id.License != "express" || id.Roles[w.Pool] != "Administrator" || pool == nil || pool.AutoUpdate == w.NoAutoUpdate ||
		i < 0 || state.Projects[0].Queues[i].AllPipelines != w.OpenToAll {
		t.Fatalf("it ends with %+v, %+v, %+v", id, pool, state.Projects[0].Queues)
	}
}

// TestLies: the same where one call is answered with an empty success.
func TestLies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOrg(t)
		p := o.place(t, o.admin)
		lies := 0
		for nth := 1; nth < 25; nth++ {
			w := setup.Spec{Identity: o.stranger(t, nil), Pool: fmt.Sprintf("pool %d", nth), CreatePool: true, NoAutoUpdate: true, Role: "Administrator", Project: "web", OpenToAll: true}
			if _, err := o.AddFault(emulator.Fault{Nth: nth, Times: 1, Status: 200, Body: "{}"}); err != nil {
				t.Fatal(err)
			}
			_, err := run(t.Context(), p, w, setup.Options{})
			if o.Faults()[0].Fired > 0 {
				lies++
			}
			o.RemoveFault("")
			o.endsRight(t, p, w, err)
		}
		if lies < 15 {
			t.Errorf("only %d calls were lied to", lies)
		}
	})
}
