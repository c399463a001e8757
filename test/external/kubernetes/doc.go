// Package kubernetes tests azptend's chart in a Kubernetes whose nodes are simulated: etcd, the API
// server, the controller manager and KEDA's operator (package cluster) run the chart against
// azptend's emulator, and the test's own kubelet (package kubelet) runs the pods. The results come
// from the emulator's records, from the API server, and from /proc. The test needs root, and the
// programs in the directory of the flag -bin, which the script build creates. "make
// test-kubernetes" does both, and writes the measurements into docs/kubernetes.md.
package kubernetes
