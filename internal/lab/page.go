package lab

import (
	"context"
	"encoding/base64"
	"net"
	"sync"
	"time"

	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/httpclient"
	"github.com/azptend/azptend/internal/keep"
	"github.com/azptend/azptend/internal/secret"
)

// pageInterval is how often the keeper refreshes the pool. It is lower than the setting allows,
// because a demo lasts two seconds, and the emulator has no rate limit.
const pageInterval = time.Second

// keeperPage is the page of a keeper in this process that only watches.
type keeperPage struct {
	url     string
	running sync.WaitGroup
}

// openPage starts a keeper that shows one pool until ctx ends. It uses a PAT: the
// managed identity's token is an event of the demo.
func openPage(ctx context.Context, orgURL, poolName, pat string) (*keeperPage, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	client := azdo.New(orgURL, httpclient.ForAzureDevOps("azptend-lab", nil, nil), basicAuth(pat), nil)
	keeper := keep.New(keep.Options{
		URL: orgURL, Server: client, Pools: []azdo.PoolRef{{Name: poolName}}, Interval: pageInterval, Metrics: keep.NewMetrics(""),
	})
	p := &keeperPage{url: "http://" + listener.Addr().String() + "/"}
	p.running.Go(func() { _ = keeper.RunAndServe(ctx, listener, nil, secret.Text{}) })
	return p, nil
}

// basicAuth is a personal access token as azdo.Client sends it.
type basicAuth string

func (b basicAuth) Authorization(context.Context, secret.Text) (secret.Text, error) {
	return secret.New("Basic " + base64.StdEncoding.EncodeToString([]byte(":"+string(b)))), nil
}
