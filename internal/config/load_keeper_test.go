package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/azptend/azptend/internal/config"
)

func TestPoolsToKeep(t *testing.T) {
	keep := config.Setting{Group: config.Keeper}
	for _, tt := range []struct {
		environ []string
		args    []string
		want    []string
	}{
		{nil, nil, []string{"Default"}},
		{[]string{"AZP_POOL=linux, windows ,,LINUX"}, nil, []string{"linux", "windows"}},
		{[]string{"AZP_POOL=linux"}, []string{"--pool", "a b", "--pool=c,d"}, []string{"a b", "c", "d"}},
		{[]string{"AZP_POOL=linux"}, []string{"--pool", ""}, []string{"linux"}},
	} {
		if d := cmp.Diff(tt.want, loadedFor(t, keep, least(tt.environ...), tt.args...).Pools()); d != "" {
			t.Errorf("%v %v (-want +got):\n%s", tt.environ, tt.args, d)
		}
	}
	if s := loadedFor(t, keep, least("AZP_KEEP_LISTEN=off", "AZP_POOL_ID=7")); s.KeepListen != "" || s.PoolID != 7 {
		t.Errorf("%+v", s)
	}
}

// TestAnAddressThatOthersReach needs a token, from a variable or a file, and not from both.
func TestAnAddressThatOthersReach(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(" 0123456789abcdef\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	keep := config.Setting{Group: config.Keeper}
	for _, tt := range []struct {
		environ []string
		says    string
	}{
		{[]string{"AZP_KEEP_TOKEN=0123456789abcdef"}, ""},
		{[]string{"AZP_KEEP_TOKEN_FILE=" + file}, ""},
		{nil, "AZP_KEEP_LISTEN (--listen) is :8141, which other machines can reach"},
		{[]string{"AZP_KEEP_TOKEN_FILE=" + file, "AZP_KEEP_TOKEN=0123456789abcdef"}, "both set"},
		{[]string{"AZP_KEEP_TOKEN=short"}, "has 5 characters; it needs at least 16"},
	} {
		s, err := loadFor(t, keep, append(least(tt.environ...), "AZP_KEEP_LISTEN=:8141"))
		switch {
		case tt.says == "" && (err != nil || s.KeepToken.Reveal() != "0123456789abcdef"):
			t.Errorf("%v: %v", tt.environ, err)
		case tt.says != "" && (err == nil || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "short")):
			t.Errorf("%v: %v, want %s", tt.environ, err, tt.says)
		}
	}
}
