//go:build unix

package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"syscall"

	"github.com/azptend/azptend/internal/agentdir"
	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/connlimit"
	"github.com/azptend/azptend/internal/identity"
	"github.com/azptend/azptend/internal/install"
	"github.com/azptend/azptend/internal/mslistener"
	"github.com/azptend/azptend/internal/proc"
	"github.com/azptend/azptend/internal/safefile"
)

// Process is the process that runs the checks.
type Process struct {
	Init       *proc.Init         // starts the listener, to ask for its version
	Undumpable error              // why this process could not be made undumpable; nil: it is
	Hint       func(error) string // what to do about a problem with a setting
}

// NewEnvironment adds what is on this machine to a remote environment, with the same parts
// that run would use. problems are those of the settings, and may be many.
func NewEnvironment(remote Environment, problems []config.Problem, p Process) Environment {
	e, s := remote, remote.Settings
	as, err := proc.RunAs(s.RunAs)
	if err != nil {
		problems = append(problems, config.Problem{What: err.Error(), Hint: p.Hint(err)})
	}
	if s.HealthAddr != "" {
		switch l, err := connlimit.Listen(s.HealthAddr, "AZP_HEALTH_ADDR (--health-addr)"); {
		case err == nil:
			l.Close()
		case errors.Is(err, syscall.EADDRINUSE): // perhaps the azptend that runs here uses it
			s.Warnings = append(s.Warnings, err.Error()+"; that is right only if it is the azptend that runs here")
		default:
			problems = append(problems, config.Problem{What: err.Error(), Hint: p.Hint(err)})
		}
	}
	e.Folder, e.Jobs = agentFolder(s, as, p.Init), jobAccess(s, as, p.Undumpable)
	e.Host, e.GraceSet = s.DetectPlatform(), s.Grace != 0
	e.Settings, err = s.OnPlatform(e.Host)
	var limits *config.InvalidError
	if errors.As(err, &limits) && !s.Placeholder && len(problems) == 0 {
		problems = limits.Problems
	}
	e.Problems = problems
	return e
}

// agentFolder looks at the directory of the first agent, with the rights of its user.
func agentFolder(s config.Settings, as *proc.User, init *proc.Init) AgentFolder {
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
	environ, _ := mslistener.EnvFilter{Secrets: s.Secrets(), Names: s.UnknownNames, Pass: s.PassEnv}.Apply(s.Environ)
	listener := mslistener.Options{Dir: folder, Environ: append(environ, s.AgentEnviron()...), Processes: mslistener.InitProcesses{Init: init}}
	return AgentFolder{
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
func jobAccess(s config.Settings, as *proc.User, undumpable error) JobAccess {
	jobs := JobAccess{Undumpable: undumpable, Capabilities: proc.CapabilitiesToInspect(), DeafShell: proc.DeafShell(), Metadata: identity.MetadataAnswers}
	if as != nil {
		jobs.User = as.String()
	}
	for _, a := range mslistener.ExposingParents(as, s.Secrets()) {
		jobs.Parents = append(jobs.Parents, fmt.Sprintf("%s (pid %d) shows %s", a.Program, a.PID, a.Variables))
	}
	for _, file := range []string{s.TokenFile, s.Identity.Application.CertificateFile, s.Identity.Application.FederatedTokenFile} {
		if file != "" && s.Registered == "" {
			jobs.TokenFiles = append(jobs.TokenFiles, file)
		}
	}
	jobs.CanRead = func(file string) bool { return as.Do(func() error { return safefile.CheckReadable(file) }) == nil }
	return jobs
}
