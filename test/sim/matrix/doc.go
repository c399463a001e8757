// Command matrix is the kill matrix: each phase of an agent's life × each event
// that can meet it × each outcome of azptend's next call to Azure DevOps or the
// identity endpoint × each order in which Microsoft's listener starts. A cell is one real azptend (the static binary) with the
// fake agent and an emulator of its own; dozens run at once. What
// became of it is judged by the emulator's records, /proc and the exit code.
//
//	phase.go, event.go, outcome.go
//	                                 the four sides of the matrix
//	rules.go                         which cells cannot be, and why
//	cells.go                         all cells, and a set that has each pair
//	world.go                         what a cell plays in: folders, emulator
//	play.go, reach.go, lives.go      one cell, from start to end
//	facts.go                         what was seen of it
//	properties.go                    what must be true of every cell
//	codes.go                         the table of exit codes in docs/exit-codes.md
//	crowd.go                         many cells at once; test/internal/cells does it
//	page.go                          docs/reliability.md's part
//
// A set of cells in which each pair occurs runs with every test, with each phase and
// event in both orders. make matrix plays all cells of the source's order and such a
// set of the other one; -order plays all cells of one order.
package main
