package kubernetes

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// containersBelowUs returns the containers that run below this process, by process id namespace,
// each with a command line of one of its processes. It reads /proc, and does not ask the kubelet.
func containersBelowUs(t *testing.T) map[string]string {
	t.Helper()
	own, err := os.Readlink("/proc/self/ns/pid")
	must(t, err)
	all, err := filepath.Glob("/proc/[0-9]*")
	must(t, err)
	out := map[string]string{}
	for _, dir := range all {
		namespace, err := os.Readlink(dir + "/ns/pid")
		if err != nil || namespace == own || !isBelowUs(dir) {
			continue
		}
		line, _ := os.ReadFile(dir + "/cmdline")
		out[namespace] = strings.ReplaceAll(string(line), "\x00", " ")
	}
	return out
}

func isBelowUs(dir string) bool {
	us := strconv.Itoa(os.Getpid())
	for pid := filepath.Base(dir); pid != "0"; {
		if pid == us {
			return true
		}
		stat, err := os.ReadFile("/proc/" + pid + "/stat")
		if err != nil {
			return false
		}
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		pid = fields[1]
	}
	return false
}
