package doctor

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/azptend/azptend/internal/azdo"
)

// checkEndpoints tries the other hosts all at once, because a firewall may drop requests to
// each of them. None is needed to register an agent, so a failure is a warning.
func checkEndpoints(ctx context.Context, v *run) Finding {
	if len(v.Endpoints) == 0 {
		return Finding{Verdict: Skipped, Found: "no other host is needed"}
	}
	ctx, cancel := context.WithTimeout(ctx, networkTimeout)
	defer cancel()
	reached, failures := make([]string, len(v.Endpoints)), make([]error, len(v.Endpoints))
	var all sync.WaitGroup
	for i, host := range v.Endpoints {
		all.Go(func() { reached[i], failures[i] = v.request(ctx, host.URL) })
	}
	all.Wait()
	var f Finding
	var well []string
	for i, host := range v.Endpoints {
		if failures[i] == nil {
			well = append(well, reached[i]+" ("+host.For+")")
			continue
		}
		bad := unreachable(failures[i], host.URL, v.proxyFor(host.URL), &requestTrace{}).Problems[0]
		f.add(HostsClosed, bad.What+"; needed for "+host.For, bad.Fix)
	}
	f.Found = strings.Join(well, "; ")
	return f
}

// request sends a request to an address, and says how it was reached.
func (v *run) request(ctx context.Context, address string) (string, error) {
	var way requestTrace
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, way.trace()), http.MethodGet, address, nil)
	if err != nil {
		return "", err
	}
	begun := time.Now()
	resp, err := v.HTTP.Do(req)
	var with *url.Error // its URL is in the message already
	if errors.As(err, &with) {
		err = with.Err
	}
	if err != nil {
		return "", &azdo.Error{Op: "reach " + hostOf(address), Cause: err}
	}
	resp.Body.Close()
	return way.describe(address, v.proxyFor(address), time.Since(begun)), nil
}
