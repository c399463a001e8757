package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"math/rand/v2"
)

// makeArchive makes an archive like the agent's: the Node runtimes, which are a few large
// programs; the agent's own libraries; and npm's thousands of small files. Its content
// compresses to about 46 %, which is worse than most programs do, so that the download
// takes a larger share of the time than in reality.
func makeArchive() (archive []byte, size int64, files int, err error) {
	var out bytes.Buffer
	zipped, err := gzip.NewWriterLevel(&out, gzip.DefaultCompression)
	if err != nil {
		return nil, 0, 0, err
	}
	packed := tar.NewWriter(zipped)
	random := rand.New(rand.NewPCG(1, 2))
	words := vocabulary(random)
	add := func(name string, n int, mode int64) {
		if err != nil {
			return
		}
		content := text(random, words, n)
		if err = packed.WriteHeader(&tar.Header{Name: name, Mode: mode, Size: int64(n), Typeflag: tar.TypeReg}); err == nil {
			_, err = packed.Write(content)
		}
		size += int64(n)
		files++
	}
	add("./bin/Agent.Listener", 150_000, 0o755)
	for i := range 350 {
		add(fmt.Sprintf("./bin/library%d.dll", i), 500_000, 0o644)
	}
	for _, node := range []string{"node16", "node20", "node20_1", "node24"} {
		add("./externals/"+node+"/bin/node", 95_000_000, 0o755)
		for i := range 2000 {
			add(fmt.Sprintf("./externals/%s/lib/node_modules/npm/m%d/file%d.js", node, i/10, i), 6_000, 0o644)
		}
	}
	if err != nil {
		return nil, 0, 0, err
	}
	if err := packed.Close(); err != nil {
		return nil, 0, 0, err
	}
	if err := zipped.Close(); err != nil {
		return nil, 0, 0, err
	}
	return out.Bytes(), size, files, nil
}

// vocabulary is the words of the content: pieces of random bytes.
func vocabulary(random *rand.Rand) [][]byte {
	words := make([][]byte, 4096)
	for i := range words {
		words[i] = make([]byte, 3+random.IntN(8))
		for j := range words[i] {
			words[i][j] = byte(random.IntN(256))
		}
	}
	return words
}

// text returns n bytes of words. Some words occur much more often than others.
func text(random *rand.Rand, words [][]byte, n int) []byte {
	b := make([]byte, 0, n+16)
	for len(b) < n {
		w := random.IntN(len(words))
		if random.IntN(3) > 0 {
			w = random.IntN(64)
		}
		b = append(b, words[w]...)
	}
	return b[:n]
}
