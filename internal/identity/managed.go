package identity

import (
	"context"
	"fmt"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/azptend/azptend/internal/httpclient"
)

// Host is the kind of endpoint that hands out tokens of managed identities here. The
// SDK finds the endpoint by the same variables, in the same order (reference/identity.md 2).
// The values appear in logs and in `azptend token`.
type Host string

// The hosts. MetadataService serves virtual machines, scale sets, AKS nodes and
// Container Instances. For ServiceFabric the SDK checks the endpoint's certificate by
// its thumbprint, and insists on a plain http.Client for that.
const (
	ContainerApps   Host = "Container Apps"
	AppService      Host = "App Service"
	ServiceFabric   Host = "Service Fabric"
	AzureML         Host = "Azure ML"
	CloudShell      Host = "Cloud Shell"
	AzureArc        Host = "Azure Arc"
	MetadataService Host = "the metadata service"
)

// startupTimeout is how long azptend waits for an endpoint after the start. Container
// Apps' endpoint refuses connections for up to a minute. The metadata service of
// Container Instances appears late, and answers 410 for up to 70 s while it is updated
// (reference/identity.md 1.3 to 1.5).
func (h Host) startupTimeout() time.Duration {
	if h == MetadataService {
		return 2 * time.Minute
	}
	return time.Minute
}

// ManagedID names a user-assigned managed identity by one of its ids. The zero value is
// the host's own (system-assigned) identity.
type ManagedID struct{ ObjectID, ClientID, ResourceID string }

func (m ManagedID) String() string {
	switch {
	case m.ObjectID != "":
		return "object id " + m.ObjectID
	case m.ClientID != "":
		return "client id " + m.ClientID
	case m.ResourceID != "":
		return "resource id " + m.ResourceID
	}
	return "system-assigned"
}

func (m ManagedID) forSDK() azidentity.ManagedIDKind {
	switch {
	case m.ObjectID != "":
		return azidentity.ObjectID(m.ObjectID)
	case m.ClientID != "":
		return azidentity.ClientID(m.ClientID)
	case m.ResourceID != "":
		return azidentity.ResourceID(m.ResourceID)
	}
	return nil
}

// skipCacheClaims is a claims request that asks for nothing. With any claims the SDK
// does not answer from its cache; it has no other switch for that. It does not send them
// (reference/identity.md 2).
const skipCacheClaims = `{"access_token":{}}`

func newManaged(o Options) (tokenSource, error) {
	timeout := o.StartupTimeout
	if timeout == 0 {
		timeout = o.Host.startupTimeout()
	}
	web := o.EndpointClient
	switch {
	case web != nil:
	case o.Host == ServiceFabric:
		web = httpclient.ForPinnedIdentity()
	default:
		web = httpclient.ForIdentity()
	}
	client := policy.ClientOptions{
		Transport: &endpoint{http: web, host: o.Host, deadline: time.Now().Add(timeout), maxUnreachable: o.MaxUnreachable, log: o.Log},
		Retry: policy.RetryOptions{
			// By itself the SDK would retry for 9 to 98 s (reference/identity.md 2), longer
			// than the caller may wait, and end each try after a minute, while endpoint may
			// still wait.
			MaxRetries: -1, TryTimeout: timeout + time.Minute,
		},
	}
	if o.Host == ServiceFabric {
		client.Transport = web
	}
	sdk, err := azidentity.NewManagedIdentityCredential(&azidentity.ManagedIdentityCredentialOptions{ClientOptions: client, ID: o.Managed.forSDK()})
	if err != nil {
		return nil, fmt.Errorf("cannot use the managed identity (%s): %w", o.Managed, err)
	}
	return func(ctx context.Context, fresh bool) (azcore.AccessToken, error) {
		request := tokenRequest
		if fresh {
			request.Claims = skipCacheClaims
		}
		return sdk.GetToken(ctx, request)
	}, nil
}
