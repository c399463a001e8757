// Package platform says which platform azptend runs on, and how long that platform
// waits between its first word and its SIGKILL. It looks at what the platform
// puts into the environment and at a few files; the environment is handed in,
// for config alone reads it.
//
// On machines it also says what Azure announces: a [Watcher] asks the metadata
// service for Scheduled Events, the one way there is (nothing pushes them). Asking
// has an effect: it turns Scheduled Events on for the machine.
//
// docs/platforms.md has the same table with its sources, and says what of it
// nobody could check here.
package platform
