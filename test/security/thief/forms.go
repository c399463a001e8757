//go:build linux

package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"io"
	"net/url"
	"slices"
	"unicode/utf16"
)

// form is a secret in all encodings that are searched for.
type form struct {
	name  string
	texts [][]byte
}

func (f form) in(b []byte) bool {
	for _, text := range f.texts {
		if bytes.Contains(b, text) {
			return true
		}
	}
	return false
}

// unmask restores the secrets from the plan.
func (t *thief) unmask() {
	for _, n := range t.plan.Secrets {
		raw := make([]byte, len(n.Masked))
		for i, c := range n.Masked {
			raw[i] = ^c
		}
		f := form{name: n.Name, texts: encodings(raw)}
		for _, text := range f.texts {
			t.maxLength = max(t.maxLength, len(text))
		}
		t.secrets = append(t.secrets, f)
	}
}

// encodings returns a secret as it is, in hexadecimal, URL-escaped, in the 16-bit
// characters of .NET, and in base64 at each offset in a longer text, as a PAT is after a
// colon in an Authorization header.
func encodings(raw []byte) [][]byte {
	texts := [][]byte{raw, []byte(hex.EncodeToString(raw)), []byte(url.QueryEscape(string(raw)))}
	var wide []byte
	for _, u := range utf16.Encode([]rune(string(raw))) {
		wide = append(wide, byte(u), byte(u>>8))
	}
	texts = append(texts, wide)
	for before := range 3 {
		padded := append(make([]byte, before), raw...)
		for _, e := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			b := e.EncodeToString(padded)
			texts = append(texts, []byte(b[(before*8+5)/6:len(padded)*8/6]))
		}
	}
	slices.SortFunc(texts, bytes.Compare)
	return slices.CompactFunc(texts, bytes.Equal) // URL escaping does not change most secrets
}

// scan searches a stream.
func (t *thief) scan(how, where string, r io.Reader) {
	buf := make([]byte, 0, 1<<20+t.maxLength)
	for {
		n, err := io.ReadFull(r, buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if len(bytes.Trim(buf, "\x00")) > 0 { // most of a heap is zero
			t.search(how, where, buf)
		}
		if err != nil {
			return
		}
		keep := min(len(buf), t.maxLength)
		buf = append(buf[:0], buf[len(buf)-keep:]...)
	}
}
