package mslistener

import (
	"bytes"
	"encoding/base64"
	"log/slog"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/azptend/azptend/internal/secret"
	"github.com/google/go-cmp/cmp"
)

// token is a secret that other variables contain too. It has characters that are escaped
// in a URL.
const token = "s3cret/of+azptend=="

func TestEnvFilter(t *testing.T) {
	for _, tt := range []struct {
		name                string
		environ, pass, more []string
		env, kept           []string
	}{
		{name: "nothing"},
		{name: "what a job may have",
			environ: []string{"PATH=/bin", "LANG=C", "AZP_POOL=x", "EMPTY=", "EQUALS=a=b", "IDENTITY=mine", "MY_AZP_TOKEN=x", "AZURE_REGION=x"},
			env:     []string{"PATH=/bin", "LANG=C", "AZP_POOL=x", "EMPTY=", "EQUALS=a=b", "IDENTITY=mine", "MY_AZP_TOKEN=x", "AZURE_REGION=x"}},
		{name: "the ways to an identity, in the order of the alphabet",
			environ: []string{"MSI_SECRET=x", "IDENTITY_ENDPOINT=x", "PATH=/bin", "IDENTITY_HEADER=x", "AZP_TOKEN=x"},
			env:     []string{"PATH=/bin"}, kept: []string{"AZP_TOKEN", "IDENTITY_ENDPOINT", "IDENTITY_HEADER", "MSI_SECRET"}},
		{name: "in any case of letters",
			environ: []string{"azp_token=x", "Identity_Header=x", "vsts_agent_input_token=x", "Azure_Kubernetes_CA_Data=x"},
			kept:    []string{"Azure_Kubernetes_CA_Data", "Identity_Header", "azp_token", "vsts_agent_input_token"}},
		{name: "families",
			environ: []string{"VSTS_AGENT_INPUT_ANYTHING=x", "ACTIONS_ID_TOKEN_REQUEST_URL=x", "AZURE_KUBERNETES_TOKEN_PROXY=x", "VSTS_AGENT_INPUTS=x"},
			env:     []string{"VSTS_AGENT_INPUTS=x"}, kept: []string{"ACTIONS_ID_TOKEN_REQUEST_URL", "AZURE_KUBERNETES_TOKEN_PROXY", "VSTS_AGENT_INPUT_ANYTHING"}},
		{name: "what is passed on is not published",
			environ: []string{"IDENTITY_ENDPOINT=e", "IDENTITY_HEADER=h", "AZP_TOKEN=x"}, pass: []string{"IDENTITY_ENDPOINT", "IDENTITY_HEADER"},
			env: []string{"IDENTITY_ENDPOINT=e", "IDENTITY_HEADER=h", "VSO_AGENT_IGNORE=IDENTITY_ENDPOINT,IDENTITY_HEADER"}, kept: []string{"AZP_TOKEN"}},
		{name: "and joins what is not published already",
			environ: []string{"VSO_AGENT_IGNORE=MINE,", "USRMI_ID=u"}, pass: []string{"USRMI_ID"},
			env: []string{"VSO_AGENT_IGNORE=MINE,USRMI_ID", "USRMI_ID=u"}},
		{name: "or nothing", environ: []string{"VSO_AGENT_IGNORE="}, pass: []string{"USRMI_ID"}, env: []string{"VSO_AGENT_IGNORE=USRMI_ID"}},
		{name: "what is withheld besides", environ: []string{"A=1", "AZP_TOKN=x"}, more: []string{"AZP_TOKN"},
			env: []string{"A=1"}, kept: []string{"AZP_TOKN"}},
		{name: "and passed on all the same", environ: []string{"AZP_MINE=x"}, pass: []string{"AZP_MINE"}, more: []string{"AZP_MINE"},
			env: []string{"AZP_MINE=x", "VSO_AGENT_IGNORE=AZP_MINE"}},
		{name: "other tools' names for a token",
			environ: []string{"AZURE_DEVOPS_EXT_PAT=x", "VSTS_TOKEN=x", "AZDO_TOKEN=x", "AZDO_PERSONAL_ACCESS_TOKEN=x", "AZDO_PASSWORD=x", "AGENT_PAT=x", "ADO_PAT=x"},
			kept:    []string{"ADO_PAT", "AGENT_PAT", "AZDO_PASSWORD", "AZDO_PERSONAL_ACCESS_TOKEN", "AZDO_TOKEN", "AZURE_DEVOPS_EXT_PAT", "VSTS_TOKEN"}},
		{name: "other clouds' secrets and proxies are the jobs'",
			environ: []string{"ARM_CLIENT_SECRET=x", "ARM_OIDC_TOKEN=x", "AWS_SECRET_ACCESS_KEY=x", "HTTPS_PROXY=http://u:p@proxy", "NO_PROXY=x", "PROXY_PASSWORD=x"},
			env:     []string{"ARM_CLIENT_SECRET=x", "ARM_OIDC_TOKEN=x", "AWS_SECRET_ACCESS_KEY=x", "HTTPS_PROXY=http://u:p@proxy", "NO_PROXY=x", "PROXY_PASSWORD=x"}},
		{name: "a secret's value, whatever the name", environ: []string{
			"MY_PAT=" + token, "FEED=https://x:" + url.QueryEscape(token) + "@pkgs", "ARM_CLIENT_SECRET=" + token, "SHORT=s3cret/of+azpt", "OTHER=x",
			"GIT_CONFIG_VALUE_0=AUTHORIZATION: basic " + base64.StdEncoding.EncodeToString([]byte(":"+token)),
			"TWO=" + base64.StdEncoding.EncodeToString([]byte("me:"+token)), "THREE=" + base64.URLEncoding.EncodeToString([]byte("who"+token+"!"))},
			env: []string{"SHORT=s3cret/of+azpt", "OTHER=x"}, kept: []string{"ARM_CLIENT_SECRET", "FEED", "GIT_CONFIG_VALUE_0", "MY_PAT", "THREE", "TWO"}},
		{name: "unless it is handed on", environ: []string{"MY_PAT=" + token}, pass: []string{"MY_PAT"},
			env: []string{"MY_PAT=" + token, "VSO_AGENT_IGNORE=MY_PAT"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			env, kept := EnvFilter{Secrets: []secret.Text{secret.New(token)}, Names: tt.more, Pass: tt.pass}.Apply(tt.environ)
			if d := cmp.Diff(tt.env, env); d != "" {
				t.Errorf("environment (-want +got):\n%s", d)
			}
			if d := cmp.Diff(tt.kept, kept); d != "" {
				t.Errorf("withheld (-want +got):\n%s", d)
			}
		})
	}
}

