//go:build unix

package install

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/azptend/azptend/internal/safefile"
)

// RootOptions say how to make one root from an installation.
type RootOptions struct {
	From string // the installation; it may be read-only
	Dir  string // the root; created if it does not exist
	Jobs JobUser
	// As calls a function with the file system rights of the agent's user. The files belong
	// to that user, and a link that it plants leads no other user astray. Nil: this
	// process's own rights.
	As             func(func() error) error
	PreviousKilled bool           // an azptend was killed in the root, and its agent may still run
	OnProgress     func(Progress) // called often; may be nil
}

// RootResult says what was done about a root.
type RootResult struct {
	Decision Decision
	Method   Method // of bin and externals; of several, the one that shares the most
	Damage   error  // why the root's record cannot be read; nil if it can be, or does not exist
	Files    int
	Bytes    int64
	Copied   int64 // the bytes that take space of their own
	Took     time.Duration
}

// rootRecord says what a root was made from.
type rootRecord struct {
	From   string `json:"from"`
	Source string `json:"source"` // see sourceOf
	Method Method `json:"method"`
}

// MakeRoot makes the root from the installation, if it is not made from it already. If it
// fails or is killed, the root holds what it held before, or no listener: then the next call
// finishes it. The caller makes sure that there is one call at a time. The error is a
// *RootError.
func MakeRoot(ctx context.Context, o RootOptions) (RootResult, error) {
	if o.As == nil {
		o.As = func(f func() error) error { return f() }
	}
	if o.OnProgress == nil {
		o.OnProgress = func(Progress) {}
	}
	done, err := makeRoot(ctx, o)
	if err != nil {
		return RootResult{}, &RootError{o.Dir, o.From, err}
	}
	return done, nil
}

func makeRoot(ctx context.Context, o RootOptions) (RootResult, error) {
	begun := time.Now()
	source, err := sourceOf(o.From)
	if err != nil {
		return RootResult{}, err
	}
	found := rootState{previousKilled: o.PreviousKilled}
	_ = o.As(func() error {
		found.hasAgent = HasAgent(o.Dir)
		found.record, found.damage = readRootRecord(o.Dir)
		return nil
	})
	if d := decideRoot(source, found); d != Create {
		done := RootResult{Decision: d, Damage: found.damage}
		if found.record != nil {
			done.Method = found.record.Method
		}
		if d == Keep { // one that was killed at its very end has left files
			return done, o.As(func() error { return safefile.RemoveAll(filepath.Join(o.Dir, stagingName)) })
		}
		return done, nil
	}
	if err := makeRootFolder(o); err != nil {
		return RootResult{}, err
	}
	var s staging
	if err := o.As(func() (err error) { s, err = openStaging(o.Dir, ""); return err }); err != nil {
		return RootResult{}, err
	}
	defer s.agentDir.Close()
	m := &rootMaker{options: o, methods: copyMethods{reflink: true, link: true}}
	if err := m.copyInstallation(ctx, filepath.Join(s.dir, treeName)); err != nil {
		return RootResult{}, errors.Join(err, o.As(func() error { return safefile.RemoveAll(s.dir) }))
	}
	m.done.Decision, m.done.Method, m.done.Damage = Create, m.method(), found.damage
	written := records{rootRecordName: rootRecord{o.From, source, m.done.Method}}
	if is, there := Installed(o.From); there {
		written[packageRecordName] = is
	}
	err = o.As(func() error {
		if err := s.place(written); err != nil {
			return err
		}
		return safefile.RemoveAll(s.dir)
	})
	m.done.Took = time.Since(begun)
	return m.done, err
}

// makeRootFolder creates the root as its user, or if that user may not, for its user.
func makeRootFolder(o RootOptions) error {
	err := o.As(func() error { return os.MkdirAll(o.Dir, 0o755) })
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	if _, statErr := os.Lstat(o.Dir); statErr == nil {
		return err
	}
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return err
	}
	return os.Lchown(o.Dir, o.Jobs.UID, o.Jobs.GID)
}

// readRootRecord reads a root's record. Without one, azptend has not made the root. The error
// says that something else is in its place.
func readRootRecord(dir string) (*rootRecord, error) {
	b, err := safefile.Dir(dir).ReadFile(rootRecordName, maxRecord)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var m rootRecord
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", filepath.Join(dir, rootRecordName), err)
	}
	return &m, nil
}

// sourceOf identifies the content of an installation: by the package that its record names,
// else by the names, sizes and times of the files in bin.
func sourceOf(from string) (string, error) {
	if !HasAgent(from) {
		return "", errNoListener
	}
	if m, is := Installed(from); is {
		return m.SHA256, nil
	}
	entries, err := os.ReadDir(filepath.Join(from, "bin"))
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			return "", err
		}
		fmt.Fprintln(sum, entry.Name(), info.Size(), info.ModTime().UTC().Format(time.RFC3339Nano))
	}
	return fmt.Sprintf("%x", sum.Sum(nil)), nil
}
