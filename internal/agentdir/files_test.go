package agentdir_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/azptend/azptend/internal/agentdir"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// theKey is generated once, because it takes long.
var theKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := agentdir.GenerateKey()
	if err != nil {
		panic(err)
	}
	return key
})

var registration = agentdir.Registration{
	AgentID: 42, AgentName: "my-agent", PoolID: 9, PoolName: "Default",
	ServerURL: "https://dev.azure.com/org/", WorkFolder: "_work",
	ClientID:         "c0ffee00-0000-0000-0000-000000000000",
	AuthorizationURL: "https://vssps.dev.azure.com/x/_apis/oauth2/token/y?a=1&b=<2>",
	OAuthEndpointURL: "https://vssps.dev.azure.com/x/_apis/oauth2/token/y",
	Notifications:    "127.0.0.1:4711",
}

// TestWriteFiles compares the files with agent-protocol.md 3.1 and 3.2.
func TestWriteFiles(t *testing.T) {
	f := agentdir.Dir{Root: t.TempDir()}
	if err := f.WriteFiles(registration, theKey()); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		".agent": `{
  "acceptTeeEula": true,
  "agentId": 42,
  "agentName": "my-agent",
  "notificationSocketAddress": "127.0.0.1:4711",
  "poolId": 9,
  "poolName": "Default",
  "serverUrl": "https://dev.azure.com/org/",
  "workFolder": "_work"
}
`,
		".credentials": `{
  "data": {
    "authorizationUrl": "https://vssps.dev.azure.com/x/_apis/oauth2/token/y?a=1&b=<2>",
    "clientId": "c0ffee00-0000-0000-0000-000000000000",
    "oauthEndpointUrl": "https://vssps.dev.azure.com/x/_apis/oauth2/token/y"
  },
  "scheme": "OAuth"
}
`,
	} {
		if d := cmp.Diff(want, strings.NewReplacer(`\u0026`, "&", `\u003c`, "<", `\u003e`, ">").Replace(string(read(t, f, name)))); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
	entries, err := os.ReadDir(f.Root)
	if err != nil || len(entries) != 3 {
		t.Errorf("%d files, %v: want three and no temporary one", len(entries), err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s has mode %v, %v", e.Name(), info.Mode(), err)
		}
	}

	// Without a notification address its line is missing. Existing files are replaced.
	quiet := registration
	quiet.Notifications, quiet.AgentID = "", 43
	if err := f.WriteFiles(quiet, theKey()); err != nil {
		t.Fatal(err)
	}
	if b := read(t, f, ".agent"); bytes.Contains(b, []byte("notification")) || !bytes.Contains(b, []byte(`"agentId": 43`)) {
		t.Errorf("second .agent is %s", b)
	}
	if err := errors.Join(f.RemoveFiles(), f.RemoveFiles()); err != nil {
		t.Errorf("remove, twice: %v", err)
	}
	if entries, _ := os.ReadDir(f.Root); len(entries) != 0 {
		t.Errorf("left: %v", entries)
	}
}

