//go:build linux

package security

import (
	"crypto/rand"
	"encoding/pem"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/azptend/azptend/internal/emulator"
	"github.com/azptend/azptend/test/internal/launch"
)

// identitySetup is how azptend gets its identity, a row of the table.
type identitySetup struct {
	name  string
	rules []string // of its network namespace; nil: the machine's own network
	give  func(h *harness, a account)
}

// byRule is the setup in which the jobs' user cannot reach the metadata service.
const byRule = "a metadata service, and an `ip rule` for the jobs' user"

func identitySetups() []identitySetup {
	return []identitySetup{
		{"Container Apps, App Service (`IDENTITY_HEADER`)", nil, func(h *harness, _ account) {
			for _, v := range h.emulator.Environment(h.url) {
				if !strings.HasPrefix(v.Name, "AZP_") {
					h.env = append(h.env, v.Name+"="+v.Value)
				}
				if v.Name == "IDENTITY_HEADER" {
					h.secrets["identity header"] = v.Value
				}
			}
		}},
		{"a personal access token (`AZP_TOKEN`)", nil, givePAT},
		{underShell, nil, func(h *harness, a account) {
			givePAT(h, a)
			h.underShell = true
		}},
		{besideHook, nil, func(h *harness, a account) {
			givePAT(h, a)
			h.hook = []string{programs.Azptend, "drain", "--wait"}
		}},
		{"a token file of azptend's user, mode 0400 (`AZP_TOKEN_FILE`)", nil, func(h *harness, a account) {
			h.secrets["token file"] = h.emulator.DefaultPAT
			h.env = append(h.env, "AZP_TOKEN_FILE="+h.writePrivate("token", []byte(h.emulator.DefaultPAT+"\n"), a))
		}},
		{"a metadata service (VM, AKS node, Container Instances)", []string{}, giveMetadata},
		{byRule, []string{"rule add pref 10 uidrange 64002-64002 to " + metadataAddress + "/32 prohibit"}, giveMetadata},
		{"a service principal's secret (`AZP_CLIENTSECRET`)", nil, func(h *harness, _ account) {
			secret := rand.Text() // a constant would be in the test's binary, in /tmp, where the thief searches
			h.secrets["client secret"] = secret
			h.giveApplication(emulator.Identity{Kind: "servicePrincipal", Secret: secret}, "AZP_CLIENTSECRET="+secret)
		}},
		{"a service principal's certificate of azptend's user, mode 0400 (`AZP_CLIENTCERTIFICATE`)", nil, func(h *harness, a account) {
			both, err := launch.NewCertificate()
			check(h.t, err)
			lines := strings.Split(strings.TrimSpace(string(both)), "\n")
			h.secrets["certificate's key"] = lines[len(lines)-3] // a line of the key's text
			h.giveApplication(emulator.Identity{Kind: "servicePrincipal", Certificate: string(both)},
				"AZP_CLIENTCERTIFICATE="+h.writePrivate("app.pem", both, a))
		}},
		{"AKS workload identity, its projected token of azptend's user, mode 0400", nil, func(h *harness, a account) {
			token, err := h.emulator.ProjectedToken("system:serviceaccount:agents:pool")
			check(h.t, err)
			h.secrets["projected token"] = token
			h.giveApplication(emulator.Identity{Subject: "system:serviceaccount:agents:pool"},
				"AZURE_FEDERATED_TOKEN_FILE="+h.writePrivate("projected", []byte(token+"\n"), a))
		}},
		{noIdentity, nil, giveRegistered},
	}
}

// underShell is the setup in which azptend's parent is a shell that waits. In besideHook a
// preStop hook runs during the job.
const (
	underShell = "a personal access token, below a shell or an init (`sh -c`, tini, `--init`)"
	besideHook = "a personal access token, and a preStop hook (`azptend drain --wait`)"
)

func givePAT(h *harness, _ account) {
	h.secrets["personal access token"] = h.emulator.DefaultPAT
	h.env = append(h.env, "AZP_TOKEN="+h.emulator.DefaultPAT)
}

// noIdentity is the setup in which azptend has no identity, except the agent's own key.
const noIdentity = "nothing: registered elsewhere (`run --registered`)"

// writePrivate writes a file that only azptend's user can read.
func (h *harness) writePrivate(name string, content []byte, a account) string {
	h.t.Helper()
	file := filepath.Join(h.dir, name)
	check(h.t, os.WriteFile(file, content, 0o400))
	if a.uid != 0 {
		check(h.t, os.Chown(file, a.uid, a.uid))
	}
	return file
}

