package main

import (
	"os/exec"
	"time"
)

// locksLapse is longer than any session and any lock lives, and than an agent
// must be offline before azptend prune takes it for a ghost.
const locksLapse = 20 * time.Minute

// pruned is what is left after azptend prune --yes.
func (p *play) pruned() []int {
	program := p.theatre.program[len(p.theatre.program)-1]
	cmd := exec.CommandContext(p.ctx, program, "prune", "--yes")
	cmd.Env = p.env
	_ = cmd.Run() // what it could not remove is seen in the pool
	return p.agentIDs()
}
