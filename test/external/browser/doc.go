// Package browser looks at the keeper's page with a real browser: Debian's
// chromium, driven by its own protocol. It is a module of its own, so that nobody
// who builds azptend gets the browser's driver, and a slow target of its own, `make
// test-browser`, which installs chromium where it is not there.
package browser
