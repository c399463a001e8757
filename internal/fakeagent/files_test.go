package fakeagent

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestRSAKey(t *testing.T) {
	good := rsaFile(testKey())
	encoded := mustJSON(t, good)
	for name, content := range map[string][]byte{"plain": encoded, "with a BOM": append([]byte("\xef\xbb\xbf"), encoded...)} {
		key, err := parseRSAKey(content)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if !key.Equal(testKey()) {
			t.Errorf("%s: another key", name)
		}
	}

	short, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, want string
		change     func(map[string]any) map[string]any
	}{
		{"padding lost", "not the fixed 128", func(m map[string]any) map[string]any {
			m["dp"] = m["dp"].([]byte)[1:]
			return m
		}},
		{"padding added", "not the fixed 256", func(m map[string]any) map[string]any {
			m["d"] = append([]byte{0}, m["d"].([]byte)...)
			return m
		}},
		{"other case", "member modulus is missing", func(m map[string]any) map[string]any {
			m["Modulus"] = m["modulus"]
			delete(m, "modulus")
			return m
		}},
		{"a member missing", "member inverseQ is missing", func(m map[string]any) map[string]any {
			delete(m, "inverseQ")
			return m
		}},
		{"no base64", "member p is not base64", func(m map[string]any) map[string]any {
			m["p"] = "***"
			return m
		}},
		{"inverse of the other prime", "inverseQ does not follow", func(m map[string]any) map[string]any {
			q := slices.Clone(m["inverseQ"].([]byte))
			q[127] ^= 1
			m["inverseQ"] = q
			return m
		}},
		{"another modulus", "not consistent", func(m map[string]any) map[string]any {
			n := slices.Clone(m["modulus"].([]byte))
			n[200] ^= 1
			m["modulus"] = n
			return m
		}},
		{"1024 bits", "at least 2048", func(map[string]any) map[string]any { return rsaFile(short) }},
		{"empty", "is missing", func(map[string]any) map[string]any { return nil }},
	} {
		_, err := parseRSAKey(mustJSON(t, c.change(maps.Clone(good))))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.want)
		}
	}
}

