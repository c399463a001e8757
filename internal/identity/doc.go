// Package identity gets the tokens by which azptend itself speaks to Azure
// DevOps. Today's sources are those of the post that began this project, in this
// order: a token file, a managed identity named by its object id, a personal
// access token. Which one is in force is decided once, when [New] is called; the
// token is asked for anew at each use.
//
// Managed identities are asked through azidentity's ManagedIdentityCredential,
// with an explicit selector and never through its default chain: what a platform
// injects must not outvote what a person named. The SDK reads IDENTITY_ENDPOINT
// and IDENTITY_HEADER from the environment by itself (where they are absent it
// asks the metadata service); this package adds what it lacks: patience while a
// container's endpoint is still starting, and errors that quote the endpoint's
// own words and nothing else of an answer, for an answer may hold a token.
//
// Facts: identity.md 1 and 2.
package identity
