package doctor_test

import (
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/azptend/azptend/internal/agentdir"
	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/doctor"
	"github.com/azptend/azptend/internal/emulator"
	"github.com/azptend/azptend/internal/httpclient"
	"github.com/azptend/azptend/internal/identity"
	"github.com/azptend/azptend/internal/platform"
	"github.com/azptend/azptend/internal/secret"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// stage is an emulated Azure, and what a doctor is called with there.
type stage struct {
	*testing.T
	*emulator.Emulator
	server, entra *httptest.Server
	who           emulator.Identity // the managed identity that the machine has
	identity      identity.Options
	doctor.Environment
}

// members counts the identities that were made: the SDK remembers tokens by
// identity for the whole process.
var members atomic.Int64

// member is a managed identity with which everything is well.
func member() emulator.Identity {
	return emulator.Identity{
		ObjectID: fmt.Sprintf("11111111-0000-4000-8000-%012d", members.Add(1)), Name: "agents", Member: true, License: "express",
		Roles: map[string]string{"Default": emulator.RoleAdministrator}, Attached: true,
	}
}

// firstEmulator is the one whose key all share.
var firstEmulator = sync.OnceValue(func() *emulator.Emulator {
	e, err := emulator.New(emulator.Options{})
	if err != nil {
		panic(err)
	}
	e.Close()
	return e
})

// newStage is a stage on which nothing is wrong.
func newStage(t *testing.T, change ...func(*emulator.Options)) *stage {
	t.Helper()
	o := emulator.Options{KeyOf: firstEmulator(), Pools: []string{"Default", "Linux builds"}}
	for _, c := range change {
		c(&o)
	}
	e, err := emulator.New(o)
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{T: t, Emulator: e, server: httptest.NewServer(e), entra: httptest.NewTLSServer(e), who: member()}
	t.Cleanup(func() { e.Close(); s.server.Close(); s.entra.Close() })
	for _, stray := range []string{"IDENTITY_SERVER_THUMBPRINT", "IMDS_ENDPOINT", "MSI_ENDPOINT", "MSI_SECRET"} {
		t.Setenv(stray, "") // of the machine that the tests run on
	}
	for _, v := range e.Environment(s.server.URL) {
		if v.Name == "IDENTITY_ENDPOINT" || v.Name == "IDENTITY_HEADER" {
			t.Setenv(v.Name, v.Value) // the SDK reads them itself
		}
	}
	t.Setenv("AZURE_AUTHORITY_HOST", s.entra.URL)
	s.put(s.who)
	s.identity = identity.Options{
		Source: identity.ManagedIdentity, Host: identity.AppService, Managed: identity.ManagedID{ObjectID: s.who.ObjectID}, StartupTimeout: time.Millisecond,
		EndpointClient: httpclient.ForIdentity(),
	}
	t.Cleanup(s.identity.EndpointClient.CloseIdleConnections)
	s.URL, s.Settings.Pool = s.server.URL+"/emulated", "Default"
	s.Settings.Identity.Setting, s.Settings.Identity.Host = "MANAGED_IDENTITY_OBJECT_ID", "App Service"
	s.Environment.Host, s.Grace = platform.Info{Platform: platform.None, DisplayName: "no known platform", DetectedBy: "a test"}, 30*time.Second
	s.Folder, s.Jobs = soundFolder(), closedJobs()
	return s
}

func soundFolder() doctor.AgentFolder {
	return doctor.AgentFolder{
		Dir: "/azp", User: "agent", Check: func() error { return nil },
		Needs: func() (agentdir.Loader, error) {
			return agentdir.Loader{Libc: "glibc", Path: "/lib64/ld", Exists: true}, nil
		},
		ICU:     func() string { return "/lib/libicuuc.so.72" },
		Version: func(context.Context) (string, error) { return "5.282.3", nil },
		Space:   func() (uint64, uint64, error) { return 60e9, 100e9, nil },
	}
}

func closedJobs() doctor.JobAccess {
	return doctor.JobAccess{CanRead: func(string) bool { return true }, Metadata: func(context.Context) bool { return false }}
}

func (s *stage) put(id emulator.Identity) {
	s.Helper()
	if err := s.PutIdentity(id); err != nil {
		s.Fatal(err)
	}
}

// change puts the identity with something else about it.
func (s *stage) change(how func(*emulator.Identity)) {
	s.Helper()
	how(&s.who)
	s.put(s.who)
}

// tokenFile has the token come from a file.
func (s *stage) tokenFile(token string) {
	s.Helper()
	file := filepath.Join(s.TempDir(), "token")
	if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
		s.Fatal(err)
	}
	s.identity = identity.Options{Source: identity.TokenFile, TokenFile: file}
}

