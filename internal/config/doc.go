// Package config reads the settings. Only this package reads the environment, except for
// variables that the Azure SDK reads itself.
//
// Each setting is a row of [Table]: its variable, flag, default and help, and where its
// value goes. A flag overrides the environment, and the environment overrides the
// default. An empty variable counts as not set, because container platforms set variables
// without a value.
//
// A row writes directly into the type of the package that uses the setting (lifecycle.Policy,
// identity.Application, install.Package, pool.Rules), so no code copies single fields. The
// exception is supervisor.Options, which package cli fills. identity.go chooses the identity
// from the settings and the variables that a platform sets. CONTRIBUTING.md says how to add a
// setting.
//
// [Load] validates all settings and reports all problems at once, so that four typos do not
// need four starts of a container.
package config
