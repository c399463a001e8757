package fakeagent

import (
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
)

// osDescription identifies the fake agent. The real agent sends the distribution's name (2.2).
const osDescription = "azptend's fake agent, not Microsoft's agent (" + runtime.GOOS + "/" + runtime.GOARCH + ")"

// agentFacts are the values of the Agent.* capabilities.
type agentFacts struct {
	name, version, host, root string
	interactive               bool
}

// capabilities is the scan of 4.4: the environment, the tools, .capabilities, and the agent's
// own, which override the others.
func capabilities(env environ, f agentFacts) map[string]string {
	caps := map[string]string{}
	mask := maskOf(env)
	ignored := ignoredVariables(env)
	for name, value := range env {
		if !ignored[name] && len([]rune(value)) < maxCapability {
			caps[name] = mask.Replace(value)
		}
	}
	addTools(caps, env)
	content, _ := os.ReadFile(filepath.Join(f.root, ".capabilities")) // KEY=VALUE lines (3.7); most agents have none
	fromFile := environ{}
	fromFile.apply(content)
	maps.Copy(caps, fromFile)
	maps.Copy(caps, f.capabilities())
	return caps
}

// maxCapability is the length from which a variable's value is left out.
const maxCapability = 1024

// ignoredVariables never become capabilities. On Linux the names are compared
// letter by letter, so LS_COLORS is not ls_colors and is sent.
func ignoredVariables(env environ) map[string]bool {
	ignored := map[string]bool{
		"comp_wordbreaks": true, "ls_colors": true, "TERM": true, "TERM_PROGRAM": true,
		"TERM_PROGRAM_VERSION": true, "SHLVL": true, "PSMODULEPATH": true, "SYSTEM_ACCESSTOKEN": true,
	}
	for name := range strings.SplitSeq(env["VSO_AGENT_IGNORE"], ",") {
		ignored[strings.TrimSpace(name)] = true
	}
	return ignored
}

// maskOf masks the values that the real agent knows at this point: the proxy's user and
// password (4.4). It does not know a PAT in the environment.
func maskOf(env environ) *strings.Replacer {
	var pairs []string
	for _, name := range []string{"VSTS_HTTP_PROXY_PASSWORD", "VSTS_HTTP_PROXY_USERNAME"} {
		if v := env[name]; v != "" {
			pairs = append(pairs, v, "***")
		}
	}
	return strings.NewReplacer(pairs...)
}

// addTools adds programs that are in PATH.
func addTools(caps map[string]string, env environ) {
	for capability, program := range map[string]string{
		"ant": "ant", "curl": "curl", "docker": "docker", "dotnet": "dotnet", "git": "git", "java": "java",
		"make": "make", "node.js": "node", "npm": "npm", "python": "python", "python3": "python3", "sh": "sh",
	} {
		if path := which(program, env["PATH"]); path != "" {
			caps[capability] = path
		}
	}
}

func which(program, path string) string {
	for _, dir := range filepath.SplitList(path) {
		file := filepath.Join(dir, program)
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return file
		}
	}
	return ""
}

func (f agentFacts) capabilities() map[string]string {
	system := map[string]string{"linux": "Linux", "darwin": "Darwin", "windows": "Windows_NT"}[runtime.GOOS]
	arch := map[string]string{"amd64": "X64", "arm64": "ARM64", "386": "X86", "arm": "ARM"}[runtime.GOARCH]
	interactive := strconv.FormatBool(f.interactive)
	return map[string]string{
		"Agent.Name":           f.name,
		"Agent.OS":             system,
		"Agent.OSArchitecture": arch,
		"Agent.Version":        f.version,
		"Agent.ComputerName":   f.host,
		"Agent.HomeDirectory":  f.root,
		"Agent.FakeAgent":      "azptend",
		"InteractiveSession":   strings.ToUpper(interactive[:1]) + interactive[1:],
	}
}
