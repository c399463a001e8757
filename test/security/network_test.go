//go:build linux

package security

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// network is the network of azptend and its jobs. A nil *network is the machine's own.
type network struct {
	ns *os.File
}

// metadataAddress is the address of every metadata service.
const metadataAddress = "169.254.169.254"

// newNetwork makes a network namespace in which the metadata service's address is a local
// one, and then adds the rules ("ip rule" arguments). The rule for local addresses is moved
// behind them, because on a real host the address is not local.
func newNetwork(t *testing.T, rules ...string) *network {
	t.Helper()
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("there is no ip(8)")
	}
	n := &network{}
	err := onThread(func() (err error) {
		if err = unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		if n.ns, err = os.Open("/proc/thread-self/ns/net"); err != nil {
			return err
		}
		for _, args := range append([]string{
			"link set lo up", "addr add " + metadataAddress + "/32 dev lo", "rule add pref 100 lookup local", "rule del pref 0",
		}, rules...) {
			if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
				return fmt.Errorf("ip %s: %w: %s", args, err, out)
			}
		}
		return nil
	})
	if errors.Is(err, unix.EPERM) {
		t.Skip("this root cannot make a network")
	}
	check(t, err)
	t.Cleanup(func() { n.ns.Close() })
	return n
}

// onThread runs f on a thread that exits after it. What f changes about its thread affects
// only f and the processes it starts.
func onThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked
		done <- f()
	}()
	return <-done
}

// enter moves the thread into the network.
func (n *network) enter() error {
	if n == nil {
		return nil
	}
	return unix.Setns(int(n.ns.Fd()), unix.CLONE_NEWNET)
}

func (n *network) listen(t *testing.T, address string) net.Listener {
	t.Helper()
	var l net.Listener
	check(t, onThread(func() (err error) {
		if err = n.enter(); err == nil {
			l, err = net.Listen("tcp4", address)
		}
		return err
	}))
	return l
}

// metadata serves tokens as the metadata service does (reference/identity.md 1.3): every
// request with the header "Metadata: true" gets one. The emulator's endpoint for Container
// Apps answers.
func (h *harness) metadata(identityHeader string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Metadata") != "true" || r.URL.Path != "/metadata/identity/oauth2/token" {
			http.Error(w, `{"error":"invalid_request","error_description":"Required metadata header not specified"}`, http.StatusBadRequest)
			return
		}
		inner := r.Clone(r.Context())
		q := inner.URL.Query()
		q.Set("api-version", "2019-08-01")
		inner.URL.Path, inner.URL.RawQuery = "/msi/token", q.Encode()
		inner.Header.Set("X-IDENTITY-HEADER", identityHeader)
		h.recorder.ServeHTTP(w, inner)
	})
}
