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

// form is a secret in all the ways it may be written.
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

// learn unmasks the secrets.
func (t *thief) learn() {
	for _, n := range t.plan.Needles {
		raw := make([]byte, len(n.Masked))
		for i, c := range n.Masked {
			raw[i] = ^c
		}
		f := form{name: n.Name, texts: written(raw)}
		for _, text := range f.texts {
			t.longest = max(t.longest, len(text))
		}
		t.needles = append(t.needles, f)
	}
}

// written is a secret as it is, in hexadecimal, in the escapes of a URL, in the
// 16-bit characters of .NET, and in base64 wherever in a longer text it stands,
// as the PAT does after a colon in an Authorization header.
func written(raw []byte) [][]byte {
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
	return slices.CompactFunc(texts, bytes.Equal) // most secrets have nothing that a URL escapes
}

// stream looks through something long.
func (t *thief) stream(how, where string, r io.Reader) {
	buf := make([]byte, 0, 1<<20+t.longest)
	for {
		n, err := io.ReadFull(r, buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if len(bytes.Trim(buf, "\x00")) > 0 { // most of a heap was never used
			t.look(how, where, buf)
		}
		if err != nil {
			return
		}
		keep := min(len(buf), t.longest)
		buf = append(buf[:0], buf[len(buf)-keep:]...)
	}
}
