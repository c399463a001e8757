// Command vandal attacks availability: it plays jobs that try to block, crash or
// exhaust azptend. A cell is one attack in one form and in one column (whose
// user, how many agents). Each cell has a real azptend, the fake agent and an emulator of its own. Verdicts come from the
// emulator's records, /proc and the exit code. azptend's log counts only for the
// question whether it names an agent that it could not remove.
//
//	attacks.go      the list of attacks
//	cells.go        columns, cells, and the short set that runs with every test
//	theatre.go      what all cells share; world.go: what one cell plays in
//	confine.go      starts azptend with those limits
//	actor.go        an azptend that runs, its output and its memory
//	play.go         one cell, until its attack; play_after.go: what follows
//	inside.go       what runs inside the job; inside_files.go, inside_processes.go,
//	                inside_network.go, inside_output.go: the attacks
//	plant.go        the files that attacks put in place of others
//	judge.go        what must be true of every cell
//	crowd.go        many cells at once; test/internal/cells does it
//	page.go         docs/reliability.md's part
//	faults.go       azptend without one of its guards, through a source overlay
//
// make vandal plays all cells; a short set runs with every test.
package main
