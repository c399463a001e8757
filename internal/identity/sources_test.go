package identity_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/azptend/azptend/internal/emulator"
	"github.com/azptend/azptend/internal/httpclient"
	"github.com/azptend/azptend/internal/identity"
	"github.com/azptend/azptend/internal/secret"
)

// azure is an emulator, served as Azure is: the metadata service at its address,
// Entra ID with TLS.
type azure struct {
	*emulator.Emulator
	plain, tls *httptest.Server
}

func newAzure(t *testing.T) *azure {
	t.Helper()
	e, err := emulator.New(emulator.Options{})
	if err != nil {
		t.Fatal(err)
	}
	a := &azure{e, httptest.NewServer(e), httptest.NewTLSServer(e)}
	t.Cleanup(func() { e.Close(); a.plain.Close(); a.tls.Close() })
	inEnvironment(t, "")
	t.Setenv("IDENTITY_HEADER", "")
	t.Setenv("AZURE_AUTHORITY_HOST", a.tls.URL)
	return a
}

// metadata is the product's client, but for the address that its connections go
// to: the SDK's is fixed (reference/identity.md 3).
func (a *azure) metadata(t *testing.T) *http.Client {
	return dialling(t, func(address string) string {
		if address != "169.254.169.254:80" {
			t.Errorf("connects to %s", address)
		}
		return a.plain.Listener.Addr().String()
	})
}

func dialling(t *testing.T, to func(address string) string) *http.Client {
	c := httpclient.ForPinnedIdentity()
	base := c.Transport.(*http.Transport)
	base.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, to(address))
	}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

// web is the product's client for the internet.
func (a *azure) web(t *testing.T) *http.Client {
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.tls.Certificate().Raw})
	c := httpclient.ForAzureDevOps("test", nil, ca)
	t.Cleanup(c.CloseIdleConnections)
	return c
}

func (a *azure) put(t *testing.T, id emulator.Identity) emulator.Identity {
	t.Helper()
	if id.ObjectID == "" {
		id.ObjectID = anObject()
	}
	if err := a.PutIdentity(id); err != nil {
		t.Fatal(err)
	}
	all := a.Identities()
	return all[slices.IndexFunc(all, func(i emulator.Identity) bool { return i.ObjectID == id.ObjectID })]
}

func (a *azure) asked(path string) (queries []url.Values) {
	for _, c := range a.Calls() {
		if strings.HasSuffix(c.Path, path) {
			q, _ := url.ParseQuery(c.Query)
			queries = append(queries, q)
		}
	}
	return queries
}

func made(t *testing.T, o identity.Options) *identity.Identity {
	t.Helper()
	who, err := identity.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return who
}

// mustBe asks for a token and says whose it must be.
func mustBe(t *testing.T, who *identity.Identity, object string) {
	t.Helper()
	claims, ok := identity.ClaimsOf(strings.TrimPrefix(authorize(t, who, false), "Bearer "))
	if !ok || claims.ObjectID != object || !claims.ForDevOps() {
		t.Errorf("the token says %+v, want one for Azure DevOps of %s", claims, object)
	}
}

const metadataPath = "/metadata/identity/oauth2/token"

func TestTheMetadataService(t *testing.T) {
	a := newAzure(t)
	user := a.put(t, emulator.Identity{Name: "user-assigned", Attached: true})
	machine := a.put(t, emulator.Identity{Name: "machine", Attached: true, SystemAssigned: true})
	// What Container Instances leave behind on Linux (reference/identity.md 1.3).
	t.Setenv("IDENTITY_HEADER", "stray")
	t.Setenv("IDENTITY_SERVER_THUMBPRINT", "stray")
	for _, tt := range []struct {
		options identity.Options
		object  string
		query   string
	}{
		{identity.Options{}, machine.ObjectID, ""},
		{identity.Options{Managed: identity.ManagedID{ObjectID: user.ObjectID}}, user.ObjectID, "object_id=" + user.ObjectID},
		{identity.Options{Managed: identity.ManagedID{ClientID: user.ClientID}}, user.ObjectID, "client_id=" + user.ClientID},
		{identity.Options{Managed: identity.ManagedID{ResourceID: user.ResourceID}}, user.ObjectID, "msi_res_id=" + url.QueryEscape(user.ResourceID)},
	} {
		a.ClearCalls()
		tt.options.Source, tt.options.Host, tt.options.EndpointClient = identity.ManagedIdentity, identity.MetadataService, a.metadata(t)
		mustBe(t, made(t, tt.options), tt.object)
		asked := a.asked(metadataPath)
		want, _ := url.ParseQuery("api-version=2018-02-01&resource=" + identity.DevOpsResource + "&" + tt.query)
		if len(asked) != 1 || asked[0].Encode() != want.Encode() {
			t.Errorf("asked %v, want %v", asked, want)
		}
	}
}

