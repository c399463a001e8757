//go:build linux

// Command thief is what a job could be: it looks for azptend's secrets wherever
// a process of its user can look, and prints what it finds, a line of JSON each.
// It is told what to look for in a form that it cannot meet by chance, and judges
// nothing: TestThief does.
//
//	thief PLAN           look everywhere
//	thief PLAN files     look at the plan's folders alone
//	thief PLAN lie       only lie
//	thief PLAN crowd     keep the listener from the notification port, and lie there
//	thief PLAN userns    look at azptend alone, from a user namespace of its own
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

// plan is what the thief is told. That it knows azptend's pid is no gift: it is
// one of its own ancestors.
type plan struct {
	Since      time.Time // nothing older can hold the secrets
	Supervisor int
	Beside     []int // processes of azptend's besides, such as a hook
	Folders    []string
	Metadata   string // what to ask the metadata service; "" where there is none
	Needles    []needle
}

type needle struct {
	Name   string
	Masked []byte // the secret with every bit flipped
}

// finding is one line of output.
type finding struct {
	How   string `json:"how"`
	Where string `json:"where"`
	What  string `json:"what"`
}

// end is the last line: how much was looked at, so that a thief who could not
// look is not taken for one who found nothing.
type end struct {
	Done      bool `json:"done"`
	Processes int  `json:"processes"`
	Files     int  `json:"files"`
	Denied    int  `json:"denied"`
}

type thief struct {
	plan    plan
	needles []form
	longest int
	seen    map[finding]bool
	end     end
	via     string // a prefix for how
}

func main() {
	if err := steal(os.Args); err != nil {
		fmt.Fprintln(os.Stderr, "thief:", err)
		os.Exit(1)
	}
}

func steal(args []string) error {
	if len(args) < 2 {
		return fmt.Errorf("usage: thief PLAN [files|lie|crowd|userns]")
	}
	t := &thief{seen: map[finding]bool{}}
	b, err := os.ReadFile(args[1])
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, &t.plan); err != nil {
		return err
	}
	t.learn()
	switch mode := strings.Join(args[2:], " "); mode {
	case "":
		t.everywhere(args)
	case "files":
		t.folders()
	case "lie":
		t.lie()
	case "crowd":
		t.crowd()
	case "userns":
		t.via = "userns "
		t.supervisor()
		return nil
	default:
		return fmt.Errorf("there is no mode %q", mode)
	}
	t.end.Done = true
	return json.NewEncoder(os.Stdout).Encode(t.end)
}

func (t *thief) everywhere(args []string) {
	t.look("own environment", "", []byte(strings.Join(os.Environ(), "\x00")))
	t.processes()
	t.supervisor()
	t.folders()
	t.ask()
	t.lie()
	t.control()
	t.fromNamespace(args)
}

func (t *thief) folders() {
	for _, folder := range t.plan.Folders {
		t.folder(folder)
	}
}

// found prints a finding, once.
func (t *thief) found(how, where, what string) {
	f := finding{t.via + how, where, what}
	if !t.seen[f] {
		t.seen[f] = true
		_ = json.NewEncoder(os.Stdout).Encode(f)
	}
}

// look looks for every secret in b.
func (t *thief) look(how, where string, b []byte) {
	for _, n := range t.needles {
		if n.in(b) {
			t.found(how, where, n.name)
		}
	}
}

// folder looks into every file that was made or changed in the time in question.
func (t *thief) folder(root string) {
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
		t.stream("file", path, f)
		return nil
	})
}

// ask asks the metadata service for a token, as anybody on its host may.
func (t *thief) ask() {
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
	t.stream("metadata service", req.URL.Host, resp.Body)
}

// forged is a job that nobody has queued.
const forged = "f0f0f0f0-0000-4000-8000-00000000dead"

// lie tells azptend that the job has ended, at the address that .agent names.
func (t *thief) lie() {
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

// notificationAddress is what .agent names; "" where it names none.
func notificationAddress() string {
	b, err := os.ReadFile(filepath.Join(os.Getenv("AGENT_HOMEDIRECTORY"), ".agent"))
	if err != nil {
		return ""
	}
	var settings struct{ NotificationSocketAddress string }
	_ = json.Unmarshal(b, &settings)
	return settings.NotificationSocketAddress
}

// held is how many connections the crowd keeps open, and floods how many of it
// connect as fast as they can.
const held, floods = 2000, 4

// crowd connects without end, says nothing on some connections and lies on others,
// until the port is closed behind the listener.
func (t *thief) crowd() {
	address := notificationAddress()
	var kept []net.Conn
	for range held {
		if conn, err := net.Dial("tcp4", address); err == nil {
			kept = append(kept, conn)
		}
	}
	var all sync.WaitGroup
	var came atomic.Int64
	for range floods {
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
	t.found("crowd", fmt.Sprint(came.Load()+int64(len(kept))), "connections")
	for _, conn := range kept {
		conn.Close()
	}
}

// control asks azptend at its control socket how it is; whoever gets an answer
// could ask for a drain as well.
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
	t.look("control socket", "azptend", answer)
	if bytes.Contains(answer, []byte(`"status"`)) {
		t.found("control socket", "azptend", "azptend listens")
	}
}

// fromNamespace looks at azptend once more as root of a user namespace.
func (t *thief) fromNamespace(args []string) {
	cmd := exec.Command("/proc/self/exe", args[1], "userns")
	cmd.Stdout = os.Stdout
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}
	if cmd.Run() != nil { // forbidden on many systems
		t.end.Denied++
	}
}
