package config

import (
	"bytes"
	"context"
	"crypto/x509"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/azptend/azptend/internal/safefile"
)

// Settings of other images. Each has the effect of a setting of azptend, so that a container's
// definition works with azptend's image too. azptend warns about each.
const (
	templateJob  = "AZP_TEMPLATE_JOB"        // blue-agent's start.sh: 1 registers NAME-template, which takes no job
	customCerts  = "AZP_CUSTOM_CERT_PEM"     // blue-agent's start.sh: a directory whose *.crt files are trusted
	randomSuffix = "AZP_RANDOM_AGENT_SUFFIX" // the AVM images' start.sh: false makes the name PREFIX-host
)

var compatNames = []string{templateJob, customCerts, randomSuffix}

// templateSuffix is what blue-agent adds to the name of its template agent.
const templateSuffix = "-template"

// applyTemplateJob turns blue-agent's template agent into a placeholder, unless
// AZP_PLACEHOLDER is set. It runs before the settings are read, because a placeholder
// needs few of them.
func applyTemplateJob(env map[string]string) (is bool) {
	if strings.TrimSpace(env[templateJob]) != "1" || strings.TrimSpace(env["AZP_PLACEHOLDER"]) != "" {
		return false
	}
	env["AZP_PLACEHOLDER"] = "1"
	return true
}

// setTemplateName sets the placeholder's name to that of blue-agent's template agent.
func (s *Settings) setTemplateName() {
	s.AgentName += templateSuffix
	s.warn("%s is a setting of blue-agent: azptend treats it as AZP_PLACEHOLDER (--placeholder) with the name %s; "+
		"set AZP_CAPABILITIES (--capability) to what jobs demand, because a placeholder never runs and detects no capabilities", templateJob, s.AgentName)
}

// applyRandomSuffix has the effect of the AVM images' setting. If it is false, the name is
// AZP_AGENT_NAME, or else the prefix with the host name. Without a prefix the images use
// azure-devops-agent; azptend uses the host name.
func (s *Settings) applyRandomSuffix(env map[string]string, bad *problems) {
	v := strings.TrimSpace(env[randomSuffix])
	suffix, ok := parseBool(v)
	switch {
	case v == "" || s.NamePrefix == "":
		return
	case !ok:
		bad.add(boolHint, "%s is %q, which is neither true nor false", randomSuffix, v)
		return
	case suffix: // the default
		return
	case s.AgentName == "":
		s.AgentName = s.Name(s.HostName)
	}
	s.NamePrefix = ""
	s.warn("%s is a setting of the AVM images: azptend uses the name %s; AZP_AGENT_NAME (--agent-name) does the same", randomSuffix, s.AgentName)
}

// loadCompatCA reads blue-agent's directory of certificates. A missing or empty directory is
// no error, because blue-agent's images set the variable and rarely have the directory.
func (s *Settings) loadCompatCA(bad *problems) {
	dir := strings.TrimSpace(s.Getenv(customCerts))
	if dir == "" {
		return
	}
	entries, err := os.ReadDir(dir)
	if err != nil && !os.IsNotExist(err) {
		bad.add("check that the directory is mounted and that this user can read it", "%s is %q, which cannot be read: %v", customCerts, dir, withoutPath(err))
		return
	}
	var files []string
	for _, entry := range entries { // files or, in a mounted secret, links
		if filepath.Ext(entry.Name()) == ".crt" {
			files = append(files, filepath.Join(dir, entry.Name()))
		}
	}
	slices.Sort(files)
	var all bytes.Buffer
	for _, file := range files {
		b, err := safefile.ReadFileInTime(context.Background(), file, maxCAFile)
		if err != nil {
			bad.add("check that this user can read it", "%s has %q, which cannot be read: %v", customCerts, file, withoutPath(err))
			continue
		}
		if !x509.NewCertPool().AppendCertsFromPEM(b) {
			bad.add(certificateHint, "%s has %q, which holds no certificate", customCerts, file)
			continue
		}
		all.Write(append(bytes.TrimRight(b, "\n"), '\n'))
	}
	s.CA = all.Bytes()
}

// compatWarnings adds warnings that say what azptend does with these settings.
func (s *Settings) compatWarnings(env map[string]string) {
	if v := strings.TrimSpace(env[templateJob]); v != "" && v != "0" && v != "1" {
		s.warn("%s is %q and has no effect: only 1 creates a placeholder, as in blue-agent", templateJob, v)
	}
	dir := strings.TrimSpace(env[customCerts])
	switch {
	case dir == "":
	case s.CAFile != "":
		s.warn("%s has no effect: AZP_CA_FILE (--ca-file) is set", customCerts)
	case len(s.CA) == 0:
		s.warn("%s is %q, which holds no *.crt file: no certificate is added", customCerts, dir)
	default:
		s.warn("%s is a setting of blue-agent: azptend and the agent trust the *.crt files in %s, as with AZP_CA_FILE (--ca-file)", customCerts, dir)
	}
}
