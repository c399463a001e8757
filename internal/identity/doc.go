// Package identity gets the tokens for azptend's own requests to Azure DevOps: from a
// managed identity, a workload identity, a service principal, the Azure CLI's login, a
// token file or a personal access token. The caller of [New] decides which one. Each
// use asks for the token again.
//
// Entra tokens come from azidentity, with an explicit selector and never with its
// default chain: what a platform injects must not override what a person configured.
// The SDK finds a managed identity's endpoint in the environment, and reads
// AZURE_AUTHORITY_HOST. This package adds what the SDK lacks: it waits for an endpoint
// that is still starting, gets past the SDK's cache after a token was refused, and
// reads a projected token at each exchange. Its errors quote the endpoint's code and
// message and nothing else of a response, because a response may hold a token.
//
// The sources are in file.go, managed.go and application.go (workload identities,
// service principals and the Azure CLI). endpoint.go and entra_transport.go are the SDK's
// transports. endpoint_retry.go decides what to wait for.
//
// Facts: reference/identity.md 1 and 2; for users, docs/identity.md.
package identity