func mustJSON(t testing.TB, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func FuzzRSAKey(f *testing.F) {
	f.Add(mustJSON(f, rsaFile(testKey())))
	f.Add([]byte(`{"modulus":"","exponent":"","d":"","p":"","q":"","dp":"","dq":"","inverseQ":""}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, content []byte) {
		if len(content) > 1<<14 {
			return // too slow, and no file is as long
		}
		key, err := parseRSAKey(content)
		if err == nil && (key.N.BitLen() < minKeyBits || key.Validate() != nil) {
			t.Errorf("accepted a bad key from %q", content)
		}
	})
}

func TestAgentFiles(t *testing.T) {
	const agent = `{"AgentId":42,"agentName":"a","poolId":9,"serverUrl":"https://dev.azure.com/org/","workFolder":"_work"}`
	const creds = `{"scheme":"OAuth","data":{"clientId":"c","authorizationUrl":"https://x/auth"}}`
	for _, c := range []struct{ name, agent, creds, want string }{
		{"good", "\xef\xbb\xbf" + agent, "\xef\xbb\xbf" + creds, ""},
		{"no agent", "", creds, "Not configured"},
		{"no id", `{"agentName":"a","poolId":9,"serverUrl":"https://x/","workFolder":"w"}`, creds, "agentId is missing"},
		{"no work folder", `{"agentId":1,"agentName":"a","poolId":9,"serverUrl":"https://x/"}`, creds, "workFolder is missing"},
		{"relative url", `{"agentId":1,"agentName":"a","poolId":9,"serverUrl":"org","workFolder":"w"}`, creds, "serverUrl is no absolute"},
		{"no json", "agent", creds, "cannot read .agent"},
		{"no credentials", agent, "", "cannot read .credentials"},
		{"PAT kept", agent, `{"scheme":"PAT","data":{}}`, `scheme is "PAT"`},
		{"no client", agent, `{"scheme":"OAuth","data":{"authorizationUrl":"https://x/"}}`, "clientId is missing"},
	} {
		dir := t.TempDir()
		for name, content := range map[string]string{".agent": c.agent, ".credentials": c.creds} {
			if content == "" {
				continue
			}
			if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		a, err := readAgentFile(dir)
		var got credentialsFile
		if err == nil {
			got, err = readCredentialsFile(dir)
		}
		if c.want == "" {
			if err != nil || a.AgentID != 42 || got.Data.OAuthEndpointURL != "https://x/auth" || a.workDir("/azp") != "/azp/_work" {
				t.Errorf("%s: %+v %+v %v", c.name, a, got, err)
			}
		} else if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.want)
		}
	}
}

// FuzzAgentFiles: .agent and .credentials of a newer or a broken agent are read completely, or
// refused with a message. A BOM changes nothing.
func FuzzAgentFiles(f *testing.F) {
	const agent = `{"agentId":42,"agentName":"a","poolId":9,"serverUrl":"https://dev.azure.com/org/","workFolder":"_work"}`
	const creds = `{"scheme":"OAuth","data":{"clientId":"c","authorizationUrl":"https://x/auth"}}`
	for _, content := range []string{agent, creds, "", "null", "{}", "[]", "{", `{"agentId":"42"}`, `{"data":null,"scheme":"OAuth"}`, "<xml>"} {
		f.Add([]byte(content), []byte(creds))
		f.Add([]byte("\xef\xbb\xbf"+agent), []byte("\xef\xbb\xbf"+content))
	}
	f.Fuzz(func(t *testing.T, agent, creds []byte) {
		read := func(prefix string) (a agentFile, c credentialsFile, errs [2]error) {
			dir := t.TempDir()
			for name, content := range map[string][]byte{".agent": agent, ".credentials": creds} {
				content = append([]byte(prefix), bytes.TrimPrefix(content, []byte("\xef\xbb\xbf"))...)
				if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			a, errs[0] = readAgentFile(dir)
			c, errs[1] = readCredentialsFile(dir)
			return a, c, errs
		}
		a, c, errs := read("")
		withA, withC, withErrs := read("\xef\xbb\xbf")
		for i := range errs {
			if (errs[i] == nil) != (withErrs[i] == nil) {
				t.Errorf("a BOM makes %v of %v", withErrs[i], errs[i])
			}
		}
		if errs[0] == nil && (a != withA || a.AgentID <= 0 || a.PoolID <= 0 || a.ServerURL == "") {
			t.Errorf("%s: %+v, behind a BOM %+v", agent, a, withA)
		}
		if errs[1] == nil && (c != withC || c.Data.ClientID == "" || c.Data.OAuthEndpointURL == "") {
			t.Errorf("%s: %+v, behind a BOM %+v", creds, c, withC)
		}
	})
}

func TestEnvFile(t *testing.T) {
	e := newEnviron([]string{"A=1", "B=2", "=C:=odd", "junk"})
	e.apply([]byte("\xef\xbb\xbfA=over=ridden\r\nB=\n# no comment=kept\nempty\n=x\nNUL=\x00\nQ=\"quoted\"\n"))
	want := []string{"# no comment=kept", "A=over=ridden", `Q="quoted"`}
	if got := e.list(); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if err := e.loadFile(t.TempDir()); err != nil {
		t.Errorf("without .env: %v", err)
	}
}

func FuzzEnvFile(f *testing.F) {
	f.Add([]byte("A=1\r\nB=\n=C\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		e := environ{}
		e.apply(content)
		for _, entry := range e.list() {
			name, value, ok := strings.Cut(entry, "=")
			if !ok || name == "" || value == "" || strings.ContainsAny(entry, "\x00\n") {
				t.Errorf("entry %q", entry)
			}
		}
	})
}

func TestOptions(t *testing.T) {
	env := newEnviron([]string{"VSTS_AGENT_INPUT_ONCE= True ", "vsts_agent_input_StartupType=service", "VSTS_AGENT_INPUT_TOKEN=x", "OTHER=1"})
	inputs := env.takeInputs()
	if got := env.list(); !slices.Equal(got, []string{"OTHER=1"}) {
		t.Errorf("inputs stay in the environment: %q", got)
	}
	if o := parseOptions(nil, inputs); o.verb != "run" || !o.once || !o.asService() {
		t.Errorf("from the environment: %+v", o)
	}
	if o := parseOptions([]string{"run"}, map[string]string{"once": "1"}); o.once {
		t.Error("bool.TryParse takes no 1")
	}
	o := parseOptions([]string{"RUN", "--StartupType", "Service", "--ONCE", "--nonsense", "--version"}, nil)
	if o.verb != "run" || !o.once || !o.asService() || !o.version || !slices.Equal(o.unknown, []string{"--nonsense"}) {
		t.Errorf("from arguments: %+v", o)
	}
	if o := parseOptions([]string{"--startuptype=manual"}, inputs); o.asService() {
		t.Error("an argument wins over the environment")
	}
}

func TestLayOutTwice(t *testing.T) {
	dir, exe := t.TempDir(), filepath.Join(t.TempDir(), "azptend")
	for _, content := range []string{"one", "two"} {
		if err := os.WriteFile(exe, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := LayOut(dir, exe); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"Agent.Listener", "Agent.Worker"} {
			file := filepath.Join(dir, "bin", name)
			got, err := os.ReadFile(file)
			info, _ := os.Lstat(file)
			if err != nil || string(got) != content || info.Mode() != 0o755 {
				t.Errorf("%s: %q %v %v", name, got, info, err)
			}
		}
	}
	var found []string
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		found = append(found, e.Name())
	}
	if !slices.Equal(found, []string{"bin", "externals", "license.html", "run.sh"}) {
		t.Errorf("left %q", found)
	}
	if err := LayOut(dir, filepath.Join(dir, "nothing")); err == nil {
		t.Error("laid out nothing")
	}
	for argv0, want := range map[string]bool{"/azp/bin/Agent.Listener": true, "Agent.Worker": true, "azptend": false, "": false} {
		if IsInvokedAs(argv0) != want {
			t.Errorf("IsInvokedAs(%q) is %v", argv0, !want)
		}
	}
}

func TestCapabilitiesTools(t *testing.T) {
	root, bin := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "git"), nil, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(bin, "curl"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, ".capabilities"), []byte("mine=yes\nAgent.Name=not mine\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := environ{"PATH": bin, "SHORT": strings.Repeat("é", 1023), "LONG": strings.Repeat("é", 1024)}
	caps := capabilities(env, agentFacts{name: "a", root: root, interactive: true})
	for name, want := range map[string]string{
		"git": filepath.Join(bin, "git"), "curl": "", "mine": "yes", "Agent.Name": "a",
		"InteractiveSession": "True", "SHORT": env["SHORT"], "LONG": "",
	} {
		if caps[name] != want {
			t.Errorf("capability %s is %q, want %q", name, caps[name], want)
		}
	}
	if !bytes.Contains(mustJSON(t, caps), []byte("Agent.FakeAgent")) {
		t.Error("it does not say that it is a fake agent")
	}
}
