// Package kubernetes tests azptend's chart in a Kubernetes on this machine: etcd, the API server, the
// controller manager and KEDA's operator (package cluster) run the chart against azptend's emulator.
// The results come from the emulator's records, from the API server, and from /proc.
//
// TestKubernetes simulates the nodes: the test's own kubelet (package kubelet) runs the pods, which
// is fast enough for bursts. "make test-kubernetes" runs it.
//
// TestNode has one real node: scheduler, kubelet, containerd, runc and CNI, on a machine of its own
// (package machine), with the images of deploy/images. "make test-node" runs it.
//
// Both need root, and the programs in the directory of the flag -bin, which the script build
// creates. They write their results into docs/kubernetes.md.
package kubernetes
