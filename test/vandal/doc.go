// Command vandal attacks availability: it plays jobs that try to block, crash or
// exhaust azptend. A cell is one attack in one form and in one column (whose
// user, how many agents). Each cell has a real azptend, the fake agent and an emulator of its own. Verdicts come from the
// emulator's records, /proc and the exit code. azptend's log counts only for the
// question whether it names an agent that it could not remove.
//
//	attacks.go      the list of attacks
//	cells.go        columns, cells, and the short set that runs with every test
//	world.go        what a cell plays in: directories, emulator, limits
//	confine.go      starts azptend with those limits
//	actor.go        an azptend that runs, its output and its memory
//	play.go         one cell, from start to end
//	inside.go       what runs inside the job; plant.go: the files that it plants
//	judge.go        what must be true of every cell
//	crowd.go        many cells at once; test/internal/cells does it
//	page.go         docs/reliability.md's part
//	faults.go       azptend without one of its guards, through a source overlay
//
// make vandal plays all cells; a short set runs with every test.
package main
