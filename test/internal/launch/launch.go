// Package launch is shared by the programs that measure azptend: it makes the command that runs
// azptend with an emulator, and writes a part of a page.
package launch

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/azptend/azptend/internal/emulator"
)

// Place is where an azptend runs: its program, its agent's directory, which is laid out already
// and is also its HOME, and its PATH.
type Place struct{ Binary, Dir, Path string }

// Command is `azptend run` in its place, with the emulator at a URL as server and identity
// endpoint. more has further variables ("NAME=value").
func Command(p Place, e *emulator.Emulator, url string, more []string, args ...string) *exec.Cmd {
	c := exec.Command(p.Binary, append([]string{"run"}, args...)...)
	c.Env = []string{"PATH=" + p.Path, "HOME=" + p.Dir, "AZP_AGENT_DIR=" + p.Dir, "AZP_PLATFORM=none", "AZP_LOG_FORMAT=json"}
	for _, v := range e.Environment(url) {
		c.Env = append(c.Env, v.Name+"="+v.Value)
	}
	c.Env = append(c.Env, more...) // later values override earlier ones
	return c
}

// Path is the PATH of this process.
func Path() string {
	for _, pair := range os.Environ() {
		if path, found := strings.CutPrefix(pair, "PATH="); found {
			return path
		}
	}
	return ""
}

// FillIn replaces the text between a page's markers of this name. Without a page it prints the
// text.
func FillIn(page, name, text string) error {
	if page == "" {
		_, err := fmt.Print(text)
		return err
	}
	b, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	begin, end := "<!-- "+name+": begin -->\n", "<!-- "+name+": end -->"
	before, rest, found := strings.Cut(string(b), begin)
	_, after, ended := strings.Cut(rest, end)
	if !found || !ended {
		return fmt.Errorf("%s has no part %q", page, name)
	}
	return os.WriteFile(page, []byte(before+begin+text+end+after), 0o644)
}

// NewCertificate makes a certificate and its key, in the format of one file.
func NewCertificate() ([]byte, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})...), nil
}

// CopyTree copies directories, and makes hard links of files, which is as good as a copy and
// faster.
func CopyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(from, path)
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(to, name), 0o755)
		}
		return os.Link(path, filepath.Join(to, name))
	})
}

// Gate makes a FIFO and opens it, so that a written line stays in it until it is read.
func Gate(path string) (*os.File, error) {
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		return nil, err
	}
	return os.OpenFile(path, os.O_RDWR, 0)
}
