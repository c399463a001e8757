package identity_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/emulator"
	"github.com/azptend/azptend/internal/httpclient"
	"github.com/azptend/azptend/internal/identity"
)

// TestTokenRenewedAfterLongJob is the long job on a host that is asked
// through the metadata service, whose address no script can have everywhere: the
// real SDK, an hour's and a day's token, and an agent that is removed with
// another one.
func TestTokenRenewedAfterLongJob(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		object    string // one each: the SDK's memory is the process's
		life, job time.Duration
	}{
		"a token of an hour": {"11111111-0000-4000-8000-0000000000a1", time.Hour, 20 * time.Hour},
		"a token of a day":   {"11111111-0000-4000-8000-0000000000a2", 24 * time.Hour, 25 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := emulator.New(emulator.Options{})
			if err != nil {
				t.Fatal(err)
			}
			server := httptest.NewServer(e)
			t.Cleanup(func() { e.Close(); server.Close() })
			id := emulator.Identity{ObjectID: tt.object, Member: true,
				Roles: emulator.Roles{emulator.AllPools: emulator.RoleAdministrator}, Attached: true, SystemAssigned: true, TokenLife: tt.life}
			if err := e.PutIdentity(id); err != nil {
				t.Fatal(err)
			}
			for _, stray := range []string{"IDENTITY_ENDPOINT", "IMDS_ENDPOINT", "MSI_ENDPOINT", "MSI_SECRET"} {
				t.Setenv(stray, "")
			}
			t.Setenv("IDENTITY_HEADER", "stray")
			who, err := identity.New(identity.Options{Source: identity.ManagedIdentity, Host: identity.MetadataService, Managed: identity.ManagedID{ObjectID: id.ObjectID}, EndpointClient: toMetadata(t, server)})
			if err != nil {
				t.Fatal(err)
			}
			client := azdo.New(server.URL+"/emulated", httpclient.ForAzureDevOps("test", nil, nil), who, func(azdo.Observation) {})
			added, err := client.AddAgent(t.Context(), 1, azdo.Agent{Name: "machine", Version: "4.0.0",
				Authorization: &azdo.Authorization{PublicKey: &azdo.PublicKey{Exponent: []byte{1, 0, 1}, Modulus: key.N.Bytes()}}})
			if err != nil {
				t.Fatal(err)
			}
			e.Elapse(tt.job)
			if err := client.RemoveAgent(t.Context(), 1, added.ID); err != nil {
				t.Fatalf("%s later: %v", tt.job, err)
			}
			var statuses []int
			for _, c := range e.Calls() {
				if c.Method == http.MethodDelete {
					statuses = append(statuses, c.Status)
				}
			}
			if len(statuses) != 2 || statuses[0] != http.StatusUnauthorized || statuses[1] != http.StatusNoContent {
				t.Errorf("DELETE was answered with %v: want the old token refused, and a fresh one taken", statuses)
			}
		})
	}
}

// toMetadata is the product's client, whose connections to 169.254.169.254 reach
// the emulator.
func toMetadata(t *testing.T, server *httptest.Server) *http.Client {
	c := httpclient.ForPinnedIdentity()
	base := c.Transport.(*http.Transport)
	base.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		if address != "169.254.169.254:80" {
			t.Errorf("connects to %s", address)
		}
		return (&net.Dialer{}).DialContext(ctx, network, server.Listener.Addr().String())
	}
	t.Cleanup(c.CloseIdleConnections)
	return c
}
