package health

import (
	"net"
	"sync"
)

// few is a listener that has at most so many connections open at a time.
type few struct {
	net.Listener
	slots  chan struct{}
	closed chan struct{}
	once   sync.Once
}

func (f *few) Accept() (net.Conn, error) {
	select {
	case f.slots <- struct{}{}:
	case <-f.closed:
		return nil, net.ErrClosed
	}
	c, err := f.Listener.Accept()
	if err != nil {
		<-f.slots
		return nil, err
	}
	return &one{Conn: c, leave: sync.OnceFunc(func() { <-f.slots })}, nil
}

func (f *few) Close() error {
	f.once.Do(func() { close(f.closed) })
	return f.Listener.Close()
}

// one is one of a few's connections.
type one struct {
	net.Conn
	leave func()
}

func (o *one) Close() error {
	defer o.leave()
	return o.Conn.Close()
}
