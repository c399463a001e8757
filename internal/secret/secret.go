// Package secret keeps credentials out of all output. A Text prints as [redacted] in every
// format. A Redactor removes known secrets, and everything that looks like a token, from
// lines of text. Text is the main protection; the Redactor helps if code bypasses it.
package secret

import (
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// Redacted replaces a secret in output.
const Redacted = "[redacted]"

// Text is a secret string that only Reveal returns. It contains a pointer, not the string,
// because fmt does not call methods of an unexported field of a struct or for %p, and would
// print the string.
type Text struct{ value *string }

// New wraps a secret.
func New(value string) Text { return Text{&value} }

// Reveal returns the secret. Use it only to send the secret, never for an error or a log.
func (t Text) Reveal() string {
	if t.value == nil {
		return ""
	}
	return *t.value
}

// IsZero says that there is no secret.
func (t Text) IsZero() bool { return t.Reveal() == "" }

// String returns Redacted, or nothing when there is no secret.
func (t Text) String() string {
	if t.IsZero() {
		return ""
	}
	return Redacted
}

// Format implements fmt.Formatter, so that no verb (%x, %q, %#v) shows more.
func (t Text) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, t.String()) }

// MarshalText is for encoding/json and log/slog.
func (t Text) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// minLength is the minimum length of a secret that is removed from text. Shorter values may
// be ordinary words.
const minLength = 8

// jwt matches JSON Web Tokens, which Entra tokens are.
var jwt = regexp.MustCompile(`eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*`)

// Redactor removes secrets from text. The zero value is ready to use, and safe for
// concurrent use.
type Redactor struct {
	mu      sync.RWMutex
	secrets []string // the longest first
}

// Add adds secrets to remove.
func (g *Redactor) Add(texts ...Text) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, t := range texts {
		if value := t.Reveal(); len(value) >= minLength && !slices.Contains(g.secrets, value) {
			g.secrets = append(g.secrets, value)
		}
	}
	// A secret may contain another: replace the longer first, or its rest would stay.
	slices.SortFunc(g.secrets, func(a, b string) int { return len(b) - len(a) })
}

// Redact returns s without the added secrets and without anything that looks like a token.
func (g *Redactor) Redact(s string) string {
	g.mu.RLock()
	defer g.mu.RUnlock()
	for _, value := range g.secrets {
		s = strings.ReplaceAll(s, value, Redacted)
	}
	return jwt.ReplaceAllString(s, Redacted)
}

// Writer returns a writer that redacts what is written. A secret must not be split over two
// writes: log handlers write whole lines.
func (g *Redactor) Writer(w io.Writer) io.Writer { return &redactingWriter{g, w} }

type redactingWriter struct {
	redactor *Redactor
	w        io.Writer
}

func (g *redactingWriter) Write(p []byte) (int, error) {
	if _, err := io.WriteString(g.w, g.redactor.Redact(string(p))); err != nil {
		return 0, err
	}
	return len(p), nil
}

// IdentityVariables are the variables, apart from azptend's own settings, that contain a
// credential for azptend's identity.
var IdentityVariables = []string{
	"IDENTITY_HEADER", "MSI_SECRET",
	"AZURE_CLIENT_SECRET", "AZURE_CLIENT_CERTIFICATE_PASSWORD", "AZURE_PASSWORD",
}

// Variables contain a credential for azptend's identity or for Azure DevOps.
var Variables = append(slices.Clone(IdentityVariables),
	"AZP_TOKEN", "AZP_CLIENTSECRET", "AZP_KEEP_TOKEN", "AZP_KEEP_SCALE_TOKEN",
	"SYSTEM_ACCESSTOKEN", "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
	"VSTS_AGENT_INPUT_TOKEN", "VSTS_AGENT_INPUT_PASSWORD", "VSTS_AGENT_INPUT_CLIENTSECRET",
	// Names that other tools use for tokens for Azure DevOps: az devops and its successors,
	// Terraform's provider, Microsoft's former image, and common start scripts.
	"AZURE_DEVOPS_EXT_PAT", "AZURE_DEVOPS_PAT", "AZURE_DEVOPS_TOKEN",
	"AZDO_PERSONAL_ACCESS_TOKEN", "AZDO_PAT", "AZDO_TOKEN", "AZDO_PASSWORD",
	"ADO_PAT", "ADO_TOKEN", "AGENT_PAT", "VSTS_TOKEN", "VSTS_PAT",
)

// IsVariable reports whether a variable with this name contains a credential. It ignores
// case.
func IsVariable(name string) bool {
	return slices.ContainsFunc(Variables, func(v string) bool { return strings.EqualFold(v, name) })
}
