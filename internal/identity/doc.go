// Package identity gets the tokens by which azptend itself speaks to Azure
// DevOps: from a managed identity, a workload identity, a service principal, the
// Azure CLI's login, a token file or a personal access token. Which of them is
// decided by whoever calls [New]; the token is asked for anew at each use.
//
// Entra tokens come through azidentity, with an explicit selector and never
// through its default chain: what a platform injects must not outvote what a
// person named. The SDK finds a managed identity's endpoint by the environment
// itself, and reads AZURE_AUTHORITY_HOST; this package adds what it lacks:
// patience that fits the host while an endpoint is starting, a way past its
// memory for a token that was refused, projected tokens that are read at each
// exchange, and errors that quote the endpoint's own words and nothing else of an
// answer, for an answer may hold a token.
//
// One file a source: file.go, managed.go, application.go (workload identities and
// service principals), azurecli.go. endpoint.go and entra_transport.go are the SDK's ways
// to the network, endpoint_retry.go says what is waited for.
//
// Facts: identity.md 1 and 2; for users, docs/identity.md.
package identity
