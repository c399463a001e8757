// Package health is how a running azptend is watched over HTTP: probes, a status
// and metrics, on one address. It changes nothing: it asks whoever lives for a
// snapshot, and counts what it is told.
//
// # Who may ask
//
// Anybody who reaches the address. A kubelet's probe and a scrape carry no secret,
// and none is shown: names of the agent and its pool, times, counts. Nobody can
// ask for anything else than GET. A connection is closed after its one answer, and
// each part of it has its time, so that nobody keeps the next probe out for long.
//
// # What the probes mean
//
// /healthz is azptend healthcheck: green in every phase, also before the life has
// begun (an agent package is being installed) and while a job is finished, and
// red only when the loop does not answer. A platform may kill what is red, and
// would take the job with it. /readyz is green while the agent listens for jobs
// or runs one; of several agents, while all do.
//
// # What the metrics mean
//
// Everything that is about one agent has its name as a label, so that one process
// may have several. All other labels are words of ours. docs/metrics.md has the
// list, and is held against it.
package health
