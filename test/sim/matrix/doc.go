// Command matrix is the kill matrix: each phase of an agent's life × each event in that
// phase × each outcome of azptend's next call to Azure DevOps or the identity endpoint ×
// each order of steps in which Microsoft's listener starts. A cell is one real azptend (the
// static binary) with the fake agent and an emulator of its own; dozens run at once. The
// emulator's records, /proc and the exit code show whether a cell has passed.
//
//	phase.go, event.go, outcome.go
//	                                 the four dimensions of the matrix
//	rules.go                         which cells are impossible or redundant, and why
//	cells.go                         all cells, and a subset that has each pair
//	sandbox.go                       a cell's folders and emulator
//	play.go, reach.go, ending.go     one cell, from start to end
//	facts.go                         what was observed of it
//	properties.go                    what must be true of every cell
//	codes.go                         the exit codes that docs/exit-codes.md allows
//	parallel.go                      many cells at once, with test/internal/cells
//	page.go                          the matrix's part of docs/reliability.md
//
// go test plays a set of cells in which each pair of values occurs, with each phase and
// event in both orders. make matrix plays all cells of the source's order and such a set of
// the other one; -order plays all cells of one order.
package main
