// Package platform detects the platform that azptend runs on, and how long it waits
// between SIGTERM and SIGKILL. It looks at variables that the platform sets and at a few
// files. The caller passes the environment: only package config reads it.
//
// On virtual machines a [Watcher] also asks the metadata service for Azure's Scheduled
// Events. Nothing pushes them, so polling is the only way. The first request turns
// Scheduled Events on for the machine.
//
// docs/platforms.md has the same table with its sources, and says what nobody could
// verify here.
package platform
