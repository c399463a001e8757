package emulator

import (
	"net/http"
	"strconv"
	"strings"
)

// apiVersion finds the version a request asks for: in the query, or as a parameter of Accept or Content-Type. The
// headers are searched rather than parsed because go-api sends "Accept: ;api-version=7.1-preview.1"
// (azure-devops-rest.md 0).
func apiVersion(c *request) string {
	if v := c.query("api-version"); v != "" {
		return v
	}
	for _, h := range []string{c.http.Header.Get("Accept"), c.http.Header.Get("Content-Type")} {
		for part := range strings.FieldsFuncSeq(h, func(c rune) bool { return c == ';' || c == ',' }) {
			name, value, ok := strings.Cut(strings.TrimSpace(part), "=")
			if ok && strings.EqualFold(strings.TrimSpace(name), "api-version") {
				return strings.Trim(strings.TrimSpace(value), `"`)
			}
		}
	}
	return ""
}

// newestMajor and newestMinor are the highest version on offer.
const newestMajor, newestMinor = 7, 2

// checkVersion applies the rules of azure-devops-rest.md 0: a version is required but on GET, and a resource that
// never went GA wants -preview.
func (e *Emulator) checkVersion(method, version string, preview bool) error {
	if version == "" {
		if method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions {
			return nil
		}
		return errWebAPI(http.StatusBadRequest, "VssVersionNotSpecifiedException",
			"No api-version was supplied for the %q request. The version must be supplied either as part of the Accept header (e.g. \"application/json; api-version=1.0\") or as a query parameter (e.g. \"?api-version=1.0\").", method)
	}
	number, stage, hasStage := strings.Cut(version, "-")
	major, minor, ok := parseVersion(number)
	stageOK := !hasStage || strings.HasPrefix(strings.ToLower(stage), "preview")
	if !ok || !stageOK {
		return errWebAPI(http.StatusBadRequest, "VssVersionNotSupportedException", "The api-version %q is not a version.", version)
	}
	if major > newestMajor || major == newestMajor && minor > newestMinor {
		return errWebAPI(http.StatusBadRequest, "VssVersionOutOfRangeException",
			"The requested REST API version of %s is out of range for this server. The latest REST API version this server supports is %d.%d.",
			version, newestMajor, newestMinor)
	}
	if preview && !hasStage && !e.assumptions.PlainVersionOnPreview {
		return errWebAPI(http.StatusBadRequest, "VssInvalidPreviewVersionException",
			"The requested version %q of the resource is under preview. The -preview flag must be supplied in the api-version for such requests. For example: \"%s-preview\"", version, version)
	}
	return nil
}

func parseVersion(s string) (major, minor int, ok bool) {
	a, b, found := strings.Cut(s, ".")
	if !found {
		b = "0"
	}
	major, err1 := strconv.Atoi(a)
	minor, err2 := strconv.Atoi(b)
	return major, minor, err1 == nil && err2 == nil && major > 0 && minor >= 0
}
