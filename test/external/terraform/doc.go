// Package terraform holds that docs/container-apps.md's Terraform is well-formed
// and formatted as terraform fmt would. No provider can be had here, so whether it
// means what it says is not looked at. A module of its own: hcl is not to be one
// of azptend's dependencies.
package terraform
