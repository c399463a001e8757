package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/azptend/azptend/internal/agentdir"
	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/exitcode"
	"github.com/azptend/azptend/internal/httpclient"
	"github.com/azptend/azptend/internal/install"
	"github.com/azptend/azptend/internal/proc"
	"github.com/azptend/azptend/internal/safefile"
	"github.com/azptend/azptend/internal/secret"
)

func newInstall(p Process) *cobra.Command {
	c := &cobra.Command{
		Use:   "install",
		Short: "Fetch, verify and unpack the agent package",
		Long: `Fetch, verify and unpack the agent package, for a Dockerfile or a machine:

    azptend install --agent-dir /azp --agent-version 5.282.3 --agent-sha256 …

With AZP_URL (--url) and an identity the organisation says what is newest and
what its SHA-256 is. Nothing is unpacked before that is right; a download that
broke off goes on where it did; a killed install leaves no half agent. "azptend
run" does the same at its start with AZP_INSTALL=true.

Every setting has a variable, in brackets below, and a flag; the flag wins.`,
	}
	c.Flags().SortFlags = false
	config.AddInstallFlags(c.Flags())
	c.RunE = func(c *cobra.Command, _ []string) error {
		s, err := config.LoadInstall(c.Flags(), p.Environ)
		if err != nil {
			return exitcode.With(exitcode.Usage, err)
		}
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
		defer stop()
		log, redactor := openLog(p, s)
		chosen, done, err := installAgent(ctx, p, s, log, redactor)
		switch {
		case err != nil && ctx.Err() != nil:
			return exitcode.With(exitcode.Interrupted, err)
		case err != nil:
			return exitcode.With(exitcode.OfInstall(err), err)
		}
		printInstalled(p, s.AgentDir, chosen, done)
		return nil
	}
	return c
}

// installAtStart is `run` with AZP_INSTALL, in a folder that has no agent. Nil is
// that there is one now.
func installAtStart(p Process, s config.Settings, log *slog.Logger, redactor *secret.Redactor, heard <-chan proc.Signal) error {
	ctx, stop := contextUntilSignal(heard)
	var chosen install.Package
	done, err := waitBriefly(ctx, func() (done install.Result, err error) {
		chosen, done, err = installAgent(ctx, p, s, log, redactor)
		return done, err
	})
	switch {
	case stop():
		log.Info("Left", "exit_code", 0, "why", "asked to end while the agent was being installed")
		return exitcode.Silent(0)
	case err != nil:
		explain(heard, p, s, log, redactor, err)
		return exitcode.Silent(exitcode.OfInstall(err))
	}
	log.Info("Installed the agent package", "package", chosen.Kind, "platform", chosen.Platform, "version", chosen.Version, "folder", s.AgentDir,
		"files", done.Files, "bytes", done.Bytes, "resumed", done.Resumed, "fetch_ms", done.Fetch.Milliseconds(), "unpack_ms", done.Unpack.Milliseconds())
	return nil
}

