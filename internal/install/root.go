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
	Jobs JobsUser
	// As does something with the rights on files of the user that the agent runs
	// as: what is made is that user's, and where it can plant links, nobody else is
	// led astray. Nil is for this process's own.
	As       func(func() error) error
	Survivor bool           // an azptend was killed in the root, and its agent may work on
	Say      func(Progress) // called often; nil for nobody
}

// RootDone is what became of a root.
type RootDone struct {
	Decision Decision
	Method   Method // of bin and externals; where they are of several, the closest
	Damage   error  // why the file that says what the root was made from cannot be read; nil if it can, or is not there
	Files    int
	Bytes    int64
	Copied   int64 // of the bytes, those that took room of their own
	Took     time.Duration
}

// Linked says that the root shares files with the installation.
func (d RootDone) Linked() bool { return d.Method == HardLink }

// RootError says that a root cannot be made from an installation.
type RootError struct {
	Root, From string
	Cause      error
}

func (e *RootError) Error() string {
	return fmt.Sprintf("cannot make the agent's root %s from %s: %v", e.Root, e.From, e.Cause)
}
func (e *RootError) Unwrap() error { return e.Cause }

// Hint says what to do about it.
func (e *RootError) Hint() string {
	if errors.Is(e.Cause, errNoListener) {
		return "AZP_AGENT_DIR (--agent-dir) names the folder of the agent's package: is it unpacked there?"
	}
	return "AZP_AGENT_ROOT (--agent-root) names a folder with room for an agent, writable for the agent's user, who must be able to read AZP_AGENT_DIR (--agent-dir)"
}

var errNoListener = fmt.Errorf("%s is not there", listener)

// rootMarkName is the file that says what a root was made from.
const rootMarkName = ".azptend-root"

// rootMark is what it holds.
type rootMark struct {
	From   string `json:"from"`
	Source string `json:"source"` // see sourceOf
	Method Method `json:"method"`
}

// MakeRoot sees to it that the root holds an agent of the installation's. When it
// fails, or is killed, the root holds what it held before, or no listener: then the
// next one finishes it. One at a time is the caller's affair. The error is a
// *RootError.
func MakeRoot(ctx context.Context, o RootOptions) (RootDone, error) {
	if o.As == nil {
		o.As = func(f func() error) error { return f() }
	}
	if o.Say == nil {
		o.Say = func(Progress) {}
	}
	done, err := makeRoot(ctx, o)
	if err != nil {
		return RootDone{}, &RootError{o.Dir, o.From, err}
	}
	return done, nil
}

func makeRoot(ctx context.Context, o RootOptions) (RootDone, error) {
	begun := time.Now()
	source, err := sourceOf(o.From)
	if err != nil {
		return RootDone{}, err
	}
	found := rootFound{survivor: o.Survivor}
	_ = o.As(func() error { found.agent = IsThere(o.Dir); found.mark, found.damage = readRootMark(o.Dir); return nil })
	if d := decide(source, found); d != Make {
		done := RootDone{Decision: d, Damage: found.damage}
		if found.mark != nil {
			done.Method = found.mark.Method
		}
		if d == Keep { // one that was killed at its very end has not tidied up
			return done, o.As(func() error { return safefile.RemoveAll(filepath.Join(o.Dir, stagingName)) })
		}
		return done, nil
	}
	if err := makeRootFolder(o); err != nil {
		return RootDone{}, err
	}
	var s staging
	if err := o.As(func() (err error) { s, err = openStaging(o.Dir, ""); return err }); err != nil {
		return RootDone{}, err
	}
	defer s.close()
	m := &rootMaker{o: o, ways: ways{reflink: true, link: true}}
	if err := m.fill(ctx, filepath.Join(s.dir, treeName)); err != nil {
		return RootDone{}, errors.Join(err, o.As(s.remove))
	}
	m.done.Decision, m.done.Method, m.done.Damage = Make, m.method(), found.damage
	written := marks{rootMarkName: rootMark{o.From, source, m.done.Method}}
	if is, there := Installed(o.From); there {
		written[markName] = is
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

// readRootMark reads what a root was made from. Nil and no error is a root that
// azptend has not made. The error is a mark that nobody can have written but azptend,
// and that azptend cannot have left like this.
func readRootMark(dir string) (*rootMark, error) {
	b, err := safefile.Dir(dir).ReadFile(rootMarkName, longestMark)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var m rootMark
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", filepath.Join(dir, rootMarkName), err)
	}
	return &m, nil
}

// sourceOf tells one content of an installation's folder from another: by the
// package that is known to be in it, else by names, sizes and times in bin.
func sourceOf(from string) (string, error) {
	if !IsThere(from) {
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
