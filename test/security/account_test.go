//go:build linux

package security

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// account is the user that azptend runs as, and the user of its jobs.
type account struct {
	name string
	root bool   // only root can start it
	uid  int    // azptend's; 0: this process's
	caps []int  // the capabilities that azptend keeps; nil: all
	jobs string // AZP_RUN_AS
}

// skipIfImpossible skips the test if this process cannot start the account.
func (a account) skipIfImpossible(t *testing.T) {
	t.Helper()
	if a.root && os.Getuid() != 0 {
		t.Skip("only root can start it")
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	check(t, unix.Capget(&header, &sets[0]))
	if a.root && a.caps == nil && sets[0].Effective&(1<<unix.CAP_SYS_PTRACE) == 0 {
		t.Skip("this root has no CAP_SYS_PTRACE")
	}
}

// containerCaps are the capabilities that a container engine gives to root. CAP_SYS_PTRACE
// is not among them.
func containerCaps() []int {
	return []int{
		unix.CAP_CHOWN, unix.CAP_DAC_OVERRIDE, unix.CAP_FSETID, unix.CAP_FOWNER, unix.CAP_MKNOD, unix.CAP_NET_RAW, unix.CAP_SETGID,
		unix.CAP_SETUID, unix.CAP_SETFCAP, unix.CAP_SETPCAP, unix.CAP_NET_BIND_SERVICE, unix.CAP_SYS_CHROOT, unix.CAP_KILL, unix.CAP_AUDIT_WRITE,
	}
}

// chownAgent gives the agent's directories to the user that runs it.
func (h *harness) chownAgent(a account) {
	h.t.Helper()
	uid := a.uid
	if a.jobs != "" {
		_, err := fmt.Sscanf(a.jobs, "%d:", &uid)
		check(h.t, err)
	}
	if uid == 0 {
		return
	}
	for _, dir := range []string{"agent", "home", "flags"} {
		check(h.t, os.Chown(filepath.Join(h.dir, dir), uid, uid))
	}
}

func dropAllBut(caps []int) error {
	if caps == nil {
		return nil
	}
	for c := 0; c <= unix.CAP_LAST_CAP; c++ {
		if slices.Contains(caps, c) {
			continue
		}
		// An older kernel has fewer capabilities.
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(c), 0, 0, 0); err != nil && !errors.Is(err, unix.EINVAL) {
			return err
		}
	}
	return nil
}

// accounts are the columns of the table in docs/security.md.
func accounts() []account {
	plain := account{name: "the same, a plain user", uid: 64001}
	if os.Getuid() != 0 {
		plain.uid = 0
	}
	return []account{
		plain,
		{name: "the same, a container's root", root: true, caps: containerCaps()},
		{name: "the same, root with CAP_SYS_PTRACE", root: true},
		{name: "another (`--run-as`)", root: true, caps: containerCaps(), jobs: "64002:64002"},
	}
}
