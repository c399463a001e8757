// Package host says which platform azptend runs on, and how long that platform
// waits between its first word and its SIGKILL. It looks at what the platform
// puts into the environment and at a few files; the environment is handed in,
// for config alone reads it.
//
// docs/platforms.md has the same table with its sources, and says what of it
// nobody could check here.
package host
