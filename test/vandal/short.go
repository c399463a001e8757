package main

import "slices"

// shortSet are the cells that run with every test: about one for each attack.
// A cell is here by its name.
func shortSet() []cell {
	var set []cell
	for _, c := range allCells() {
		if slices.Contains(short, c.String()) {
			set = append(set, c)
		}
	}
	return set
}

var short = []string{
	"perf of one job: file under a lease × `--run-as`",
	"listener's log: FIFO × same user",
	"update marker: FIFO × `--run-as`",
	"diag: link to itself × `--registered`",
	"many logs × `--run-as`",
	"env file: FIFO × same user",
	"control directory: FIFO × same user",
	"work: FIFO × `--run-as`",
	"listener program: endless output × same user",
	"bin: gone × `--run-as`",
	"agent directory: renamed × same user",
	"agent directory: mode 0 × three agents",
	"agent directory: link to a directory of root × `--run-as`",
	"perf directory: link to a directory of root × `--run-as`",
	"perf litter: 3,000 levels deep × same user",
	"listener stopped × same user",
	"listener stopped, idle × `--registered`",
	"daemons × three agents",
	"orphans × `--run-as`",
	"false worker × same user",
	"lock taken × same user",
	"signals × same user",
	"health port: idle connections × `--run-as`",
	"health port: endless request × same user",
	"control flood: endless request × same user",
	"notification port: endless lies × `--run-as`",
	"notification address × same user",
	"log flood × `--run-as`",
	"output not blocking × same user",
	"disk full × `--run-as`",
	"no inodes × same user",
	"inotify exhausted × same user",
}
