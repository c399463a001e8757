package config

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Names of other people's images that have no row in the table: each says what a
// setting of ours says too, and is understood so that a container's definition
// need not change with its image. What is made of one is a warning, once.
const (
	templateJob  = "AZP_TEMPLATE_JOB"        // blue-agent's start.sh: 1 registers NAME-template, which takes no job
	customCerts  = "AZP_CUSTOM_CERT_PEM"     // blue-agent's start.sh: a folder, of which *.crt are trusted
	randomSuffix = "AZP_RANDOM_AGENT_SUFFIX" // the AVM images' start.sh: false makes the name PREFIX-host
)

func compatNames() []string { return []string{templateJob, customCerts, randomSuffix} }

// templateSuffix is what blue-agent adds to the name of its template agent.
const templateSuffix = "-template"

// applyTemplateJob makes of blue-agent's template agent a placeholder, unless a
// person has decided about one. It comes before the rows are read, for most do
// not matter to a placeholder.
func applyTemplateJob(env map[string]string) (is bool) {
	if strings.TrimSpace(env[templateJob]) != "1" || strings.TrimSpace(env["AZP_PLACEHOLDER"]) != "" {
		return false
	}
	env["AZP_PLACEHOLDER"] = "1"
	return true
}

// setTemplateName gives the placeholder the name that blue-agent gives it.
func (s *Settings) setTemplateName() {
	s.AgentName += templateSuffix
	s.Warnings = append(s.Warnings, fmt.Sprintf("%s is blue-agent's, and taken as AZP_PLACEHOLDER (--placeholder) with the name %s; "+
		"name what jobs demand in AZP_CAPABILITIES (--capability): a placeholder never runs, and finds nothing out by itself", templateJob, s.AgentName))
}

// applyRandomSuffix is the AVM images' switch: with false the name is whole if it
// is given, and else the prefix with the host's name. Without a prefix theirs is
// azure-devops-agent, and ours the host's name alone.
func (s *Settings) applyRandomSuffix(env map[string]string, bad func(hint, format string, args ...any)) {
	v := strings.TrimSpace(env[randomSuffix])
	suffix, ok := parseBool(v)
	switch {
	case v == "" || s.NamePrefix == "":
		return
	case !ok:
		bad(boolHint, "%s is %q, which is neither true nor false", randomSuffix, v)
		return
	case suffix: // as it is anyway
		return
	case s.AgentName == "":
		s.AgentName = s.Name(s.HostName)
	}
	s.NamePrefix = ""
	s.Warnings = append(s.Warnings, fmt.Sprintf("%s is the AVM images', and makes the name %s; AZP_AGENT_NAME (--agent-name) says it too", randomSuffix, s.AgentName))
}

// loadCompatCA reads blue-agent's folder of certificates. Like there, one that is
// not there or is empty means none: their images name one that is seldom used.
func (s *Settings) loadCompatCA(bad func(hint, format string, args ...any)) {
	dir := strings.TrimSpace(s.Getenv(customCerts))
	if dir == "" {
		return
	}
	files, err := compatCertificates(dir)
	if err != nil {
		bad("is the folder mounted, and readable for this user?", "%s is %q, which cannot be read: %v", customCerts, dir, withoutPath(err))
		return
	}
	var all bytes.Buffer
	for _, file := range files {
		b, err := readFile(file, maxCAFile)
		if err != nil {
			bad("is it readable for this user?", "%s has %q, which cannot be read: %v", customCerts, file, withoutPath(err))
			continue
		}
		if !x509.NewCertPool().AppendCertsFromPEM(b) {
			bad("it holds lines that begin with -----BEGIN CERTIFICATE-----", "%s has %q, which holds no certificate", customCerts, file)
			continue
		}
		all.Write(append(bytes.TrimRight(b, "\n"), '\n'))
	}
	s.CA = all.Bytes()
}

// compatCertificates are the *.crt of a folder, in the order of their names.
func compatCertificates(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var files []string
	for _, entry := range entries { // of which a mounted secret's are links
		if filepath.Ext(entry.Name()) == ".crt" {
			files = append(files, filepath.Join(dir, entry.Name()))
		}
	}
	slices.Sort(files)
	return files, nil
}

// compatWarnings says what became of names that are not ours.
func (s *Settings) compatWarnings(env map[string]string) []string {
	var odd []string
	if v := strings.TrimSpace(env[templateJob]); v != "" && v != "0" && v != "1" {
		odd = append(odd, fmt.Sprintf("%s is %q: only 1 makes a placeholder, as in blue-agent", templateJob, v))
	}
	dir := strings.TrimSpace(env[customCerts])
	switch {
	case dir == "":
	case s.CAFile != "":
		odd = append(odd, customCerts+" is not used: AZP_CA_FILE (--ca-file) is set")
	case len(s.CA) == 0:
		odd = append(odd, fmt.Sprintf("%s is %q, in which there is no *.crt: nothing more is trusted", customCerts, dir))
	default:
		odd = append(odd, fmt.Sprintf("%s is blue-agent's, and taken as AZP_CA_FILE (--ca-file): the *.crt in %s are trusted, by azptend and the agent", customCerts, dir))
	}
	return odd
}
