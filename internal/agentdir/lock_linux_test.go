package agentdir

import (
	"os"
	"testing"
)

func TestLockHolder(t *testing.T) {
	f := Dir{Root: t.TempDir()}
	if f.IsLocked() {
		t.Error("a folder that nobody has locked is locked")
	}
	release, err := f.Lock()
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	if !f.IsLocked() {
		t.Error("a folder that was locked is not")
	}
	if pid, beside := lockHolder(f.Root); pid != os.Getpid() || !beside {
		t.Errorf("it is locked by process %d (beside: %v), want this one, %d", pid, beside, os.Getpid())
	}
	if pid, beside := lockHolder(t.TempDir()); pid != 0 || beside {
		t.Errorf("a lock that is not seen here is process %d's (beside: %v)", pid, beside)
	}
}

func TestFlockHolder(t *testing.T) {
	const locks = `1: POSIX  ADVISORY  WRITE 7 fe:00:1234 0 EOF
2: FLOCK  ADVISORY  READ  8 fe:00:1234 0 EOF
2: -> FLOCK  ADVISORY  WRITE 9 fe:00:1234 0 EOF
3: FLOCK  ADVISORY  WRITE 10 fe:00:11234 0 EOF
4: FLOCK  ADVISORY  WRITE 11 00:2a:1234 0 EOF
`
	for inode, want := range map[uint64]int{1234: 11, 11234: 10, 234: 0} {
		if got := flockHolder([]byte(locks), inode); got != want {
			t.Errorf("inode %d is locked by %d, want %d", inode, got, want)
		}
	}
}
