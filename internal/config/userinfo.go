package config

import (
	"errors"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// An address may carry a user and a password, and people paste passwords as they
// are. "http://svc:pa@Secret#x@proxy:3128" then has another host than its author
// means: a part of the password, which would be logged and looked up in DNS. So
// each setting that is an address is read by parseURL, and nothing before the
// last @ is ever part of a message.

// errUserInfo is an address whose user or password is not escaped.
var errUserInfo = errors.New("holds a user or password with characters that an address cannot have")

// escapeHint says what to do about errUserInfo.
const escapeHint = "write # as %23, @ as %40, / as %2F, \\ as %5C, and any other special character as % and its hexadecimal code"

// errNotURL is a text that is no http or https address.
var errNotURL = errors.New("is not an http or https address")

// schemePattern matches how an address begins, right or wrong.
var schemePattern = regexp.MustCompile(`(?i)^(https?|socks5h?):[/\\]*`)

// userInfo matches a user and a password that are escaped as they have to be
// (RFC 3986, section 3.2.1, which net/url applies).
var userInfo = regexp.MustCompile(`^([A-Za-z0-9._~!$&'()*+,;=:-]|%[0-9A-Fa-f]{2})*$`)

// parseURL reads an address. Everything between its beginning and the last @ is
// the user and the password; where that cannot be, the error is errUserInfo. No
// error says anything about what was read.
func parseURL(raw string, schemes ...string) (*url.URL, error) {
	rest := raw[len(schemePattern.FindString(raw)):]
	if at := strings.LastIndexByte(rest, '@'); at >= 0 && !userInfo.MatchString(rest[:at]) {
		return nil, errUserInfo
	}
	u, err := url.Parse(raw)
	if err != nil || u.Hostname() == "" {
		return nil, errNotURL
	}
	if slices.Contains(append([]string{"http", "https"}, schemes...), u.Scheme) {
		return u, nil
	}
	return nil, errNotURL
}

// hasUserInfo says whether an address holds a user or a password, escaped or not.
func hasUserInfo(raw string) bool { return strings.Contains(raw, "@") }

// redactURL is an address for a message: without what may be a user, a password or a
// token in it.
func redactURL(raw string) string {
	if i := strings.LastIndexByte(raw, '@'); i >= 0 {
		raw = "…" + raw[i:]
	}
	if i := strings.IndexAny(raw, "?#"); i >= 0 {
		raw = raw[:i]
	}
	return raw
}

// endpointVariables are the variables by which a platform tells where tokens come from.
// None of them is a place for a password.
func endpointVariables() []string {
	return []string{"IDENTITY_ENDPOINT", "IMDS_ENDPOINT", "MSI_ENDPOINT", "AZURE_AUTHORITY_HOST", "AZURE_KUBERNETES_TOKEN_PROXY"}
}

// validateEndpoints refuses those that hold one: the SDK reads them by itself,
// and its errors quote them. It also drops the identity: commands like doctor go on
// with the settings all the same.
func (s *Settings) validateEndpoints(env map[string]string, bad func(hint, format string, args ...any)) {
	for _, name := range endpointVariables() {
		if hasUserInfo(env[name]) {
			s.Identity = IdentityChoice{}
			bad("set it to the address alone, without user and password", "%s holds a user or password", name)
		}
	}
}