// What passes is waited for, with a line that says so; what is final is not.
func TestTheMetadataServicesCondition(t *testing.T) {
	a := newAzure(t)
	user := a.put(t, emulator.Identity{Attached: true})
	for i, status := range []int{410, 404} {
		if _, err := a.AddFault(emulator.Fault{Path: metadataPath, Nth: i + 1, Times: 1, Status: status, Body: "{}"}); err != nil {
			t.Fatal(err)
		}
	}
	log := watchFor("answers 404")
	who := made(t, identity.Options{Source: identity.ManagedIdentity, Host: identity.MetadataService, Managed: identity.ManagedID{ObjectID: user.ObjectID},
		EndpointClient: a.metadata(t), Log: newLog(log)})
	mustBe(t, who, user.ObjectID)
	if n := len(a.asked(metadataPath)); n != 3 {
		t.Errorf("asked %d times", n)
	}
	if said := log.lines.String(); strings.Count(said, "\n") != 2 || !strings.Contains(said, "it answers 410") || !strings.Contains(said, "at_most=2m0s") {
		t.Errorf("said:\n%s", said)
	}

	a.ClearCalls()
	who = made(t, identity.Options{Source: identity.ManagedIdentity, Host: identity.MetadataService, Managed: identity.ManagedID{ObjectID: anObject()}, EndpointClient: a.metadata(t)})
	_, err := who.Authorization(t.Context(), secret.Text{})
	var answer *identity.EndpointError
	if !errors.As(err, &answer) || !answer.Permanent() || !strings.Contains(err.Error(), "says 400 invalid_request: Identity not found") {
		t.Errorf("error is %v", err)
	}
	if n := len(a.asked(metadataPath)); n != 1 {
		t.Errorf("asked %d times for what is not there", n)
	}
}

// On Container Instances it appears some seconds after the container, and until
// then a connection fails in more ways than one.
func TestTheMetadataServiceAppearsLate(t *testing.T) {
	a := newAzure(t)
	user := a.put(t, emulator.Identity{Attached: true})
	appeared := make(chan struct{})
	log := watchFor("does not exist")
	go func() { <-log.seen; close(appeared) }()
	c := a.metadata(t)
	base := c.Transport.(*http.Transport)
	there := base.DialContext
	base.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		select {
		case <-appeared:
			return there(ctx, network, address)
		default:
			return nil, &net.OpError{Op: "dial", Net: network, Err: os.ErrDeadlineExceeded} // packets that nobody answers
		}
	}
	who := made(t, identity.Options{Source: identity.ManagedIdentity, Host: identity.MetadataService, Managed: identity.ManagedID{ObjectID: user.ObjectID}, EndpointClient: c, Log: newLog(log)})
	mustBe(t, who, user.ObjectID)

	// Beside a container, only a refusal is a start that is late.
	inEnvironment(t, "http://127.0.0.1:1/msi/token")
	tries := 0
	base.DialContext = func(_ context.Context, network, _ string) (net.Conn, error) {
		tries++
		return nil, &net.OpError{Op: "dial", Net: network, Err: errors.New("no route to host")}
	}
	who = made(t, identity.Options{Source: identity.ManagedIdentity, Managed: identity.ManagedID{ObjectID: anObject()}, EndpointClient: c, StartupTimeout: 3 * time.Second})
	if _, err := who.Authorization(t.Context(), secret.Text{}); err == nil || !strings.Contains(err.Error(), "no route to host") || tries != 1 {
		t.Errorf("error after %d tries is %v", tries, err)
	}
}

