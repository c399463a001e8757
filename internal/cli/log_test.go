package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/secret"
)

// TestLogHasNoSecrets: a command's log contains no secrets of the settings.
func TestLogHasNoSecrets(t *testing.T) {
	flags := pflag.NewFlagSet("keep", pflag.ContinueOnError)
	config.AddKeepFlags(flags)
	s, err := config.LoadKeep(flags, []string{
		"AZP_URL=https://dev.azure.com/x", "AZP_POOL=x", "AZP_TOKEN=the-pat-of-the-settings", "AZP_KEEP_TOKEN=the-token-of-the-page",
		"AZP_PROXY=http://user:the-password-of-the-proxy@proxy:3128",
	}, "host")
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	p := Process{Stdout: file, Stderr: file, redactor: &secret.Redactor{}, settings: &config.Settings{}}
	p.openStreams()
	log := openLog(p, s)
	log.Info("Said", "a", "the-pat-of-the-settings", "b", "the-token-of-the-page", "c", "the-password-of-the-proxy")
	said, err := os.ReadFile(file.Name())
	if err != nil {
		t.Fatal(err)
	}
	if text := string(said); !strings.Contains(text, "msg=Said") || strings.Contains(text, "the-") {
		t.Errorf("the log says %s", text)
	}
}
