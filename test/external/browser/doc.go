// Package browser tests the keeper's page in a real browser: Debian's chromium, driven by the
// DevTools protocol. It is a module of its own, so that a build of azptend does not need the
// driver, and a slow target of its own, `make test-browser`, which installs chromium if it is
// missing.
package browser