// The forms in which App Service has written expires_on, from the emulator.
func TestExpiresOnFromTheEmulator(t *testing.T) {
	a := newAzure(t)
	for _, v := range a.Environment(a.plain.URL) {
		if strings.HasPrefix(v.Name, "IDENTITY_") {
			t.Setenv(v.Name, v.Value)
		}
	}
	for _, form := range []string{"", emulator.ExpiresNumber, emulator.ExpiresLinux, emulator.ExpiresWindows, emulator.ExpiresRFC3339} {
		id := a.put(t, emulator.Identity{Attached: true, ExpiresForm: form})
		for _, o := range []identity.Options{{Managed: identity.ManagedID{ObjectID: id.ObjectID}}, {Managed: identity.ManagedID{ClientID: id.ClientID}}, {Managed: identity.ManagedID{ResourceID: id.ResourceID}}} {
			o.Source, o.EndpointClient = identity.ManagedIdentity, client(t)
			mustBe(t, made(t, o), id.ObjectID)
		}
	}
}

// keyPair is a certificate and its key, the certificate alone, and the file with
// both. Making one costs a tenth of a second.
var keyPair = sync.OnceValues(func() (both, certificate string) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "agents"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		panic(err)
	}
	certificate = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return certificate + string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})), certificate
})

// For Service Fabric the SDK pins the endpoint's certificate, and fails unless it has a
// plain http.Transport.
func TestServiceFabric(t *testing.T) {
	inEnvironment(t, "https://127.0.0.1:1/msi/token")
	t.Setenv("IDENTITY_SERVER_THUMBPRINT", "0123456789abcdef0123456789abcdef01234567")
	if _, err := identity.New(identity.Options{Source: identity.ManagedIdentity, Host: identity.ServiceFabric}); err != nil {
		t.Error(err)
	}
	if _, err := identity.New(identity.Options{Source: identity.ManagedIdentity, Host: identity.ServiceFabric, EndpointClient: client(t)}); err == nil {
		t.Error("the SDK takes any client: ForPinnedIdentity is not needed")
	}
}

func TestAServicePrincipal(t *testing.T) {
	a := newAzure(t)
	both, certificate := keyPair()
	app := a.put(t, emulator.Identity{Kind: emulator.KindServicePrincipal, Secret: "s3cr3t-s3cr3t", Certificate: certificate})
	file := filepath.Join(t.TempDir(), "app.pem")
	write(t, file, both)
	o := identity.Options{Source: identity.ServicePrincipal, Application: identity.Application{TenantID: a.Tenant, ClientID: app.ClientID}, EntraClient: a.web(t)}

	bySecret, byCertificate := o, o
	bySecret.Application.Secret, byCertificate.Application.CertificateFile = secret.New("s3cr3t-s3cr3t"), file
	for name, o := range map[string]identity.Options{"secret": bySecret, "certificate": byCertificate} {
		a.ClearCalls()
		who := made(t, o)
		mustBe(t, who, app.ObjectID)
		mustBe(t, who, app.ObjectID)
		if n := len(a.asked("/oauth2/v2.0/token")); n != 1 {
			t.Errorf("%s: asked %d times for a token that lives an hour", name, n)
		}
		old := authorize(t, who, false)
		if fresh := authorize(t, who, true); fresh == old || authorize(t, who, false) != fresh {
			t.Errorf("%s: a refused token is back", name)
		}
	}

	for name, tt := range map[string]struct {
		change func(*identity.Options)
		says   string
	}{
		"a wrong secret":  {func(o *identity.Options) { o.Application.Secret = secret.New("wrong-secret") }, "Entra ID says 401 invalid_client: AADSTS7000215: Invalid client secret provided."},
		"another tenant":  {func(o *identity.Options) { o.Application.TenantID = "contoso.example" }, "AADSTS90002: Tenant 'contoso.example' not found."},
		"an unknown app":  {func(o *identity.Options) { o.Application.ClientID = anObject() }, "Entra ID says 400 unauthorized_client: AADSTS700016: Application with identifier"},
		"nobody answers":  {func(o *identity.Options) { o.EntraClient = dialling(t, func(string) string { return "127.0.0.1:1" }) }, "cannot reach Entra ID at 127.0.0.1:"},
		"a stranger's CA": {func(o *identity.Options) { o.EntraClient = client(t) }, "certificate signed by unknown authority"},
	} {
		o := bySecret
		tt.change(&o)
		_, err := made(t, o).Authorization(t.Context(), secret.Text{})
		if err == nil || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "Trace ID") || strings.Contains(err.Error(), "wrong-secret") {
			t.Errorf("%s: error is %v", name, err)
		}
	}
	write(t, file, "-----BEGIN NOTHING-----")
	if _, err := identity.New(byCertificate); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("a file that is no certificate: %v", err)
	}
}

