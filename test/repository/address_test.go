package repository

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/azptend/azptend/internal/config"
)

// chartMatch finds the checks of the chart that an address must pass, or must not match.
var chartMatch = regexp.MustCompile(`(not \()?regexMatch "([^"]+)" \$v\.organizationURL`)

// TestOneRuleForAddresses holds the chart's check of organizationURL against the one of
// AZP_URL, which run and doctor share. The chart is stricter in one thing: KEDA takes what
// comes after the last slash for the organisation's name.
func TestOneRuleForAddresses(t *testing.T) {
	b, err := os.ReadFile("../../deploy/helm/azptend/templates/_validate.tpl")
	if err != nil {
		t.Fatal(err)
	}
	checks := chartMatch.FindAllStringSubmatch(string(b), -1)
	if len(checks) != 5 {
		t.Fatalf("the chart has %d checks of organizationURL, and this test knows 5", len(checks))
	}
	matches := func(i int, address string) bool {
		return regexp.MustCompile(strings.ReplaceAll(checks[i][2], `\\`, `\`)).MatchString(address)
	}
	chartRefuses := func(address string) bool {
		return matches(0, address) || !matches(1, address) || matches(2, address) || matches(3, address) && !matches(4, address)
	}
	for address, good := range map[string]bool{
		"https://dev.azure.com/contoso":                       true,
		"https://DEV.azure.com/contoso":                       true,
		"https://contoso.visualstudio.com/DefaultCollection":  true,
		"https://server.example/tfs/DefaultCollection":        true,
		"http://127.0.0.1:8080/emulated":                      true,
		"https://dev.azure.com/contoso/web":                   false,
		"https://dev.azure.com/contoso/_settings":             false,
		"https://dev.azure.com/_settings":                     false,
		"https://dev.azure.com":                               false,
		"https://contoso.visualstudio.com/web":                false,
		"https://server.example/tfs/DefaultCollection/_git/x": false,
		"https://user@dev.azure.com/contoso":                  false,
		"https://user:secret@dev.azure.com/contoso":           false,
		"https://dev.azure.com/contoso?x=1":                   false,
		"https://dev.azure.com/contoso#x":                     false,
		"dev.azure.com/contoso":                               false,
		"git@ssh.dev.azure.com:v3/contoso/web/repo":           false,
	} {
		// doctor judges what LoadPartial returns; run fails with the same problems.
		_, problems := config.LoadPartial(nil, []string{"AZP_URL=" + address, "AZP_POOL=Default", "AZP_TOKEN=a-token"}, "host")
		if (len(problems) == 0) != good || chartRefuses(address) == good {
			t.Errorf("%s: run and doctor say %v, the chart refuses it: %t; it is good: %t", address, problems, chartRefuses(address), good)
		}
	}
}
