package doctor

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/azptend/azptend/internal/agentdir"
	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/identity"
	"github.com/azptend/azptend/internal/secret"
)

// Environment is what is looked at. Where the settings were not good enough to make a
// part, it is missing, and the checks that need it say so.
type Environment struct {
	Problems []SettingProblem // what is wrong with the settings
	Warnings []string         // what is odd about them

	URL         string // the organisation's; "" where the settings name none that can be read
	PoolName    string
	PoolID      int    // 0: look the name up
	Registered  string // the folder of an agent that another azptend has registered: no identity is needed
	Placeholder bool   // no agent will run: no folder is needed

	Host      Platform
	Identity  ChosenIdentity
	Server    Server                                                          // nil without URL or identity
	Licence   func(ctx context.Context, key string) (azdo.Entitlement, error) // a user's, by its id there; goes with Server
	HTTP      *http.Client                                                    // for Azure DevOps
	Proxy     func(*http.Request) (*url.URL, error)                           // the one that Web uses; nil: none
	Endpoints []Endpoint                                                      // what else is needed on the network
	Folder    AgentFolder
	Jobs      JobAccess
}

// SettingProblem is one thing that is wrong with the settings.
type SettingProblem struct{ What, Hint string }

// Platform is where azptend runs, and the grace period it has there.
type Platform struct {
	Kind           string // a word of package platform
	Name           string // for a person
	DetectedBy     string // what it was known by
	GraceSetting   string // what changes the grace period there; "": nothing does
	GracePeriod    time.Duration
	GraceSet       bool          // a person has set it
	MaxGracePeriod time.Duration // the most that the platform ever gives; 0: not known

	Drain, Stop, Remove time.Duration // the grace period's parts
	CancelsJobs         bool          // Drain is too short to finish a job
}

// ChosenIdentity is the identity that the settings came to.
type ChosenIdentity struct {
	Source  TokenSource // nil where there is none, and Err says why
	Err     error       // nil with a nil Who: the settings are wrong
	Reason  string      // the setting that decided
	Host    string      // who is asked for a managed identity's token
	Ignored []string
}

// TokenSource gets tokens. *identity.Identity is one.
type TokenSource interface {
	Source() identity.Source
	Selector() string
	Token(ctx context.Context) (secret.Text, time.Time, error)
}

// Server is what the doctor asks of Azure DevOps. It changes nothing there.
// *azdo.Client is one.
type Server interface {
	WhoAmI(ctx context.Context) (azdo.User, error)
	Pools(ctx context.Context) ([]azdo.Pool, error)
	PoolByName(ctx context.Context, name string) (azdo.Pool, error)
	PoolByID(ctx context.Context, id int) (azdo.Pool, error)
	HasPermission(ctx context.Context, pool int, rights azdo.Permission) (bool, error)
	Agents(ctx context.Context, pool int) ([]azdo.Agent, error)
	JobRequests(ctx context.Context, pool, completed int) ([]azdo.JobRequest, error)
}

// Endpoint is an address that answers anybody with anything.
type Endpoint struct {
	URL string
	For string // what needs it: "the agent's log-on"
}

// AgentFolder is the agent's folder.
type AgentFolder struct {
	Dir            string
	InstallPending bool                                  // there is no agent yet, and run installs one
	User           string                                // whom the agent runs as
	Check          func() error                          // as that user; an *agentdir.DirError says what is wrong. Before an install: whether that can create the directory
	Needs          func() (agentdir.Loader, error)       // what its listener was built to find
	ICU            func() string                         // where it is, or the setting that makes it needless; "" for neither
	Version        func(context.Context) (string, error) // asks the listener itself
	Space          func() (free, total uint64, err error)
}

// JobAccess is what jobs can reach.
type JobAccess struct {
	User         string // whom they run as, "" for azptend's own user
	TokenFiles   []string
	CanRead      func(file string) bool // as that user
	Undumpable   error                  // nil: others of our user cannot look into azptend
	DeafShell    string                 // a shell with process id 1 that azptend runs below, and that forwards no signal; "" for none
	Capabilities []string               // of jobs, with which they can look into it all the same
	Parents      []string               // processes above azptend whose environment shows jobs a secret: "sh (pid 1) shows AZP_TOKEN"
	Metadata     func(context.Context) bool
	PassEnv      []string // what AZP_PASS_ENV hands on
}

// run is a subject, and what has been learned of it so far.
type run struct {
	Environment
	claims        *identity.Claims // nil: none, or a token that says nothing of itself
	organisation  azdo.Endpoint
	clockSkew     time.Duration // how far this machine is ahead of it
	membershipErr error         // what the sign-in check left to the membership check
	user          azdo.User
	ownerHidden   bool // the token is good for pools, and not for asking whose it is
	licence       azdo.License
	licenceKnown  bool // the licence is
	pool          azdo.Pool
}

func newRun(s Environment) *run { return &run{Environment: s} }

// isPreregistered says that no identity is needed here.
func (v *run) isPreregistered() bool { return v.Registered != "" }
