package agentdir

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// configured writes files like config.sh: with a byte order mark, and in another order.
func configured(t *testing.T, f Dir, names ...string) {
	t.Helper()
	for name, content := range map[string]string{
		settingsFile:    `{"agentId": 4711, "agentName": "by-hand", "poolId": 9, "serverUrl": "https://tfs.example.com/c"}`,
		credentialsFile: `{"scheme": "OAuth", "data": {"clientId": "c"}}`,
		keyFile:         `{"ContainerName": "", "UseCng": false, "d": "AAAA"}`,
	} {
		for _, wanted := range names {
			if name == wanted {
				if err := os.WriteFile(filepath.Join(f.Root, name), []byte("\xef\xbb\xbf"+content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

// TestForeignFiles: files of this and of older versions of azptend are not foreign.
func TestForeignFiles(t *testing.T) {
	key, err := GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	own := Registration{AgentID: 7, AgentName: "own", PoolID: 1, PoolName: "Default", ServerURL: "https://dev.azure.com/o?a=1&b=2", WorkFolder: "_work", ClientID: "c"}
	record := OwnerRecord{AgentName: "Own", PoolID: 1, Instance: "i", Key: "k"}
	write := func(t *testing.T, errs ...error) {
		t.Helper()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name    string
		files   func(*testing.T, Dir)
		foreign bool
	}{
		{"nothing", func(*testing.T, Dir) {}, false},
		{"config.sh's", func(t *testing.T, f Dir) { configured(t, f, agentFiles...) }, true},
		{"config.sh's settings alone", func(t *testing.T, f Dir) { configured(t, f, settingsFile) }, true},
		{"config.sh's credentials alone", func(t *testing.T, f Dir) { configured(t, f, credentialsFile) }, true},
		{"config.sh's key alone", func(t *testing.T, f Dir) { configured(t, f, keyFile) }, true},
		{"ours", func(t *testing.T, f Dir) { write(t, f.WriteFiles(own, key)) }, false},
		{"ours, handed over", func(t *testing.T, f Dir) {
			write(t, f.WriteFiles(own, key))
			g, err := f.ReadHandoff()
			write(t, err, f.WriteHandoff(g, "127.0.0.1:1"))
		}, false},
		{"ours, and the agent has written its settings anew", func(t *testing.T, f Dir) {
			write(t, f.WriteFiles(own, key))
			configured(t, f, settingsFile)
		}, false},
		{"ours, but for a key of another's", func(t *testing.T, f Dir) {
			write(t, f.WriteFiles(own, key))
			configured(t, f, keyFile)
		}, true},
		{"our record, and nothing else yet", func(t *testing.T, f Dir) { write(t, f.WriteOwner(record)) }, false},
		{"our record, and our files in another form", func(t *testing.T, f Dir) {
			write(t, f.WriteOwner(record), f.WriteFiles(own, key))
			configured(t, f, credentialsFile)
		}, false},
		{"our record, and settings of another agent", func(t *testing.T, f Dir) {
			configured(t, f, agentFiles...)
			write(t, f.WriteOwner(record))
		}, true},
		{"killed by its power, before records were kept", func(t *testing.T, f Dir) {
			configured(t, f, settingsFile)
			write(t, os.Mkdir(filepath.Join(f.Root, ".azptend-perf-1"), 0o700))
		}, false},
		{"a pipe", func(t *testing.T, f Dir) { write(t, syscall.Mkfifo(filepath.Join(f.Root, credentialsFile), 0o600)) }, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := Dir{Root: t.TempDir()}
			tt.files(t, f)
			err := f.CheckForeignFiles()
			var unfit *DirError
			if tt.foreign != errors.As(err, &unfit) {
				t.Fatalf("got %v", err)
			}
			before, _ := os.ReadDir(f.Root)
			dir, err := f.MoveForeignFiles(time.Date(2026, 11, 30, 8, 15, 0, 0, time.UTC))
			if err != nil || (dir != "") != tt.foreign {
				t.Fatalf("set aside in %q: %v", dir, err)
			}
			if !tt.foreign {
				if after, _ := os.ReadDir(f.Root); len(after) != len(before) {
					t.Errorf("changed what is ours: %v", after)
				}
				return
			}
			if !strings.HasPrefix(dir, f.Root+"/.azptend-replaced-20261130T081500Z-") {
				t.Errorf("set aside in %s", dir)
			}
			for _, e := range before {
				name := e.Name()
				if name == ownerFile {
					continue
				}
				if _, err := os.Lstat(filepath.Join(dir, name)); err != nil {
					t.Errorf("no copy of %s: %v", name, err)
				}
				if _, err := os.Lstat(filepath.Join(f.Root, name)); err == nil {
					t.Errorf("%s is still there", name)
				}
			}
			if err := f.CheckForeignFiles(); err != nil {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}

func TestForeignAgentError(t *testing.T) {
	f := Dir{Root: t.TempDir()}
	configured(t, f, agentFiles...)
	err := f.CheckForeignFiles()
	const want = `the agent "by-hand" (id 4711, pool 9) of https://tfs.example.com/c`
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want it to name %s", err, want)
	}
	odd := `{"agentId": 1, "agentName": "x", "poolId": 1, "serverUrl": "https://a/\u001b[2J"}`
	if err := os.WriteFile(filepath.Join(f.Root, ".agent"), []byte(odd), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := f.CheckForeignFiles().Error(); strings.ContainsRune(got, '\x1b') || !strings.Contains(got, `"https://a/\x1b[2J"`) {
		t.Errorf("an escape sequence reaches the terminal: %q", got)
	}
}
