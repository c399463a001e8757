package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"os/user"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/azptend/azptend/internal/agentdir"
	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/doctor"
	"github.com/azptend/azptend/internal/httpclient"
	"github.com/azptend/azptend/internal/identity"
	"github.com/azptend/azptend/internal/install"
	"github.com/azptend/azptend/internal/lifecycle"
	"github.com/azptend/azptend/internal/proc"
	"github.com/azptend/azptend/internal/secret"
)

// subjectOf makes of the settings, as far as they carry, what the doctor looks
// at: the same parts that run would use.
func subjectOf(p Process, s config.Settings, problems []config.Problem, guard *secret.Guard, init *proc.Init) doctor.Subject {
	log := slog.New(slog.DiscardHandler)
	if s.LogLevel == slog.LevelDebug {
		log = newLog(guard.Writer(p.Stderr), s)
	}
	as, err := runAs(s.RunAs)
	if err != nil {
		problems = append(problems, config.Problem{What: err.Error(), Hint: hintFor(err)})
	}
	subject := remoteOf(s, log, guard)
	subject.Oddities, subject.Placeholder = s.Warnings, s.Placeholder
	subject.Hosts = hostsOf(s)
	subject.Folder, subject.Jobs = homeOf(s, as, init), jobsOf(s, as, p.undumpable)
	s, subject.Host = machineOf(s)
	var limits *config.InvalidError
	if errors.As(s.CheckLimits(), &limits) && !s.Placeholder && len(problems) == 0 {
		problems = append(problems, limits.Problems...)
	}
	for _, problem := range problems {
		subject.Problems = append(subject.Problems, doctor.Setting{What: problem.What, Hint: problem.Hint})
	}
	return subject
}

// remoteOf is the part of it that is not on this machine.
func remoteOf(s config.Settings, log *slog.Logger, guard *secret.Guard) doctor.Subject {
	web := httpclient.ForAzureDevOps(httpclient.UserAgent(version()), s.Proxy(), s.CA)
	subject := doctor.Subject{
		URL: s.URL, PoolName: s.Pool, PoolID: s.PoolID, Registered: s.Registered,
		Identity: identityFor(s, web, log, guard), Web: web, Proxy: s.Proxy(),
	}
	if who, is := subject.Identity.Who.(*identity.Identity); is && s.URL != "" {
		client := azdo.New(s.URL, web, who, requestLogger(log))
		subject.Server = client
		subject.Licence = func(ctx context.Context, key string) (azdo.Entitlement, error) {
			users, err := client.Account(ctx)
			if err != nil {
				return azdo.Entitlement{}, err
			}
			return users.Entitlement(ctx, key)
		}
	}
	return subject
}

// hostsOf are the hosts that are needed besides the organisation's: of Azure
// DevOps Services the one that agents get their tokens from, and the one that the
// package comes from (agent-protocol.md 3.2, 8); Entra ID's where a token is asked
// of it. A server of one's own is all of these itself.
func hostsOf(s config.Settings) []doctor.Endpoint {
	var hosts []doctor.Endpoint
	if at, err := url.Parse(s.URL); err == nil {
		host := strings.ToLower(at.Hostname())
		if host == "dev.azure.com" || strings.HasSuffix(host, ".visualstudio.com") {
			hosts = append(hosts, doctor.Endpoint{URL: "https://vssps.dev.azure.com", For: "the agent's log-on"},
				doctor.Endpoint{URL: "https://download.agent.dev.azure.com", For: "the agent's package and its updates"})
		}
	}
	switch s.Identity.Source {
	case config.ServicePrincipal, config.WorkloadIdentity:
		authority := cmp.Or(s.Variable("AZURE_AUTHORITY_HOST"), "https://login.microsoftonline.com")
		hosts = append(hosts, doctor.Endpoint{URL: authority, For: "the identity's tokens"})
	}
	return hosts
}

// doctorsPatience is how long an identity endpoint that is not there is waited
// for. A person watches, and one that starts late can be asked again.
const doctorsPatience = 5 * time.Second

func identityFor(s config.Settings, web *http.Client, log *slog.Logger, guard *secret.Guard) doctor.Chosen {
	c := s.Identity
	chosen := doctor.Chosen{Why: c.Why, Host: string(c.Host), Ignored: c.Ignored}
	if c.Source == "" || s.Registered != "" {
		return chosen
	}
	o := identityOptions(s, web, log, guard)
	o.Patience = doctorsPatience
	who, err := identity.New(o)
	if err != nil {
		chosen.Err = err
		return chosen
	}
	chosen.Who = who
	return chosen
}

