package install

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"slices"
	"strings"

	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/safefile"
	"github.com/azptend/azptend/internal/secret"
)

// Source chooses a package and downloads it.
type Source struct {
	Wanted Package // as far as the settings name it
	File   string  // a local archive, instead of a download
	HTTP   *http.Client
	Log    *slog.Logger

	Server     Server          // nil: no organisation is asked
	Authorizer azdo.Authorizer // for downloads from the organisation's own address
}

// Server lists the packages of an organisation. *azdo.Client is one.
type Server interface {
	AgentPackages(ctx context.Context, kind, platform string, onlyNewest bool) ([]azdo.Package, error)
	IsOrganisationURL(address string) bool
}

// UnknownPackageError says that there is no package as the settings name it.
type UnknownPackageError struct {
	error
	hint string
}

// Hint says what to set instead.
func (e *UnknownPackageError) Hint() string { return e.hint }

// Choose finds the package that the settings mean. The error may be an
// *UnknownPackageError.
func (s Source) Choose(ctx context.Context) (Package, error) {
	if s.File != "" {
		return s.chooseFile(ctx)
	}
	want := s.Wanted
	if want.Platform == "" {
		want.Platform = Platform(runtime.GOOS, runtime.GOARCH, "/")
	}
	if want.Platform == "" {
		return Package{}, &UnknownPackageError{fmt.Errorf("cannot install the agent: there is no agent for %s on %s", runtime.GOOS, runtime.GOARCH),
			"set AZP_AGENT_PLATFORM (--agent-platform) to install the agent for another machine"}
	}
	if s.Server == nil {
		return PublishedPackage(want.Kind, want.Platform, want.Version, want.SHA256), nil
	}
	found, list, err := s.lookUp(ctx, want)
	if want.Kind != Full || !lacksFull(list, found, want.Platform) {
		return found, err
	}
	want.Kind = Slim
	if found, _, err = s.lookUp(ctx, want); err == nil {
		s.Log.Warn("The organisation offers no full package for this platform: installing the slim package", "platform", want.Platform, "package", Slim)
	}
	return found, err
}

// lookUp finds a package in the organisation's list, which it also returns. The list
// is nil if it cannot be read.
func (s Source) lookUp(ctx context.Context, want Package) (Package, []azdo.Package, error) {
	list, err := s.Server.AgentPackages(ctx, string(want.Kind), want.Platform, want.Version == "")
	if err != nil {
		return Package{}, nil, err
	}
	found, err := selectOffered(list, want)
	if list == nil {
		list = []azdo.Package{}
	}
	return found, list, err
}

// lacksFull says that the list has no full package for a platform that has a slim one:
// the row has another platform's address, as is reported of musl (agent-protocol.md 8),
// or musl has no row at all. A list that only lacks the version does not count.
func lacksFull(list []azdo.Package, found Package, platform string) bool {
	if list == nil {
		return false
	}
	return len(list) == 0 && strings.Contains(platform, "musl") || found.URL != "" && errors.Is(found.Check(), ErrOtherPlatform)
}

const notOfferedHint = "to install a package that is published and not offered, set AZP_AGENT_VERSION (--agent-version) and AZP_AGENT_SHA256 (--agent-sha256), and unset AZP_URL (--url)"

// selectOffered takes the wanted package from the organisation's list, which begins with
// the newest.
func selectOffered(list []azdo.Package, want Package) (Package, error) {
	if len(list) == 0 {
		return Package{}, &UnknownPackageError{fmt.Errorf("cannot install the agent: the organisation offers no %s for %s", want.Kind, want.Platform),
			"check AZP_AGENT_PLATFORM (--agent-platform); " + notOfferedHint}
	}
	i := slices.IndexFunc(list, func(o azdo.Package) bool { return want.Version == "" || o.Version.String() == want.Version })
	if i < 0 {
		var newest []string
		for _, p := range list[:min(len(list), 3)] {
			newest = append(newest, p.Version.String())
		}
		return Package{}, &UnknownPackageError{fmt.Errorf("cannot install the agent: the organisation offers no version %s of %s for %s", want.Version, want.Kind, want.Platform),
			"use one of its newest: " + strings.Join(newest, ", ") + "; " + notOfferedHint}
	}
	want.Version, want.URL = list[i].Version.String(), list[i].DownloadURL
	if want.SHA256 == "" { // a person's checksum counts more than the server's
		want.SHA256 = NormalizeSHA256(list[i].HashValue)
	}
	return want, nil
}

// maxChecksumFile bounds a file that sha256sum has written.
const maxChecksumFile = 64 << 10

// chooseFile is a local archive. Its checksum comes from the settings, or from the file
// that sha256sum wrote next to it.
func (s Source) chooseFile(ctx context.Context) (Package, error) {
	out := s.Wanted
	if out.SHA256 != "" {
		return out, nil
	}
	if b, err := safefile.ReadFile(s.File+".sha256", maxChecksumFile); err == nil {
		word, _, _ := strings.Cut(strings.TrimSpace(string(b)), " ")
		if out.SHA256 = NormalizeSHA256(word); IsSHA256(out.SHA256) {
			return out, nil
		}
	}
	sum, err := FileSHA256(ctx, s.File)
	if err != nil {
		return out, fmt.Errorf("cannot read the archive: %w", err)
	}
	return out, &UnknownPackageError{fmt.Errorf("cannot install the agent: the expected SHA-256 of %s is not known", s.File),
		"its SHA-256 is " + sum + ": compare it with the release notes, then set AZP_AGENT_SHA256 (--agent-sha256) or write it into " + s.File + ".sha256"}
}

// get downloads from a byte on. The organisation's own address gets its credentials
// (agent-protocol.md 8), and no other address does.
func (s Source) get(ctx context.Context, address string, from int64) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	if from > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", from))
	}
	if s.Server != nil && s.Server.IsOrganisationURL(address) {
		authorization, err := s.Authorizer.Authorization(ctx, secret.Text{})
		if err != nil {
			return nil, err
		}
		req.Header.Set("Authorization", authorization.Reveal())
	}
	return s.HTTP.Do(req)
}
