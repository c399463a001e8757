package doctor

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/azptend/azptend/internal/azdo"
)

// checkEndpoints tries the other hosts, all at once: one that is dropped by a
// firewall takes as long as all of them. None is needed to register an agent, so
// none keeps run from it.
func checkEndpoints(ctx context.Context, v *run) result {
	if len(v.Endpoints) == 0 {
		return notNeeded("no other host is needed")
	}
	ctx, cancel := context.WithTimeout(ctx, networkTimeout)
	defer cancel()
	said, failed := make([]string, len(v.Endpoints)), make([]error, len(v.Endpoints))
	var all sync.WaitGroup
	for i, host := range v.Endpoints {
		all.Go(func() { said[i], failed[i] = v.request(ctx, host.URL) })
	}
	all.Wait()
	r := result{}
	var well []string
	for i, host := range v.Endpoints {
		if failed[i] == nil {
			well = append(well, said[i]+" ("+host.For+")")
			continue
		}
		bad := unreachable(failed[i], host.URL, v.proxyFor(host.URL), &requestTrace{}).problems[0]
		p := problem(HostsClosed, fmt.Sprintf("%s; needed for %s", bad.What, host.For))
		p.Fix = bad.Fix // by how far the request came
		r = r.with(p)
	}
	r.found = strings.Join(well, "; ")
	return r
}

// request asks an address for anything, and says how it was reached.
func (v *run) request(ctx context.Context, address string) (string, error) {
	var way requestTrace
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, way.trace()), http.MethodGet, address, nil)
	if err != nil {
		return "", err
	}
	begun := time.Now()
	resp, err := v.HTTP.Do(req)
	var with *url.Error // whose URL is said already
	if errors.As(err, &with) {
		err = with.Err
	}
	if err != nil {
		return "", &azdo.Error{Op: "reach " + hostOf(address), Cause: err}
	}
	resp.Body.Close()
	return way.describe(address, v.proxyFor(address), time.Since(begun)), nil
}
