package script

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"regexp"
	"strings"
	"syscall"

	"github.com/rogpeppe/go-internal/testscript"
	"go.yaml.in/yaml/v3"

	"github.com/azptend/azptend/internal/config"
)

// containerAppsBody has the fields of a body in deploy/container-apps that a script needs.
// test/external/containerapps checks all of it.
type containerAppsBody struct {
	Properties struct {
		Template struct {
			InitContainers []containerAppsContainer `yaml:"initContainers"`
			Containers     []containerAppsContainer
		}
	}
}

type containerAppsContainer struct {
	Env []struct{ Name, Value string }
}

// cmdContainerApps sets the environment to that of the container, or of the init container, of a
// file in deploy/container-apps. It unsets all other settings except the agent's directory, which an
// image sets: containerapps [init] FILE [PARAMETER=VALUE...]. Other parameters are those of
// parameters.env.
func cmdContainerApps(ts *testscript.TestScript, neg bool, args []string) {
	init := len(args) > 0 && args[0] == "init"
	if init {
		args = args[1:]
	}
	if neg || len(args) < 1 {
		ts.Fatalf("usage: containerapps [init] FILE [PARAMETER=VALUE...]")
	}
	text, err := os.ReadFile("../../deploy/container-apps/" + args[0])
	ts.Check(err)
	values, err := containerAppsParameters(args[1:])
	ts.Check(err)
	filled, err := fill(string(text), values)
	ts.Check(err)
	var body containerAppsBody
	ts.Check(yaml.Unmarshal([]byte(filled), &body))
	containers := body.Properties.Template.Containers
	if init {
		containers = body.Properties.Template.InitContainers
	}
	if len(containers) != 1 {
		ts.Fatalf("%s has not one container", args[0])
	}
	for _, row := range config.Table {
		if row.Env != "AZP_AGENT_DIR" {
			ts.Setenv(row.Env, "")
		}
	}
	for _, v := range containers[0].Env {
		ts.Setenv(v.Name, v.Value)
	}
}

// containerAppsParameters are the lines NAME=value of parameters.env, overridden by those of a
// script.
func containerAppsParameters(given []string) (map[string]string, error) {
	b, err := os.ReadFile("../../deploy/container-apps/parameters.env")
	if err != nil {
		return nil, err
	}
	values := map[string]string{}
	for _, line := range append(strings.Split(string(b), "\n"), given...) {
		if name, value, found := strings.Cut(line, "="); found && !strings.HasPrefix(line, "#") {
			values[name] = strings.Trim(value, "'")
		}
	}
	return values, nil
}

var parameter = regexp.MustCompile(`\$\{(\w+)\}`)

// fill replaces parameters like envsubst, except in comments.
func fill(text string, values map[string]string) (string, error) {
	var err error
	var lines []string
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(strings.TrimSpace(line), "#") {
			line = parameter.ReplaceAllStringFunc(line, func(whole string) string {
				value, is := values[parameter.FindStringSubmatch(whole)[1]]
				if !is {
					err = fmt.Errorf("there is no parameter %s", whole)
				}
				return value
			})
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, ""), err
}

// sidecar is an identity endpoint whose port refuses connections until it is opened: its socket
// is bound and does not listen.
type sidecar struct {
	socket int
	to     *url.URL
}

// cmdSidecar puts the identity endpoint behind a port that refuses connections (sidecar late), and
// makes it listen (sidecar up).
func cmdSidecar(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 || (args[0] != "late" && args[0] != "up") {
		ts.Fatalf("usage: sidecar late|up")
	}
	s := stageOf(ts)
	if args[0] == "up" {
		closeIt, err := s.sidecar.open()
		ts.Check(err)
		ts.Defer(closeIt)
		return
	}
	endpoint, err := url.Parse(ts.Getenv("IDENTITY_ENDPOINT"))
	ts.Check(err)
	socket, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	ts.Check(err)
	ts.Check(syscall.Bind(socket, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	name, err := syscall.Getsockname(socket)
	ts.Check(err)
	s.sidecar = sidecar{socket: socket, to: &url.URL{Scheme: endpoint.Scheme, Host: endpoint.Host}}
	ts.Setenv("IDENTITY_ENDPOINT", fmt.Sprintf("http://127.0.0.1:%d%s", name.(*syscall.SockaddrInet4).Port, endpoint.Path))
}

// open begins to listen, and answers like the emulator.
func (s sidecar) open() (closeIt func(), err error) {
	if err := syscall.Listen(s.socket, 16); err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(s.socket), "sidecar")
	listener, err := net.FileListener(file)
	if err := file.Close(); err != nil { // the listener has a duplicate
		return nil, err
	}
	if err != nil {
		return nil, err
	}
	proxy := httputil.NewSingleHostReverseProxy(s.to)
	server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: proxy}}
	server.Start()
	return server.Close, nil
}