// contextUntilSignal is a context that ends when a signal asks azptend to end, for what
// comes before an agent's life. After stop, which says whether one did, the
// signals are somebody else's again.
func contextUntilSignal(heard <-chan proc.Signal) (ctx context.Context, stop func() (asked bool)) {
	ctx, cancel := context.WithCancel(context.Background())
	done, word := make(chan struct{}), false
	go func() {
		defer close(done)
		for {
			select {
			case h := <-heard:
				if h.Action == proc.Drain || h.Action == proc.Interrupt {
					word = true
					cancel()
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return ctx, func() bool {
		cancel()
		<-done
		return word
	}
}

func printInstalled(p Process, dir string, chosen install.Package, done install.Result) {
	if done.Unchanged {
		fmt.Fprintf(p.Stdout, "%v is in %s: nothing done\n", chosen, dir)
		return
	}
	fmt.Fprintf(p.Stdout, "installed %v into %s: %d files, %s; fetched in %v, unpacked in %v\n", chosen, dir,
		done.Files, megabytes(done.Bytes), done.Fetch.Round(time.Millisecond), done.Unpack.Round(time.Millisecond))
}

// installAgent finds out which package it is, and installs it. No other azptend
// may live in the folder meanwhile.
func installAgent(ctx context.Context, p Process, s config.Settings, log *slog.Logger, redactor *secret.Redactor) (install.Package, install.Result, error) {
	folder := agentdir.Dir{Root: s.AgentDir}
	if err := os.MkdirAll(s.AgentDir, 0o755); err != nil {
		return install.Package{}, install.Result{}, fmt.Errorf("cannot make the agent's folder: %w", err)
	}
	release, err := folder.Lock()
	if err != nil {
		return install.Package{}, install.Result{}, err
	}
	defer release()
	source := packageSource{settings: s, web: httpclient.ForDownloads(httpclient.UserAgent(version()), s.Proxy(), s.CA), log: log}
	if s.URL != "" && s.AgentFile == "" {
		if source.authorizer, source.server, err = connect(s, log, redactor); err != nil {
			return install.Package{}, install.Result{}, err
		}
	}
	chosen, err := source.choose(ctx)
	if err != nil {
		return install.Package{}, install.Result{}, err
	}
	log.Info("Installing the agent package", "package", chosen.Kind, "platform", chosen.Platform, "version", chosen.Version,
		"folder", s.AgentDir, "from", chosen.URL+s.AgentFile)
	done, err := install.Install(ctx, install.Options{Dir: s.AgentDir, Package: chosen, File: s.AgentFile, Get: source.get, OnProgress: installProgress(p, log)})
	return chosen, done, err
}

// packageSource is where packages are asked for, and whence they come.
type packageSource struct {
	settings   config.Settings
	web        *http.Client
	log        *slog.Logger
	server     *azdo.Client    // nil: no organisation is asked
	authorizer azdo.Authorizer // whose credentials go to the organisation's own downloads
}

// unknownPackage is the error where there is no such package.
func unknownPackage(what, hint string) error {
	return exitcode.With(exitcode.Usage, &unknownPackageError{what, hint})
}

type unknownPackageError struct{ what, hint string }

func (e *unknownPackageError) Error() string { return "cannot install the agent: " + e.what }
func (e *unknownPackageError) Hint() string  { return e.hint }

// choose finds the package that the settings mean.
func (p packageSource) choose(ctx context.Context) (install.Package, error) {
	s := p.settings
	kind, platform := install.Kind(s.AgentPackage), s.AgentPlatform
	if s.AgentFile != "" {
		return p.chooseFile(ctx, install.Package{Kind: kind, Platform: platform, Version: s.AgentVersion, SHA256: s.AgentSHA256})
	}
	if platform == "" {
		platform = install.Platform(runtime.GOOS, runtime.GOARCH, "/")
	}
	if platform == "" {
		return install.Package{}, unknownPackage(fmt.Sprintf("there is none for %s on %s", runtime.GOOS, runtime.GOARCH),
			"set AZP_AGENT_PLATFORM (--agent-platform) to install another machine's")
	}
	if p.server == nil {
		return install.PublishedPackage(kind, platform, s.AgentVersion, s.AgentSHA256), nil
	}
	list, err := p.server.AgentPackages(ctx, string(kind), platform, s.AgentVersion == "")
	if err != nil {
		return install.Package{}, err
	}
	found, err := p.selectOffered(list, kind, platform)
	if kind != install.Full || !lacksFull(list, found, platform) {
		return found, err
	}
	if list, err = p.server.AgentPackages(ctx, string(install.Slim), platform, s.AgentVersion == ""); err != nil {
		return install.Package{}, err
	}
	found, err = p.selectOffered(list, install.Slim, platform)
	if err == nil {
		p.log.Warn("The organisation has no full package for this platform, or gives another platform's: installing the slim one", "platform", platform, "package", install.Slim)
	}
	return found, err
}

// lacksFull says that the list has no full package for a platform for which there is
// a slim one: another platform's address in its row, as is written of musl
// (agent-protocol.md 8), or for musl no row at all. A list that only lacks the
// version is no such list.
func lacksFull(list []azdo.Package, found install.Package, platform string) bool {
	return len(list) == 0 && strings.Contains(platform, "musl") || found.URL != "" && errors.Is(found.Check(), install.ErrOtherPlatform)
}

// selectOffered is the package that the settings mean among those that the organisation
// offers, newest first.
func (p packageSource) selectOffered(list []azdo.Package, kind install.Kind, platform string) (install.Package, error) {
	version := p.settings.AgentVersion
	if len(list) == 0 {
		return install.Package{}, unknownPackage(fmt.Sprintf("the organisation offers no %s for %s", kind, platform),
			"is AZP_AGENT_PLATFORM (--agent-platform) right? "+notOffered)
	}
	i := slices.IndexFunc(list, func(o azdo.Package) bool { return version == "" || o.Version.String() == version })
	if i < 0 {
		return install.Package{}, unknownPackage(fmt.Sprintf("the organisation offers no version %s of %s for %s", version, kind, platform),
			"the newest that it offers: "+newestVersions(list)+"; "+notOffered)
	}
	out := install.Package{Kind: kind, Platform: platform, Version: list[i].Version.String(), URL: list[i].DownloadURL, SHA256: install.NormalizeSHA256(list[i].HashValue)}
	if p.settings.AgentSHA256 != "" {
		out.SHA256 = p.settings.AgentSHA256 // a person's word outweighs the server's
	}
	return out, nil
}

const notOffered = "for one that is published and not offered set AZP_AGENT_VERSION (--agent-version) and AZP_AGENT_SHA256 (--agent-sha256), and leave AZP_URL (--url) out"

// newestVersions names the first few versions of a list.
func newestVersions(list []azdo.Package) string {
	var versions []string
	for _, p := range list[:min(len(list), 3)] {
		versions = append(versions, p.Version.String())
	}
	return strings.Join(versions, ", ")
}

// maxChecksumFile is the limit for a file that sha256sum has written.
const maxChecksumFile = 64 << 10

// chooseFile is a local archive, verified by a person's word or by the file that
// sha256sum has written beside it.
func (p packageSource) chooseFile(ctx context.Context, out install.Package) (install.Package, error) {
	file := p.settings.AgentFile
	if out.SHA256 != "" {
		return out, nil
	}
	if b, err := safefile.ReadFile(file+".sha256", maxChecksumFile); err == nil {
		word, _, _ := strings.Cut(strings.TrimSpace(string(b)), " ")
		if out.SHA256 = install.NormalizeSHA256(word); install.IsSHA256(out.SHA256) {
			return out, nil
		}
	}
	sum, err := install.FileSHA256(ctx, file)
	if err != nil {
		return out, fmt.Errorf("cannot read the archive: %w", err)
	}
	return out, unknownPackage(fmt.Sprintf("nobody says what the SHA-256 of %s must be", file),
		"it is "+sum+": compare that with what the release notes say, and set AZP_AGENT_SHA256 (--agent-sha256), or write it into "+file+".sha256")
}

// get downloads from a byte on. The organisation's own address gets its
// credentials (agent-protocol.md 8), and no other.
func (p packageSource) get(ctx context.Context, address string, from int64) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	if from > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", from))
	}
	if p.server != nil && p.server.IsOrganisationURL(address) {
		authorization, err := p.authorizer.Authorization(ctx, secret.Text{})
		if err != nil {
			return nil, err
		}
		req.Header.Set("Authorization", authorization.Reveal())
	}
	return p.web.Do(req)
}
