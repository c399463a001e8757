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

// imagesAuthorities are the variables by which an image names certificates that its
// programs are to trust: OpenSSL's, which .NET reads too, and node's.
var imagesAuthorities = []string{"SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS"}

// mostCertificates bounds a file of certificates: a system's whole bundle is some
// 250 KB.
const mostCertificates = 8 << 20

// withAuthorities gives the agent one file of all certificates that it is to trust,
// for each variable names a single one: azptend's own from several files, and those
// that the image names. Without it the image's file would win, and the agent would
// not trust what azptend trusts.
func withAuthorities(s config.Settings, user *proc.User, log *slog.Logger) (config.Settings, error) {
	if len(s.CA) == 0 {
		return s, nil
	}
	bundle, files := certificatesOf(s.CA), []string{s.CAFile}
	for _, name := range imagesAuthorities {
		file := valueOf(s.Environ, name)
		if file == "" || slices.Contains(files, file) {
			continue
		}
		files = append(files, file)
		b, err := safefile.ReadFile(file, mostCertificates)
		if err != nil {
			log.Warn("Cannot read the certificates that the environment names: the agent and its jobs will not trust them",
				"variable", name, "file", file, "error", err)
			continue
		}
		bundle = append(bundle, certificatesOf(b)...)
	}
	if len(files) == 1 && s.CAFile != "" {
		return s, nil
	}
	err := user.Do(func() (err error) {
		s.CAFile, err = agentdir.Folder{Root: s.Root()}.WriteAuthorities(bundle)
		return err
	})
	return s, err
}

// certificatesOf are the certificates in a text, without what is between them: the
// file that they go into is for everybody to read, and a key is not.
func certificatesOf(text []byte) []byte {
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

// valueOf is the value of a variable, "" where it is not set.
func valueOf(environ []string, name string) (value string) {
	for _, pair := range environ {
		if v, is := strings.CutPrefix(pair, name+"="); is {
			value = v
		}
	}
	return value
}