func read(t *testing.T, f agentdir.Dir, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(f.Root, name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestKeyFile reads the key from the file like .NET's RSAParameters, which requires the
// lengths of all members (agent-protocol.md 3.3). The key must match the public key for the
// server.
func TestKeyFile(t *testing.T) {
	for range 8 { // some keys have leading zeros
		key, err := agentdir.GenerateKey()
		if err != nil {
			t.Fatal(err)
		}
		f := agentdir.Dir{Root: t.TempDir()}
		if err := f.WriteFiles(registration, key); err != nil {
			t.Fatal(err)
		}
		b := read(t, f, ".credentials_rsaparams")
		var members map[string]any
		var p struct{ D, DP, DQ, Exponent, InverseQ, Modulus, P, Q []byte }
		if err := errors.Join(json.Unmarshal(b, &members), json.Unmarshal(b, &p)); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"ContainerName", "UseCng", "d", "dp", "dq", "exponent", "inverseQ", "modulus", "p", "q"} {
			if _, is := members[name]; !is {
				t.Errorf("member %s is not there, in this case", name)
			}
		}
		for name, width := range map[string]int{"d": len(p.D) - 256, "modulus": len(p.Modulus) - 256, "p": len(p.P) - 128, "q": len(p.Q) - 128,
			"dp": len(p.DP) - 128, "dq": len(p.DQ) - 128, "inverseQ": len(p.InverseQ) - 128, "exponent": len(p.Exponent) - 3} {
			if width != 0 {
				t.Errorf("%s is %d bytes too long", name, width)
			}
		}
		num := func(b []byte) *big.Int { return new(big.Int).SetBytes(b) }
		again := &rsa.PrivateKey{
			PublicKey: rsa.PublicKey{N: num(p.Modulus), E: int(num(p.Exponent).Int64())},
			D:         num(p.D), Primes: []*big.Int{num(p.P), num(p.Q)},
		}
		if err := again.Validate(); err != nil {
			t.Fatal(err)
		}
		again.Precompute()
		for name, pair := range map[string][2]*big.Int{
			"dp": {num(p.DP), again.Precomputed.Dp}, "dq": {num(p.DQ), again.Precomputed.Dq}, "inverseQ": {num(p.InverseQ), again.Precomputed.Qinv},
		} {
			if pair[0].Cmp(pair[1]) != 0 {
				t.Errorf("%s is wrong", name)
			}
		}
		digest := sha256.Sum256([]byte("a client assertion"))
		signature, err := rsa.SignPKCS1v15(rand.Reader, again, crypto.SHA256, digest[:])
		if err != nil {
			t.Fatal(err)
		}
		exponent, modulus := agentdir.PublicKey(key)
		told := &rsa.PublicKey{N: num(modulus), E: int(num(exponent).Int64())}
		if err := rsa.VerifyPKCS1v15(told, crypto.SHA256, digest[:], signature); err != nil || len(modulus) != 256 {
			t.Errorf("the server would not accept it: %v", err)
		}
	}
}

// TestFilesAreReplacedAtomically: a reader sees the old or the new file.
func TestFilesAreReplacedAtomically(t *testing.T) {
	f := agentdir.Dir{Root: t.TempDir()}
	if err := f.WriteFiles(registration, theKey()); err != nil {
		t.Fatal(err)
	}
	var reads atomic.Int64
	done, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-done:
				return
			default:
			}
			for _, name := range []string{".agent", ".credentials", ".credentials_rsaparams"} {
				b, err := os.ReadFile(filepath.Join(f.Root, name))
				if err != nil || !json.Valid(b) {
					t.Errorf("%s: %v, %q", name, err, b)
					return
				}
			}
			reads.Add(1)
		}
	}()
	for n := 0; n < 50 || reads.Load() == 0; n++ {
		if err := f.WriteFiles(registration, theKey()); err != nil {
			t.Fatal(err)
		}
		runtime.Gosched()
	}
	close(done)
	<-stopped
}

func TestDirIsNotWritable(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, root := range []string{file, filepath.Join(t.TempDir(), "none")} {
		err := agentdir.Dir{Root: root}.WriteFiles(registration, theKey())
		isUnfit(t, err, "cannot use the agent directory "+root+": cannot write .credentials_rsaparams: ", "make it writable")
	}
}

// TestJobReplacesFiles: files are written and removed whatever a job has put in their places,
// and nothing outside the directory is changed.
func TestJobReplacesFiles(t *testing.T) {
	outside := t.TempDir()
	kept := filepath.Join(outside, "kept")
	if err := os.WriteFile(kept, []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, plant := range map[string]func(path string) error{
		"a directory":        func(path string) error { return os.MkdirAll(filepath.Join(path, "x"), 0o700) },
		"a link to a file":   func(path string) error { return os.Symlink(kept, path) },
		"a link to a folder": func(path string) error { return os.Symlink(outside, path) },
		"a pipe":             func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"a closed directory": func(path string) error {
			return errors.Join(os.MkdirAll(filepath.Join(path, "x"), 0o700), os.Chmod(path, 0))
		},
		"a link to a device":  func(path string) error { return os.Symlink("/dev/zero", path) },
		"a link to nowhere":   func(path string) error { return os.Symlink("nowhere", path) },
		"a file of terabytes": func(path string) error { return errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, 1<<42)) },
	} {
		t.Run(name, func(t *testing.T) {
			f := agentdir.Dir{Root: t.TempDir()}
			for _, file := range []string{".agent", ".credentials", ".credentials_rsaparams"} {
				if err := plant(filepath.Join(f.Root, file)); err != nil {
					t.Fatal(err)
				}
			}
			if err := f.WriteFiles(registration, theKey()); err != nil {
				t.Fatal(err)
			}
			if r, found, err := f.Registration(); !found || err != nil || r.AgentID != registration.AgentID {
				t.Errorf("it reads %+v, %v, %v", r, found, err)
			}
			for _, file := range []string{".agent", ".credentials", ".credentials_rsaparams"} {
				path := filepath.Join(f.Root, file)
				if err := errors.Join(os.Remove(path), plant(path)); err != nil {
					t.Fatal(err)
				}
			}
			if err := f.RemoveFiles(); err != nil {
				t.Error(err)
			}
			if left, err := os.ReadDir(f.Root); len(left) > 0 || err != nil {
				t.Errorf("left %v, %v", left, err)
			}
			if b, err := os.ReadFile(kept); string(b) != "kept" {
				t.Errorf("outside: %q, %v", b, err)
			}
		})
	}
}

