package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// flood opens connections from this process and from three more, because the number of
// descriptors per process is limited.
func (v *vandal) flood(network, address string) error {
	if address == "" {
		return errors.New("there is no address")
	}
	for range 3 {
		if err := v.startDetached("connect", network, address); err != nil {
			return err
		}
	}
	v.connect(network, address)
	return nil
}

// connectMain is a process that only connects.
func connectMain(spec, network, address string) error {
	var v vandal
	if err := json.Unmarshal([]byte(spec), &v.attackSpec); err != nil {
		return err
	}
	time.AfterFunc(maxProcessAge, func() { os.Exit(3) })
	v.connect(network, address)
	select {}
}

// connections is how many connections each process tries to keep open.
const connections = 400

// redial is the pause before a connection is opened again. Cells share the machine:
// thousands of connections a second would slow down all of them.
const redial = 3 * time.Second

// connect keeps connections open: it opens a connection again when it was closed or
// refused. It returns when each was tried once.
func (v *vandal) connect(network, address string) {
	var tried sync.WaitGroup
	for range connections {
		tried.Add(1)
		go func() {
			for first := true; ; first = false {
				conn, err := net.DialTimeout(network, address, time.Second)
				if first {
					tried.Done()
				}
				if err == nil {
					v.keep(conn)
					conn.Close()
				}
				time.Sleep(redial)
			}
		}()
	}
	tried.Wait()
}

// keep writes to a connection what the form says, until it is closed.
func (v *vandal) keep(conn net.Conn) {
	begin, more := "", ""
	switch v.Form {
	case "half a request":
		begin = "GET /healthz HTTP/1.1\r\nHost: x\r\nX-"
	case "endless request":
		begin, more = "GET /healthz HTTP/1.1\r\nHost: x\r\nX-", strings.Repeat("vandal", 800)
	case "endless lies":
		more = strings.Repeat("Finished job: f0f0f0f0-0000-4000-8000-00000000dead", 100)
	}
	if _, err := fmt.Fprint(conn, begin); err != nil {
		return
	}
	for more != "" {
		if _, err := fmt.Fprint(conn, more); err != nil {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	_, _ = conn.Read(make([]byte, 1))
}

// floodNextPort connects to the notification port of the next listener.
func (v *vandal) floodNextPort() error {
	return v.nextAgentFile(func(map[string]any) error {
		address, err := notificationAddress(filepath.Join(v.Home, ".agent"))
		if err != nil {
			return err
		}
		v.connect("tcp", address)
		return nil
	})
}

// stealAddress makes the next listener connect to the vandal instead of azptend.
func (v *vandal) stealAddress() error {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go func() {
		for {
			if _, err := l.Accept(); err != nil {
				return
			}
		}
	}()
	return v.nextAgentFile(func(settings map[string]any) error {
		settings["notificationSocketAddress"] = l.Addr().String()
		b, err := json.Marshal(settings)
		if err != nil {
			return err
		}
		temp := filepath.Join(v.Home, "agent-stolen")
		return errors.Join(os.WriteFile(temp, b, 0o600), os.Rename(temp, filepath.Join(v.Home, ".agent")))
	})
}

// nextAgentFile ends the listener and acts on the .agent that is written for the next one.
func (v *vandal) nextAgentFile(act func(map[string]any) error) error {
	return v.whenMade(v.Home, func(path string) bool { return filepath.Base(path) == ".agent" }, func(path string) error {
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var settings map[string]any
		if err := json.Unmarshal(b, &settings); err != nil {
			return err
		}
		return act(settings)
	})
}

func notificationAddress(file string) (string, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	var settings struct{ NotificationSocketAddress string }
	if err := json.Unmarshal(b, &settings); err != nil {
		return "", err
	}
	return settings.NotificationSocketAddress, nil
}
