package main

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/azptend/azptend/test/internal/launch"
)

// address is where builds find the three hosts that they ask, and where the emulator
// is. Nothing else uses it.
const address = "127.77.0.1"

// The hosts that the Dockerfiles name. Builds find them by --add-host.
const (
	gitHost      = "github.com"
	moduleHost   = "proxy.golang.org"
	downloadHost = "download.agent.dev.azure.com"
)

var hosts = []string{gitHost, moduleHost, downloadHost}

// server serves the repository by git, Go's modules, and the agent's package.
type server struct {
	authority *authority
	branch    string // of the work tree; each content has another
	agentSum  string
	stop      func()
}

// startServer makes what is to be served, and serves it.
func startServer(ctx context.Context, o options) (*server, error) {
	s := &server{stop: func() {}}
	var err error
	if s.authority, err = loadAuthority(filepath.Join(o.cache, "authority")); err != nil {
		return nil, err
	}
	dir := filepath.Join(o.cache, "served")
	if s.branch, err = mirror(ctx, filepath.Join(dir, gitHost)); err != nil {
		return nil, err
	}
	if _, err := output(tool(ctx, "go", "mod", "download")); err != nil {
		return nil, err
	}
	modules, err := output(tool(ctx, "go", "env", "GOMODCACHE"))
	if err != nil {
		return nil, err
	}
	if s.agentSum, err = packAgent(o, filepath.Join(dir, downloadHost)); err != nil {
		return nil, err
	}
	return s, s.serve(o, map[string]http.Handler{
		gitHost:      gitBackend(ctx, filepath.Join(dir, gitHost)),
		moduleHost:   http.FileServer(http.Dir(filepath.Join(modules, "cache/download"))),
		downloadHost: http.FileServer(http.Dir(filepath.Join(dir, downloadHost))),
	})
}

// serve starts the server. Its log has each request that failed.
func (s *server) serve(o options, handlers map[string]http.Handler) error {
	certificate, err := s.authority.server(hosts...)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", address+":443")
	if err != nil {
		return fmt.Errorf("cannot serve what builds download: %w", err)
	}
	logs, err := os.Create(filepath.Join(o.logs, "server.log"))
	if err != nil {
		return err
	}
	logger := log.New(logs, "", log.LstdFlags)
	h := &http.Server{ErrorLog: logger, TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}}}
	h.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		logger.Println(r.Method, r.Host, r.URL)
		if handler := handlers[r.Host]; handler != nil {
			handler.ServeHTTP(w, r)
			return
		}
		http.NotFound(w, r)
	})
	served := make(chan struct{})
	go func() { _ = h.ServeTLS(listener, "", ""); close(served) }()
	s.stop = func() { h.Close(); <-served; logs.Close() }
	return nil
}

// tool is a program of the developer's, by their PATH.
func tool(ctx context.Context, name string, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, name, args...)
	c.Env = append(c.Environ(), "GOTOOLCHAIN=local")
	return c
}

// mirror pushes the work tree, with its uncommitted changes but without untracked
// files, to a bare repository. It is azptend/azptend as GitHub would have it. The
// branch has another name for each content of what azptend is built from: engines
// cache the layer of a clone by that name.
func mirror(ctx context.Context, dir string) (branch string, err error) {
	repository := filepath.Join(dir, "azptend/azptend")
	if _, err := output(tool(ctx, "git", "init", "-q", "--bare", repository)); err != nil {
		return "", err
	}
	commit, err := output(tool(ctx, "git", "stash", "create"))
	if err != nil {
		return "", err
	}
	if commit == "" {
		commit = "HEAD" // there are no changes
	}
	sources, err := output(tool(ctx, "git", "rev-parse", commit+":cmd", commit+":internal", commit+":go.mod", commit+":go.sum"))
	if err != nil {
		return "", err
	}
	branch = "engine-" + sumOf(sources)
	_, err = output(tool(ctx, "git", "push", "-q", "--force", repository, commit+"^{commit}:refs/heads/"+branch))
	return branch, err
}

// gitBackend is git's own server, as a CGI program.
func gitBackend(ctx context.Context, dir string) http.Handler {
	where, err := output(tool(ctx, "git", "--exec-path"))
	if err != nil {
		return http.NotFoundHandler()
	}
	return &cgi.Handler{Path: filepath.Join(where, "git-http-backend"), Env: []string{"GIT_PROJECT_ROOT=" + dir, "GIT_HTTP_EXPORT_ALL=1"}}
}

// packAgent puts the fake agent's package where Microsoft would publish it. The sum
// stays the same as long as the package does.
func packAgent(o options, dir string) (sum string, err error) {
	folder := filepath.Join(dir, "agent", launch.AgentVersion)
	file := filepath.Join(folder, "vsts-agent-linux-x64-"+launch.AgentVersion+".tar.gz")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return "", err
	}
	return o.programs.Pack(file)
}

// sumOf names a content.
func sumOf(parts ...string) string {
	return fmt.Sprintf("%x", sha256.Sum256([]byte(strings.Join(parts, "\x00"))))[:12]
}