func isUnfit(t *testing.T, err error, why, hint string) {
	t.Helper()
	var unfit *agentdir.DirError
	if !errors.As(err, &unfit) || !strings.Contains(err.Error(), why) || !strings.Contains(unfit.Hint, hint) {
		t.Errorf("error is %v (%+v), want %s, hint %s", err, unfit, why, hint)
	}
}

// TestServerURL checks the rules of agent-protocol.md 2.4.
func TestServerURL(t *testing.T) {
	for _, tt := range []struct{ asked, told, want string }{
		{"https://dev.azure.com/org", "https://dev.azure.com/org/", "https://dev.azure.com/org/"},
		{"https://dev.azure.com/org", "https://DEV.azure.com/Org/", "https://DEV.azure.com/Org/"},
		{"https://dev.azure.com/org", "", "https://dev.azure.com/org"},
		{"https://dev.azure.com/org", ":", "https://dev.azure.com/org"},
		{"https://tfs.corp:8443/tfs/Default", "http://tfs-internal:8080/tfs/Default%20Collection/", "https://tfs.corp:8443/tfs/Default%20Collection/"},
		{"https://tfs.corp/tfs", "http://tfs.corp/tfs/", "https://tfs.corp/tfs/"},
		{"https://tfs.corp/tfs", "/tfs/Collection/", "https://tfs.corp/tfs/Collection/"},
	} {
		if got := agentdir.ServerURL(tt.asked, tt.told); got != tt.want {
			t.Errorf("asked %s, told %s: %s, want %s", tt.asked, tt.told, got, tt.want)
		}
	}
}

func TestOAuthEndpointURL(t *testing.T) {
	for _, tt := range []struct{ server, authorization, want string }{
		{"https://dev.azure.com/org/", "https://vssps.dev.azure.com/x/token", "https://vssps.dev.azure.com/x/token"},
		{"https://org.visualstudio.com/", "https://app.vssps.visualstudio.com/x", "https://app.vssps.visualstudio.com/x"},
		{"https://tfs.corp:8443/tfs/", "http://tfs-internal:8080/tfs/token?a=1", "https://tfs.corp:8443/tfs/token?a=1"},
		{"https://tfs.corp/tfs/", "https://TFS.corp/tfs/token", "https://TFS.corp/tfs/token"},
		{"https://notvisualstudio.com/", "https://x/token", "https://notvisualstudio.com/token"},
		{":", "https://x/token", "https://x/token"},
	} {
		if got := agentdir.OAuthEndpointURL(tt.server, tt.authorization); got != tt.want {
			t.Errorf("%s at %s: %s, want %s", tt.authorization, tt.server, got, tt.want)
		}
	}
}

// TestRemoveTemporary: the record of `azptend install` stays. Without it the next install
// would download the package again.
func TestRemoveTemporary(t *testing.T) {
	f := agentdir.Dir{Root: t.TempDir()}
	if path, err := f.MakePerfDir(); err != nil || !agentdir.IsPerfDir(path) || !f.PreviousRunKilled() {
		t.Fatalf("%q, %v", path, err)
	}
	var kept []string
	for _, name := range []string{".azptend", ".azptend-install", ".azptend-package"} {
		kept = append(kept, filepath.Join(f.Root, name))
		if err := os.WriteFile(filepath.Join(f.Root, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(f.Root, ".azptend-new-1"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.RemoveTemporary(); err != nil {
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(f.Root, ".*")); !slices.Equal(left, kept) {
		t.Errorf("left %v, want %v", left, kept)
	}
}
