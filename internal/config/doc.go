// Package config is the settings of `azptend run`, and the only place where
// azptend reads the environment (but for what the Azure SDK reads itself).
//
// Each setting is one row of [Table]: its variable, its flag, its default, its
// sentence, and how it is read. A flag outweighs the environment, and the
// environment the default; a variable that is set to nothing counts as not set,
// for that is what container platforms do with values they do not have.
//
// Which identity is used is decided here too, in identity.go: by a table of what a
// person set and what a platform injected.
//
// [Load] reads and validates everything and reports every problem at once:
// whoever starts a container should not have to start it four times to learn of
// four typos.
package config
