package config

import (
	"errors"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// urlHint shows the form of an organisation's address.
const urlHint = "use https://dev.azure.com/your-organisation"

// validateURL checks that AZP_URL is the address of an organisation or collection. People copy
// addresses from the browser or from git clone, so the hint has the one that they most likely
// mean.
func (s *Settings) validateURL(bad *problems) {
	if s.URL == "" {
		bad.add(urlHint, "AZP_URL (--url) %v", errNotSet)
		return
	}
	u, err := parseURL(s.URL)
	switch {
	case hasUserInfo(s.URL) && schemePattern.MatchString(s.URL):
		bad.add(suggestURL(s.URL)+"; set a token with AZP_TOKEN or AZP_TOKEN_FILE", "AZP_URL (--url) holds a user or password")
	case err != nil:
		bad.add(suggestURL("https://"+s.URL), "AZP_URL (--url) is %q, which %v", redactURL(s.URL), err)
	case u.RawQuery != "" || u.Fragment != "":
		bad.add(suggestURL(s.URL), "AZP_URL (--url) is %q and more, which has a query or fragment", redactURL(s.URL))
	case isAzureDevOpsServices(u) && organisationURL(u) == "":
		bad.add(urlHint, "AZP_URL (--url) is %q, which names no organisation", redactURL(s.URL))
	case isAzureDevOpsServices(u) && !strings.EqualFold(organisationURL(u), s.URL) && !isDefaultCollection(u):
		bad.add(suggestURL(s.URL), "AZP_URL (--url) is %q, which names more than an organisation", redactURL(s.URL))
	case pageIndex(u) >= 0:
		bad.add(suggestURL(s.URL), "AZP_URL (--url) is %q, which is the address of a page or a repository", redactURL(s.URL))
	}
}

// isAzureDevOpsServices says whether u is in Azure DevOps Services, where addresses have a
// known form. An Azure DevOps Server may have any address.
func isAzureDevOpsServices(u *url.URL) bool {
	host := strings.ToLower(u.Hostname())
	return host == "dev.azure.com" || strings.HasSuffix(host, ".visualstudio.com")
}

// organisationURL is the address of the organisation that u is in, "" if u names none.
func organisationURL(u *url.URL) string {
	base := url.URL{Scheme: u.Scheme, Host: u.Host}
	if !strings.EqualFold(u.Hostname(), "dev.azure.com") {
		return base.String()
	}
	name := segments(u)[0]
	if name == "" || strings.HasPrefix(name, "_") {
		return ""
	}
	base.Path = "/" + name
	return base.String()
}

// isDefaultCollection says whether u has an older form of an organisation's address, which
// still works.
func isDefaultCollection(u *url.URL) bool {
	parts := segments(u)
	return !strings.EqualFold(u.Hostname(), "dev.azure.com") && len(parts) == 1 && strings.EqualFold(parts[0], "DefaultCollection")
}

// pageIndex is where in u's path the name of a page or repository begins, such as _git
// or _settings; -1 if nowhere.
func pageIndex(u *url.URL) int {
	return slices.IndexFunc(segments(u), func(s string) bool { return strings.HasPrefix(s, "_") })
}

func segments(u *url.URL) []string { return strings.Split(strings.Trim(u.Path, "/"), "/") }

// suggestURL is a hint with the address that raw most likely means. It repeats no user,
// password or query.
func suggestURL(raw string) string {
	u, err := parseURL(raw)
	if err != nil || strings.Contains(strings.TrimPrefix(raw, "https://"), "://") {
		return urlHint
	}
	if isAzureDevOpsServices(u) {
		if org := organisationURL(u); org != "" {
			return "use " + org
		}
		return urlHint
	}
	if at := pageIndex(u); at >= 0 {
		parts, depth := segments(u), 1
		if strings.EqualFold(parts[0], "tfs") { // below /tfs, collections are one level deeper
			depth = 2
		}
		return "use the collection's address, without project and page: " +
			strings.TrimRight((&url.URL{Scheme: u.Scheme, Host: u.Host, Path: "/" + strings.Join(parts[:min(at, depth)], "/")}).String(), "/")
	}
	return urlHint
}

// An address may contain a user and a password, and people do not always escape them. Then
// the host of "http://svc:pa@Secret#x@proxy:3128" is a part of the password, which would be
// logged and looked up in DNS. So parseURL parses all addresses in settings, and messages
// contain nothing before the last @.

// errUserInfo is an address whose user or password is not escaped.
var errUserInfo = errors.New("holds a user or password with characters that an address cannot have")

// escapeHint is the hint for errUserInfo.
const escapeHint = "write # as %23, @ as %40, / as %2F, \\ as %5C, and any other special character as % and its hexadecimal code"

var errNotURL = errors.New("is not an http or https address")

// schemePattern matches the beginning of an address, right or wrong.
var schemePattern = regexp.MustCompile(`(?i)^(https?|socks5h?):[/\\]*`)

// userInfo matches a user and a password that are escaped (RFC 3986, section 3.2.1,
// which net/url applies).
var userInfo = regexp.MustCompile(`^([A-Za-z0-9._~!$&'()*+,;=:-]|%[0-9A-Fa-f]{2})*$`)

// parseURL reads an address. Everything between its beginning and the last @ is the user
// and the password; if that is impossible, the error is errUserInfo. No error repeats
// a part of the address.
func parseURL(raw string, schemes ...string) (*url.URL, error) {
	rest := raw[len(schemePattern.FindString(raw)):]
	if at := strings.LastIndexByte(rest, '@'); at >= 0 && !userInfo.MatchString(rest[:at]) {
		return nil, errUserInfo
	}
	u, err := url.Parse(raw)
	if err != nil || u.Hostname() == "" || !slices.Contains(append(schemes, "http", "https"), u.Scheme) {
		return nil, errNotURL
	}
	return u, nil
}

// hasUserInfo says whether an address contains a user or a password, escaped or not.
func hasUserInfo(raw string) bool { return strings.Contains(raw, "@") }

// redactURL is an address for a message, without a user, a password or a token.
func redactURL(raw string) string {
	if i := strings.LastIndexByte(raw, '@'); i >= 0 {
		raw = "…" + raw[i:]
	}
	if i := strings.IndexAny(raw, "?#"); i >= 0 {
		raw = raw[:i]
	}
	return raw
}

// endpointVariables are set by a platform. They are addresses of token endpoints, without a
// password.
var endpointVariables = []string{"IDENTITY_ENDPOINT", "IMDS_ENDPOINT", "MSI_ENDPOINT", "AZURE_AUTHORITY_HOST", "AZURE_KUBERNETES_TOKEN_PROXY"}

// validateEndpoints refuses endpoint variables with a password: the SDK reads them itself, and
// its errors quote them. It also drops the identity, because the caller of LoadPartial uses
// the settings even if some are wrong.
func (s *Settings) validateEndpoints(env map[string]string, bad *problems) {
	for _, name := range endpointVariables {
		if hasUserInfo(env[name]) {
			s.Identity = ChosenIdentity{}
			bad.add("set it to the address only, without user and password", "%s holds a user or password", name)
		}
	}
}
