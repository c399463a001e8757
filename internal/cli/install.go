//go:build unix

package cli

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/exitcode"
	"github.com/azptend/azptend/internal/httpclient"
	"github.com/azptend/azptend/internal/install"
)

func newInstall(p Process) *cobra.Command {
	c := &cobra.Command{
		Use:   "install",
		Short: "Download, verify and unpack the agent package",
		Long: `Download, verify and unpack the agent package, in a Dockerfile or on a machine.

With AZP_URL (--url) and an identity, the organisation names the newest version and its SHA-256. azptend unpacks nothing before it has verified the archive. It resumes an interrupted download, and an interrupted install leaves no incomplete agent. "azptend run" does the same at startup with AZP_INSTALL=true.`,
	}
	c.Flags().SortFlags = false
	config.AddInstallFlags(c.Flags())
	c.RunE = func(c *cobra.Command, _ []string) error {
		s, err := config.LoadInstall(c.Flags(), p.Environ)
		if err != nil {
			return exitcode.With(exitcode.Usage, err)
		}
		ctx := c.Context()
		log := openLog(p, s)
		chosen, done, err := p.installAgent(ctx, s, log)
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

func printInstalled(p Process, dir string, chosen install.Package, done install.Result) {
	if done.Unchanged {
		fmt.Fprintf(p.Stdout, "%v is already in %s: nothing to do\n", chosen, dir)
		return
	}
	fmt.Fprintf(p.Stdout, "installed %v into %s: %d files, %.1f MB; fetched in %v, unpacked %v later\n", chosen, dir,
		done.Files, float64(done.Bytes)/1e6, done.Fetch.Round(time.Millisecond), done.Unpack.Round(time.Millisecond))
}

// installAgent chooses the package and installs it into the agent's directory.
func (p Process) installAgent(ctx context.Context, s config.Settings, log *slog.Logger) (install.Package, install.Result, error) {
	source := install.Source{Wanted: s.Package, File: s.AgentFile, HTTP: httpclient.ForDownloads(newWebClient(s)), Log: log}
	if s.URL != "" && s.AgentFile == "" {
		who, client, err := p.newClient(s, log, slog.LevelInfo)
		if err != nil {
			return install.Package{}, install.Result{}, err
		}
		source.Authorizer, source.Server = who, client
	}
	return source.InstallInto(ctx, s.AgentDir, installProgress(p, log))
}
