package config_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/azptend/azptend/internal/config"
)

// TestAddresses: addresses that people copy into AZP_URL, and the hints.
func TestAddresses(t *testing.T) {
	for _, tt := range []struct{ url, says, hint string }{
		{"https://dev.azure.com/org", "", ""},
		{"https://dev.azure.com/org/", "", ""},
		{"https://DEV.azure.com/My%20Org", "", ""},
		{"https://org.visualstudio.com", "", ""},
		{"https://org.visualstudio.com/DefaultCollection/", "", ""},
		{"https://devops.example.com/tfs/Default%20Collection", "", ""},
		{"http://127.0.0.1:8140/emulated", "", ""},

		{"https://dev.azure.com/org/project", "names more than an organisation", "use https://dev.azure.com/org"},
		{"https://dev.azure.com/org/my%20project/_git/repo", "names more than an organisation", "use https://dev.azure.com/org"},
		{"https://dev.azure.com/org/_settings/agentpools?poolId=9", "has a query or fragment", "use https://dev.azure.com/org"},
		{"https://dev.azure.com/_git/repo", "names no organisation", "use https://dev.azure.com/your-organisation"},
		{"https://dev.azure.com", "names no organisation", "use https://dev.azure.com/your-organisation"},
		{"https://org.visualstudio.com/project/_build", "names more than an organisation", "use https://org.visualstudio.com"},
		{"https://org@dev.azure.com/org/project/_git/repo", "holds a user or password", "use https://dev.azure.com/org; set a token with AZP_TOKEN or AZP_TOKEN_FILE"},
		{"dev.azure.com/org", "is not an http or https address", "use https://dev.azure.com/org"},
		{"dev.azure.com/org/project", "is not an http or https address", "use https://dev.azure.com/org"},
		{"org.visualstudio.com", "is not an http or https address", "use https://org.visualstudio.com"},
		{"git@ssh.dev.azure.com:v3/org/project/repo", "is not an http or https address", "use https://dev.azure.com/your-organisation"},
		{"ftp://dev.azure.com/org", "is not an http or https address", "use https://dev.azure.com/your-organisation"},
		{"my-organisation", "is not an http or https address", "use https://dev.azure.com/your-organisation"},
		{"https://devops.example.com/tfs/Default/project/_git/repo", "a page or a repository", "use the collection's address, without project and page: https://devops.example.com/tfs/Default"},
		{"https://devops.example.com/Default/_settings", "a page or a repository", "use the collection's address, without project and page: https://devops.example.com/Default"},
	} {
		_, err := config.Load(nil, []string{"AZP_URL=" + tt.url, "AZP_TOKEN=x"}, "host")
		if tt.says == "" {
			if err != nil {
				t.Errorf("%s: %v", tt.url, err)
			}
			continue
		}
		var invalid *config.InvalidError
		if !errors.As(err, &invalid) || len(invalid.Problems) != 1 {
			t.Errorf("%s: %v", tt.url, err)
			continue
		}
		p := invalid.Problems[0]
		exact := p.Hint == tt.hint
		if !strings.Contains(p.What, tt.says) || !exact {
			t.Errorf("%s: %q, hint %q", tt.url, p.What, p.Hint)
		}
	}
}

// FuzzValues: any value is read or refused with a message, which is always one line.
func FuzzValues(f *testing.F) {
	for _, row := range config.Table {
		for _, value := range []string{row.Default, "1", "yes", "-5s", "1h30m", "a=b,c", "a=b\n=c", ",,", "azptend.x=1", "debug+1", "9999999999999999999", "https://a@b/c?d#e", "\x00", "ä"} {
			f.Add(row.Env, value)
		}
	}
	f.Fuzz(func(t *testing.T, name, value string) {
		if strings.Contains(name, "=") {
			return
		}
		s, err := config.Load(nil, []string{"AZP_URL=https://dev.azure.com/org", "AZP_TOKEN=x", name + "=" + value}, "host")
		var invalid *config.InvalidError
		switch {
		case err == nil:
			if s.URL == "" || s.AgentName == "" || s.Grace < 0 || s.NameWait < 0 || s.PoolID < 0 {
				t.Errorf("%s=%q gives settings that are not whole: %+v", name, value, s)
			}
			for key := range s.Capabilities {
				if key == "" || strings.HasPrefix(strings.ToLower(key), "azptend.") {
					t.Errorf("%s=%q gives the capability %q", name, value, key)
				}
			}
		case !errors.As(err, &invalid) || len(invalid.Problems) == 0:
			t.Errorf("%s=%q: the error is %T %v", name, value, err, err)
		default:
			for _, p := range invalid.Problems {
				if p.What == "" || strings.ContainsAny(p.What+p.Hint, "\r\n") {
					t.Errorf("%s=%q is told as %q, hint %q", name, value, p.What, p.Hint)
				}
			}
		}
	})
}