// machineOf finds the platform, and the grace period as run would have it.
func machineOf(s config.Settings) (config.Settings, doctor.Machine) {
	platform := findPlatform(s)
	set := s.Grace != 0
	if !set {
		s.Grace = platform.Grace
	}
	budget := lifecycle.SplitGrace(s.Grace)
	return s, doctor.Machine{
		Platform: string(platform.Word), Name: platform.Name, Seen: platform.Seen, Knob: platform.Knob,
		Grace: s.Grace, Set: set, Longest: platform.Longest,
		Drain: budget.Drain, Stop: budget.Stop, Remove: budget.Remove, CancelsJobs: budget.CancelsJobs(),
	}
}

// versionPatience is for a first start of the listener's runtime from a cold
// disk.
const versionPatience = 30 * time.Second

func homeOf(s config.Settings, as *proc.User, init *proc.Init) doctor.Home {
	root := agentdir.Dir{Root: s.Of(1).Root()}
	made := !s.IsApart() || install.IsThere(root.Root)
	if made {
		s.AgentDir = root.Root
	}
	folder := agentdir.Dir{Root: s.AgentDir, LogDir: s.DiagFolder}
	check := func() error {
		return as.Do(func() error {
			if err := folder.Check(s.WorkFolder); err != nil || s.ReplaceFiles || s.Registered == folder.Root {
				return err
			}
			return folder.CheckForeignFiles()
		})
	}
	if !made { // of the installation no more is asked than that roots can be made from it: it may be read-only
		check = func() error { return checkToMake(folder, root, as) }
	}
	environ, _ := envFilter(s).Apply(s.Environ)
	environ = append(as.Environ(environ, s.AgentDir), s.ForTheAgent()...)
	return doctor.Home{
		Dir: s.AgentDir, User: userName(as), Awaits: s.Install && !install.IsThere(s.AgentDir),
		Check: check,
		Needs: folder.Loader,
		ICU:   func() string { return folder.FindICU("/", s.Variable) },
		Space: func() (uint64, uint64, error) { return root.DiskSpace(s.WorkFolder) },
		Version: func(ctx context.Context) (string, error) {
			ctx, cancel := context.WithTimeout(ctx, versionPatience)
			defer cancel()
			out, status, err := init.Output(ctx, proc.Spec{
				Path: folder.Listener(), Args: []string{"--version"}, Env: environ, Dir: folder.Root, User: as,
			})
			if err != nil {
				return "", err
			}
			return folder.CheckVersion(out, status.ExitCode())
		},
	}
}

// checkToMake: a root is made as the agent's user, or, where that user may not, in
// its name.
func checkToMake(installation, root agentdir.Dir, as *proc.User) error {
	if err := as.Do(installation.CheckSource); err != nil {
		return err
	}
	if err := as.Do(root.CheckRoot); err == nil || exists(root.Root) {
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

// jobsOf is what can be tried of what a job could.
func jobsOf(s config.Settings, as *proc.User, undumpable error) doctor.Jobs {
	jobs := doctor.Jobs{Undumpable: undumpable, Capabilities: proc.CapabilitiesToInspect(), PassedNames: s.PassEnv, Metadata: metadataAnswers}
	if as != nil {
		jobs.User = as.String()
	}
	for _, a := range exposingParents(s, as) {
		jobs.Parents = append(jobs.Parents, fmt.Sprintf("%s (pid %d) shows %s", a.program, a.pid, a.variables))
	}
	for _, file := range []string{s.TokenFile, s.Identity.CertificateFile, s.Identity.FederatedTokenFile} {
		if file != "" && s.Registered == "" {
			jobs.TokenFiles = append(jobs.TokenFiles, file)
		}
	}
	jobs.CanRead = func(file string) bool { return as.Do(func() error { return readable(file) }) == nil }
	return jobs
}

// metadataPatience is for a neighbour: whoever is there answers in milliseconds,
// and where nobody is, nothing answers.
const metadataPatience = 2 * time.Second

// metadataAnswers says whether Azure's metadata service can be reached. It is
// asked without the header that it wants, which it refuses with 400: so no token
// is asked for, and another cloud's service at the same address is not taken for
// it (identity.md 1.4).
func metadataAnswers(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, metadataPatience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://169.254.169.254/metadata/identity/oauth2/token", nil)
	if err != nil {
		return false
	}
	client := httpclient.ForIdentity()
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusBadRequest
}