// TestShortSecrets: a secret that is shorter than minSecretLength is not searched for in
// other variables.
func TestShortSecrets(t *testing.T) {
	for value, want := range map[string]int{"fifteen-letters": 1, "sixteen-letters!": 0, "": 1} {
		if env, _ := (EnvFilter{Secrets: []secret.Text{secret.New(value)}}).Apply([]string{"X=a " + value}); len(env) != want {
			t.Errorf("with the secret %q: %v", value, env)
		}
	}
}

// TestEnvironmentLog: the log has the names of variables that jobs can and cannot read, and
// no values.
func TestEnvironmentLog(t *testing.T) {
	var log bytes.Buffer
	environ := []string{"MY_PAT=" + token, "AZP_TOKEN=short", "identity_header=x", "MINE=y", "PATH=/bin", "PROXY_PASSWORD=x", "HTTPS_PROXY_PASSWORD=", "HTTP_PROXY=x"}
	got := EnvFilter{Secrets: []secret.Text{secret.New(token)}, Pass: []string{"MINE"}}.Environment(environ, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if d := cmp.Diff([]string{"MINE=y", "PATH=/bin", "PROXY_PASSWORD=x", "HTTPS_PROXY_PASSWORD=", "HTTP_PROXY=x", "VSO_AGENT_IGNORE=MINE"}, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	for _, want := range []string{`level=DEBUG msg="Variables withheld from jobs" variables="AZP_TOKEN MY_PAT identity_header"`,
		`contain a secret of azptend" variables=MY_PAT `, `azptend would withhold" variables=MINE`, `as a capability" variables=PROXY_PASSWORD `} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %s:\n%s", want, log.String())
		}
	}
	if strings.Contains(log.String(), token) {
		t.Error("the log has the secret")
	}
}

