package secret_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/azptend/azptend/internal/secret"
)

const pat = "s3cr3t-personal-access-token"

func TestTextNeverPrintsItsValue(t *testing.T) {
	text := secret.New(pat)
	type holder struct {
		Token  secret.Text
		hidden secret.Text // fmt does not call the methods of such a field
	}
	held := holder{text, text}
	var b bytes.Buffer
	slog.New(slog.NewJSONHandler(&b, nil)).Info("a line", "token", text, "holder", held)
	slog.New(slog.NewTextHandler(&b, nil)).Info("a line", "token", text, "holder", held)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%p", "%08.3q"} {
		fmt.Fprintf(&b, verb+"\n", text)
		fmt.Fprintf(&b, verb+"\n", held)
		fmt.Fprintf(&b, verb+"\n", &held)
	}
	if err := json.NewEncoder(&b).Encode(held); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(&b, fmt.Errorf("cannot use %v", text))
	shown := b.String()
	for _, form := range []string{pat, fmt.Sprintf("%x", pat), pat[:8]} {
		if strings.Contains(shown, form) {
			t.Errorf("shows %q in:\n%s", form, shown)
		}
	}
	if !strings.Contains(shown, secret.Redacted) {
		t.Errorf("does not say that something was taken out:\n%s", shown)
	}
}

func TestRedactor(t *testing.T) {
	const token = "eyJhbGciOiJSUzI1NiJ9.eyJhdWQiOiI0OTliODRhYyJ9.c2lnbmF0dXJl"
	for _, tt := range []struct{ name, in, want string }{
		{"a watched secret", "401 for " + pat + "!", "401 for [redacted]!"},
		{"a token nobody announced", `{"access_token":"` + token + `"}`, `{"access_token":"[redacted]"}`},
		{"a secret in a secret", "sent Basic " + pat + "==", "sent Basic [redacted]"},
		{"ordinary text", "eye.of.the.beholder", "eye.of.the.beholder"},
		{"a watched word too short for a secret", "agent one", "agent one"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var g secret.Redactor
			g.Add(secret.New(pat), secret.New("one"), secret.New(pat+"=="), secret.Text{})
			var b bytes.Buffer
			n, err := g.Writer(&b).Write([]byte(tt.in))
			if err != nil || n != len(tt.in) || b.String() != tt.want {
				t.Errorf("wrote %d, %v, %q; want %q", n, err, b.String(), tt.want)
			}
		})
	}
}
