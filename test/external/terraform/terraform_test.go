package terraform

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
)

const page = "../../../docs/container-apps.md"

// snippets returns the page's blocks of HCL: the first is complete, the second replaces its locals.
func snippets(t *testing.T) [2]string {
	t.Helper()
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```hcl\n(.*?)```").FindAllStringSubmatch(string(b), -1)
	if len(blocks) != 2 {
		t.Fatalf("%s has %d blocks of hcl, want 2", page, len(blocks))
	}
	return [2]string{blocks[0][1], blocks[1][1]}
}

// fault returns the reason why a text is not HCL as formatted by terraform fmt.
func fault(text string) error {
	if _, diags := hclsyntax.ParseConfig([]byte(text), "main.tf", hcl.InitialPos); diags.HasErrors() {
		return diags
	}
	if want := string(hclwrite.Format([]byte(text))); want != text {
		return fmt.Errorf("it is formatted otherwise:\n%s", want)
	}
	return nil
}

func TestTheSnippets(t *testing.T) {
	for _, text := range snippets(t) {
		if err := fault(text); err != nil {
			t.Error(err)
		}
	}
}

// TestEachVariableHasAValue: templatefile fails for a file that uses a variable without a value.
func TestEachVariableHasAValue(t *testing.T) {
	for i, name := range []string{"agents-job.yaml", "agents-scale-job.yaml"} {
		text := snippets(t)[i]
		if !strings.Contains(text, `templatefile("${path.module}/`+name+`"`) {
			t.Errorf("the block %d does not read %s", i, name)
		}
		file, err := os.ReadFile("../../../deploy/container-apps/" + name)
		if err != nil {
			t.Fatal(err)
		}
		taken := regexp.MustCompile(`\$\{(\w+)\}`).FindAllStringSubmatch(string(file), -1)
		if len(taken) == 0 {
			t.Fatal(name + " takes no parameter")
		}
		for _, m := range taken {
			if !regexp.MustCompile(`(?m)^\s+` + m[1] + `\s+=`).MatchString(text) {
				t.Errorf("%s does not give %s", page, m[1])
			}
		}
	}
}

// TestTheSecondBlockReplacesLocals: it defines what the first block uses, and uses only variables that
// one of them has.
func TestTheSecondBlockReplacesLocals(t *testing.T) {
	blocks := snippets(t)
	before, _, found := strings.Cut(blocks[0], "locals {")
	_, after, ended := strings.Cut(blocks[0], "}))\n}\n")
	if !found || !ended {
		t.Fatal("the first block has no locals")
	}
	whole := before + blocks[1] + after
	if err := fault(whole); err != nil {
		t.Error(err)
	}
	for _, m := range regexp.MustCompile(`\bvar\.(\w+)`).FindAllStringSubmatch(whole, -1) {
		if !strings.Contains(whole, `variable "`+m[1]+`"`) {
			t.Errorf("nothing defines var.%s", m[1])
		}
	}
	if !strings.Contains(whole, "local.job.properties") || strings.Count(whole, "locals {") != 1 {
		t.Errorf("the blocks do not fit:\n%s", whole)
	}
}

// embedded are the stable API versions of Microsoft.App that a release of azapi has first, from the
// schemas in its repository. azapi refuses a type with another version, unless its validation is off.
var embedded = map[string]string{"2.0": "2024-03-01", "2.4": "2025-01-01", "2.8": "2025-07-01"}

// TestTheProviderHasTheAPIVersion: the oldest azapi that the page allows knows the type.
func TestTheProviderHasTheAPIVersion(t *testing.T) {
	text := snippets(t)[0]
	provider := regexp.MustCompile(`version = ">= ([\d.]+)"`).FindStringSubmatch(text)
	typ := regexp.MustCompile(`type\s+= "Microsoft.App/jobs@([\d-]+)"`).FindStringSubmatch(text)
	if provider == nil || typ == nil {
		t.Fatal("the page names no version of the provider, or no type")
	}
	if embedded[provider[1]] != typ[1] {
		t.Errorf("azapi %s has %q, and the page uses %s", provider[1], embedded[provider[1]], typ[1])
	}
	bicep, err := os.ReadFile("../../../deploy/container-apps/main.bicep")
	if err != nil || !strings.Contains(string(bicep), "'Microsoft.App/jobs@"+typ[1]+"'") {
		t.Errorf("main.bicep uses another version than %s: %v", typ[1], err)
	}
}

func TestFaults(t *testing.T) {
	good := snippets(t)[0]
	for _, tt := range []struct{ old, new string }{
		{"}\n", "\n"},
		{"  type ", "  type"},
		{" = ", "="},
	} {
		bad := strings.Replace(good, tt.old, tt.new, 1)
		if bad == good {
			t.Fatalf("%q changes nothing", tt.old)
		}
		if err := fault(bad); err == nil {
			t.Errorf("%q in place of %q passes", tt.new, tt.old)
		}
	}
}
