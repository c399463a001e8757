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

// RootOptions are the making of one root from an installation.
type RootOptions struct {
	From string // the installation; it may be read-only
	Dir  string // the root; made if it is not there
	Jobs JobUser
	// As does something with the rights on files of the user that the agent runs
	// as: what is made is that user's, and where it can plant links, nobody else is
	// led astray. Nil is for this process's own.
	As             func(func() error) error
	PreviousKilled bool           // an azptend was killed in the root, and its agent may work on
	OnProgress     func(Progress) // called often; nil for nobody
}

// RootResult is what became of a root.
type RootResult struct {
	Decision Decision
	Method   Method // of bin and externals; where they are of several, the closest
	Damage   error  // why the file that says what the root was made from cannot be read; nil if it can, or is not there
	Files    int
	Bytes    int64
	Copied   int64 // of the bytes, those that took room of their own
	Took     time.Duration
}

// Linked says that the root shares files with the installation.
func (d RootResult) Linked() bool { return d.Method == HardLink }

// rootRecord is what the file rootRecordName holds.
type rootRecord struct {
	From   string `json:"from"`
	Source string `json:"source"` // see sourceOf
	Method Method `json:"method"`
}

// MakeRoot sees to it that the root holds an agent of the installation's. When it
// fails, or is killed, the root holds what it held before, or no listener: then the
// next one finishes it. One at a time is the caller's affair. The error is a
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
		if d == Keep { // one that was killed at its very end has not tidied up
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
	defer s.close()
	m := &rootMaker{options: o, methods: copyMethods{reflink: true, link: true}}
	if err := m.copyInstallation(ctx, filepath.Join(s.dir, treeName)); err != nil {
		return RootResult{}, errors.Join(err, o.As(s.remove))
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
		return s.remove()
	})
	m.done.Took = time.Since(begun)
	return m.done, err
}

// makeRootFolder makes the root; where its user may not, in its name.
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

// readRootRecord reads what a root was made from. Nil and no error is a root that
// azptend has not made. The error is a mark that nobody can have written but azptend,
// and that azptend cannot have left like this.
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

// sourceOf tells one content of an installation's folder from another: by the
// package that is known to be in it, else by names, sizes and times in bin.
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