func TestAWorkloadIdentity(t *testing.T) {
	const subject = "system:serviceaccount:agents:pool"
	a := newAzure(t)
	app := a.put(t, emulator.Identity{Subject: subject})
	file := filepath.Join(t.TempDir(), "azure-identity-token")
	project := func(subject, end string) {
		t.Helper()
		token, err := a.ProjectedToken(subject)
		if err != nil {
			t.Fatal(err)
		}
		write(t, file, token+end)
	}
	project(subject, "\n") // the SDK would send it along (reference/identity.md 1.6)
	o := identity.Options{Source: identity.WorkloadIdentity, Application: identity.Application{TenantID: a.Tenant, ClientID: app.ClientID, FederatedTokenFile: file}, EntraClient: a.web(t)}
	who := made(t, o)
	mustBe(t, who, app.ObjectID)

	// Hours later only the file that kubelet has written since is of use.
	a.Elapse(20 * time.Hour)
	if _, err := who.Authorization(t.Context(), refused); err == nil || !strings.Contains(err.Error(), "AADSTS700024") {
		t.Errorf("an old projected token: %v", err)
	}
	project(subject, "")
	authorize(t, who, true)

	project("system:serviceaccount:other:pool", "")
	if _, err := who.Authorization(t.Context(), refused); err == nil || !strings.Contains(err.Error(), "No matching federated identity record") {
		t.Errorf("another subject: %v", err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	_, err := who.Authorization(t.Context(), refused)
	var missing *identity.FileError
	if !errors.As(err, &missing) || !strings.Contains(err.Error(), "AZURE_FEDERATED_TOKEN_FILE") {
		t.Errorf("without the file: %v", err)
	}
}

// The SDK starts az; an az of our own stands in its place.
func TestTheAzureCLI(t *testing.T) {
	dir := t.TempDir()
	token := jwt(time.Hour, "a person's")
	script := "#!/bin/sh\necho \"$*\" > " + dir + "/asked\nprintf '{\"accessToken\":\"" + token + "\",\"expires_on\":%s}' $(( $(date +%s) + 3600 ))\n"
	write(t, filepath.Join(dir, "az"), script)
	if err := os.Chmod(filepath.Join(dir, "az"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	who := made(t, identity.Options{Source: identity.AzureCLI})
	for _, fresh := range []bool{false, true} {
		if got := authorize(t, who, fresh); got != "Bearer "+token {
			t.Errorf("header is %q", got)
		}
	}
	asked, err := os.ReadFile(filepath.Join(dir, "asked"))
	if err != nil || !strings.Contains(string(asked), "get-access-token -o json --resource "+identity.DevOpsResource) {
		t.Errorf("az was asked %q, %v", asked, err)
	}
}

// A token with little life left is asked for again, and one with none to speak
// of is not used.
func TestATokenNeedsLife(t *testing.T) {
	lives := []time.Duration{4 * time.Minute, time.Hour}
	n := 0
	newEndpoint(t, func(w http.ResponseWriter, r *http.Request) {
		gives(jwt(lives[n], "n"))(w, r)
		n = min(n+1, len(lives)-1)
	})
	who := newIdentity(t, identity.Options{Managed: identity.ManagedID{ObjectID: anObject()}})
	claims, _ := identity.ClaimsOf(strings.TrimPrefix(authorize(t, who, false), "Bearer "))
	if left := time.Until(claims.Expires); left < 50*time.Minute {
		t.Errorf("it has %s left", left)
	}
	lives, n = []time.Duration{4 * time.Minute}, 0
	authorize(t, newIdentity(t, identity.Options{Managed: identity.ManagedID{ObjectID: anObject()}}), false) // all there is
	lives = []time.Duration{20 * time.Second}
	_, err := newIdentity(t, identity.Options{Managed: identity.ManagedID{ObjectID: anObject()}}).Authorization(t.Context(), secret.Text{})
	if err == nil || !strings.Contains(err.Error(), "it expires in ") {
		t.Errorf("error is %v", err)
	}
}
