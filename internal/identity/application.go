package identity

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/azptend/azptend/internal/httpclient"
	"github.com/azptend/azptend/internal/safefile"
	"github.com/azptend/azptend/internal/secret"
)

// Application is an Entra application that proves itself to Entra ID: by a workload's
// projected token, a secret or a certificate. Its tokens live about an hour.
type Application struct {
	ClientID            string
	TenantID            string
	FederatedTokenFile  string // of a workload identity, read again at each exchange
	Secret              secret.Text
	CertificateFile     string // PEM, or PKCS#12 with the old ciphers, with the key
	CertificatePassword secret.Text
	SendChain           bool
}

// newApplication uses the SDK's credentials, each of which has a cache of its own. So a
// fresh token comes from a new credential, which also reads its certificate again.
func newApplication(o Options) (tokenSource, error) {
	app, client := o.Application, policy.ClientOptions{
		Transport: &entraTransport{http: o.EntraClient},
		Retry:     policy.RetryOptions{MaxRetries: -1}, // the caller retries
	}
	newCredential := func() (azcore.TokenCredential, error) {
		switch {
		case o.Source == WorkloadIdentity:
			return newWorkloadCredential(app, o.Redactor, client)
		case !app.Secret.IsZero():
			return azidentity.NewClientSecretCredential(app.TenantID, app.ClientID, app.Secret.Reveal(),
				&azidentity.ClientSecretCredentialOptions{ClientOptions: client, DisableInstanceDiscovery: true})
		}
		return newCertificateCredential(app, client)
	}
	current, err := newCredential()
	if err != nil {
		return nil, fmt.Errorf("cannot use the %s (client id %s): %w", o.Source, app.ClientID, err)
	}
	var mu sync.Mutex // of current
	return func(ctx context.Context, fresh bool) (azcore.AccessToken, error) {
		mu.Lock()
		if fresh {
			replacement, err := newCredential()
			if err != nil {
				mu.Unlock()
				return azcore.AccessToken{}, err
			}
			current = replacement
		}
		credential := current
		mu.Unlock()
		return credential.GetToken(ctx, tokenRequest)
	}, nil
}

// newWorkloadCredential reads the projected token at each exchange, because kubelet
// replaces it after 80 % of its lifetime. The SDK's own credential keeps what it has read
// for ten minutes, and sends a trailing newline (reference/identity.md 1.6).
func newWorkloadCredential(app Application, redactor *secret.Redactor, client policy.ClientOptions) (azcore.TokenCredential, error) {
	assertion := func(ctx context.Context) (string, error) {
		text, err := readToken(ctx, "the projected token", "AZURE_FEDERATED_TOKEN_FILE", app.FederatedTokenFile)
		if err != nil {
			recordError(ctx, err)
			return "", err
		}
		redactor.Add(text)
		return text.Reveal(), nil
	}
	// Instance discovery would ask Microsoft whether the authority is one of its own. The
	// authority is the SDK's default or AZURE_AUTHORITY_HOST, which the platform sets.
	return azidentity.NewClientAssertionCredential(app.TenantID, app.ClientID, assertion,
		&azidentity.ClientAssertionCredentialOptions{ClientOptions: client, DisableInstanceDiscovery: true})
}

// maxCertificate bounds a certificate with its key and its chain, some 10 kB.
const maxCertificate = 1 << 20

func newCertificateCredential(app Application, client policy.ClientOptions) (azcore.TokenCredential, error) {
	b, err := safefile.ReadFileInTime(context.Background(), app.CertificateFile, maxCertificate)
	if err != nil {
		return nil, &FileError{error: fmt.Errorf("cannot read the certificate: %w", err)}
	}
	certificates, key, err := azidentity.ParseCertificates(b, []byte(app.CertificatePassword.Reveal()))
	if err != nil { // the SDK knows only the old ciphers of PKCS#12
		return nil, &FileError{error: fmt.Errorf("cannot read the certificate and its key from %s: %w; use a PEM file if this format is not supported", app.CertificateFile, err)}
	}
	return azidentity.NewClientCertificateCredential(app.TenantID, app.ClientID, certificates, key,
		&azidentity.ClientCertificateCredentialOptions{
			ClientOptions: client, DisableInstanceDiscovery: true, SendCertificateChain: app.SendChain,
		})
}

// newAzureCLI uses a person's login. The SDK starts az, which caches and renews the
// tokens itself.
func newAzureCLI(o Options) (tokenSource, error) {
	sdk, err := azidentity.NewAzureCLICredential(&azidentity.AzureCLICredentialOptions{TenantID: o.Application.TenantID})
	if err != nil {
		return nil, fmt.Errorf("cannot use the Azure CLI: %w", err)
	}
	return func(ctx context.Context, _ bool) (azcore.AccessToken, error) {
		token, err := sdk.GetToken(ctx, tokenRequest)
		if err != nil {
			err = &cliError{err}
		}
		return token, err
	}, nil
}

// cliError is a failure of the Azure CLI: it is not installed, or nobody is logged in.
type cliError struct{ error }

func (e *cliError) Unwrap() error { return e.error }

// Hint says what to do about it.
func (e *cliError) Hint() string {
	return "install the Azure CLI and run `az login`; or set AZP_TOKEN to a personal access token"
}

// entraTransport is the SDK's way to Entra ID. It leaves what went wrong where the
// caller finds it, as endpoint does.
type entraTransport struct{ http *http.Client }

// Do implements policy.Transporter.
func (e *entraTransport) Do(r *http.Request) (*http.Response, error) {
	resp, err := e.http.Do(r)
	if err != nil {
		err = fmt.Errorf("cannot reach Entra ID at %s: %w", r.URL.Host, httpclient.WithoutURL(err))
		recordError(r.Context(), err)
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxResponse))
	resp.Body.Close()
	if err != nil {
		err = fmt.Errorf("cannot read Entra ID's answer: %w", err)
		recordError(r.Context(), err)
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	if problem := entraError(r, resp, body); problem != nil {
		recordError(r.Context(), problem)
		if problem.NoToken {
			return nil, problem
		}
	}
	return resp, nil
}

// entraError is what is wrong with an answer, nil for none.
func entraError(r *http.Request, resp *http.Response, body []byte) *EndpointError {
	var answer struct {
		Token string `json:"access_token"`
	}
	asked := r.Method == http.MethodPost
	if resp.StatusCode == http.StatusOK && (!asked || json.Unmarshal(body, &answer) == nil && CheckToken(answer.Token) == nil) {
		return nil
	}
	problem := parseError(resp, body)
	problem.Endpoint, problem.NoToken = "Entra ID", resp.StatusCode == http.StatusOK
	// "AADSTS700016: … Trace ID: … Correlation ID: … Timestamp: …": the sentence is
	// for a person, one of the ids for support.
	problem.Message, _, _ = strings.Cut(problem.Message, " Trace ID:")
	return problem
}
