package fakeagent

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// environ is the process environment as a value: this package does not read the real one.
type environ map[string]string

func newEnviron(list []string) environ {
	e := environ{}
	for _, entry := range list {
		if name, value, ok := strings.Cut(entry, "="); ok && name != "" {
			e[name] = value
		}
	}
	return e
}

// list is the environment in the form for starting a process.
func (e environ) list() []string {
	out := make([]string, 0, len(e))
	for name, value := range e {
		out = append(out, name+"="+value)
	}
	slices.Sort(out)
	return out
}

// loadFile applies the root's .env, if there is one, to the environment (3.7).
func (e environ) loadFile(root string) error {
	content, err := os.ReadFile(filepath.Join(root, ".env"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot read .env: %w", err)
	}
	e.apply(content)
	return nil
}

// apply reads KEY=VALUE lines, split at the first "=", without quoting and comments. An empty
// value removes the variable, as .NET's SetEnvironmentVariable does. Lines that are not an
// assignment, or have characters that an environment cannot contain, are ignored.
func (e environ) apply(content []byte) {
	for line := range strings.Lines(string(withoutBOM(content))) {
		line = strings.TrimRight(line, "\r\n")
		name, value, ok := strings.Cut(line, "=")
		if !ok || name == "" || strings.ContainsRune(line, 0) {
			continue
		}
		if value == "" {
			delete(e, name)
			continue
		}
		e[name] = value
	}
}

// inputPrefix is the prefix of variables that are arguments (1.2).
const inputPrefix = "VSTS_AGENT_INPUT_"

// takeInputs removes all VSTS_AGENT_INPUT_* variables, so that none becomes a capability or
// reaches a job, and returns them by lower-case argument name.
func (e environ) takeInputs() map[string]string {
	inputs := map[string]string{}
	for name, value := range e {
		if len(name) > len(inputPrefix) && strings.EqualFold(name[:len(inputPrefix)], inputPrefix) {
			inputs[strings.ToLower(name[len(inputPrefix):])] = strings.TrimSpace(value)
			delete(e, name)
		}
	}
	return inputs
}

// withoutBOM removes the UTF-8 byte order mark that .NET writes (3).
func withoutBOM(b []byte) []byte {
	return bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))
}
