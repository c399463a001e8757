//go:build unix && !linux

package safefile_test

import "testing"

func asUser(t *testing.T, _ string, f func() error) {
	t.Helper()
	must(t, f())
}
