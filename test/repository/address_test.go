package repository

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"github.com/azptend/azptend/internal/config"
)

// chartMatch finds the checks of the chart that an address must pass, or must not match.
var chartMatch = regexp.MustCompile(`(not \()?regexMatch "([^"]+)" \$v\.organizationURL`)

// TestOneRuleForAddresses holds the chart's check of organizationURL against the one of
// AZP_URL, which run and doctor share. TestAddresses of test/external/helm renders the chart
// with the same addresses. The chart is stricter in one thing: KEDA takes what
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
	for address, good := range readCases(t, "addresses.yaml") {
		environ := []string{"AZP_URL=" + address, "AZP_POOL=Default", "AZP_TOKEN=a-token"}
		_, problems := config.LoadPartial(nil, environ, "host") // doctor's
		_, err := config.Load(nil, environ, "host")             // run's
		if (len(problems) == 0) != good || (err == nil) != good || chartRefuses(address) == good {
			t.Errorf("%s: doctor says %v, run says %v, the chart refuses it: %t; it is good: %t", address, problems, err, chartRefuses(address), good)
		}
	}
}

// readCases reads a file of values that the tests of the chart read too.
func readCases(t *testing.T, name string) map[string]bool {
	t.Helper()
	b, err := os.ReadFile("../external/helm/testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]bool{}
	if err := yaml.Unmarshal(b, &values); err != nil || len(values) == 0 {
		t.Fatalf("%s: %d values, %v", name, len(values), err)
	}
	return values
}

// TestOneRuleForDurations has azptend judge the durations that the chart's tests judge.
func TestOneRuleForDurations(t *testing.T) {
	for value, good := range readCases(t, "durations.yaml") {
		flags := pflag.NewFlagSet("", pflag.ContinueOnError)
		config.AddKeepFlags(flags)
		environ := []string{"AZP_URL=https://dev.azure.com/contoso", "AZP_TOKEN=a-token", "AZP_KEEP_OLDER_THAN=" + value}
		if _, err := config.LoadKeep(flags, environ, "host"); (err == nil) != good {
			t.Errorf("AZP_KEEP_OLDER_THAN=%q: %v; is it good: %t", value, err, good)
		}
	}
}

// TestOneRuleForGroups has azptend judge the groups that the chart's tests judge.
func TestOneRuleForGroups(t *testing.T) {
	for groups, good := range readCases(t, "groups.yaml") {
		if _, wrong := config.ParseGroups([]byte("groups: ["+groups+"]"), []string{"linux"}); (len(wrong) == 0) != good {
			t.Errorf("groups %s: %v; are they good: %t", groups, wrong, good)
		}
	}
}
