package mslistener

import (
	"bytes"
	"encoding/pem"
	"log/slog"
	"slices"
	"strings"

	"github.com/azptend/azptend/internal/agentdir"
	"github.com/azptend/azptend/internal/safefile"
)

// imageCAVariables are the variables by which an image names certificates that its
// programs trust: OpenSSL's, which .NET reads too, and node's.
var imageCAVariables = []string{"SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS"}

// maxCAFile bounds a file of certificates: a system's whole bundle is some 250 KB.
const maxCAFile = 8 << 20

// CABundle returns one file with all certificates that the agent must trust, because
// each variable names a single file: azptend's own (PEM), which came from ownFile if
// that is not empty, and those that the environment names. Without the bundle the
// image's file would win, and the agent would not trust what azptend trusts.
func CABundle(d agentdir.Dir, own []byte, ownFile string, environ []string, log *slog.Logger) (file string, err error) {
	if len(own) == 0 {
		return ownFile, nil
	}
	bundle, files := certificatesIn(own), []string{ownFile}
	for _, name := range imageCAVariables {
		var file string
		for _, pair := range environ {
			if value, is := strings.CutPrefix(pair, name+"="); is {
				file = value
			}
		}
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
	if len(files) == 1 && ownFile != "" {
		return ownFile, nil
	}
	err = d.AsUser(func() (err error) { file, err = d.WriteCABundle(bundle); return err })
	return file, err
}

// certificatesIn returns the certificates in a text, and drops everything else: the
// bundle is readable for everybody, and a key must not be.
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
