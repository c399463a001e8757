package connlimit

import (
	"io"
	"net"
	"testing"
)

func TestConnsFor(t *testing.T) {
	for descriptors, want := range map[uint64]int{0: 4, 64: 16, 128: 32, 1024: 64, 1 << 62: 64} {
		if got := connsFor(descriptors); got != want {
			t.Errorf("of %d descriptors %d, want %d", descriptors, got, want)
		}
	}
}

// stage is a listener and its clients.
type stage struct {
	t *testing.T
	l *listener
}

// connect returns both ends of a connection.
func (s stage) connect() (caller, served net.Conn) {
	s.t.Helper()
	caller, err := net.Dial("tcp", s.l.Addr().String())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { caller.Close() })
	if served, err = s.l.Accept(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { served.Close() })
	return caller, served
}

// asks sends a byte, which the server reads.
func (s stage) asks(caller, served net.Conn) {
	s.t.Helper()
	if _, err := caller.Write([]byte("?")); err != nil {
		s.t.Fatal(err)
	}
	if _, err := served.Read(make([]byte, 1)); err != nil {
		s.t.Fatal(err)
	}
}

// isClosed says whether the server has closed the connection.
func (s stage) isClosed(caller net.Conn) bool {
	s.t.Helper()
	s.l.mu.Lock()
	defer s.l.mu.Unlock()
	for _, c := range s.l.open {
		if c.RemoteAddr().String() == caller.LocalAddr().String() {
			return false
		}
	}
	_, err := caller.Read(make([]byte, 1))
	if err != io.EOF {
		s.t.Errorf("it is not open any more, and its client gets %v", err)
	}
	return true
}

// TestLimit: at the limit a listener accepts at once. It closes connections that sent nothing
// first, and then those that sent something.
func TestLimit(t *testing.T) {
	under, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer under.Close()
	s := stage{t, Limit(under).(*listener)}
	s.l.maxConns = 3
	probe, served := s.connect()
	s.asks(probe, served)
	silent, _ := s.connect()
	for range 20 { // a flood
		s.connect()
	}
	sent, servedSent := s.connect()
	if _, err := sent.Write([]byte("?")); err != nil { // not read yet
		t.Fatal(err)
	}
	for range 20 {
		s.connect()
	}
	if s.isClosed(sent) {
		t.Error("who has asked, and was not read yet, is closed")
	}
	if len(s.l.open) != s.l.maxConns {
		t.Errorf("%d are open, want %d", len(s.l.open), s.l.maxConns)
	}
	servedSent.Close()
	if s.isClosed(probe) || !s.isClosed(silent) {
		t.Errorf("the probe is closed: %v; the silent one: %v", s.isClosed(probe), s.isClosed(silent))
	}
	for range s.l.maxConns - 1 {
		s.asks(s.connect())
	}
	if s.isClosed(probe) {
		t.Error("the probe is closed, and silent ones were there")
	}
	s.connect()
	if !s.isClosed(probe) {
		t.Error("all have asked, and the oldest is open")
	}
}

func TestClosedConnectionsDoNotCount(t *testing.T) {
	under, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer under.Close()
	s := stage{t, Limit(under).(*listener)}
	s.l.maxConns = 2
	first, _ := s.connect()
	for range 10 {
		_, served := s.connect()
		served.Close()
	}
	if s.isClosed(first) {
		t.Error("it was closed, and there was room")
	}
}
