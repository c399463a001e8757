// Package emulator emulates, on localhost and in memory, the part of Azure DevOps and of Azure's identity endpoints that an
// Azure Pipelines agent needs from its registration to its removal. It is for demos and tests: it stores nothing and
// secures nothing.
//
// # What it emulates
//
// An Emulator is an http.Handler with three parts.
//
//   - The identity endpoint of App Service and Container Apps, GET /msi/token, the metadata service, and Entra ID's token
//     endpoint. They issue signed JWTs that expire (reference/identity.md 1.1, 1.2, 1.5).
//   - Azure DevOps below /{org}, which stands for dev.azure.com, and below /vssps/{org} and /vsaex/{org}, which stand for
//     the other two hosts: discovery, pools, agents, sessions, messages, job requests, plans, users and roles
//     (azure-devops-rest.md 0-2, 4 and 5, agent-protocol.md 2 and 7).
//   - The control API below /_emulator/, for the test: queue a job, read its log, inject a Fault, Hold the n-th matching
//     call, read the records. Go programs have the same as methods of Emulator.
//
// It follows the references even where that is inconvenient for a client: an agent with a job cannot be deleted, a pool
// that the caller may not see does not exist, a bad PAT gets an HTML page with status 203, a second session is a conflict,
// and a message comes again until it is deleted.
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
//	PUT    /_emulator/ratelimit              RateLimit: of each identity from now on; budget 0 is no limit
//	POST   /_emulator/machine/events         Announcement → {"id"}; DELETE /machine/events/{id} ends or cancels one
//	PUT    /_emulator/packages/{kind}/{platform}/{version}   an agent's archive, which clients can download
//	GET    /_emulator/assumptions                Assumptions; PUT sets all
//	GET    /_emulator/policies               Policies; PUT sets all
//	PUT    /_emulator/pools                  PoolSpec
//
// # The states of a job
//
//	queued → assigned → received → running → completed (succeeded, failed, canceled, abandoned, ...)
//
// A job waits until an agent of its pool is online, enabled and free, and meets its demands. It is assigned when its
// message is in the agent's inbox, received when the agent has deleted the message, running from the first renewal of its
// lock, and completed when the worker posts its JobCompleted event, or when its lock expires: abandoned.
//
// # Time
//
// Options.TimeScale divides the protocol's slow times: the long poll, a session's lifetime, a job's lock, the rate limit's
// window and delays. Advance moves the clock, for example to expire tokens. Faults' delays are in real time.
//
// # Records
//
// Calls lists every call with its status and its caller. Events is the journal, on which tests wait instead of sleeping.
// State is the current state. Tests judge by these, not by the output of the program under test.
//
// # What is missing
//
// Pipelines (a pool can be opened to the pipelines of a project, but no job checks it), users who are people, groups,
// deployment groups and environments, rate limits of projects and pipelines, on-premises servers, and of the metadata
// service everything except tokens, the machine's name and Scheduled Events. The emulator's JWTs are valid nowhere else.
//
// # What is unverified
//
// Nothing was compared with a live organisation. What the references mark as unverified, and a client could notice, is a
// switch in Assumptions. No source quotes these, so they are invented: the texts of the api-version errors except
// VssInvalidPreviewVersionException, the status 404 of TaskAgentSessionExpiredException, the token_type of agents' tokens,
// that a job whose message nobody took stays assigned until its lock expires, the path of the agents' token endpoint, the
// order of job requests in a list, the texts of the identity endpoint's 400s, the answers for a missing entitlement, subject
// or role, that a licence is pending until its holder's first call, and that the roles of a removed user stay stored.
package emulator
