package install

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"testing"
)

// entry is one entry of an archive that a test makes.
type entry struct {
	name, content, link string
	kind                byte // 0: a file, or a symbolic link where link is set
	mode                int64
	pax                 map[string]string
}

// pack makes a .tar.gz.
func pack(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	if !write(&b, entries...) {
		t.Fatalf("cannot pack %+v", entries)
	}
	return b.Bytes()
}

// write makes a .tar.gz, and says whether there can be such a one.
func write(to io.Writer, entries ...entry) bool {
	z := gzip.NewWriter(to)
	w := tar.NewWriter(z)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Mode: cmp.Or(e.mode, 0o644), Size: int64(len(e.content)), Typeflag: e.kind, Linkname: e.link, Uid: 1001, Gid: 1001, PAXRecords: e.pax}
		switch {
		case e.kind != 0:
		case e.link != "":
			h.Typeflag = tar.TypeSymlink
		default:
			h.Typeflag = tar.TypeReg
		}
		if w.WriteHeader(h) != nil {
			return false
		}
		if _, err := io.WriteString(w, e.content); err != nil {
			return false
		}
	}
	return w.Close() == nil && z.Close() == nil
}

// agentArchive has the shape of an agent's package (agent-protocol.md 8).
func agentArchive(t testing.TB, version string) []byte {
	return pack(t,
		entry{name: "./", kind: tar.TypeDir, mode: 0o755},
		entry{name: "./bin/", kind: tar.TypeDir, mode: 0o755},
		entry{name: "./bin/Agent.Listener", content: "listener " + version, mode: 0o755},
		entry{name: "./externals/node20_1/bin/node", content: "node " + version, mode: 0o755},
		entry{name: "./externals/node20_1/lib/npm-cli.js", content: "npm"},
		entry{name: "./externals/node20_1/bin/npm", link: "../lib/npm-cli.js"},
		entry{name: "./run.sh", content: "run " + version, mode: 0o4755},
		entry{name: "./license.html", content: "license"},
	)
}

func sumOf(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

func packageOf(archive []byte, version string) Package {
	return Package{Kind: Full, Platform: "linux-x64", Version: version, SHA256: sumOf(archive),
		URL: "https://host/agent/" + version + "/vsts-agent-linux-x64-" + version + ".tar.gz"}
}
