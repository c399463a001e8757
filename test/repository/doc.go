// Package repository checks the repository itself: which package imports which,
// where functions that take a path are called, that pages and manifests name what
// the code has, and that links and citations resolve.
package repository
