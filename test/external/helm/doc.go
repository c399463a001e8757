// Package helm tests deploy/helm/azptend, the chart: with Helm's own linter and schema, golden
// files of its output for some values, the values that it refuses, and the schemas of Kubernetes
// and of each KEDA version that it supports. It contains only tests. It is a module of its own
// because Helm is large.
package helm
