package script

import (
	"net"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// systemd is the manager's end of NOTIFY_SOCKET: what it was told, in order.
type systemd struct {
	told chan string
}

// cmdSystemd plays systemd to what is started from now on, with a watchdog of so
// many microseconds: systemd WATCHDOG_USEC.
func cmdSystemd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: systemd WATCHDOG_USEC")
	}
	name := filepath.Join(ts.Getenv("WORK"), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	ts.Check(err)
	s := &systemd{told: make(chan string, 1000)}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		buffer := make([]byte, 4096)
		for {
			n, err := socket.Read(buffer)
			if err != nil {
				return
			}
			s.told <- string(buffer[:n])
		}
	}()
	ts.Defer(func() { socket.Close(); <-ended })
	stageOf(ts).systemd = s
	ts.Setenv("NOTIFY_SOCKET", name)
	ts.Setenv("WATCHDOG_USEC", args[0])
}

// cmdTold waits until systemd is told something that holds a text: told TEXT.
func cmdTold(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: told TEXT")
	}
	ctx, cancel := inTime()
	defer cancel()
	var all []string
	for {
		select {
		case text := <-stageOf(ts).systemd.told:
			all = append(all, text)
			if strings.Contains(text, words(args)) {
				return
			}
		case <-ctx.Done():
			ts.Fatalf("systemd was not told %q, but %q", words(args), all)
		}
	}
}
