//go:build linux

package proc

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestLookUpUser(t *testing.T) {
	for _, tt := range []struct {
		asked string
		want  User
	}{
		{"nobody", User{Name: "nobody", UID: 65534}},
		{"65534", User{Name: "nobody", UID: 65534}},
		{"nobody:4711", User{Name: "nobody", UID: 65534, GID: 4711}},
		{"64001:64002", User{UID: 64001, GID: 64002}},
		{"64001:root", User{UID: 64001}},
	} {
		got, err := LookUpUser(tt.asked)
		if err != nil {
			t.Errorf("%s: %v", tt.asked, err)
			continue
		}
		if got.UID != tt.want.UID || got.Name != tt.want.Name || (strings.Contains(tt.asked, ":") && (got.GID != tt.want.GID || len(got.Groups) > 0)) {
			t.Errorf("%s: %+v, want %+v", tt.asked, *got, tt.want)
		}
	}
	for asked, why := range map[string]string{
		"nobody-at-all":      `no user "nobody-at-all"`,
		"":                   `no user ""`,
		":64001":             `no user ""`,
		"-1":                 "no user",
		"4294967295:1":       "no user",
		"64001":              "its group is unknown",
		"nobody:":            `no group ""`,
		"nobody:no-group":    `no group "no-group"`,
		"nobody:4294967295":  "no group",
		"root":               "root can read azptend's memory",
		"0:64001":            "root can read azptend's memory",
		"nobody:64001:64002": "no group",
	} {
		_, err := LookUpUser(asked)
		var user *UserError
		if !errors.As(err, &user) || !strings.Contains(user.Why, why) || user.User != asked || user.Hint == "" {
			t.Errorf("%q: %v, want %q", asked, err, why)
		}
	}
}

func TestUsersEnvironment(t *testing.T) {
	env := []string{"HOME=/root", "USER=root", "PATH=/bin", "LOGNAME=root", "HOMEPAGE=x"}
	for home, u := range map[string]*User{
		"HOMEPAGE=x HOME=/home/a USER=a LOGNAME=a": {Name: "a", Home: "/home/a"},
		"HOMEPAGE=x HOME=/azp USER=b LOGNAME=b":    {Name: "b", Home: "/nonexistent"},
		"HOMEPAGE=x HOME=/azp":                     {UID: 7},
	} {
		if got := strings.Join(u.Environ(env, "/azp"), " "); got != "PATH=/bin "+home {
			t.Errorf("%+v: %s", u, got)
		}
	}
	if got := (*User)(nil).Environ(env, "/azp"); !slices.Equal(got, env) {
		t.Errorf("our own environment: %v", got)
	}
}

