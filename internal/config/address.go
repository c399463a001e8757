package config

import (
	"net/url"
	"slices"
	"strings"
)

// urlHint is the address people mean.
const urlHint = "it looks like https://dev.azure.com/your-organisation"

// validateURL refuses what is no organisation's or collection's address. People
// copy it from the browser or from git clone, so what they most likely meant is
// in the hint.
func (s *Settings) validateURL(bad func(hint, format string, args ...any)) {
	if s.URL == "" {
		bad(urlHint, "AZP_URL (--url) %v", errNotSet)
		return
	}
	u, err := parseURL(s.URL)
	switch {
	case hasUserInfo(s.URL) && schemePattern.MatchString(s.URL):
		bad(suggestURL(s.URL)+"; a token goes into AZP_TOKEN or AZP_TOKEN_FILE", "AZP_URL (--url) holds a user or password")
	case err != nil:
		bad(suggestURL("https://"+s.URL), "AZP_URL (--url) is %q, which %v", redactURL(s.URL), err)
	case u.RawQuery != "" || u.Fragment != "":
		bad(suggestURL(s.URL), "AZP_URL (--url) is %q and more, which has a part after the path", redactURL(s.URL))
	case isAzureDevOpsServices(u) && organisationURL(u) == "":
		bad(urlHint, "AZP_URL (--url) is %q, which names no organisation", redactURL(s.URL))
	case isAzureDevOpsServices(u) && !strings.EqualFold(organisationURL(u), s.URL) && !isDefaultCollection(u):
		bad(suggestURL(s.URL), "AZP_URL (--url) is %q, which names more than an organisation", redactURL(s.URL))
	case pageIndex(u) >= 0:
		bad(suggestURL(s.URL), "AZP_URL (--url) is %q, which is the address of a page or a repository", redactURL(s.URL))
	}
}

// isAzureDevOpsServices says that u is in Azure DevOps Services, of which we know how an
// organisation's address looks; a server of one's own may have it anywhere.
func isAzureDevOpsServices(u *url.URL) bool {
	host := strings.ToLower(u.Hostname())
	return host == "dev.azure.com" || strings.HasSuffix(host, ".visualstudio.com")
}

// organisationURL is the address of the organisation that u is in, "" if it names
// none.
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

// isDefaultCollection: the older form of such an address, which the service
// still answers.
func isDefaultCollection(u *url.URL) bool {
	parts := segments(u)
	return !strings.EqualFold(u.Hostname(), "dev.azure.com") && len(parts) == 1 && strings.EqualFold(parts[0], "DefaultCollection")
}

// pageIndex is where in u's path a page's or a repository's name begins, e.g. _git
// or _settings; -1 if nowhere.
func pageIndex(u *url.URL) int {
	return slices.IndexFunc(segments(u), func(s string) bool { return strings.HasPrefix(s, "_") })
}

func segments(u *url.URL) []string { return strings.Split(strings.Trim(u.Path, "/"), "/") }

// suggestURL is a hint with the address that raw was likely meant to be. It repeats no
// user, password or query.
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
		if strings.EqualFold(parts[0], "tfs") { // where a server is installed below /tfs, its collections are one deeper
			depth = 2
		}
		return "use the collection's address, without project and page: " +
			strings.TrimRight((&url.URL{Scheme: u.Scheme, Host: u.Host, Path: "/" + strings.Join(parts[:min(at, depth)], "/")}).String(), "/")
	}
	return urlHint
}
