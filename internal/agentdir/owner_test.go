package agentdir

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestOwnerRecord(t *testing.T) {
	f := Dir{Root: t.TempDir()}
	if _, found := f.Owner(); found || f.MayHaveLeftAgent() || f.RemoveOwner() != nil {
		t.Error("an empty folder has a record")
	}
	want := OwnerRecord{AgentName: "a-1", PoolID: 9, PoolName: "Default", ServerURL: "https://dev.azure.com/o", Instance: "i", Key: "a-random-text", Home: "host:/azp"}
	if err := f.WriteOwner(want); err != nil {
		t.Fatal(err)
	}
	got, found := f.Owner()
	if !found || got != want || !f.MayHaveLeftAgent() {
		t.Fatalf("got %+v, %v, want %+v", got, found, want)
	}
	if info, err := os.Stat(filepath.Join(f.Root, ownerFile)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the record: %v, %v", info.Mode(), err)
	}

	shown := func() map[string]string {
		return map[string]string{TagInstance: "i", TagOwner: OwnerTag(want.Key), TagHost: "another:/azp"}
	}
	if !got.Proves("A-1", shown()) {
		t.Error("the record does not prove its own agent")
	}
	for name, change := range map[string]func(map[string]string, *OwnerRecord){
		"another instance":                  func(tags map[string]string, _ *OwnerRecord) { tags[TagInstance] = "j" },
		"another owner":                     func(tags map[string]string, _ *OwnerRecord) { tags[TagOwner] = OwnerTag("k") },
		"an agent without the tag":          func(tags map[string]string, _ *OwnerRecord) { delete(tags, TagOwner) },
		"another name":                      func(_ map[string]string, o *OwnerRecord) { o.AgentName = "a-2" },
		"a record with the hash as its key": func(_ map[string]string, o *OwnerRecord) { o.Key = OwnerTag(want.Key) },
		"a record without a key":            func(tags map[string]string, o *OwnerRecord) { o.Key, tags[TagOwner] = "", OwnerTag("") },
		"a record without an instance":      func(tags map[string]string, o *OwnerRecord) { o.Instance = ""; delete(tags, TagInstance) },
	} {
		tags, record := shown(), want
		if change(tags, &record); record.Proves("a-1", tags) {
			t.Errorf("%s: proven", name)
		}
	}

	if err := f.RemoveOwner(); err != nil {
		t.Fatal(err)
	}
	if _, found := f.Owner(); found {
		t.Error("the record is still there")
	}
	want.HandedOver = true
	if err := f.WriteOwner(want); err != nil || f.MayHaveLeftAgent() {
		t.Errorf("an agent that was handed over counts as left: %v", err)
	}
}

// TestForgedOwnerRecord: files other than a valid record count as none.
func TestForgedOwnerRecord(t *testing.T) {
	valid := `{"agentName":"a","poolId":1}`
	for name, plant := range map[string]func(path string) error{
		"a pipe":              func(path string) error { return syscall.Mkfifo(path, 0o666) },
		"a link to /dev/zero": func(path string) error { return os.Symlink("/dev/zero", path) },
		"a link to a record":  func(path string) error { return linkTo(path, valid) },
		"a directory":         func(path string) error { return os.Mkdir(path, 0o777) },
		"a file without blocks": func(path string) error {
			if err := os.WriteFile(path, nil, 0o666); err != nil {
				return err
			}
			return os.Truncate(path, 1<<40)
		},
		"nothing": func(path string) error { return os.WriteFile(path, nil, 0o666) },
		"no JSON": func(path string) error { return os.WriteFile(path, []byte("{"), 0o666) },
		"no pool": func(path string) error { return os.WriteFile(path, []byte(`{"agentName":"a"}`), 0o666) },
		"more than the limit": func(path string) error {
			return os.WriteFile(path, []byte(valid+strings.Repeat(" ", maxOwnerRecord)), 0o666)
		},
	} {
		f := Dir{Root: t.TempDir()}
		if err := plant(filepath.Join(f.Root, ownerFile)); err != nil {
			t.Fatal(err)
		}
		if o, found := f.Owner(); found {
			t.Errorf("%s: %+v", name, o)
		}
		if err := f.WriteOwner(OwnerRecord{AgentName: "a", PoolID: 1}); err != nil {
			t.Errorf("%s: is in the way: %v", name, err)
		}
	}
	f := Dir{Root: t.TempDir()}
	if err := os.WriteFile(filepath.Join(f.Root, ownerFile), []byte(valid), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, found := f.Owner(); !found {
		t.Error("the same content in a regular file is no record: the cases above show nothing")
	}
}

func linkTo(path, content string) error {
	target := path + ".target"
	if err := os.WriteFile(target, []byte(content), 0o666); err != nil {
		return err
	}
	return os.Symlink(target, path)
}
