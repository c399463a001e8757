package doctor

import (
	"context"
	"net/http"
	"time"

	"github.com/azptend/azptend/internal/agentdir"
	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/identity"
	"github.com/azptend/azptend/internal/platform"
	"github.com/azptend/azptend/internal/secret"
)

// Environment is what the checks look at. If a setting is missing, what depends on it is
// missing too, and the checks that need it say so.
type Environment struct {
	config.Settings                  // with the grace period that applies here
	Problems        []config.Problem // what is wrong with the settings
	Host            platform.Info
	GraceSet        bool // the grace period is a person's, and not the platform's default

	Tokens      TokenSource                                                     // nil without an identity
	IdentityErr error                                                           // why the identity of the settings cannot be used
	Server      Server                                                          // nil without URL or identity
	Licence     func(ctx context.Context, key string) (azdo.Entitlement, error) // of a user, by its storage key; goes with Server
	HTTP        *http.Client                                                    // for Azure DevOps
	Endpoints   []Endpoint                                                      // other hosts that are needed
	Folder      AgentFolder
	Jobs        JobAccess
}

// TokenSource gets tokens. *identity.Identity implements it.
type TokenSource interface {
	Source() identity.Source
	Selector() string
	Token(ctx context.Context) (secret.Text, time.Time, error)
}

// Server is the part of Azure DevOps that the checks read. *azdo.Client implements it.
type Server interface {
	WhoAmI(ctx context.Context) (azdo.User, error)
	Pools(ctx context.Context) ([]azdo.Pool, error)
	FindPool(ctx context.Context, ref azdo.PoolRef) (azdo.Pool, error)
	HasPermission(ctx context.Context, pool int, rights azdo.Permission) (bool, error)
	Agents(ctx context.Context, pool int) ([]azdo.Agent, error)
	JobRequests(ctx context.Context, pool, completed int) ([]azdo.JobRequest, error)
}

// Endpoint is a host that has to be reachable: any answer will do.
type Endpoint struct {
	URL string
	For string // what needs it: "the agent's log-on"
}

// AgentFolder is the agent's directory.
type AgentFolder struct {
	Dir            string
	InstallPending bool                                  // there is no agent yet, and run installs one
	User           string                                // the user that the agent runs as
	Check          func() error                          // as that user; an *agentdir.DirError says what is wrong. Before an install: whether that can create the directory
	Needs          func() (agentdir.Loader, error)       // the loader that its listener was built for
	ICU            func() string                         // its path, or the setting that makes it unnecessary; "" for neither
	Version        func(context.Context) (string, error) // asks the listener itself
	Space          func() (free, total uint64, err error)
}

// JobAccess is what jobs can reach.
type JobAccess struct {
	User         string // the user that they run as; "": azptend's own
	TokenFiles   []string
	CanRead      func(file string) bool // as that user
	Undumpable   error                  // nil: other processes of this user cannot look into azptend
	DeafShell    string                 // a shell with process id 1 above azptend that forwards no signal; "": none
	Capabilities []string               // capabilities of jobs with which they still can
	Parents      []string               // processes above azptend whose environment shows jobs a secret: "sh (pid 1) shows AZP_TOKEN"
	Metadata     func(context.Context) bool
}

// run is an environment with what the checks have learned.
type run struct {
	Environment
	claims        *identity.Claims // nil: no token, or one that is opaque
	organisation  azdo.Endpoint
	clockSkew     time.Duration // how far this machine is ahead of it
	membershipErr error         // what the sign-in check left to the membership check
	user          azdo.User
	ownerHidden   bool // the token may list pools, but not tell its owner
	licence       azdo.License
	licenceKnown  bool
	pool          azdo.Pool
}
