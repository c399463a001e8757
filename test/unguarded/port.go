package main

import (
	"context"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/azptend/azptend/internal/supervisor"
)

// careless is a notification port that believes whoever comes.
type careless struct {
	net.Listener
	stays bool // open behind the first, whose word is no better than the others'
}

func openCredulous() (supervisor.Port, error) { return open(false) }
func openEver() (supervisor.Port, error)      { return open(true) }

func open(stays bool) (supervisor.Port, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	return careless{l, stays}, err
}

func (c careless) Address() string { return c.Addr().String() }

func (c careless) Accept(ctx context.Context, _ <-chan struct{}, _ func(netip.AddrPort, []netip.AddrPort) int) (net.Conn, error) {
	stop := context.AfterFunc(ctx, func() { _ = c.Listener.(*net.TCPListener).SetDeadline(time.Unix(1, 0)) })
	defer stop()
	first, err := c.Listener.Accept()
	if err != nil || !c.stays {
		c.Close()
		return first, err
	}
	ours, theirs := net.Pipe()
	go c.hear(first, theirs)
	go func() {
		for {
			next, err := c.Listener.Accept()
			if err != nil {
				return
			}
			go c.hear(next, theirs)
		}
	}()
	return ours, nil
}

// hear passes on what one of them says; the first that ends, ends nothing.
func (c careless) hear(from io.ReadCloser, to io.Writer) {
	defer from.Close()
	_, _ = io.Copy(to, from)
}
