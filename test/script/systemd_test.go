package script

import (
	"net"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// systemd is systemd's end of NOTIFY_SOCKET, with the messages in order.
type systemd struct {
	told chan string
}

// cmdSystemd opens a NOTIFY_SOCKET for processes that are started from now on, with this watchdog
// timeout in microseconds: systemd WATCHDOG_USEC.
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

// cmdTold waits for a message to systemd that contains a text: told TEXT.
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
