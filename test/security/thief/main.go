//go:build linux

// Command thief is what a job could be: it searches for azptend's secrets wherever a
// process of its user can look, and prints each finding as a line of JSON. The plan has the
// secrets in a masked form that occurs nowhere by chance. The thief does not judge:
// TestThief does.
//
//	thief PLAN           search everywhere
//	thief PLAN files     search only the plan's folders
//	thief PLAN forge     only send a forged end of the job
//	thief PLAN flood     flood the notification port, with forged events too
//	thief PLAN userns    search only azptend, from a new user namespace
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// plan is what the test tells the thief. azptend's pid is no secret: azptend is an ancestor
// of the thief.
type plan struct {
	Since      time.Time // older files cannot contain the secrets
	Supervisor int
	Hooks      []int // pids of azptend's hooks
	Folders    []string
	Metadata   string // the URL that returns a token; "" if there is no metadata service
	Secrets    []maskedSecret
}

type maskedSecret struct {
	Name   string
	Masked []byte // the secret with every bit flipped
}

// finding is one line of output.
type finding struct {
	How   string `json:"how"`
	Where string `json:"where"`
	What  string `json:"what"`
}

// end is the last line. It counts what was searched, so that a thief that could not look is
// not mistaken for one that found nothing.
type end struct {
	Done      bool `json:"done"`
	Processes int  `json:"processes"`
	Files     int  `json:"files"`
	Denied    int  `json:"denied"`
}

type thief struct {
	plan      plan
	secrets   []form
	maxLength int
	seen      map[finding]bool
	end       end
	via       string // a prefix for how
}

func main() {
	if err := run(os.Args); err != nil {
		fmt.Fprintln(os.Stderr, "thief:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) < 2 {
		return fmt.Errorf("usage: thief PLAN [files|forge|flood|userns]")
	}
	t := &thief{seen: map[finding]bool{}}
	b, err := os.ReadFile(args[1])
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, &t.plan); err != nil {
		return err
	}
	t.unmask()
	switch mode := strings.Join(args[2:], " "); mode {
	case "":
		t.searchEverywhere(args)
	case "files":
		t.searchFolders()
	case "forge":
		t.forge()
	case "flood":
		t.flood()
	case "userns":
		t.via = "userns "
		t.searchSupervisor()
		return nil
	default:
		return fmt.Errorf("there is no mode %q", mode)
	}
	t.end.Done = true
	return json.NewEncoder(os.Stdout).Encode(t.end)
}

func (t *thief) searchEverywhere(args []string) {
	t.search("own environment", "", []byte(strings.Join(os.Environ(), "\x00")))
	t.searchProcesses()
	t.searchSupervisor()
	t.searchFolders()
	t.askMetadata()
	t.forge()
	t.control()
	t.fromNamespace(args)
}

func (t *thief) searchFolders() {
	for _, folder := range t.plan.Folders {
		t.searchFolder(folder)
	}
}

// found prints a finding, if it is new.
func (t *thief) found(how, where, what string) {
	f := finding{t.via + how, where, what}
	if !t.seen[f] {
		t.seen[f] = true
		_ = json.NewEncoder(os.Stdout).Encode(f)
	}
}

// search searches b for every secret.
func (t *thief) search(how, where string, b []byte) {
	for _, n := range t.secrets {
		if n.in(b) {
			t.found(how, where, n.name)
		}
	}
}

// searchFolder searches every file that was changed after the plan's time.
func (t *thief) searchFolder(root string) {
	_ = filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			t.end.Denied++
			return nil
		}
		info, err := d.Info()
		if err != nil || !info.Mode().IsRegular() || info.ModTime().Before(t.plan.Since) {
			return nil
		}
		f, err := os.Open(path)
		if err != nil {
			t.end.Denied++
			return nil
		}
		defer f.Close()
		t.end.Files++
		t.scan("file", path, f)
		return nil
	})
}

