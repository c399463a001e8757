// Package azdo speaks the part of Azure DevOps' REST API that tending an agent
// needs: pools, and the agents in them. Results and errors are typed; an
// [Error] carries the ids that support asks for, and says whether the server may
// have acted on a request whose answer was lost.
//
// It knows nothing of what is done with the answers: no call is retried here but
// for a 401, which is asked once more with a fresh token. Waiting and trying
// again are decisions, and those are package lifecycle's.
//
// Wire forms are those of azure-devops-rest.md 0–3 and agent-protocol.md 2.
package azdo
