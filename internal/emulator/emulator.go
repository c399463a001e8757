package emulator

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Emulator is Azure in memory. It is an http.Handler, safe for use by many goroutines; make one with New.
//
// Locking: mu guards everything below it. The dispatcher takes it around each route's handler, so handlers and the
// functions they call run with mu held and never take it. What waits (the long poll, Events, WaitHold) takes mu
// itself to look, lets go, and waits for changed, a channel that is closed and replaced whenever something happened.
type Emulator struct {
	DefaultPAT string // the token of a project collection administrator; it does not expire
	Tenant     string // the organisation's

	opts    Options
	key     *rsa.PrivateKey // signs the tokens
	offset  atomic.Int64    // nanoseconds that Advance has added to the clock
	done    chan struct{}
	routes  []route
	control http.Handler

	packageOnce sync.Once // of Options.AgentPackage

	mu          sync.Mutex
	closed      bool
	changed     chan struct{}
	dirty       bool // something happened since the last settle
	timer       *time.Timer
	assumptions Assumptions
	policies    Policies
	instanceID  string               // the organisation's id
	header      string               // the X-IDENTITY-HEADER secret
	identities  map[string]*identity // by lower-case object id
	defaultOID  string
	adminOID    string          // object id of the person who administers the organisation
	pats        map[string]*PAT // by the token itself
	msiCache    map[string]msiToken
	assertions  map[string]time.Time // client assertions already used, until they expire
	pools       []*pool              // in order of id
	projects    []*project
	packages    []heldPackage // the newest first
	sessions    map[string]*session
	jobs        []*job // in order of request id
	lastPool    int
	lastAgent   int
	lastQueue   int
	lastMsg     int64
	events      []Event
	calls       []*Call
	lastCall    uint64
	faults      []*faultState
	holds       []*holdState
	snapshots   []snapshot // with StaleReads, the oldest first
	lastHook    int

	meter       *Meter
	scheduled   []*scheduled
	incarnation int // of the document of scheduled events
}

// New makes an Emulator with its pools, one managed identity that may do everything with them, and one PAT of a project
// collection administrator.
func New(opts Options) (*Emulator, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	var key *rsa.PrivateKey
	if opts.KeyOf != nil {
		key = opts.KeyOf.key
	} else if key, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		return nil, fmt.Errorf("cannot make the emulator's signing key: %w", err)
	}
	e := &Emulator{
		opts: opts, key: key, assumptions: opts.Assumptions,
		done: make(chan struct{}), changed: make(chan struct{}),
		instanceID: newGUID(), Tenant: newGUID(), header: newSecret(16), DefaultPAT: newSecret(26),
		identities: map[string]*identity{}, pats: map[string]*PAT{}, msiCache: map[string]msiToken{},
		assertions: map[string]time.Time{}, sessions: map[string]*session{},
	}
	e.meter = newMeter(opts.RateLimit, e.slow(rateWindow), e.slow(longestDelay))
	e.routes = e.routeTable()
	e.control = e.controlMux()
	e.seed()
	return e, nil
}

// seed creates the pools, the projects and the first identities.
func (e *Emulator) seed() {
	defer e.change()()
	e.adminOID = newGUID()
	for _, name := range e.opts.Pools {
		e.addPool(name)
	}
	for _, name := range e.opts.Projects {
		e.addProject(name)
	}
	e.defaultOID = newGUID()
	e.addIdentity(Identity{
		ObjectID: e.defaultOID, Name: "emulated-agents", Member: true, License: "express",
		Roles: map[string]string{AllPools: RoleAdministrator}, Attached: true,
	})
	e.addIdentity(Identity{
		ObjectID: e.adminOID, Name: "Emulated Admin", Kind: KindUser, Member: true, License: "express", Admin: true,
		Roles: map[string]string{AllPools: RoleAdministrator},
	})
	e.pats[e.DefaultPAT] = &PAT{Token: e.DefaultPAT, Name: "default", Owner: e.adminOID}
}

// change locks the emulator for a change. The caller defers the returned function: it settles what follows from the
// change, and unlocks.
func (e *Emulator) change() (done func()) {
	e.mu.Lock()
	return func() {
		e.dirty = true
		e.settle()
		e.mu.Unlock()
	}
}

// Close ends all long polls, held calls and waits, and stops the timer. Later calls are answered with 503.
// Close the emulator before an httptest.Server that serves it: the server waits for running calls.
func (e *Emulator) Close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return
	}
	e.closed = true
	close(e.done)
	if e.timer != nil {
		e.timer.Stop()
	}
}

// Serve serves the emulator on ln until ctx ends. It refuses calls of web pages of other origins, see requireKnownHost.
// Then it ends all held calls and long polls and closes the emulator and ln. It returns nil if it ended because ctx did.
func (e *Emulator) Serve(ctx context.Context, ln net.Listener) error {
	srv := &http.Server{
		Handler:           requireKnownHost(e, ln.Addr(), e.opts.Hosts),
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          slog.NewLogLogger(e.opts.Log.Handler(), slog.LevelDebug),
	}
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(ln) }()
	select {
	case err := <-ended:
		e.Close()
		_ = srv.Close()
		return fmt.Errorf("cannot serve the emulator: %w", err)
	case <-ctx.Done():
	}
	e.Close()
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if err := srv.Shutdown(grace); err != nil {
		_ = srv.Close() // an answer that a client does not read is not worth waiting for
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("cannot serve the emulator: %w", err)
	}
	return nil
}

// EnvVar is one environment variable.
type EnvVar struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Environment is what to export to run an agent against the emulator served at base ("http://127.0.0.1:8080"), with
// its managed identity. To use the PAT instead, leave the last three out and set AZP_TOKEN to DefaultPAT.
func (e *Emulator) Environment(base string) []EnvVar {
	base = strings.TrimRight(base, "/")
	e.mu.Lock()
	defer e.mu.Unlock()
	return []EnvVar{
		{"AZP_URL", base + "/" + e.opts.Org},
		{"AZP_POOL", e.opts.Pools[0]},
		{"IDENTITY_ENDPOINT", base + "/msi/token"},
		{"IDENTITY_HEADER", e.header},
		{"MANAGED_IDENTITY_OBJECT_ID", e.defaultOID},
	}
}

// newGUID is a random version 4 GUID.
func newGUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the process instead
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// newSecret is n random bytes in hexadecimal.
func newSecret(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)
}
