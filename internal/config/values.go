package config

import (
	"errors"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/azptend/azptend/internal/install"
	"github.com/azptend/azptend/internal/platform"
	"github.com/azptend/azptend/internal/secret"
	"github.com/azptend/azptend/internal/text"
)

// This file parses the values of settings. An error completes a sentence that begins with the
// setting's name.

var errNotSet = errors.New("is not set")

const (
	durationHint = "use a number of seconds, or a duration such as 90s, 10m, 1h30m or 3d"
	boolHint     = "use true or false"
	numberHint   = "use a number"
)

// apply sets a value.
func (r Setting) apply(s *Settings, v string) error {
	switch {
	case r.set != nil:
		return r.set(s, v)
	case r.Bool != nil:
		is, ok := parseBool(v)
		if !ok {
			return fmt.Errorf("is %q, which is neither true nor false", v)
		}
		*r.Bool(s) = is
	case r.number != nil && r.Default == "0":
		return setCount(r.number(s), v)
	case r.number != nil:
		return setPositive(r.number(s), v)
	case r.duration != nil:
		return setDuration(r.duration(s), v, r.Min, r.Max)
	case r.secret != nil:
		*r.secret(s) = secret.New(v)
	default:
		*r.str(s) = v
	}
	return nil
}

// hint is the hint for a bad value.
func (r Setting) hint() string {
	switch {
	case r.Hint != "":
		return r.Hint
	case r.Values != nil:
		return "use " + strings.Join(r.Values[:len(r.Values)-1], ", ") + " or " + r.Values[len(r.Values)-1]
	case r.number != nil:
		return numberHint
	case r.duration != nil:
		return durationHint
	case r.Bool != nil:
		return boolHint
	}
	return ""
}

// setDuration parses a duration between least and most.
func setDuration(to *time.Duration, v string, least, most time.Duration) error {
	d, err := text.ParseDuration(v)
	switch {
	case errors.Is(err, text.ErrTooLong) || d > most:
		return fmt.Errorf("is %q, which is too long: at most %s", v, text.Count(int(most/text.Day), "day"))
	case err != nil:
		return fmt.Errorf("is %q, which %w", v, err)
	case d < least && !strings.ContainsFunc(v, unicode.IsLetter):
		return fmt.Errorf("is %q (seconds), which is shorter than %s", v, text.Duration(least))
	case d < least:
		return fmt.Errorf("is %q, which is shorter than %s", v, text.Duration(least))
	}
	*to = d
	return nil
}

func setPositive(to *int, v string) error {
	n, err := strconv.Atoi(v)
	if err != nil || n <= 0 {
		return fmt.Errorf("is %q, which is not a positive number", v)
	}
	*to = n
	return nil
}

// setCount parses a number. 0 means no limit.
func setCount(to *int, v string) error {
	if v == "0" {
		*to = 0
		return nil
	}
	return setPositive(to, v)
}

// parseBool parses the usual words for true and false.
func parseBool(v string) (is, ok bool) {
	switch strings.ToLower(strings.TrimSpace(v)) {
	case "true", "1", "yes", "on":
		return true, true
	case "false", "0", "no", "off", "":
		return false, true
	}
	return false, false
}

// isNotFalse is true for any value that does not mean false. AZP_PLACEHOLDER needs that:
// Microsoft's tutorial for Container Apps sets it to another value than true
// (agent-protocol.md 9), and azptend must not run an agent then.
func isNotFalse(v string) bool {
	is, ok := parseBool(v)
	return is || !ok
}

// splitList splits at commas and line ends, and drops empty items.
func splitList(v string) []string {
	var items []string
	for _, item := range strings.FieldsFunc(v, func(r rune) bool { return r == ',' || r == '\n' }) {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	return items
}

// choice parses one of several words, and ignores case.
func choice(v string, words ...string) (string, error) {
	word := strings.ToLower(v)
	if !slices.Contains(words, word) {
		return "", fmt.Errorf("is %q", v)
	}
	return word, nil
}

func setOnTerm(s *Settings, v string) error {
	word, err := choice(v, "drain", "cancel")
	s.CancelOnTerm = word == "cancel"
	return err
}

func setUpdate(s *Settings, v string) error {
	word, err := choice(v, "auto", "never")
	s.NoUpdate = word == "never"
	return err
}

func setLogFormat(s *Settings, v string) (err error) {
	s.LogFormat, err = choice(v, "text", "json")
	return err
}

func setLogLevel(s *Settings, v string) error {
	if err := s.LogLevel.UnmarshalText([]byte(v)); err != nil || strings.ContainsAny(v, "+-") {
		return fmt.Errorf("is %q", v)
	}
	return nil
}

func setCapabilities(s *Settings, v string) error {
	s.Capabilities = map[string]string{}
	// A NUL cannot be in a variable or an argument, so it can stand for an escaped comma.
	for _, item := range splitList(strings.ReplaceAll(v, `\,`, "\x00")) {
		item = strings.ReplaceAll(item, "\x00", ",")
		name, value, found := strings.Cut(item, "=")
		name = strings.TrimSpace(name)
		switch {
		case !found || name == "":
			return fmt.Errorf("holds %q, which is not name=value", item)
		case strings.HasPrefix(strings.ToLower(name), "azptend."):
			return fmt.Errorf("names %s: names that begin with azptend. are azptend's own", name)
		}
		s.Capabilities[name] = strings.TrimSpace(value)
	}
	return nil
}

func setPlatform(s *Settings, v string) error {
	p := platform.Platform(strings.ToLower(v))
	if !slices.Contains(platform.All(), p) {
		return fmt.Errorf("is %q", v)
	}
	s.Platform = p
	return nil
}

func platformNames() []string {
	var names []string
	for _, p := range platform.All() {
		names = append(names, string(p))
	}
	return names
}

// setListen parses host:port, or off.
func setListen(to *string, v string) error {
	if strings.EqualFold(v, "off") {
		*to = ""
		return nil
	}
	if _, port, err := net.SplitHostPort(v); err != nil || port == "" {
		return fmt.Errorf("is %q, which is not host:port", redactURL(v))
	}
	*to = v
	return nil
}

var (
	agentVersion  = regexp.MustCompile(`^\d+\.\d+\.\d+$`)
	agentPlatform = regexp.MustCompile(`^(linux|linux-musl|osx)-(x64|arm64|arm)$`)
)

func setAgentVersion(s *Settings, v string) error {
	s.Package.Version = strings.TrimPrefix(v, "v")
	if !agentVersion.MatchString(s.Package.Version) {
		return fmt.Errorf("is %q, which is not a version", v)
	}
	return nil
}

func setAgentPackage(s *Settings, v string) error {
	if v != string(install.Full) && v != string(install.Slim) {
		return fmt.Errorf("is %q", v)
	}
	s.Package.Kind = install.Kind(v)
	return nil
}

func setAgentPlatform(s *Settings, v string) error {
	if !agentPlatform.MatchString(v) {
		return fmt.Errorf("is %q, for which there is no agent", v)
	}
	s.Package.Platform = v
	return nil
}

// setAgentSHA256 also accepts capitals and dashes, as some servers write them.
func setAgentSHA256(s *Settings, v string) error {
	s.Package.SHA256 = install.NormalizeSHA256(v)
	if !install.IsSHA256(s.Package.SHA256) {
		return errors.New("is not a SHA-256")
	}
	return nil
}
