// Package metrics is counters, gauges and histograms in the text format that
// Prometheus reads (version 0.0.4), and no more of it than azptend needs.
//
// Prometheus' own client would do the same. Linked in, it made the binary 5.2 MB
// larger (measured with client_golang 1.24.1: 11.0 to 16.2 MB), and too large, for
// the protocol buffers it comes with keep the linker from leaving out any method
// of anything. It is what tests hold this package's output against.
//
// A Registry is a value: there is no global one, and nothing that is linked in can
// add to somebody's metrics.
package metrics
