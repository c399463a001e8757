//go:build tools

// Package controlplane pins Kubernetes' programs, which are built from the module proxy, because the
// tests download no programs of Kubernetes. Kubernetes' own go.mod refers to directories that its
// module lacks (staging/), so go.mod replaces each of them with its published module. To raise the
// version, change it in every line of go.mod (1.36.3 is 0.36.3 there), and run go mod tidy.
package controlplane

import (
	_ "k8s.io/kubernetes/cmd/kube-apiserver"
	_ "k8s.io/kubernetes/cmd/kube-controller-manager"
	_ "k8s.io/kubernetes/cmd/kube-scheduler"
	_ "k8s.io/kubernetes/cmd/kubectl"
	_ "k8s.io/kubernetes/cmd/kubelet"
)
