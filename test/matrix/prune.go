package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// locksLapse is longer than any session and any lock lives.
const locksLapse = 15 * time.Minute

// pruned does what azptend prune --yes does, and says what is left then: an agent
// that bears azptend's mark and is offline is removed.
func (p *play) pruned() []int {
	var list struct {
		Value []struct {
			ID               int
			Status           string
			UserCapabilities map[string]string
		}
	}
	const pool = "/emulated/_apis/distributedtask/pools/1/agents"
	if err := p.admin(http.MethodGet, pool+"?includeCapabilities=true&api-version=7.1", &list); err != nil {
		return p.agentIDs()
	}
	for _, a := range list.Value {
		if a.Status == "offline" && a.UserCapabilities["azptend.kind"] == "agent" {
			_ = p.admin(http.MethodDelete, fmt.Sprintf("%s/%d?api-version=7.1", pool, a.ID), nil) // what it leaves is seen below
		}
	}
	return p.agentIDs()
}

// admin makes a call as the pool's administrator.
func (p *play) admin(method, path string, into any) error {
	req, err := http.NewRequestWithContext(p.ctx, method, p.server.URL+path, nil)
	if err != nil {
		return err
	}
	req.SetBasicAuth("", p.emulator.DefaultPAT())
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s: %s", method, path, resp.Status)
	}
	if into == nil {
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(into)
}
