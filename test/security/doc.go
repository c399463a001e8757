// Package security plays a job that looks for azptend's identity (program thief),
// and checks that other processes of the job's user cannot read azptend's. For
// azptend with a planted fault (test/internal/fault) the thief must succeed.
// docs/security.md has the results. The program vandal attacks availability.
package security
