package mslistener_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/azptend/azptend/internal/mslistener"
)

// chunked delivers a stream in pieces of any size.
type chunked struct {
	stream string
	sizes  func(left int) int
}

func (c *chunked) Read(p []byte) (int, error) {
	if c.stream == "" {
		return 0, io.EOF
	}
	n := copy(p, c.stream[:min(len(c.stream), max(1, c.sizes(len(c.stream))))])
	c.stream = c.stream[n:]
	return n, nil
}

func readAll(r io.Reader) (found []mslistener.Notification, err error) {
	err = mslistener.ReadNotifications(r, func(n mslistener.Notification) { found = append(found, n) })
	return found, err
}

const job = "0a1b2c3d-0000-4000-8000-ABCDEFabcdef"

func TestReadNotifications(t *testing.T) {
	started, finished := mslistener.Notification{Started: true, Job: job}, mslistener.Notification{Job: job}
	for _, tt := range []struct {
		name, stream string
		want         []mslistener.Notification
	}{
		{"one after the other", "Starting job: " + job + "Finished job: " + job + "<EOF>", []mslistener.Notification{started, finished}},
		{"with lines between", "Starting job: " + job + "\r\nFinished job: " + job + "\n", []mslistener.Notification{started, finished}},
		{"half of one", "Starting job: " + job[:20], nil},
		{"nothing", "", nil},
		{"what is none", "Starting job: unknown. Ending job: " + job, nil},
		{"after much else", strings.Repeat("Starting job: ", 300) + job, []mslistener.Notification{started}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := readAll(strings.NewReader(tt.stream))
			if d := cmp.Diff(tt.want, got); d != "" || err != nil {
				t.Errorf("%v (-want +got):\n%s", err, d)
			}
		})
	}
	broken := io.MultiReader(strings.NewReader("Starting job: "+job), iotest.ErrReader(syscall.ECONNRESET))
	if got, err := readAll(broken); len(got) != 1 || !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("after a broken connection: %v, %v", got, err)
	}
}

// TestNotificationsInPieces: the notifications do not depend on how the stream is split.
func TestNotificationsInPieces(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		guid := rapid.StringMatching(`[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}`)
		noise := rapid.OneOf(rapid.Just(""), rapid.Just("\n"), rapid.StringN(0, 80, 200), rapid.Just("Finished job: 0a1b2c3d-"))
		var stream strings.Builder
		var want []mslistener.Notification
		for range rapid.IntRange(0, 8).Draw(t, "notices") {
			n := mslistener.Notification{Started: rapid.Bool().Draw(t, "started"), Job: guid.Draw(t, "job")}
			word := "Finished"
			if n.Started {
				word = "Starting"
			}
			fmt.Fprintf(&stream, "%s%s job: %s", noise.Draw(t, "noise"), word, n.Job)
			want = append(want, n)
		}
		size := rapid.IntRange(1, 120)
		got, err := readAll(&chunked{stream.String(), func(int) int { return size.Draw(t, "chunk") }})
		if d := cmp.Diff(want, got); d != "" || err != nil {
			t.Fatalf("of %q: %v (-want +got):\n%s", stream.String(), err, d)
		}
	})
}

func FuzzNotifications(f *testing.F) {
	f.Add("Starting job: "+job+"Finished job: "+job, 7)
	f.Add("Starting job: Starting job: "+job[:35], 1)
	f.Fuzz(func(t *testing.T, stream string, size int) {
		whole, _ := readAll(strings.NewReader(stream))
		cut, _ := readAll(&chunked{stream, func(int) int { return size }})
		if d := cmp.Diff(whole, cut); d != "" {
			t.Errorf("(-whole +cut):\n%s", d)
		}
	})
}

func TestNotificationPort(t *testing.T) {
	port, err := (mslistener.Files{}).OpenPort()
	if err != nil {
		t.Fatal(err)
	}
	if at := netip.MustParseAddrPort(port.Addr().String()); at.Addr() != netip.MustParseAddr("127.0.0.1") || at.Port() == 0 {
		t.Errorf("address is %v", at)
	}
	dial := func() net.Conn {
		conn, err := net.Dial("tcp4", port.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	stranger, listener := dial(), dial()
	accepted, err := port.Accept(t.Context(), nil, func(ours netip.AddrPort, theirs []netip.AddrPort) int {
		if ours.String() != port.Addr().String() {
			t.Errorf("our end is %v", ours)
		}
		return indexOf(theirs, listener.LocalAddr().String())
	})
	if err != nil {
		t.Fatal(err)
	}
	if n, err := stranger.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("another process reads %d, %v", n, err)
	}
	if _, err := net.Dial("tcp4", port.Addr().String()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("the port is still open: %v", err)
	}
	if _, err := io.WriteString(listener, "Starting job: "+job); err != nil {
		t.Fatal(err)
	}
	listener.Close()
	if got, err := readAll(accepted); len(got) != 1 || err != nil {
		t.Errorf("notifications %v, %v", got, err)
	}
	accepted.Close()
}

// TestConnectedBeforeTheEnd: the notifications of a listener that exits right after it has
// connected are read.
func TestConnectedBeforeTheEnd(t *testing.T) {
	port, err := (mslistener.Files{}).OpenPort()
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Dial("tcp4", port.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(listener, "Starting job: "+job); err != nil {
		t.Fatal(err)
	}
	listener.Close()
	accepted, err := port.Accept(t.Context(), closed(), func(netip.AddrPort, []netip.AddrPort) int { return 0 })
	if err != nil {
		t.Fatal(err)
	}
	defer accepted.Close()
	if got, err := readAll(accepted); len(got) != 1 || err != nil {
		t.Errorf("notifications %v, %v", got, err)
	}
}

func TestNotConnected(t *testing.T) {
	port, err := (mslistener.Files{}).OpenPort()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	cancel(enough)
	if _, err := port.Accept(ctx, nil, nil); !errors.Is(err, enough) || !strings.Contains(err.Error(), "did not connect") {
		t.Errorf("error is %v", err)
	}
	if _, err := net.Dial("tcp4", port.Addr().String()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("the port is still open: %v", err)
	}
}

func indexOf(all []netip.AddrPort, one string) int {
	return slices.Index(all, netip.MustParseAddrPort(one))
}

func closed() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

// TestManyForeignConnections: after the listener's exit, its connection is found behind many
// others. If there is none, Accept returns ErrNotConnected.
func TestManyForeignConnections(t *testing.T) {
	for _, comes := range []bool{true, false} {
		port, err := (mslistener.Files{}).OpenPort()
		if err != nil {
			t.Fatal(err)
		}
		var last string
		for range 1000 {
			conn, err := net.Dial("tcp4", port.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			last = conn.LocalAddr().String()
		}
		seen := 0
		conn, err := port.Accept(t.Context(), closed(), func(_ netip.AddrPort, theirs []netip.AddrPort) int {
			seen += len(theirs)
			if !comes {
				return -1
			}
			return indexOf(theirs, last)
		})
		if seen != 1000 || comes != (err == nil) || !comes && !errors.Is(err, mslistener.ErrNotConnected) {
			t.Errorf("checked %d, error is %v", seen, err)
		}
		if conn != nil {
			conn.Close()
		}
	}
}
