package cli

import (
	"bytes"
	"encoding/pem"
	"log/slog"
	"slices"
	"strings"

	"github.com/azptend/azptend/internal/agentdir"
	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/proc"
	"github.com/azptend/azptend/internal/safefile"
)

// imageCAVariables are the variables by which an image names certificates that its
// programs are to trust: OpenSSL's, which .NET reads too, and node's.
var imageCAVariables = []string{"SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS"}

// maxCAFile bounds a file of certificates: a system's whole bundle is some
// 250 KB.
const maxCAFile = 8 << 20

// withCABundle gives the agent one file of all certificates that it is to trust,
// for each variable names a single one: azptend's own from several files, and those
// that the image names. Without it the image's file would win, and the agent would
// not trust what azptend trusts.
func withCABundle(s config.Settings, user *proc.User, log *slog.Logger) (config.Settings, error) {
	if len(s.CA) == 0 {
		return s, nil
	}
	bundle, files := certificatesIn(s.CA), []string{s.CAFile}
	for _, name := range imageCAVariables {
		file := variable(s.Environ, name)
		if file == "" || slices.Contains(files, file) {
			continue
		}
		files = append(files, file)
		b, err := safefile.ReadFile(file, maxCAFile)
		if err != nil {
			log.Warn("Cannot read the certificates that the environment names: the agent and its jobs will not trust them",
				"variable", name, "file", file, "error", err)
			continue
		}
		bundle = append(bundle, certificatesIn(b)...)
	}
	if len(files) == 1 && s.CAFile != "" {
		return s, nil
	}
	err := user.Do(func() (err error) {
		s.CAFile, err = agentdir.Dir{Root: s.Root()}.WriteCABundle(bundle)
		return err
	})
	return s, err
}

// certificatesIn are the certificates in a text, without what is between them: the
// file that they go into is for everybody to read, and a key is not.
func certificatesIn(text []byte) []byte {
	var found bytes.Buffer
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return found.Bytes()
		}
		if block.Type == "CERTIFICATE" {
			_ = pem.Encode(&found, &pem.Block{Type: block.Type, Bytes: block.Bytes})
		}
	}
}

// variable is the value of a variable, "" where it is not set.
func variable(environ []string, name string) (value string) {
	for _, pair := range environ {
		if v, is := strings.CutPrefix(pair, name+"="); is {
			value = v
		}
	}
	return value
}
