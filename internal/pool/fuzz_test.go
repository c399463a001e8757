package pool

import (
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzMatches: a pattern is what a regular expression makes of it.
func FuzzMatches(f *testing.F) {
	for _, s := range [][2]string{{"*", ""}, {"", ""}, {"a*b?", "AxxbB"}, {"**", "x"}, {"*a*a*", "banana"}, {"?", "é"}, {"[a]", "a"}, {"a.c", "abc"}, {"*ab", "aab"}} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, pattern, name string) {
		if !utf8.ValidString(pattern) || !utf8.ValidString(name) || len(pattern) > 50 {
			t.Skip()
		}
		pattern, name = strings.ToLower(pattern), strings.ToLower(name)
		as := regexp.QuoteMeta(pattern)
		as = strings.ReplaceAll(strings.ReplaceAll(as, `\*`, ".*"), `\?`, ".")
		want := regexp.MustCompile(`(?s)\A` + as + `\z`).MatchString(name)
		if got := MatchName(pattern, name); got != (want || pattern == "") {
			t.Errorf("%q matches %q: %v, want %v", pattern, name, got, want)
		}
	})
}

// FuzzVersion: versions are ordered, and numbers count, not letters.
func FuzzVersion(f *testing.F) {
	for _, s := range [][2]string{{"4.9.0", "4.10.0"}, {"4.10", "4.10.0"}, {"", "."}, {"99.999.9", "5.282.3"}, {"5.282.3-rc1", "5.282.3"}, {"-1", "1"}, {"1e3", "+1"}} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		below, ok := VersionBelow(a, b)
		above, sure := VersionBelow(b, a)
		if ok != sure || below && above || !ok && below {
			t.Errorf("%q below %q: %v, %v; the other way %v, %v", a, b, below, ok, above, sure)
		}
		if self, _ := VersionBelow(a, a); self {
			t.Errorf("%q is below itself", a)
		}
	})
}
