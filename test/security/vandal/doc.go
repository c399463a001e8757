// Command vandal attacks availability: it plays jobs that try to block, crash or exhaust
// azptend. A cell is one attack in one form and in one column (the jobs' user, the number of
// agents). Each cell has a real azptend, the fake agent and an emulator of its own. Verdicts
// come from the emulator's records, /proc and the exit code. azptend's log counts only for the
// question whether it names an agent that it could not remove.
//
//	attacks.go      the list of attacks
//	cells.go        columns and cells
//	short.go        the cells that run with every test
//	suite.go        what all cells share
//	sandbox.go      a cell's directory, emulator and environment
//	confine.go      starts azptend under the cell's limits
//	azptend.go      a running azptend, its output and its memory
//	play.go         one cell, up to and including its attack
//	play_after.go   one cell, after its attack
//	inside.go       the attacks, which run inside the job
//	inside_files.go, inside_processes.go, inside_network.go, inside_output.go
//	                the attacks by what they use
//	plant.go        the files that attacks put in place of others
//	judge.go        what must be true of every cell
//	parallel.go     many cells at once, with test/internal/cells
//	page.go         the vandal's part of docs/reliability.md
//	faults.go       azptend without one of its guards, through a source overlay
//
// make vandal plays all cells; a short set runs with every test.
package main
