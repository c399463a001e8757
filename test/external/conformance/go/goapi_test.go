// Package goapi tests Microsoft's azure-devops-go-api against azptend's emulator: what a program
// that uses the library does with pools, agents, entitlements, the graph and security roles.
package goapi

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/microsoft/azure-devops-go-api/azuredevops/v7"
	"github.com/microsoft/azure-devops-go-api/azuredevops/v7/taskagent"

	"github.com/azptend/azptend/test/external/conformance/go/emulated"
)

func TestMain(m *testing.M) { os.Exit(emulated.Main(m)) }

func ptr[T any](v T) *T { return &v }

// withToken returns a connection with an Entra token. The library only knows PATs, but the header
// can be set.
func withToken(org, token string) *azuredevops.Connection {
	c := azuredevops.NewAnonymousConnection(org)
	c.AuthorizationString = "Bearer " + token
	return c
}

func agentsOf(t *testing.T, c *azuredevops.Connection) taskagent.Client {
	t.Helper()
	client, err := taskagent.NewClient(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// refused checks that a call failed with this status, and that the message contains this text.
func refused(t *testing.T, err error, status int, says string) {
	t.Helper()
	var byValue azuredevops.WrappedError // the library returns both
	var byPointer *azuredevops.WrappedError
	switch {
	case errors.As(err, &byPointer):
		byValue = *byPointer
	case errors.As(err, &byValue):
	default:
		t.Fatalf("got %v, not an error of the service with %q", err, says)
	}
	if byValue.StatusCode == nil || *byValue.StatusCode != status || byValue.Message == nil || !strings.Contains(*byValue.Message, says) {
		t.Fatalf("got status %v, %q; want %d, %q", *byValue.StatusCode, *byValue.Message, status, says)
	}
}
