package config_test

import (
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/azptend/azptend/internal/config"
)

// TestTemplates: a value that was not expanded is reported once, with the setting's name, and
// other problems of that value are not reported.
func TestTemplates(t *testing.T) {
	for set, want := range map[string]string{
		"AZP_TOKEN=$(AZP_TOKEN)":                          "AZP_TOKEN is not expanded",
		"AZP_TOKEN=${AZP_TOKEN}":                          "AZP_TOKEN is not expanded",
		"AZP_TOKEN=${{ secrets.PAT }}":                    "AZP_TOKEN is not expanded",
		"AZP_TOKEN=$AZP_TOKEN":                            "AZP_TOKEN is not expanded",
		"AZP_TOKEN=#{pat}#":                               "AZP_TOKEN is not expanded",
		"AZP_TOKEN={{ .Values.pat }}":                     "AZP_TOKEN is not expanded",
		"AZP_TOKEN=%AZP_TOKEN%":                           "AZP_TOKEN is not expanded",
		"AZP_TOKEN=<PAT>":                                 "AZP_TOKEN is an example that was not replaced",
		"AZP_TOKEN=<your token here>":                     "AZP_TOKEN is an example that was not replaced",
		`AZP_TOKEN="abc"`:                                 "AZP_TOKEN is in quotes",
		"AZP_TOKEN='abc'":                                 "AZP_TOKEN is in quotes",
		"AZP_PROXY='http://proxy:3128'":                   "AZP_PROXY is in quotes",
		"AZP_CLIENTSECRET=$(secret)":                      "AZP_CLIENTSECRET is not expanded",
		"AZP_AGENT_NAME=$(hostname)-agent":                `AZP_AGENT_NAME is "$(hostname)-agent", which is not expanded`,
		"AZP_AGENT_NAME=agent-$HOSTNAME":                  `AZP_AGENT_NAME is "agent-$HOSTNAME", which is not expanded`,
		"AZP_AGENT_NAME=vm-{{ ansible_host }}":            `AZP_AGENT_NAME is "vm-{{ ansible_host }}", which is not expanded`,
		"AZP_AGENT_NAME_PREFIX=$pool":                     `AZP_AGENT_NAME_PREFIX is "$pool", which is not expanded`,
		"AZP_WORK=$(hostname)":                            `AZP_WORK is "$(hostname)", which is not expanded`,
		"AZP_AGENT_DIR=${HOME}/azp":                       `AZP_AGENT_DIR is "${HOME}/azp", which is not expanded`,
		`AZP_POOL="Default"`:                              `AZP_POOL is "\"Default\"", which is in quotes`,
		"AZP_POOL=“Default”":                              `AZP_POOL is "“Default”", which is in quotes`,
		"AZP_POOL_ID=$(POOL_ID)":                          `AZP_POOL_ID is "$(POOL_ID)", which is not expanded`,
		"AZP_ONCE='true'":                                 `AZP_ONCE is "'true'", which is in quotes`,
		"AZP_CLIENTID=<client id>":                        `AZP_CLIENTID is "<client id>", which is an example that was not replaced`,
		"AZP_CA_FILE=<file>":                              `AZP_CA_FILE is "<file>", which is an example that was not replaced`,
		"AZP_CAPABILITIES=host=$(HOSTNAME)":               `AZP_CAPABILITIES is "host=$(HOSTNAME)", which is not expanded`,
		"AZP_URL=https://dev.azure.com/<your-org>":        `AZP_URL is "https://dev.azure.com/<your-org>", which is an example that was not replaced`,
		"AZP_URL=https://dev.azure.com/${ORG}":            `AZP_URL is "https://dev.azure.com/${ORG}", which is not expanded`,
		`AZP_URL="https://dev.azure.com/org"`:             `AZP_URL is "\"https://dev.azure.com/org\"", which is in quotes`,
		"AZP_URL=https://dev.azure.com/$(ORG)?x":          `AZP_URL is "https://dev.azure.com/$(ORG)", which is not expanded`,
		"AZP_URL=https://dev.azure.com/$ORG/":             `AZP_URL is "https://dev.azure.com/$ORG/", which is not expanded`,
		"AZP_URL=https://dev.azure.com/Your-Organisation": `AZP_URL is "https://dev.azure.com/Your-Organisation", which is an example that was not replaced`,
	} {
		name, value, _ := strings.Cut(set, "=")
		environ := append(without(least(), name), set)
		if name == "AZP_CLIENTSECRET" {
			environ = append(environ, "AZP_CLIENTID="+object, "AZP_TENANTID=contoso.com")
		}
		_, err := load(t, environ)
		if err == nil {
			t.Errorf("%s is accepted", set)
			continue
		}
		if got := problems(t, err); len(got) != 1 || got[0].What != want || got[0].Hint == "" {
			t.Errorf("%s: problems are %+v, want %s", set, got, want)
		}
		if flag := flagOf(name); flag != "" {
			_, err := load(t, without(least(), name), "--"+flag+"="+value)
			if err == nil || !strings.Contains(err.Error(), "--"+flag+" is ") {
				t.Errorf("--%s=%s: %v", flag, value, err)
			}
		}
	}
}

