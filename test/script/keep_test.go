package script

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdPage waits until a keeper has logged its addresses, and exports them as PAGE and HEALTH: page
// NAME. An address is "off" if it
// does not listen there; an older keeper has no HEALTH.
func cmdPage(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: page NAME")
	}
	a := stageOf(ts).process(ts, args[0])
	where := regexp.MustCompile(`page=(\S+)(?: health=(\S+))?\n`)
	ctx, cancel := inTime()
	defer cancel()
	ts.Check(a.Says(ctx, where))
	found := where.FindStringSubmatch(a.Output())
	ts.Setenv("PAGE", strings.TrimSuffix(found[1], "/"))
	ts.Setenv("HEALTH", strings.TrimSuffix(found[2], "/"))
}

// cmdSees waits until an event of the page at PAGE matches: sees REGEXP.
func cmdSees(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: sees REGEXP")
	}
	what := regexp.MustCompile(words(args))
	ctx, cancel := inTime()
	defer cancel()
	parts := map[string]string{}
	err := eachEvent(ctx, ts.Getenv("PAGE"), func(changed map[string]string) bool {
		maps.Copy(parts, changed)
		for _, part := range parts {
			if what.MatchString(part) {
				return true
			}
		}
		return false
	})
	if err != nil {
		ts.Fatalf("the page does not show %q: %v\n%v", what, err, parts)
	}
}

// cmdAsk asks for a group's number as KEDA does, with TOKEN, until the answer has this status and matches:
// ask URL STATUS REGEXP.
func cmdAsk(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: ask URL STATUS REGEXP")
	}
	what := regexp.MustCompile(words(args[2:]))
	ctx, cancel := inTime()
	defer cancel()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, args[0], nil)
		ts.Check(err)
		req.Header.Set("Authorization", "Bearer "+ts.Getenv("TOKEN"))
		resp, err := http.DefaultClient.Do(req)
		ts.Check(err)
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		ts.Check(err)
		if strconv.Itoa(resp.StatusCode) == args[1] && what.Match(body) {
			return
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			ts.Fatalf("the last answer is %d %s", resp.StatusCode, body)
		}
	}
}

// eachEvent reads a page's events until seen returns true.
func eachEvent(ctx context.Context, page string, seen func(map[string]string) bool) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, page+"/events", nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	for lines := bufio.NewReader(resp.Body); ; {
		line, err := lines.ReadString('\n')
		if err != nil {
			return err
		}
		data, is := strings.CutPrefix(line, "data: ")
		if !is {
			continue
		}
		parts := map[string]string{}
		if err := json.Unmarshal([]byte(data), &parts); err != nil {
			return err
		}
		if seen(parts) {
			return nil
		}
	}
}