func TestSecretVariables(t *testing.T) {
	environ := []string{"MY_PAT=" + token, "AZP_TOKEN=short", "AZP_CLIENTSECRET=", "IDENTITY_ENDPOINT=http://x", "identity_header=x", "PATH=/bin"}
	if d := cmp.Diff([]string{"AZP_TOKEN", "MY_PAT", "identity_header"}, secretVariables(environ, []secret.Text{secret.New(token)})); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// TestIdentityVariablesAreWithheld checks each variable that reference/identity.md 6.1
// lists.
func TestIdentityVariablesAreWithheld(t *testing.T) {
	for _, name := range []string{
		"IDENTITY_ENDPOINT", "IDENTITY_HEADER", "IDENTITY_SERVER_THUMBPRINT", "IDENTITY_API_VERSION", "MSI_ENDPOINT", "MSI_SECRET", "IMDS_ENDPOINT",
		"AZURE_FEDERATED_TOKEN_FILE", "AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_AUTHORITY_HOST", "AZURE_CLIENT_SECRET",
		"AZURE_CLIENT_CERTIFICATE_PATH", "AZURE_CLIENT_CERTIFICATE_PASSWORD", "AZURE_USERNAME", "AZURE_PASSWORD", "DEFAULT_IDENTITY_CLIENT_ID",
		"AZURE_KUBERNETES_TOKEN_PROXY", "AZURE_KUBERNETES_CA_FILE", "AZURE_KUBERNETES_CA_DATA", "AZURE_KUBERNETES_SNI_NAME",
		"ACTIONS_ID_TOKEN_REQUEST_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_URL", "AZP_TOKEN", "AZP_TOKEN_FILE", "AZP_CLIENTSECRET", "VSTS_AGENT_INPUT_TOKEN",
	} {
		if env, kept := (EnvFilter{}).Apply([]string{name + "=x"}); len(env) != 0 || len(kept) != 1 {
			t.Errorf("%s reaches jobs", name)
		}
	}
}

// TestSecurityPage: the table of docs/security.md has each variable that is withheld by its
// name, and no other.
func TestSecurityPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n## Which variables jobs do not get\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var documented []string // "NAME", or "PREFIX*"
	for line := range strings.Lines(section) {
		if cells := strings.Split(line, "|"); len(cells) == 4 {
			for _, quoted := range regexp.MustCompile("`[A-Z_]+\\*?`").FindAllString(cells[1], -1) {
				documented = append(documented, strings.Trim(quoted, "`"))
			}
		}
	}
	var withheld []string
	for _, prefix := range withheldPrefixes {
		withheld = append(withheld, prefix+"*")
	}
	withheld = append(append(withheld, withheldVariables...), secret.Variables...)
	covers := func(pattern, name string) bool {
		prefix, isPrefix := strings.CutSuffix(pattern, "*")
		return pattern == name || isPrefix && strings.HasPrefix(name, prefix)
	}
	for _, name := range withheld {
		if !slices.ContainsFunc(documented, func(d string) bool { return covers(d, name) }) {
			t.Errorf("docs/security.md does not say that %s is withheld", name)
		}
	}
	for _, pattern := range documented {
		if pattern != "AZP_" && !slices.ContainsFunc(withheld, func(w string) bool { return covers(pattern, w) || covers(w, pattern) }) {
			t.Errorf("docs/security.md says that %s is withheld", pattern)
		}
	}
}
