package proc

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

func init() {
	hosts["TestEndlessEnvironment"] = endlessEnvironment
	programs["endless"] = func([]string) int {
		if err := nameMemory(); err != nil {
			fmt.Fprintln(os.NewFile(3, "ready"), err)
			return 1
		}
		return programs["block"](nil)
	}
}

// endlessLength is more than an exec can pass on, and can still be read quickly.
const endlessLength = 64 << 20

// memoryMap is the kernel's prctl_mm_map (linux/prctl.h).
type memoryMap struct {
	startCode, endCode, startData, endData, startBrk, brk, startStack uint64
	argStart, argEnd, envStart, envEnd                                uint64
	auxv                                                              uint64
	auxvSize, exe                                                     uint32
}

// nameMemory declares a large piece of memory to be this process's arguments and
// environment. That needs no privilege.
func nameMemory() error {
	memory, err := syscall.Mmap(-1, 0, endlessLength, syscall.PROT_READ, syscall.MAP_PRIVATE|syscall.MAP_ANON)
	if err != nil {
		return err
	}
	stat, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return err
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	field := func(n int) uint64 { // of proc_pid_stat(5)
		v, _ := strconv.ParseUint(fields[n-3], 10, 64)
		return v
	}
	from := uint64(uintptr(unsafe.Pointer(&memory[0])))
	m := memoryMap{
		startCode: field(26), endCode: field(27), startData: field(45), endData: field(46),
		startBrk: field(47), brk: field(47), startStack: field(28),
		argStart: from, argEnd: from + endlessLength, envStart: from, envEnd: from + endlessLength,
		exe: ^uint32(0),
	}
	err = unix.Prctl(unix.PR_SET_MM, unix.PR_SET_MM_MAP, uintptr(unsafe.Pointer(&m)), unsafe.Sizeof(m), 0)
	runtime.KeepAlive(&m)
	return err
}

// TestEndlessEnvironment: a process can declare any of its memory to be its environment.
// azptend reads at most maxExecSize bytes of it.
func TestEndlessEnvironment(t *testing.T) { runScene(t, endlessEnvironment) }

var endlessEnvironment = withInit(func(h *host, init *Init) {
	r, w, err := os.Pipe()
	must(r, err)
	spec := testProgram("endless")
	spec.Extra = []*os.File{w}
	c := must(init.Start(context.Background(), spec))
	defer func() {
		c.KillTree(h.ctx) // it does not wait for the reap of what it killed
		<-c.Done()
	}()
	w.Close()
	var pid int
	if _, err := fmt.Fscan(r, &pid); err != nil {
		return // the kernel does not support it (CONFIG_CHECKPOINT_RESTORE)
	}
	if found := infoOf(pid); len(found.Args()) > 0 || len(found.Environ()) > 0 {
		h.Errorf("%d arguments and %d variables were read", len(found.Args()), len(found.Environ()))
	}
})
