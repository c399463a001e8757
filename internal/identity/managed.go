package identity

import (
	"context"
	"fmt"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
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

// How long an endpoint is waited for after the start: Container Apps' neighbour
// refuses connections for up to a minute; Container Instances' metadata service
// appears late, and answers 410 for up to 70 s while it is updated (reference/identity.md
// 1.3 to 1.5).
const (
	localStartupTimeout    = time.Minute
	metadataStartupTimeout = 2 * time.Minute
)

func (h Host) startupTimeout() time.Duration {
	if h == MetadataService {
		return metadataStartupTimeout
	}
	return localStartupTimeout
}

// managed is a managed identity.
type managed struct {
	sdk *azidentity.ManagedIdentityCredential
}

func newManaged(o Options) (managed, error) {
	timeout := o.StartupTimeout
	if timeout == 0 {
		timeout = o.Host.startupTimeout()
	}
	client := policy.ClientOptions{
		Transport: newEndpoint(o.EndpointClient, o.Host, timeout, o.Log),
		Retry: policy.RetryOptions{
			// The SDK would try again by itself, for 9 to 98 s (reference/identity.md 2), and
			// outlast the caller's budget without a word; and end a try after a minute,
			// in which we may still be waiting.
			MaxRetries: -1, TryTimeout: timeout + time.Minute,
		},
	}
	if o.Host == ServiceFabric {
		client.Transport = o.EndpointClient
	}
	sdk, err := azidentity.NewManagedIdentityCredential(&azidentity.ManagedIdentityCredentialOptions{ClientOptions: client, ID: o.managedID()})
	if err != nil {
		return managed{}, fmt.Errorf("cannot use the managed identity (%s): %w", o.selector(), err)
	}
	return managed{sdk}, nil
}

func (o Options) managedID() azidentity.ManagedIDKind {
	switch {
	case o.ObjectID != "":
		return azidentity.ObjectID(o.ObjectID)
	case o.ClientID != "":
		return azidentity.ClientID(o.ClientID)
	case o.ResourceID != "":
		return azidentity.ResourceID(o.ResourceID)
	}
	return nil
}

// skipCacheClaims is a claims request that asks for nothing. The SDK takes any as a
// reason not to answer from its memory, and it has no other switch for that; it
// does not send it (reference/identity.md 2).
const skipCacheClaims = `{"access_token":{}}`

func (m managed) token(ctx context.Context, fresh bool) (azcore.AccessToken, error) {
	options := tokenRequest()
	if fresh {
		options.Claims = skipCacheClaims
	}
	return m.sdk.GetToken(ctx, options)
}
