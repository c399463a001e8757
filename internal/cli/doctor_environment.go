//go:build unix

package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"os/user"
	"strconv"
	"strings"
	"syscall"

	"github.com/azptend/azptend/internal/agentdir"
	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/doctor"
	"github.com/azptend/azptend/internal/identity"
	"github.com/azptend/azptend/internal/install"
	"github.com/azptend/azptend/internal/mslistener"
	"github.com/azptend/azptend/internal/proc"
	"github.com/azptend/azptend/internal/supervisor"
)

// newEnvironment makes the doctor's environment from the settings, also if some are wrong. It
// has the same parts that run would use. It is here because package doctor imports no package
// that runs an agent.
func newEnvironment(p Process, s config.Settings, problems []config.Problem, init *proc.Init) doctor.Environment {
	log := slog.New(slog.DiscardHandler)
	if s.LogLevel == slog.LevelDebug {
		log = newLog(p.redactor.Writer(p.Stderr), s)
	}
	as, err := runAs(s.RunAs)
	if err != nil {
		problems = append(problems, config.Problem{What: err.Error(), Hint: p.hintFor(err)})
	}
	if s.HealthAddr != "" {
		switch l, err := Listen(s.HealthAddr, "AZP_HEALTH_ADDR (--health-addr)"); {
		case err == nil:
			l.Close()
		case errors.Is(err, syscall.EADDRINUSE): // perhaps the azptend that runs here uses it
			s.Warnings = append(s.Warnings, err.Error()+"; that is right only if it is the azptend that runs here")
		default:
			problems = append(problems, config.Problem{What: err.Error(), Hint: p.hintFor(err)})
		}
	}
	e := remoteEnvironment(s, log, p.redactor)
	e.Endpoints, e.Folder, e.Jobs = requiredEndpoints(s), agentFolder(s, as, init), jobAccess(s, as, p.undumpable)
	e.Host, e.GraceSet = s.DetectPlatform(), s.Grace != 0
	e.Settings, err = s.OnPlatform(e.Host)
	var limits *config.InvalidError
	if errors.As(err, &limits) && !s.Placeholder && len(problems) == 0 {
		problems = limits.Problems
	}
	e.Problems = problems
	return e
}

// requiredEndpoints are the hosts that are needed in addition to the organisation's: those
// from which agents of Azure DevOps Services get tokens and packages (agent-protocol.md 3.2,
// 8), and Entra ID's if it issues the token.
func requiredEndpoints(s config.Settings) []doctor.Endpoint {
	var hosts []doctor.Endpoint
	if at, err := url.Parse(s.URL); err == nil {
		host := strings.ToLower(at.Hostname())
		if host == "dev.azure.com" || strings.HasSuffix(host, ".visualstudio.com") {
			hosts = append(hosts, doctor.Endpoint{URL: "https://vssps.dev.azure.com", For: "the agent's log-on"},
				doctor.Endpoint{URL: "https://download.agent.dev.azure.com", For: "the agent's package and its updates"})
		}
	}
	switch s.Identity.Source {
	case identity.ServicePrincipal, identity.WorkloadIdentity:
		authority := cmp.Or(s.Getenv("AZURE_AUTHORITY_HOST"), "https://login.microsoftonline.com")
		hosts = append(hosts, doctor.Endpoint{URL: authority, For: "the identity's tokens"})
	}
	return hosts
}

func agentFolder(s config.Settings, as *proc.User, init *proc.Init) doctor.AgentFolder {
	root := agentdir.Dir{Root: s.ForAgent(1).Root(), User: as}
	made := !s.HasSeparateRoot() || install.HasAgent(root.Root)
	if made {
		s.AgentDir = root.Root
	}
	folder := agentdir.Dir{Root: s.AgentDir, LogDir: s.DiagFolder, User: as}
	check := func() error {
		if err := folder.PrepareWork(s.WorkFolder, false); err != nil {
			return err
		}
		if s.Registered != "" {
			if _, err := (agentdir.Dir{Root: s.Registered}).ReadHandoff(); err != nil {
				return err
			}
		}
		return as.Do(func() error {
			if err := folder.Check(s.WorkFolder); err != nil || s.ReplaceFiles || s.Registered == folder.Root {
				return err
			}
			return folder.CheckForeignFiles()
		})
	}
	pending := s.Install && !install.HasAgent(s.AgentDir)
	switch {
	case pending: // run creates the directory, as azptend's own user
		check = agentdir.Dir{Root: s.AgentDir}.CheckRoot
	case !made: // the installation may be read-only
		check = func() error { return checkRootCanBeMade(folder, root) }
	}
	environ, _ := envFilter(s).Apply(s.Environ)
	listener := mslistener.Options{Dir: folder, Environ: append(environ, s.AgentEnviron()...), Processes: supervisor.InitProcesses{Init: init}}
	return doctor.AgentFolder{
		Dir: s.AgentDir, User: userName(as), InstallPending: pending,
		Check:   check,
		Needs:   folder.Loader,
		ICU:     func() string { return folder.FindICU("/", s.Getenv) },
		Space:   func() (uint64, uint64, error) { return root.DiskSpace(s.WorkFolder) },
		Version: func(ctx context.Context) (string, error) { return mslistener.Version(ctx, listener) },
	}
}

// checkRootCanBeMade checks that the agent's user can make a root, or this user for it.
func checkRootCanBeMade(installation, root agentdir.Dir) error {
	if err := root.User.Do(installation.CheckListener); err != nil {
		return err
	}
	err := root.User.Do(root.CheckRoot)
	if _, missing := os.Lstat(root.Root); err == nil || missing == nil {
		return err
	}
	return root.CheckRoot()
}

func userName(as *proc.User) string {
	if as != nil {
		return as.String()
	}
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return strconv.Itoa(syscall.Geteuid())
}

// jobAccess finds out which secrets a job could read.
func jobAccess(s config.Settings, as *proc.User, undumpable error) doctor.JobAccess {
	jobs := doctor.JobAccess{Undumpable: undumpable, Capabilities: proc.CapabilitiesToInspect(), DeafShell: proc.DeafShell(), Metadata: metadataAnswers}
	if as != nil {
		jobs.User = as.String()
	}
	for _, a := range mslistener.ExposingParents(as, reveal(s.Secrets())) {
		jobs.Parents = append(jobs.Parents, fmt.Sprintf("%s (pid %d) shows %s", a.Program, a.PID, a.Variables))
	}
	for _, file := range []string{s.TokenFile, s.Identity.Application.CertificateFile, s.Identity.Application.FederatedTokenFile} {
		if file != "" && s.Registered == "" {
			jobs.TokenFiles = append(jobs.TokenFiles, file)
		}
	}
	jobs.CanRead = func(file string) bool { return as.Do(func() error { return readable(file) }) == nil }
	return jobs
}
