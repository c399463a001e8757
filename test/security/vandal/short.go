package main

import "slices"

// shortSet returns the cells that run with every test: about one for each attack.
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
	"perf: FIFO × `--run-as`",
	"perf: link to /dev/zero × three agents",
	"perf: 8 TiB sparse file × same user",
	"perf: file under a lease × `--registered`",
	"perf: file and FIFO in turns × same user",
	"perf of one job: FIFO × `--run-as`",
	"perf of one job: link to a pipe × same user",
	"next perf: link to /dev/zero × same user",
	"next perf: link to a pipe × `--run-as`",
	"listener's log: FIFO × same user",
	"update marker: FIFO × `--run-as`",
	"diag: link to itself × `--registered`",
	"many logs × `--run-as`",
	"agent file: FIFO × `--run-as`",
	"agent file: file under a lease × same user",
	"credentials: link to a pipe × same user",
	"root record: FIFO × three agents",
	"registered files: link to /dev/zero × `--registered`",
	"control directory: FIFO × same user",
	"work: FIFO × `--run-as`",
	"listener program: endless output × same user",
	"bin: gone × `--run-as`",
	"agent directory: renamed × same user",
	"agent directory: mode 0 × three agents",
	"agent directory: link to a directory of root × `--run-as`",
	"perf directory: link to a directory of root × `--run-as`",
	"perf litter: 3,000 levels deep × same user",
	"control socket: renamed × `--run-as`",
	"control socket: own socket × three agents",
	"listener stopped × same user",
	"listener stopped, idle × `--registered`",
	"pids exhausted × three agents",
	"daemons × three agents",
	"orphans × `--run-as`",
	"false worker × same user",
	"lock taken × same user",
	"false listener × `--registered`",
	"signals × same user",
	"health port: idle connections × same user",
	"control flood: endless request × same user",
	"notification port: endless lies × `--run-as`",
	"notification address × same user",
	"log flood × `--run-as`",
	"output not read × `--run-as`",
	"output not read × `--registered`",
	"output not blocking × same user",
	"disk full × `--run-as`",
	"no inodes × same user",
	"inotify exhausted × same user",
}
