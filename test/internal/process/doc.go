// Package process is how tests deal with real processes: it starts them, listens to
// what they say, and looks in /proc for what they leave. It knows nothing of
// azptend.
package process
