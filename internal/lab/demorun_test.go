package lab

import "testing"

// TestWithoutTime: the demo prints a job's lines without the time.
func TestWithoutTime(t *testing.T) {
	for in, want := range map[string]string{
		"2026-11-22T21:01:06.8401002Z hello": "hello",
		"hello":                              "hello",
		"two words":                          "two words",
	} {
		if got := withoutTime(in); got != want {
			t.Errorf("withoutTime(%q) = %q, want %q", in, got, want)
		}
	}
}
