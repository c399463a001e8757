package emulator

import (
	"strconv"
	"strings"
	"testing"
)

// TestDownload: the answer has the size of the whole package, and of the rest of a resumed
// download, so that a client can show its progress. The package is larger than what net/http
// measures by itself.
func TestDownload(t *testing.T) {
	w := newWorld(t)
	archive := strings.Repeat("0123456789", 1000)
	w.PutPackage("agent", "linux-x64", "5.283.0", []byte(archive))
	const address = "!/_packages/agent/5.283.0/vsts-agent-linux-x64-5.283.0.tar.gz"
	for _, tt := range []struct {
		method, asked string
		status        int
		of, body      string
	}{
		{"GET", "", 200, "", archive},
		{"HEAD", "", 200, "", ""},
		{"GET", "bytes=9000-", 206, "bytes 9000-9999/10000", archive[9000:]},
		{"GET", "bytes=10-12", 206, "bytes 10-12/10000", archive[10:13]},
		{"GET", "bytes=9990-20000", 206, "bytes 9990-9999/10000", archive[9990:]},
		{"GET", "bytes=-7000", 206, "bytes 3000-9999/10000", archive[3000:]},
		{"GET", "bytes=-20000", 206, "bytes 0-9999/10000", archive},
		{"GET", "bytes=10000-", 416, "bytes */10000", ""},
	} {
		g := w.want(tt.status, w.call(tt.method, address, "", nil, "Range: "+tt.asked))
		if tt.status == 416 {
			tt.body = g.raw // this text comes from net/http
		}
		length := len(tt.body)
		if tt.method == "HEAD" {
			length = len(archive)
		}
		if g.Header.Get("Content-Length") != strconv.Itoa(length) || g.Header.Get("Content-Range") != tt.of || g.raw != tt.body {
			t.Errorf("%s %q: %q bytes, %q, and a body of %d", tt.method, tt.asked, g.Header.Get("Content-Length"), g.Header.Get("Content-Range"), len(g.raw))
		}
		if tt.status != 416 && g.Header.Get("Accept-Ranges") != "bytes" {
			t.Errorf("%s %q does not say that it goes on from a byte", tt.method, tt.asked)
		}
	}
}
