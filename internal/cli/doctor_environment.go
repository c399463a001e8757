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
	"github.com/azptend/azptend/internal/lifecycle"
	"github.com/azptend/azptend/internal/mslistener"
	"github.com/azptend/azptend/internal/proc"
	"github.com/azptend/azptend/internal/secret"
	"github.com/azptend/azptend/internal/supervisor"
)

// newEnvironment makes of the settings, as far as they carry, what the doctor looks
// at: the same parts that run would use.
func newEnvironment(p Process, s config.Settings, problems []config.Problem, redactor *secret.Redactor, init *proc.Init) doctor.Environment {
	log := slog.New(slog.DiscardHandler)
	if s.LogLevel == slog.LevelDebug {
		log = newLog(redactor.Writer(p.Stderr), s)
	}
	as, err := runAs(s.RunAs)
	if err != nil {
		problems = append(problems, config.Problem{What: err.Error(), Hint: p.hintFor(err)})
	}
	subject := remoteEnvironment(s, log, redactor)
	subject.Warnings, subject.Placeholder = s.Warnings, s.Placeholder
	subject.Endpoints = requiredEndpoints(s)
	subject.Folder, subject.Jobs = agentFolder(s, as, init), jobAccess(s, as, p.undumpable)
	subject.Host, err = platformInfo(s)
	var limits *config.InvalidError
	if errors.As(err, &limits) && !s.Placeholder && len(problems) == 0 {
		problems = append(problems, limits.Problems...)
	}
	for _, problem := range problems {
		subject.Problems = append(subject.Problems, doctor.SettingProblem{What: problem.What, Hint: problem.Hint})
	}
	return subject
}

// requiredEndpoints are the hosts that are needed besides the organisation's: of Azure
// DevOps Services the one that agents get their tokens from, and the one that the
// package comes from (agent-protocol.md 3.2, 8); Entra ID's where a token is asked
// of it. A server of one's own is all of these itself.
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

// platformInfo finds the platform, and the grace period as run would have it.
func platformInfo(s config.Settings) (doctor.Platform, error) {
	found := s.DetectPlatform()
	set := s.Grace != 0
	s, err := s.OnPlatform(found)
	budget := lifecycle.SplitGrace(s.Grace)
	return doctor.Platform{
		Kind: string(found.Platform), Name: found.DisplayName, DetectedBy: found.DetectedBy, GraceSetting: found.GraceSetting,
		GracePeriod: s.Grace, GraceSet: set, MaxGracePeriod: found.MaxGracePeriod,
		Drain: budget.Drain, Stop: budget.Stop, Remove: budget.Remove, CancelsJobs: budget.CancelsJobs(),
	}, err
}

func agentFolder(s config.Settings, as *proc.User, init *proc.Init) doctor.AgentFolder {
	root := agentdir.Dir{Root: s.ForAgent(1).Root(), User: as}
	made := !s.HasSeparateRoot() || install.HasAgent(root.Root)
	if made {
		s.AgentDir = root.Root
	}
	folder := agentdir.Dir{Root: s.AgentDir, LogDir: s.DiagFolder, User: as}
	check := func() error {
		if err := folder.CheckWork(s.WorkFolder); err != nil {
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
	case pending: // run makes the folder, as azptend's own user
		check = agentdir.Dir{Root: s.AgentDir}.CheckRoot
	case !made: // of the installation no more is asked than that roots can be made from it: it may be read-only
		check = func() error { return checkRootCanBeMade(folder, root) }
	}
	environ, _ := envFilter(s).Apply(s.Environ)
	listener := mslistener.Options{Dir: folder, Environ: append(environ, s.AgentEnviron()...), Processes: supervisor.FromInit(init)}
	return doctor.AgentFolder{
		Dir: s.AgentDir, User: userName(as), InstallPending: pending,
		Check:   check,
		Needs:   folder.Loader,
		ICU:     func() string { return folder.FindICU("/", s.Getenv) },
		Space:   func() (uint64, uint64, error) { return root.DiskSpace(s.WorkFolder) },
		Version: func(ctx context.Context) (string, error) { return mslistener.Version(ctx, listener) },
	}
}

// checkRootCanBeMade: a root is made as the agent's user, or, where that user may not, in
// its name.
func checkRootCanBeMade(installation, root agentdir.Dir) error {
	if err := root.User.Do(installation.CheckListener); err != nil {
		return err
	}
	if err := root.User.Do(root.CheckRoot); err == nil || exists(root.Root) {
		return err
	}
	return root.CheckRoot()
}

func exists(name string) bool { _, err := os.Lstat(name); return err == nil }

func userName(as *proc.User) string {
	if as != nil {
		return as.String()
	}
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return strconv.Itoa(syscall.Geteuid())
}

// jobAccess is what can be tried of what a job could.
func jobAccess(s config.Settings, as *proc.User, undumpable error) doctor.JobAccess {
	jobs := doctor.JobAccess{Undumpable: undumpable, Capabilities: proc.CapabilitiesToInspect(), DeafShell: proc.DeafShell(), PassEnv: s.PassEnv, Metadata: metadataAnswers}
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