func flagOf(variable string) string {
	for _, row := range config.Table {
		if row.Env == variable {
			return row.Flag
		}
	}
	return ""
}

// TestNoFalseTemplates: passwords and names contain all these characters.
func TestNoFalseTemplates(t *testing.T) {
	for _, set := range []string{
		"AZP_CLIENTSECRET=$tr0ng", "AZP_CLIENTSECRET=$TRONG", "AZP_CLIENTSECRET=a$(b)c", "AZP_CLIENTSECRET=~<x>${y}", "AZP_CLIENTSECRET={{x",
		"AZP_CLIENTSECRET='a", "AZP_CLIENTSECRET=abc8Q~x.Y_z-0", "AZP_CLIENTSECRET=%41%", "AZP_CLIENTSECRET=a\"b",
		"AZP_TOKEN=$7abc", "AZP_TOKEN=abcdefghijklmnopqrstuvwxyz234567abcdefghijklmnopqrst",
		"AZP_AGENT_NAME=$", "AZP_AGENT_NAME=cost$AB", "AZP_AGENT_NAME=it's 'quoted", "AZP_AGENT_NAME=agent (1) {a} 50%", "AZP_AGENT_NAME=#1",
		"AZP_POOL=R&D (linux)", "AZP_POOL=$1", "AZP_POOL=a <-> b", "AZP_POOL='a' and 'b'", "AZP_POOL=your-pool",
		`AZP_CAPABILITIES="a"="b"`, "AZP_CAPABILITIES=limit=<5,regex=^a$", "AZP_CAPABILITIES=price=$5",
		"AZP_URL=https://dev.azure.com/org", "AZP_WORK=/mnt/c$/work", "AZP_PASS_ENV=A,B",
	} {
		name, _, _ := strings.Cut(set, "=")
		environ := append(without(least(), name), set)
		if name == "AZP_CLIENTSECRET" {
			environ = append(environ, "AZP_CLIENTID="+object, "AZP_TENANTID=contoso.com")
		}
		if s, err := load(t, environ); err != nil || s.Getenv(name) == "" {
			t.Errorf("%s: %v", set, err)
		}
	}
}

// TestOtherTemplates checks variables that are not settings of azptend.
func TestOtherTemplates(t *testing.T) {
	_, err := load(t, least("AZP_CUSTOM_CERT_PEM='/certificates'"))
	if got := problems(t, err); len(got) != 1 || got[0].What != `AZP_CUSTOM_CERT_PEM is "'/certificates'", which is in quotes` {
		t.Errorf("problems are %+v", got)
	}
	_, err = load(t, least(`HTTPS_PROXY="http://u:s3cr3t@proxy:3128"`))
	if got := problems(t, err); len(got) != 1 || got[0].What != "HTTPS_PROXY is in quotes" {
		t.Errorf("problems are %+v", got)
	}
	s := loaded(t, least(`HTTPS_PROXY="http://proxy:3128"`, "http_proxy=$(PROXY)", "HTTP_PROXY=http://proxy:3128"))
	if got := strings.Join(s.Warnings, "\n"); !strings.Contains(got, "HTTPS_PROXY is in quotes and has no effect; remove the quotes") ||
		!strings.Contains(got, "http_proxy is not expanded and has no effect") || len(s.Warnings) != 2 {
		t.Errorf("warnings are %q", s.Warnings)
	}
}

// TestNoTemplateIsUsed: the caller of LoadPartial gets no address and no identity that is a
// template.
func TestNoTemplateIsUsed(t *testing.T) {
	flags := pflag.NewFlagSet("doctor", pflag.ContinueOnError)
	config.AddFlags(flags)
	s, problems := config.LoadPartial(flags, []string{"AZP_URL=https://dev.azure.com/<org>", "AZP_TOKEN=<PAT>"}, "the-host")
	if s.URL != "" || s.Identity.Source != "" || len(problems) != 2 {
		t.Errorf("settings are %+v, problems %+v", s, problems)
	}
}

// TestDeploymentTargets: variables of any image for an environment or a deployment group are
// refused.
func TestDeploymentTargets(t *testing.T) {
	for _, set := range []string{
		"AZP_ENVIRONMENTNAME=prod", "AZP_ENVIRONMENT_NAME=prod", "AZP_DEPLOYMENT_POOL_NAME=p", "AZP_DEPLOYMENTGROUPNAME=g", "AZP_DEPLOYMENT_GROUP=1",
		"VSTS_AGENT_INPUT_DEPLOYMENTGROUP=true", "VSTS_AGENT_INPUT_ENVIRONMENTNAME=prod",
	} {
		name, _, _ := strings.Cut(set, "=")
		_, err := load(t, least(set))
		if err == nil {
			t.Errorf("%s is accepted", set)
		} else if got := problems(t, err); len(got) != 1 || !strings.HasPrefix(got[0].What, name+" is set, but environments and deployment groups are not agent pools") {
			t.Errorf("%s: problems are %+v", set, got)
		}
	}
	for _, set := range []string{"AZP_DEPLOYMENT_GROUP=false", "AZP_ENVIRONMENTNAME=", "AZP_DEPLOYMENTTAGS=web", "VSTS_AGENT_INPUT_POOL=p", "ENVIRONMENTNAME=prod"} {
		loaded(t, least(set))
	}
}
