// Package helm holds deploy/helm/azptend, the chart, to what it promises: Helm's
// own linter and schema, golden files of what it makes of some values, the values
// it refuses, and the schemas of Kubernetes and of each KEDA it is for. There is
// nothing in it but tests. It is a module of its own because Helm is large.
package helm