// askMetadata requests a token from the metadata service, as every process on its host can.
func (t *thief) askMetadata() {
	if t.plan.Metadata == "" {
		return
	}
	req, err := http.NewRequest(http.MethodGet, t.plan.Metadata, nil)
	if err != nil {
		return
	}
	req.Header.Set("Metadata", "true")
	resp, err := (&http.Client{Timeout: 5 * time.Second}).Do(req)
	if err != nil {
		t.end.Denied++
		return
	}
	defer resp.Body.Close()
	t.scan("metadata service", req.URL.Host, resp.Body)
}

// forged is the id of a job that does not exist.
const forged = "f0f0f0f0-0000-4000-8000-00000000dead"

// forge tells azptend that the job has ended, at the address in .agent.
func (t *thief) forge() {
	address := notificationAddress()
	if address == "" {
		return
	}
	conn, err := net.DialTimeout("tcp4", address, 5*time.Second)
	if err != nil {
		t.end.Denied++
		return
	}
	defer conn.Close()
	for _, job := range []string{forged, strings.ToLower(os.Getenv("SYSTEM_JOBID"))} {
		_, err = fmt.Fprintf(conn, "Finished job: %s", job)
	}
	if err == nil {
		t.found("notification port", address, "azptend listens")
	}
}

// notificationAddress returns the address in .agent, or "".
func notificationAddress() string {
	b, err := os.ReadFile(filepath.Join(os.Getenv("AGENT_HOMEDIRECTORY"), ".agent"))
	if err != nil {
		return ""
	}
	var settings struct{ NotificationSocketAddress string }
	_ = json.Unmarshal(b, &settings)
	return settings.NotificationSocketAddress
}

// openConnections is how many connections a flood keeps open. flooders is how many
// goroutines connect as fast as they can.
const openConnections, flooders = 2000, 4

// flood keeps some connections open and idle, and sends forged events on others,
// until azptend closes the port after its listener has connected.
func (t *thief) flood() {
	address := notificationAddress()
	var kept []net.Conn
	for range openConnections {
		if conn, err := net.Dial("tcp4", address); err == nil {
			kept = append(kept, conn)
		}
	}
	var all sync.WaitGroup
	var came atomic.Int64
	for range flooders {
		all.Go(func() {
			for {
				conn, err := net.DialTimeout("tcp4", address, time.Second)
				if errors.Is(err, syscall.ECONNREFUSED) {
					return
				}
				if err == nil {
					came.Add(1)
					fmt.Fprintf(conn, "Starting job: %[1]sFinished job: %[1]s", forged)
					conn.Close()
				}
			}
		})
	}
	all.Wait()
	t.found("flood", fmt.Sprint(came.Load()+int64(len(kept))), "connections")
	for _, conn := range kept {
		conn.Close()
	}
}

// control requests azptend's status at its control socket. A process that gets an answer
// could also request a drain.
func (t *thief) control() {
	sockets := []string{filepath.Join(os.Getenv("AGENT_HOMEDIRECTORY"), ".azptend", "control.sock")}
	for _, pattern := range []string{"/run/azptend/*", "/dev/shm/azptend-*"} {
		folders, _ := filepath.Glob(pattern)
		for _, folder := range folders {
			sockets = append(sockets, filepath.Join(folder, "control.sock"))
		}
	}
	for _, socket := range sockets {
		t.askAt(socket)
	}
}

func (t *thief) askAt(socket string) {
	conn, err := net.DialTimeout("unix", socket, 5*time.Second)
	if err != nil {
		t.end.Denied++
		return
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	_, _ = fmt.Fprintln(conn, `{"v":1,"ask":"status"}`)
	answer, _ := bufio.NewReader(conn).ReadBytes('\n')
	t.search("control socket", "azptend", answer)
	if bytes.Contains(answer, []byte(`"status"`)) {
		t.found("control socket", "azptend", "azptend listens")
	}
}

// fromNamespace searches azptend again, as root of a user namespace.
func (t *thief) fromNamespace(args []string) {
	cmd := exec.Command("/proc/self/exe", args[1], "userns")
	cmd.Stdout = os.Stdout
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}
	if cmd.Run() != nil { // many systems forbid user namespaces
		t.end.Denied++
	}
}
