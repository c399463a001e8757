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

// imageCAVariables are the variables with which an image names a file of trusted
// certificates: OpenSSL's, which .NET reads too, and Node's.
var imageCAVariables = []string{"SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS"}

// maxCAFile bounds a file of certificates. A system's bundle has some 250 KB.
const maxCAFile = 8 << 20

// CABundle returns a file with all certificates that the agent must trust: own (PEM), which
// is the content of ownFile if that is not empty, and those in the files that the
// environment names. One file is needed, because each variable names a single file: with
// the image's file, the agent would not trust what azptend trusts.
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

// certificatesIn returns the certificates in a text. It drops everything else, such as keys,
// because every user can read the bundle.
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
