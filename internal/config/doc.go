// Package config holds the settings. It is the only package that reads the environment,
// except for what the Azure SDK reads itself.
//
// Each setting is a row of [Table]: its variable, flag, default and help, and where its
// value goes. A flag overrides the environment, and the environment overrides the
// default. An empty variable counts as not set, because container platforms set variables
// without a value.
//
// A setting travels once: a row writes into the value that a package takes
// (lifecycle.Policy, identity.Application, install.Package, pool.Rules), and nobody copies
// it field by field. identity.go chooses the identity, by what a person set and what a
// platform injected. The exception is that package cli fills supervisor.Options.
// CONTRIBUTING.md says how to add a setting.
//
// [Load] validates everything and reports all problems at once, so that four typos do not
// need four starts of a container.
package config
