package identity

import (
	"context"
	"fmt"
	"sync"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/azptend/azptend/internal/safefile"
)

// application is an Entra application that proves itself to Entra ID: by a
// workload's projected token, a secret or a certificate. Its tokens live about an
// hour.
type application struct {
	newCredential func() (azcore.TokenCredential, error)

	mu      sync.Mutex
	current azcore.TokenCredential
}

func newApplication(o Options) (*application, error) {
	a := &application{}
	client := policy.ClientOptions{
		Transport: &entraTransport{http: o.EntraClient},
		Retry:     policy.RetryOptions{MaxRetries: -1}, // trying again is the caller's
	}
	switch {
	case o.Source == WorkloadIdentity:
		a.newCredential = func() (azcore.TokenCredential, error) { return newWorkloadCredential(o, client) }
	case !o.ClientSecret.IsZero():
		a.newCredential = func() (azcore.TokenCredential, error) {
			return azidentity.NewClientSecretCredential(o.TenantID, o.ClientID, o.ClientSecret.Reveal(),
				&azidentity.ClientSecretCredentialOptions{ClientOptions: client, DisableInstanceDiscovery: true})
		}
	default:
		a.newCredential = func() (azcore.TokenCredential, error) { return newCertificateCredential(o, client) }
	}
	var err error
	if a.current, err = a.newCredential(); err != nil {
		return nil, fmt.Errorf("cannot use the %s (client id %s): %w", o.Source, o.ClientID, err)
	}
	return a, nil
}

// token asks the SDK, which remembers. A credential's memory is its own: a fresh
// token is asked for with a new credential, which reads its certificate again.
func (a *application) token(ctx context.Context, fresh bool) (azcore.AccessToken, error) {
	sdk, err := a.credentialFor(fresh)
	if err != nil {
		return azcore.AccessToken{}, err
	}
	return sdk.GetToken(ctx, tokenRequest())
}

func (a *application) credentialFor(fresh bool) (azcore.TokenCredential, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !fresh {
		return a.current, nil
	}
	sdk, err := a.newCredential()
	if err == nil {
		a.current = sdk
	}
	return sdk, err
}

// newWorkloadCredential reads the projected token at each exchange: kubelet replaces it
// when four fifths of its life are over. The SDK's own credential for it keeps
// what it read for ten minutes, and sends a trailing newline along (reference/identity.md
// 1.6).
func newWorkloadCredential(o Options, client policy.ClientOptions) (azcore.TokenCredential, error) {
	assertion := func(ctx context.Context) (string, error) {
		text, err := readToken(ctx, "the projected token", "AZURE_FEDERATED_TOKEN_FILE", o.FederatedTokenFile)
		if err != nil {
			recordError(ctx, err)
			return "", err
		}
		o.Redactor.Add(text)
		return text.Reveal(), nil
	}
	// Instance discovery asks Microsoft whether an authority is one of its own. The
	// authority is the SDK's, or AZURE_AUTHORITY_HOST, which the platform sets.
	return azidentity.NewClientAssertionCredential(o.TenantID, o.ClientID, assertion,
		&azidentity.ClientAssertionCredentialOptions{ClientOptions: client, DisableInstanceDiscovery: true})
}

// maxCertificate bounds a certificate with its key and its chain, some 10 kB.
const maxCertificate = 1 << 20

func newCertificateCredential(o Options, client policy.ClientOptions) (azcore.TokenCredential, error) {
	b, err := safefile.ReadFileInTime(context.Background(), o.CertificateFile, maxCertificate)
	if err != nil {
		return nil, &FileError{cause: fmt.Errorf("cannot read the certificate: %w", err)}
	}
	certificates, key, err := azidentity.ParseCertificates(b, []byte(o.CertificatePassword.Reveal()))
	if err != nil { // of PKCS#12 the SDK knows the ciphers of the last century alone
		return nil, &FileError{cause: fmt.Errorf("cannot read the certificate and its key from %s: %w; use a PEM file if this format is not supported", o.CertificateFile, err)}
	}
	return azidentity.NewClientCertificateCredential(o.TenantID, o.ClientID, certificates, key,
		&azidentity.ClientCertificateCredentialOptions{
			ClientOptions: client, DisableInstanceDiscovery: true, SendCertificateChain: o.SendChain,
		})
}

// azureCLI is a person's login. The SDK starts az, which keeps tokens itself and
// renews them.
type azureCLI struct {
	sdk *azidentity.AzureCLICredential
}

func newAzureCLI(o Options) (azureCLI, error) {
	sdk, err := azidentity.NewAzureCLICredential(&azidentity.AzureCLICredentialOptions{TenantID: o.TenantID})
	if err != nil {
		return azureCLI{}, fmt.Errorf("cannot use the Azure CLI: %w", err)
	}
	return azureCLI{sdk}, nil
}

func (a azureCLI) token(ctx context.Context, _ bool) (azcore.AccessToken, error) {
	return a.sdk.GetToken(ctx, tokenRequest())
}