// pat has a personal access token.
func (s *stage) pat(p emulator.PAT) {
	s.Helper()
	made, err := s.PutPAT(p)
	if err != nil {
		s.Fatal(err)
	}
	s.identity = identity.Options{Source: identity.PAT, PAT: secret.New(made.Token)}
}

// fault has something go wrong.
func (s *stage) fault(f emulator.Fault) {
	s.Helper()
	if _, err := s.AddFault(f); err != nil {
		s.Fatal(err)
	}
}

// ready makes the clients, as the settings now say.
func (s *stage) ready() *azdo.Client {
	s.Helper()
	if s.HTTP == nil {
		ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.entra.Certificate().Raw})
		s.HTTP = httpclient.ForAzureDevOps("test", nil, ca)
		s.Cleanup(s.HTTP.CloseIdleConnections)
	}
	s.identity.EntraClient = s.HTTP
	who, err := identity.New(s.identity)
	if err != nil {
		s.Fatal(err)
	}
	client := azdo.New(s.URL, s.HTTP, who, nil)
	s.Tokens, s.Server = who, client
	s.Licence = func(ctx context.Context, key string) (azdo.Entitlement, error) {
		users, err := client.Account(ctx)
		if err != nil {
			return azdo.Entitlement{}, err
		}
		return users.Entitlement(ctx, key)
	}
	return client
}

// runs does what `azptend run` would until its agent is registered, and returns
// what goes wrong.
func (s *stage) runs(client *azdo.Client) error {
	pool, err := client.FindPool(s.Context(), azdo.PoolRef{ID: s.PoolID, Name: s.Settings.Pool})
	if err != nil {
		return err
	}
	_, err = client.AddAgent(s.Context(), pool.ID, someAgent("tried"))
	return err
}

// theirKey is every agent's here: making one takes a tenth of a second.
var theirKey = sync.OnceValue(func() *azdo.PublicKey {
	key, err := agentdir.GenerateKey()
	if err != nil {
		panic(err)
	}
	exponent, modulus := agentdir.PublicKey(key)
	return &azdo.PublicKey{Exponent: exponent, Modulus: modulus}
})

func someAgent(name string) azdo.Agent {
	return azdo.Agent{Name: name, Version: "5.282.3", MaxParallelism: 1, Authorization: &azdo.Authorization{PublicKey: theirKey()}}
}

// entraToken is one of the identity's, as its tenant issues it.
func (s *stage) entraToken(audience string) string {
	s.Helper()
	token, err := s.IssueToken(s.who.ObjectID, audience)
	if err != nil {
		s.Fatal(err)
	}
	return token
}

// manageQueue makes the identity Administrator of the pool in a project, and of
// no pool of the organisation.
func (s *stage) manageQueue() {
	s.Helper()
	admin, err := identity.New(identity.Options{Source: identity.PAT, PAT: secret.New(s.DefaultPAT)})
	if err != nil {
		s.Fatal(err)
	}
	user, err := s.ready().WhoAmI(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	client := azdo.New(s.URL, s.HTTP, admin, nil)
	project, err := client.ProjectByName(s.Context(), "Project")
	if err != nil {
		s.Fatal(err)
	}
	queue, found, err := client.QueueForPool(s.Context(), "Project", 1)
	if err != nil || !found {
		s.Fatal(found, err)
	}
	body := fmt.Sprintf(`[{"roleName":"Administrator","userId":%q}]`, user.ID)
	url := fmt.Sprintf("%s/_apis/securityroles/scopes/distributedtask.agentqueuerole/roleassignments/resources/%s_%d?api-version=7.1-preview.1", s.URL, project.ID, queue.ID)
	req, err := http.NewRequestWithContext(s.Context(), http.MethodPut, url, strings.NewReader(body))
	if err != nil {
		s.Fatal(err)
	}
	req.SetBasicAuth("", s.DefaultPAT)
	req.Header.Set("Content-Type", "application/json")
	resp, err := s.HTTP.Do(req)
	if err != nil {
		s.Fatal(err)
	}
	defer resp.Body.Close()
	if answer, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK || !strings.Contains(string(answer), `"count":1`) {
		s.Fatalf("%d %s", resp.StatusCode, answer)
	}
}
