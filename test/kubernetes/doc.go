// Package kubernetes is azptend's chart in a Kubernetes that is real but for its nodes: etcd, the API server, the
// controller manager and KEDA's operator (package cluster) run the chart against azptend's emulator, and a kubelet of the
// test's own (package kubelet) runs the pods. Make the programs and run it by make test-kubernetes; it needs root.
// Verdicts come from the emulator's records, from the API server, and from /proc.
package kubernetes