// giveApplication registers an application with Entra ID, which has an authority of its
// own, and gives azptend the application's credential.
func (h *harness) giveApplication(app emulator.Identity, proof string) {
	h.t.Helper()
	app.ObjectID, app.Member = "22222222-0000-4000-8000-000000000001", true
	app.Roles = emulator.Roles{emulator.AllPools: emulator.RoleAdministrator}
	check(h.t, h.emulator.PutIdentity(app))
	entra := httptest.NewTLSServer(h.recorder)
	h.t.Cleanup(entra.Close)
	ca := filepath.Join(h.dir, "ca.pem")
	check(h.t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: entra.Certificate().Raw}), 0o644))
	h.env = append(h.env, "AZURE_AUTHORITY_HOST="+entra.URL+"/", "AZP_CA_FILE="+ca, proof)
	for _, known := range h.emulator.Identities() {
		if known.ObjectID != app.ObjectID {
			continue
		}
		if app.Subject != "" {
			h.env = append(h.env, "AZURE_CLIENT_ID="+known.ClientID, "AZURE_TENANT_ID="+h.emulator.Tenant)
			return
		}
		h.env = append(h.env, "AZP_CLIENTID="+known.ClientID, "AZP_TENANTID="+h.emulator.Tenant)
	}
}

// giveRegistered registers the agent as an init container would. Only that command has an
// identity.
func giveRegistered(h *harness, a account) {
	out := filepath.Join(h.dir, "handed")
	register := exec.CommandContext(h.ctx, programs.Azptend, "register", "--out", out)
	for _, v := range h.emulator.Environment(h.url) {
		register.Env = append(register.Env, v.Name+"="+v.Value)
		if v.Name == "IDENTITY_HEADER" {
			h.secrets["identity header"] = v.Value
		}
	}
	register.Env = append(register.Env, "AZP_AGENT_NAME=attacked")
	if said, err := register.CombinedOutput(); err != nil {
		h.fatalf("cannot register: %v\n%s", err, said)
	}
	for _, file := range []string{"", ".agent", ".credentials", ".credentials_rsaparams"} {
		if a.uid != 0 {
			check(h.t, os.Chown(filepath.Join(out, file), a.uid, a.uid))
		}
	}
	h.external = true
	h.env = slices.DeleteFunc(h.env, func(pair string) bool { return strings.HasPrefix(pair, "AZP_URL=") })
	h.env = append(h.env, "AZP_REGISTERED="+out)
}

func giveMetadata(h *harness, _ account) {
	var header, object string
	for _, v := range h.emulator.Environment(h.url) {
		switch v.Name {
		case "IDENTITY_HEADER":
			header = v.Value
		case "MANAGED_IDENTITY_OBJECT_ID":
			object = v.Value
		}
	}
	h.env = append(h.env, "MANAGED_IDENTITY_OBJECT_ID="+object)
	service := &http.Server{Handler: h.metadata(header)}
	l := h.network.listen(h.t, metadataAddress+":80")
	go func() { _ = service.Serve(l) }()
	h.t.Cleanup(func() { service.Close() })
	h.metadataURL = "http://" + metadataAddress + "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=" +
		emulator.DevOpsResource + "&object_id=" + object
}

// ownSecret reports whether a finding is allowed in every setup: it is the agent's own
// secret, and the agent runs as the jobs' user.
func ownSecret(f finding) bool {
	own := strings.HasPrefix(f.What, "agent's ")
	byUser := f.How == "file" && filepath.Base(f.Where) == ".credentials_rsaparams" ||
		(f.How == "mem" || f.How == "fd") && (f.Where == "Agent.Listener" || f.Where == "Agent.Worker")
	// The agent itself sends its token to the server.
	return own && (byUser || f.How == "file" && strings.HasSuffix(f.Where, "/public/sent"))
}

// secretFiles maps the files that hold a setup's secret to the secret's name.
var secretFiles = map[string]string{"token": "token file", "app.pem": "certificate's key", "projected": "projected token"}

// whyOpen returns why a cell is open, and which findings are expected then; "" means
// closed.
func whyOpen(setup identitySetup, a account) (why string, known func(finding) bool) {
	switch {
	case setup.name == noIdentity: // root can still read it
		return "", func(f finding) bool {
			return a.root && a.caps == nil && f.Where == "azptend" && (f.What == "azptend itself" || strings.HasPrefix(f.What, "agent's "))
		}
	case setup.rules != nil && (setup.name != byRule || a.jobs == ""):
		return "anybody who can reach it gets a token", func(f finding) bool {
			return f.How == "metadata service" || a.root && a.caps == nil && f.Where == "azptend"
		}
	case a.root && a.caps == nil && a.jobs == "":
		return "root with this capability sees into every process; azptend warns of it", func(f finding) bool {
			return f.Where == "azptend" || f.How == "file" && secretFiles[filepath.Base(f.Where)] == f.What || setup.name == underShell && inShellEnviron(f)
		}
	case setup.name == underShell && a.jobs == "":
		return "the environment of the process above shows it; azptend warns of it", inShellEnviron
	case strings.Contains(setup.name, "mode 0400") && a.jobs == "":
		return "the file is readable for the jobs' user", func(f finding) bool {
			return f.How == "file" && secretFiles[filepath.Base(f.Where)] == f.What
		}
	}
	return "", func(finding) bool { return false }
}

// inShellEnviron reports whether a finding was in the environment of the shell above
// azptend.
func inShellEnviron(f finding) bool { return f.How == "environ" && f.Where == "sh" }

