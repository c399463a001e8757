// Package terraform checks that the Terraform in docs/container-apps.md is well-formed, and
// formatted as by terraform fmt. No provider is available here, so it does not check the meaning.
// It is a module of its own, so that azptend does not depend on hcl.
package terraform
