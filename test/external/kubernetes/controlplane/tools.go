//go:build tools

// Package controlplane pins Kubernetes' API server and controller manager, which are built from the module proxy: no
// program of Kubernetes is to be downloaded. Kubernetes' own go.mod points at folders that its module lacks (staging/), so
// each of them is replaced here by its published module. To raise the version, change it in every line of go.mod that has
// it (1.36.3 is 0.36.3 there), and run go mod tidy.
package controlplane

import (
	_ "k8s.io/kubernetes/cmd/kube-apiserver"
	_ "k8s.io/kubernetes/cmd/kube-controller-manager"
)
