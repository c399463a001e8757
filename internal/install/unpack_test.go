package install

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	syscall.Umask(0o022) // the machine's may be another one
	goleak.VerifyTestMain(m)
}

// unpackInto unpacks into a folder of its own inside dir, as an install does.
func unpackInto(t testing.TB, dir string, archive []byte) (unpackResult, error) {
	t.Helper()
	tree := filepath.Join(dir, "tree")
	if err := os.Mkdir(tree, 0o755); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(tree)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	return unpack(t.Context(), io.NopCloser(bytes.NewReader(archive)), root)
}

func TestUnpack(t *testing.T) {
	dir := t.TempDir()
	sum, err := unpackInto(t, dir, agentArchive(t, "5.282.3"))
	if err != nil || sum.files != 5 {
		t.Fatalf("unpacked %+v, %v", sum, err)
	}
	tree := filepath.Join(dir, "tree")
	for name, mode := range map[string]fs.FileMode{"bin/Agent.Listener": 0o755, "license.html": 0o644, "run.sh": 0o755, "externals/node20_1": fs.ModeDir | 0o755} {
		if info, err := os.Stat(filepath.Join(tree, name)); err != nil || info.Mode() != mode {
			t.Errorf("%s is %v, %v; want mode %v", name, info, err, mode)
		}
	}
	if b, err := os.ReadFile(filepath.Join(tree, "externals/node20_1/bin/npm")); string(b) != "npm" {
		t.Errorf("the link reads %q, %v", b, err)
	}
}

func TestAFileLargerThanWhatIsInflatedAhead(t *testing.T) {
	content := strings.Repeat("0123456789abcdef", (maxChunks+3)*chunkSize/16) + "the end"
	dir := t.TempDir()
	if _, err := unpackInto(t, dir, pack(t, entry{name: "big", content: content}, entry{name: "after", content: "x"})); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "tree/big")); string(b) != content {
		t.Errorf("%d bytes of %d, %v", len(b), len(content), err)
	}
}

// TestNothingLeavesTheFolder: the ways out of a folder that archives are known
// to try.
func TestNothingLeavesTheFolder(t *testing.T) {
	for name, entries := range map[string][]entry{
		"a path upwards":              {{name: "../evil", content: "x"}},
		"upwards in its middle":       {{name: "bin/../../evil", content: "x"}},
		"an absolute path":            {{name: "/evil", content: "x"}},
		"a link upwards":              {{name: "bin/l", link: "../../evil"}},
		"an absolute link":            {{name: "l", link: "/etc"}},
		"a hard link upwards":         {{name: "l", link: "../evil", kind: tar.TypeLink}},
		"a link that another deepens": {{name: "d", link: "."}, {name: "e", link: "d/../outside"}},
		"a hard link through a link":  {{name: "d", link: "."}, {name: "e", link: "d/.."}, {name: "f", link: "e/outside", kind: tar.TypeLink}},
		"a link below a link":         {{name: "d", link: "."}, {name: "e", link: "d/.."}, {name: "e/evil", link: "x"}},
		"a device":                    {{name: "dev", kind: tar.TypeChar}},
		"a pipe":                      {{name: "pipe", kind: tar.TypeFifo}},
		"the folder itself as a file": {{name: ".", content: "x"}},
		"one name twice":              {{name: "a", content: "x"}, {name: "a", content: "y"}},
		"a file where a folder is":    {{name: "a/b", content: "x"}, {name: "a", content: "y"}},
		"a folder where a file is":    {{name: "a", content: "x"}, {name: "a/b", content: "y"}},
		"a link in place of a file":   {{name: "a", content: "x"}, {name: "a", link: "b"}},
		"a hard link to what is not":  {{name: "a", link: "b", kind: tar.TypeLink}},
		"a name that is empty":        {{name: "", content: "x"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "outside"), []byte("mine"), 0o600); err != nil {
				t.Fatal(err)
			}
			if sum, err := unpackInto(t, dir, pack(t, entries...)); err == nil {
				t.Errorf("unpacked %+v", sum)
			}
			onlyOurs(t, dir)
		})
	}
}

// onlyOurs: beside the tree there is what the test put there, unchanged.
func onlyOurs(t testing.TB, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("the folder holds %v, %v", entries, err)
	}
	if b, _ := os.ReadFile(filepath.Join(dir, "outside")); string(b) != "mine" {
		t.Errorf("the file outside reads %q", b)
	}
}

func TestABrokenArchive(t *testing.T) {
	whole := agentArchive(t, "5.282.3")
	flipped := bytes.Clone(whole)
	flipped[len(flipped)/2] ^= 0xff
	for name, archive := range map[string][]byte{
		"cut": whole[:len(whole)-20], "empty": nil, "no gzip": []byte("<html>"), "flipped": flipped,
	} {
		if _, err := unpackInto(t, t.TempDir(), archive); err == nil {
			t.Errorf("an archive that is %s was unpacked", name)
		}
	}
}

// FuzzUnpack: whatever an archive holds, nothing is written outside, and no link
// inside leads there.
func FuzzUnpack(f *testing.F) {
	f.Add("bin/Agent.Listener", "x", "bin/l", "Agent.Listener", "e", "bin/..", byte(tar.TypeSymlink), byte(tar.TypeLink))
	f.Add("a", "x", "d", ".", "e", "d/../outside", byte(tar.TypeSymlink), byte(tar.TypeSymlink))
	f.Add("../evil", "x", "..", "../outside", "/", "/", byte(tar.TypeLink), byte(tar.TypeReg))
	f.Fuzz(func(t *testing.T, file, content, link1, to1, link2, to2 string, kind1, kind2 byte) {
		for _, s := range []string{file, link1, to1, link2, to2} {
			if strings.ContainsRune(s, 0) {
				t.Skip("a header cannot hold it")
			}
		}
		size := content
		if kind2 != tar.TypeReg {
			size = ""
		}
		var b bytes.Buffer
		if !write(&b, entry{name: file, content: content, kind: tar.TypeReg}, entry{name: link1, link: to1, kind: kind1}, entry{name: link2, link: to2, content: size, kind: kind2}) {
			t.Skip("no such archive")
		}
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "outside"), []byte("mine"), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := unpackInto(t, dir, b.Bytes())
		onlyOurs(t, dir)
		if err == nil {
			noLinkLeaves(t, filepath.Join(dir, "tree"))
		}
	})
}

// noLinkLeaves follows every link below the tree.
func noLinkLeaves(t *testing.T, tree string) {
	root, err := filepath.EvalSymlinks(tree)
	if err != nil {
		t.Fatal(err)
	}
	_ = filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.Type()&fs.ModeSymlink == 0 {
			return err
		}
		end, err := filepath.EvalSymlinks(name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && end != root && !strings.HasPrefix(end, root+"/") {
			t.Errorf("%s leads to %s", name, end)
		}
		return nil
	})
}