// TestThief plays a job that searches for azptend's identity, for each identity setup and
// each account. The table of docs/security.md is the result.
func TestThief(t *testing.T) {
	t.Parallel()
	table := &resultTable{cells: map[string]string{}}
	t.Run("cells", func(t *testing.T) {
		for _, setup := range identitySetups() {
			for _, a := range accounts() {
				t.Run(setup.name+"/"+a.name, func(t *testing.T) {
					a.skipIfImpossible(t)
					if setup.name == byRule && a.jobs == "" {
						table.set(setup.name, a.name, "impossible: azptend itself would be cut off")
						return
					}
					if setup.rules != nil && os.Getuid() != 0 {
						t.Skip("only root can make it")
					}
					t.Parallel()
					table.set(setup.name, a.name, playCell(t, setup, a))
				})
			}
		}
	})
	if !t.Failed() {
		table.compare(t)
	}
}

// playCell plays one cell, and returns its text in the table.
func playCell(t *testing.T, setup identitySetup, a account) string {
	var where *network
	if setup.rules != nil {
		where = newNetwork(t, setup.rules...)
	}
	h := newHarness(t, where)
	setup.give(h, a)
	l := h.runThief(a, programs.Azptend, "run")
	why, known := whyOpen(setup, a)
	var stolen, own int
	var answered bool
	for _, f := range l.findings {
		switch {
		case ownSecret(f):
			own++
		case f == (finding{"control socket", "azptend", "azptend listens"}) && a.jobs == "":
			answered = true // it can request a drain, but it can also kill that process
		case known(f):
			stolen++
		default:
			t.Errorf("stolen: %s", f)
		}
	}
	if own == 0 {
		t.Error("the thief has not even found the agent's own key: it cannot search")
	}
	if !answered && a.jobs == "" {
		t.Error("the thief has not found the control socket of its own user's azptend: it cannot ask")
	}
	if l.end.Processes < 3 || l.end.Files < 3 {
		t.Errorf("the thief searched too little: %+v", l.end)
	}
	if warned := strings.Contains(h.process.Output(), "in the environment of a parent process of azptend"); warned != slices.ContainsFunc(l.findings, inShellEnviron) {
		t.Errorf("azptend warns of the process above it: %v", warned)
	}
	if why != "" && stolen == 0 {
		t.Errorf("nothing was stolen, though %s", why)
	}
	if everywhere := a.root && a.caps == nil && a.jobs == ""; why == "" && !everywhere && l.end.Denied < 5 {
		t.Errorf("only %d attempts of the thief were denied", l.end.Denied)
	}
	if said := h.process.Output(); strings.Contains(said, forged) {
		t.Errorf("azptend believed the thief:\n%s", said)
	}
	if t.Failed() {
		said := h.process.Output()
		t.Logf("%+v\n%v\nazptend said:\n%s", l.end, l.findings, said)
	}
	if why == "" {
		return "closed"
	}
	return "open: " + why
}

// forged is the job that the thief reports as finished.
const forged = "f0f0f0f0-0000-4000-8000-00000000dead"

// resultTable is the table of docs/security.md.
type resultTable struct {
	mu    sync.Mutex
	cells map[string]string
}

func (m *resultTable) set(row, column, text string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cells[row+"|"+column] = text
}

func (m *resultTable) String() string {
	var b strings.Builder
	b.WriteString("| azptend has | jobs run as: ")
	rule := "|---|"
	for i, a := range accounts() {
		if i > 0 {
			b.WriteString(" | ")
		}
		b.WriteString(a.name)
		rule += "---|"
	}
	b.WriteString(" |\n" + rule + "\n")
	for _, setup := range identitySetups() {
		fmt.Fprintf(&b, "| %s |", setup.name)
		for _, a := range accounts() {
			fmt.Fprintf(&b, " %s |", m.cells[setup.name+"|"+a.name])
		}
		b.WriteString("\n")
	}
	return b.String()
}

var update = flag.Bool("update", false, "write the table of docs/security.md")

var inDocs = regexp.MustCompile(`(?s)(<!-- thief: written by go test ./test/security -run TestThief -update -->\n).*?(<!-- /thief -->)`)

// compare compares the page's table with the results.
func (m *resultTable) compare(t *testing.T) {
	t.Helper()
	if all := len(identitySetups()) * len(accounts()); len(m.cells) != all {
		t.Logf("only %d of %d cells could be tried here: docs/security.md is not compared", len(m.cells), all)
		return
	}
	const page = "../../docs/security.md"
	b, err := os.ReadFile(page)
	check(t, err)
	want := inDocs.ReplaceAllString(string(b), "${1}"+strings.ReplaceAll(m.String(), "$", "$$")+"${2}")
	if !inDocs.Match(b) {
		t.Fatalf("%s has no place for the table", page)
	}
	if *update {
		check(t, os.WriteFile(page, []byte(want), 0o644))
		return
	}
	if want != string(b) {
		t.Errorf("%s does not have this table; go test ./test/security -run TestThief -update writes it:\n%s", page, m)
	}
}
