// Package process is for tests with real processes: it starts them, reads their output, and finds
// processes in /proc. It knows nothing about azptend.
package process
