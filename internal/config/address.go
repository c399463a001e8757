package config

import (
	"net/url"
	"slices"
	"strings"
)

// looksLike is the address people mean.
const looksLike = "it looks like https://dev.azure.com/your-organisation"

// validateURL refuses what is no organisation's or collection's address. People
// copy it from the browser or from git clone, so what they most likely meant is
// in the hint.
func (s *Settings) validateURL(bad func(hint, format string, args ...any)) {
	if s.URL == "" {
		bad(looksLike, "AZP_URL (--url) %v", errNotSet)
		return
	}
	u, err := parseURL(s.URL)
	switch {
	case hasUserInfo(s.URL) && begins.MatchString(s.URL):
		bad(meant(s.URL)+"; a token goes into AZP_TOKEN or AZP_TOKEN_FILE", "AZP_URL (--url) holds a user or password")
	case err != nil:
		bad(meant("https://"+s.URL), "AZP_URL (--url) is %q, which %v", shown(s.URL), err)
	case u.RawQuery != "" || u.Fragment != "":
		bad(meant(s.URL), "AZP_URL (--url) is %q and more, which has a part after the path", shown(s.URL))
	case isService(u) && organisation(u) == "":
		bad(looksLike, "AZP_URL (--url) is %q, which names no organisation", shown(s.URL))
	case isService(u) && !strings.EqualFold(organisation(u), s.URL) && !isDefaultCollection(u):
		bad(meant(s.URL), "AZP_URL (--url) is %q, which names more than an organisation", shown(s.URL))
	case pageOf(u) >= 0:
		bad(meant(s.URL), "AZP_URL (--url) is %q, which is the address of a page or a repository", shown(s.URL))
	}
}

// isService says that u is in Azure DevOps Services, of which we know how an
// organisation's address looks; a server of one's own may have it anywhere.
func isService(u *url.URL) bool {
	host := strings.ToLower(u.Hostname())
	return host == "dev.azure.com" || strings.HasSuffix(host, ".visualstudio.com")
}

// organisation is the address of the organisation that u is in, "" if it names
// none.
func organisation(u *url.URL) string {
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

// pageOf is where in u's path a page's or a repository's name begins, e.g. _git
// or _settings; -1 if nowhere.
func pageOf(u *url.URL) int {
	return slices.IndexFunc(segments(u), func(s string) bool { return strings.HasPrefix(s, "_") })
}

func segments(u *url.URL) []string { return strings.Split(strings.Trim(u.Path, "/"), "/") }

// meant is a hint with the address that raw was likely meant to be. It repeats no
// user, password or query.
func meant(raw string) string {
	u, err := parseURL(raw)
	if err != nil || strings.Contains(strings.TrimPrefix(raw, "https://"), "://") {
		return looksLike
	}
	if isService(u) {
		if org := organisation(u); org != "" {
			return "use " + org
		}
		return looksLike
	}
	if at := pageOf(u); at >= 0 {
		parts, depth := segments(u), 1
		if strings.EqualFold(parts[0], "tfs") { // where a server is installed below /tfs, its collections are one deeper
			depth = 2
		}
		return "use the collection's address, without project and page: " +
			strings.TrimRight((&url.URL{Scheme: u.Scheme, Host: u.Host, Path: "/" + strings.Join(parts[:min(at, depth)], "/")}).String(), "/")
	}
	return looksLike
}