// A child that runs as another user has nothing of root's, and cannot get it back;
// we ourselves have not changed, and can look into it and kill it, as a root
// without CAP_SYS_PTRACE too.
var otherUserScene = withInit(func(h *host, init *Init) {
	if err := (&User{UID: 1}).CheckRunAs(); err != nil {
		h.Errorf("root may not: %v", err)
	}
	before := must(os.ReadFile("/proc/self/status"))
	u := &User{UID: 64001, GID: 64002, Groups: []int{64003}}
	s := sh(`grep -E "^(Uid|Gid|Groups|Cap|NoNewPrivs)" /proc/self/status`)
	s.User = u
	out, _, err := init.Output(h.ctx, s)
	none := "0000000000000000"
	if got := strings.Join(strings.Fields(out), " "); err != nil || got != "Uid: 64001 64001 64001 64001 Gid: 64002 64002 64002 64002 Groups: 64003 "+
		"CapInh: "+none+" CapPrm: "+none+" CapEff: "+none+" CapBnd: "+none+" CapAmb: "+none+" NoNewPrivs: 1" {
		h.Errorf("%v, %s", err, got)
	}
	changed := func(status []byte) string {
		var kept []string
		for line := range strings.Lines(string(status)) {
			for _, name := range []string{"Uid", "Gid", "Groups", "Cap", "NoNewPrivs"} {
				if strings.HasPrefix(line, name) {
					kept = append(kept, line)
				}
			}
		}
		return strings.Join(kept, "")
	}
	for range 50 { // whichever thread it was, the main one too
		must(0, u.Do(func() error { return nil }))
	}
	if after := must(os.ReadFile("/proc/self/status")); changed(after) != changed(before) {
		h.Errorf("we were\n%s\nand are\n%s", changed(before), changed(after))
	}

	// A file made in the user's name is the user's; what root alone may, it may not.
	dir := must(os.MkdirTemp("/tmp", "proc-test"))
	defer os.RemoveAll(dir)
	must(0, os.Chmod(dir, 0o700))
	file := filepath.Join(dir, "file")
	write := func() error { return os.WriteFile(file, nil, 0o600) }
	if err := u.Do(write); !errors.Is(err, fs.ErrPermission) {
		h.Errorf("wrote to root's folder: %v", err)
	}
	must(0, os.Chown(dir, 64001, 0))
	must(0, u.Do(write))
	if st := must(os.Stat(file)).Sys().(*syscall.Stat_t); st.Uid != 64001 || st.Gid != 64002 {
		h.Errorf("the file is %d:%d's", st.Uid, st.Gid)
	}

	must(0, MakeUndumpable())
	if slices.Contains(CapabilitiesToInspect(), "CAP_SYS_PTRACE") {
		h.Errorf("this root has CAP_SYS_PTRACE, and proves nothing")
	}
	l := must(net.Listen("tcp4", "127.0.0.1:0"))
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	self := filepath.Join(dir, "proc.test") // the test binary's own folder is root's
	must(0, copyFile(must(os.Executable()), self))
	must(0, os.Chmod(dir, 0o755))
	c := start(init, Spec{Path: self, Args: []string{"be", "connect", "tcp4", port}, Env: []string{quickEnd}, Stderr: os.Stderr, User: u})
	conn := must(l.Accept())
	if got, err := c.FindConnection(addr(conn.LocalAddr()), []netip.AddrPort{addr(conn.RemoteAddr())}); got != 0 || err != nil {
		h.Errorf("the user's connection: %v, %v", got, err)
	}
	if has, _, err := c.HasDescendant("proc.test"); has || err != nil {
		h.Errorf("has a descendant: %v, %v", has, err)
	}
	if sid := must(sessionOf(c.Pid())); sid != c.Pid() {
		h.Errorf("its session is %d: it has our terminal", sid)
	}
	conn.Close()
	if n := c.KillTree(h.ctx); n != 1 {
		h.Errorf("killed %d", n)
	}
	<-c.Done()
	if _, err := init.Start(context.Background(), Spec{Path: "/nowhere", User: u}); !errors.Is(err, syscall.ENOENT) {
		h.Errorf("%v, want %v", err, syscall.ENOENT)
	}
})

func init() { hosts["TestAnotherUser"] = otherUserScene }

func TestAnotherUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can run a process as another user")
	}
	t.Parallel()
	cmd := hostCommand(t, otherUserScene)
	cmd.Env = append(cmd.Env, "GOMAXPROCS=1") // then goroutines come to the main thread as well
	var out []byte
	var err error
	ended := make(chan struct{})
	go func() { // on a thread of its own: what it drops is lost to its children
		defer close(ended)
		runtime.LockOSThread()
		if err = unix.Prctl(unix.PR_CAPBSET_DROP, unix.CAP_SYS_PTRACE, 0, 0, 0); err == nil {
			out, err = cmd.CombinedOutput()
		}
	}()
	if <-ended; err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// With threads that are reserved for it, a user's files and processes need no
// further thread, and are as its own as without.
var reservedScene = withInit(func(h *host, init *Init) {
	u := &User{UID: 64001, GID: 64002, Groups: []int{64003}}
	const agents = 3
	must(0, ReserveThreads(agents, u))
	before := len(must(os.ReadDir("/proc/self/task")))
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 10 {
				s := sh(`grep -E "^(Uid|Gid|Groups|CapBnd|NoNewPrivs)" /proc/self/status`)
				s.User = u
				out, _, err := init.Output(h.ctx, s)
				if got := strings.Join(strings.Fields(out), " "); err != nil || got != "Uid: 64001 64001 64001 64001 Gid: 64002 64002 64002 64002 "+
					"Groups: 64003 CapBnd: 0000000000000000 NoNewPrivs: 1" {
					h.Errorf("%v, %s", err, got)
				}
				must(0, u.Do(func() error {
					if _, err := os.ReadFile("/etc/shadow"); !errors.Is(err, fs.ErrPermission) {
						h.Errorf("read /etc/shadow: %v", err)
					}
					return nil
				}))
			}
		})
	}
	all.Wait()
	user := fileThreadsPerAgent*agents + spareFileThreads + min(agents, maxForkThreads)
	rest := maxGoThreads + runtimeThreads + sharedFileThreads + threadsPerAgent*agents
	if before < user+rest {
		h.Errorf("there are %d threads, want %d for the user and %d that rest", before, user, rest)
	}
	if after := len(must(os.ReadDir("/proc/self/task"))); after != before {
		h.Errorf("there were %d threads, and are %d", before, after)
	}
	close(u.reserved.files)
	close(u.reserved.forks)
})

func init() { hosts["TestReservedThreadsAreEnough"] = reservedScene }

func TestReservedThreadsAreEnough(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can run a process as another user")
	}
	runScene(t, reservedScene)
}
