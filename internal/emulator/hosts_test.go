package emulator_test

import (
	"context"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/azptend/azptend/internal/emulator"
)

// served is an emulator that runs Serve on an address.
func served(t *testing.T, e *emulator.Emulator, address string) string {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- e.Serve(ctx, l) }()
	t.Cleanup(func() { cancel(); <-ended })
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return "http://127.0.0.1:" + port
}

// A page in a browser cannot queue a job, which would run a script as the user: neither from
// another origin, nor through a foreign host name that resolves to this address.
func TestForeignOriginsAreRefused(t *testing.T) {
	for _, tt := range []struct {
		what, listen, host string
		header             map[string]string
		want               int
	}{
		{"curl", "127.0.0.1:0", "", nil, 200},
		{"a browser on this machine", "127.0.0.1:0", "localhost:8140", map[string]string{"Origin": "http://localhost:8140", "Sec-Fetch-Site": "same-origin"}, 200},
		{"another origin", "127.0.0.1:0", "", map[string]string{"Origin": "https://evil.test", "Sec-Fetch-Site": "cross-site"}, 403},
		{"another origin, in an old browser", "127.0.0.1:0", "", map[string]string{"Origin": "https://evil.test"}, 403},
		{"another port of this machine", "127.0.0.1:0", "localhost:8140", map[string]string{"Origin": "http://localhost:3000", "Sec-Fetch-Site": "same-site"}, 403},
		{"a file", "127.0.0.1:0", "", map[string]string{"Origin": "null"}, 403},
		{"a name that was made to lead here", "127.0.0.1:0", "evil.test:8140", map[string]string{"Origin": "http://evil.test:8140", "Sec-Fetch-Site": "same-origin"}, 403},
		{"the same, on all addresses", "0.0.0.0:0", "evil.test", nil, 403},
		{"a container's name, on loopback", "127.0.0.1:0", "emulator:8140", nil, 403},
		{"a container's name, on all addresses", "0.0.0.0:0", "emulator:8140", nil, 200},
		{"an address", "0.0.0.0:0", "[fe80::1]:8140", nil, 200},
		{"a name that was allowed", "127.0.0.1:0", "Emulator.Example:8140", nil, 200},
	} {
		t.Run(tt.what, func(t *testing.T) {
			e, err := emulator.New(emulator.Options{Hosts: []string{"emulator.example"}})
			if err != nil {
				t.Fatal(err)
			}
			r, err := http.NewRequest(http.MethodPost, served(t, e, tt.listen)+"/_emulator/jobs", strings.NewReader(`{"script":"true","force":true}`))
			if err != nil {
				t.Fatal(err)
			}
			if r.Host = tt.host; tt.host == "" {
				r.Host = r.URL.Host
			}
			for name, value := range tt.header {
				r.Header.Set(name, value)
			}
			resp, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			jobs := len(e.State().Jobs)
			if ok := resp.StatusCode/100 == 2; ok != (tt.want == 200) || ok != (jobs == 1) {
				t.Errorf("status %d, %d jobs; want %d", resp.StatusCode, jobs, tt.want)
			}
		})
	}
}

// A foreign host name is refused for reads too: a page could read the token.
func TestAForeignNameCannotRead(t *testing.T) {
	e, err := emulator.New(emulator.Options{})
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequest(http.MethodGet, served(t, e, "127.0.0.1:0")+"/_emulator/environment", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = "evil.test"
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("status %d", resp.StatusCode)
	}
}
