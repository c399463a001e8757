package systemd_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/azptend/azptend/internal/systemd"
)

func TestMessages(t *testing.T) {
	name := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	m, err := systemd.OpenNotifier(systemd.NotifyOptions{Socket: name, WatchdogUsec: "120000000", WatchdogPid: "7", Pid: 7})
	if err != nil || m.WatchdogTimeout != 2*time.Minute {
		t.Fatalf("manager is %+v, %v", m, err)
	}
	defer m.Close()
	if err := m.Notify(systemd.Ready, systemd.Status("idle\nREADY=0")); err != nil {
		t.Fatal(err)
	}
	buffer := make([]byte, 100)
	n, err := conn.Read(buffer)
	if got := string(buffer[:n]); err != nil || got != "READY=1\nSTATUS=idle READY=0" {
		t.Errorf("heard %q, %v", got, err)
	}
	conn.Close()
	if err := m.Notify(systemd.WatchdogPing); err == nil {
		t.Error("nobody listens, and that is no error")
	}
}

func TestNoManager(t *testing.T) {
	if m, err := systemd.OpenNotifier(systemd.NotifyOptions{WatchdogUsec: "1000000"}); m != nil || err != nil {
		t.Errorf("manager is %+v, %v", m, err)
	}
	if m, err := systemd.OpenNotifier(systemd.NotifyOptions{Socket: "/nowhere/at/all"}); m != nil || err == nil {
		t.Errorf("manager is %+v, %v", m, err)
	}
}

func TestNoWatchdog(t *testing.T) {
	name := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, o := range []systemd.NotifyOptions{
		{}, {WatchdogUsec: "0"}, {WatchdogUsec: "-1"}, {WatchdogUsec: "soon"}, {WatchdogUsec: "1000000", WatchdogPid: "8"},
	} {
		o.Socket, o.Pid = name, 7
		m, err := systemd.OpenNotifier(o)
		if err != nil || m.WatchdogTimeout != 0 {
			t.Errorf("of %+v: %+v, %v", o, m, err)
			continue
		}
		m.Close()
	}
}

// TestSystemdThatDoesNotRead: systemd's socket is full, and Notify returns soon.
func TestSystemdThatDoesNotRead(t *testing.T) {
	name := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	m, err := systemd.OpenNotifier(systemd.NotifyOptions{Socket: name})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for err == nil { // until the socket is full
		err = m.Notify(systemd.WatchdogPing)
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("told a full socket: %v", err)
	}
}
