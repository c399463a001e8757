package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/azptend/azptend/internal/emulator"
	"github.com/azptend/azptend/test/internal/launch"
)

// measureLooks compares the calls of a real keeper's looks with the simulation's: a look at a pool
// without a job, and one while a job waits.
func measureLooks(programs launch.Programs, path string) error {
	e, err := emulator.New(emulator.Options{})
	if err != nil {
		return err
	}
	server := httptest.NewServer(e)
	defer server.Close()
	defer e.Close()
	ctx, cancel := context.WithTimeout(context.Background(), runTimeout)
	defer cancel()
	page, stop, err := startKeeper(ctx, launch.Place{Binary: programs.Azptend, Path: path}, e, server.URL)
	if err != nil {
		return err
	}
	defer stop()
	// The keeper's only poll must be over, so that all other calls are looks. The first look also
	// asks for the pool's id.
	if _, err := ask(ctx, page+"/readyz", func() bool { return true }); err != nil {
		return err
	}
	polled := len(e.Calls())
	if _, err := ask(ctx, page+"/scale/one", func() bool { return len(e.Calls()) > polled }); err != nil {
		return err
	}
	for _, kind := range []struct {
		what, answer string
		calls        []call
	}{{"no job", `"desired":0,`, lookIdle}, {"a job", `"desired":1,`, lookBusy}} {
		if kind.what == "a job" {
			if _, err := e.QueueJob(emulator.JobSpec{Script: "true", Force: true}); err != nil {
				return err
			}
		}
		before := e.Calls()
		looked := func() bool { return len(e.Calls()) > len(before) }
		said, err := ask(ctx, page+"/scale/one", looked)
		if err != nil {
			return err
		}
		want := tally{}
		for _, c := range kind.calls {
			want[c]++
		}
		looks := count(runKind{}, e.Calls()[len(before):]).Azptend
		if why := looks.differs(want); why != "" || !bytes.Contains(said, []byte(kind.answer)) {
			return fmt.Errorf("with %s a real keeper answers %s, and its look and the simulation's differ: %s", kind.what, said, why)
		}
	}
	return nil
}

// startKeeper starts a keeper with one group that polls only once, and returns its address.
func startKeeper(ctx context.Context, place launch.Place, e *emulator.Emulator, server string) (page string, stop func(), err error) {
	place.Dir, err = os.MkdirTemp("", "azptend-scale-keeper-*")
	if err != nil {
		return "", nil, err
	}
	groups := filepath.Join(place.Dir, "groups.yaml")
	if err := os.WriteFile(groups, []byte("groups: [{name: one, max: 9}]\n"), 0o600); err != nil {
		return "", nil, err
	}
	keeper := launch.Command(place, e, server, []string{"AZP_KEEP_GROUPS_FILE=" + groups, "AZP_KEEP_INTERVAL=24h", "AZP_KEEP_PRUNE=false", "AZP_KEEP_PLACEHOLDER=false"})
	keeper.Args = []string{place.Binary, "keep", "--listen", "127.0.0.1:0"}
	log, err := keeper.StderrPipe()
	if err == nil {
		err = keeper.Start()
	}
	if err != nil {
		return "", nil, err
	}
	kill := func() {
		_ = keeper.Process.Kill()
		_ = keeper.Wait()
		_ = os.RemoveAll(place.Dir)
	}
	late := context.AfterFunc(ctx, func() { _ = keeper.Process.Kill() })
	where := regexp.MustCompile(`"page":"(http://127\.0\.0\.1:\d+)`)
	var said bytes.Buffer
	lines := bufio.NewScanner(io.TeeReader(log, &said))
	for lines.Scan() {
		if found := where.FindSubmatch(lines.Bytes()); found != nil {
			go func() { _, _ = io.Copy(io.Discard, log) }()
			return string(found[1]), func() { late(); kill() }, nil
		}
	}
	kill()
	return "", nil, fmt.Errorf("the keeper ended:\n%s", &said)
}

// ask asks until the answer is 200 and enough is true.
func ask(ctx context.Context, url string, enough func() bool) ([]byte, error) {
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return nil, err
		}
		resp, err := (&http.Client{}).Do(req)
		if err != nil {
			return nil, fmt.Errorf("ask the keeper: %w", err)
		}
		said, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err == nil && resp.StatusCode == http.StatusOK && enough() {
			return said, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("the keeper answers %s with %s: %s", url, resp.Status, said)
		case <-time.After(50 * time.Millisecond): // between two polls of KEDA
		}
	}
}
