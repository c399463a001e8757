// Package emulator is Azure on localhost, in memory: as much of Azure DevOps and of the managed identity endpoint as an
// Azure Pipelines agent's life needs, from its registration over its jobs to its removal. It is for demos and tests;
// it stores nothing and secures nothing.
//
// # What it emulates
//
// An Emulator is one http.Handler with three parts.
//
//   - The identity endpoint of App Service and Container Apps, GET /msi/token. It hands out signed JWTs that expire
//     (reference/identity.md 1.1, 1.2, 1.5).
//   - Azure DevOps below /{org}, which plays dev.azure.com, and below /vssps/{org} and /vsaex/{org}, which play the
//     other two hosts. Discovery (OPTIONS, ResourceAreas, connectionData), pools and their permissions, agents, the
//     agents' OAuth token endpoint, sessions, messages, job requests, plan events, timelines and logs; users that are
//     service principals, with their licences, the graph, roles on pools, and pools in projects
//     (azure-devops-rest.md 0-2, 4 and 5, agent-protocol.md 2 and 7).
//   - The control API below /_emulator/, for the test that stands behind: queue a script job, read its log, inject a
//     Fault, Hold the n-th matching call, read the records. The same as Go methods on Emulator, and as Control for
//     another process.
//
// It follows the references even where a client would like it easier: an agent with a job cannot be deleted, a pool
// that may not be seen is not there, a bad PAT gets an HTML page with status 203, a second session is a conflict, and a
// message comes again until it is deleted.
//
// # The control API
//
// Bodies and answers are JSON with the field names of the Go types; an error is {"error":"..."}. Unknown fields are
// refused.
//
//	GET    /_emulator/environment            what to export (EnvVar), and the default PAT
//	GET    /_emulator/state                  State
//	POST   /_emulator/jobs                   JobSpec → Job
//	GET    /_emulator/jobs/{requestId}       Job
//	GET    /_emulator/jobs/{requestId}/log   text/plain
//	POST   /_emulator/jobs/{requestId}/cancel
//	POST   /_emulator/faults                 Fault → {"id"}; GET lists, DELETE clears, DELETE /faults/{id} removes one
//	POST   /_emulator/holds                  Hold → {"id"}; GET lists, DELETE releases all
//	POST   /_emulator/holds/{id}/release
//	GET    /_emulator/holds/{id}/reached     waits (?wait=30s) → {"reached"}
//	GET    /_emulator/calls                  []Call; DELETE clears
//	GET    /_emulator/events?after=N         []Event; ?wait=30s waits for the first
//	PUT    /_emulator/agents                 []AgentSpec → []AgentState: agents in any state, with any dates
//	PUT    /_emulator/identities/{oid}       Identity; GET /_emulator/identities lists
//	PUT    /_emulator/pats                   PAT → PAT
//	POST   /_emulator/tokens                 {"objectId","audience"} → {"token"}, an Entra token; {"subject"}: a workload's
//	POST   /_emulator/clock                  {"advance":"1h"} → {"now"}
//	PUT    /_emulator/ratelimit              RateLimit: what each identity may ask from now on; budget 0 is no limit
//	POST   /_emulator/machine/events         Announcement → {"id"}; DELETE /machine/events/{id} ends or calls off one
//	PUT    /_emulator/packages/{kind}/{platform}/{version}   an agent's archive, to be downloaded
//	GET    /_emulator/assumptions                Assumptions; PUT sets all
//	GET    /_emulator/policies               Policies; PUT sets all
//	PUT    /_emulator/pools                  PoolSpec
//
// # A job's way
//
//	queued → assigned → received → running → completed (succeeded, failed, canceled, abandoned, ...)
//
// A job waits until an agent of its pool is online, enabled, free, and meets its demands. It is assigned when its
// message is put into the agent's inbox, received when the agent has deleted the message, running from the first
// renewal of its lock, and completed when the worker posts its JobCompleted event, or when its lock lapses: abandoned.
//
// # Time
//
// Options.TimeScale divides the protocol's slow times: the long poll, a session's life, a job's lock, the rate limit's
// window and delays. Advance moves the
// clock by hand, which is how tokens are made to expire. Faults' delays are in real time.
//
// # Records
//
// Calls lists every call with its status and who made it. Events is the journal: what happened, in order, to wait on
// instead of sleeping. State is the current state. Tests judge by these, not by the output of the program under test.
//
// # What it leaves out
//
// Pipelines (a pool can be opened to those of a project, and no job asks); users who are people, and groups; deployment
// groups and environments; rate limits of projects and pipelines; of the metadata service all but tokens, the machine's
// name and Scheduled Events; on-premises servers. A JWT that the emulator signs is worth nothing elsewhere.
//
// # What is unverified
//
// Nothing here was compared with a live organisation. What the references mark as unverified and a client could notice
// is a switch in Assumptions. Made up besides, because no source quotes it: the texts of the api-version errors but for
// VssInvalidPreviewVersionException, the status 404 of TaskAgentSessionExpiredException, the token_type of agents'
// tokens, that a job whose message nobody took stays assigned until its lock lapses, the path of the agents' token
// endpoint, the order of job requests in a list, the texts of the identity endpoint's 400s, what is answered where an
// entitlement, a subject or a role is not there, that a licence is pending until its holder's first call, and that the
// roles of who is removed stay written down.
package emulator
