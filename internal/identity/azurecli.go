package identity

import (
	"context"
	"fmt"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
)

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
