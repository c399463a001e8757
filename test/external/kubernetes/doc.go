// Package kubernetes is azptend's chart in a Kubernetes that is real but for its nodes: etcd, the API server, the
// controller manager and KEDA's operator (package cluster) run the chart against azptend's emulator, and a kubelet of the
// test's own (package kubelet) runs the pods. Verdicts come from the emulator's records, from the API server, and from
// /proc. It needs root, and the programs in the folder that -bin names, which the script build makes. "make
// test-kubernetes" does both, and writes what was measured into docs/kubernetes.md.
package kubernetes
