package main

import "slices"

// moment is when an attack takes effect, and what happens to azptend then.
type moment string

const (
	busy     moment = "busy"     // SIGTERM comes while the attacking job still runs
	idle     moment = "idle"     // SIGTERM comes when the attacking job has ended
	once     moment = "once"     // the agent serves one job (--once) and must end by itself
	relisten moment = "relisten" // the listener is killed; SIGTERM comes when another one was started, or should have been
	again    moment = "again"    // azptend ends on SIGTERM, starts again in the same directory, and gets SIGTERM again
	killed   moment = "killed"   // the same, but the first azptend ends by SIGKILL
)

// moments explains each moment for the page.
func moments() []struct {
	name moment
	what string
} {
	return []struct {
		name moment
		what string
	}{
		{busy, "SIGTERM comes while the attacking job still runs"},
		{idle, "SIGTERM comes when the attacking job has ended"},
		{once, "the agent serves one job (`--once`) and must end by itself"},
		{relisten, "the listener is killed; SIGTERM comes when another one was started, or should have been"},
		{again, "azptend ends on SIGTERM, starts again in the same directory, and gets SIGTERM again"},
		{killed, "the same, but the first azptend ends by SIGKILL"},
	}
}

// The forms of a file that a job puts in a file's place.
const (
	fifo        = "FIFO"
	zero        = "link to /dev/zero"
	silentPipe  = "link to a pipe" // that a process holds open and never writes to
	sparse      = "8 TiB sparse file"
	folder      = "directory"
	socket      = "socket"
	leased      = "file under a lease" // open(2) waits up to 45 s for it, unless O_NONBLOCK is set
	locked      = "file of mode 0"
	loop        = "link to itself"
	alternating = "file and FIFO in turns" // the file can change between a stat and the open
)

// anyFile returns each form that can replace a file.
func anyFile() []string {
	return []string{fifo, zero, silentPipe, sparse, folder, socket, leased, locked, loop, alternating}
}

// attack is one way in which a job attacks. Each form is a cell of its own.
type attack struct {
	name    string
	what    string   // what the job does
	why     string   // why that could hurt
	forms   []string // nil: there is only one
	when    moment
	columns []string // the columns that it is played in; nil: all
	env     []string // more settings of azptend
	codes   []int    // exit codes of docs/exit-codes.md that are allowed besides 0
	needs   need     // what the cell needs of the machine
	late    bool     // its daemon attacks when the job has ended and the agent is idle
	nextJob bool     // the next listener must run the next job
}

// need is what the machine must provide for a cell.
type need string

const (
	nothing      need = ""
	pids         need = "pids"          // a pids cgroup
	disk         need = "disk"          // a small file system of its own
	files        need = "files"         // a low descriptor limit for azptend
	unreadOutput need = "unread output" // nobody reads azptend's output from the attack on
)

// The columns.
const (
	sameUser   = "same user"
	otherUser  = "`--run-as`"
	three      = "three agents"
	registered = "`--registered`"
)

// The exit codes of docs/exit-codes.md that attacks can lead to.
const (
	failedOnce  = 1
	failedTwice = 2
	unreachable = 69
	internal    = 70
	tryAgain    = 75
	unfit       = 78
	sigkill     = 128 + 9
	sigterm     = 128 + 15
)

// attacks is the list. It was fixed before the code that plays it was written.
func attacks() []attack {
	never := []string{"AZP_UPDATE=never"} // azptend then watches Agent.perf for as long as a listener runs
	all := slices.Concat(anyFile(), []string{"file of lies", "file that grows"})
	return []attack{
		// Files that azptend reads while a listener runs.
		{name: "perf", when: busy, forms: all, env: never,
			what: "replaces Agent.perf of its listener", why: "azptend reads it as long as the listener runs"},
		{name: "perf of one job", when: once, forms: []string{fifo, silentPipe, zero, sparse, leased}, env: never, codes: []int{},
			what: "replaces Agent.perf of its listener", why: "nobody sends SIGTERM to an agent that should end by itself"},
		{name: "next perf", when: relisten, late: true, forms: anyFile(), codes: listenerEnded,
			what: "leaves a daemon that plants Agent.perf in the next perf folder", why: "the next listener's session is read from it"},
		{name: "listener's log", when: relisten, late: true, nextJob: true, forms: anyFile(), codes: listenerKilled,
			what: "plants _diag/Agent_*.log", why: "azptend reads the logs to learn how a listener ended"},
		{name: "update marker", when: relisten, late: true, nextJob: true, forms: anyFile(), codes: listenerKilled,
			what: "plants _diag/SelfUpdate-*.log.succeed", why: "azptend waits for such a file after an update"},
		{name: "diag", when: relisten, late: true, forms: []string{fifo, sparse, loop, locked, rootsDirectory}, codes: listenerKilled,
			what: "replaces the directory _diag", why: "azptend watches it and lists it"},
		{name: "many logs", when: relisten, late: true, nextJob: true, codes: listenerKilled,
			what: "makes 20,000 small files in _diag", why: "each change of _diag makes azptend list it"},
		{name: "env file", when: relisten, late: true, forms: anyFile(), codes: slices.Concat(listenerKilled, listenerFails),
			what: "replaces .env", why: "the listener reads it first and may never get ready"},

		// Files that the next start reads.
		{name: "agent file", when: killed, forms: all[:len(all)-1], codes: []int{unfit},
			what: "replaces .agent", why: "after a SIGKILL it says whose agent is to be removed"},
		{name: "credentials", when: killed, forms: anyFile(), codes: []int{unfit},
			what: "replaces .credentials and .credentials_rsaparams", why: "the next start looks for another tool's files there"},
		{name: "records", when: killed, forms: anyFile(), codes: []int{unfit},
			what: "replaces every file .azptend* in the agent's directory", why: "they say how the directory was made, and whose it is"},
		{name: "root record", when: again, forms: anyFile(), columns: []string{three}, codes: []int{unfit},
			what: "plants .azptend-root in all roots", why: "the next start reads it to learn how the root was made"},
		{name: "registered files", when: again, forms: anyFile(), columns: []string{registered}, codes: []int{unfit},
			what: "replaces the files that `azptend register --out` wrote", why: "the next start reads them"},
		{name: "agent directory, next start", when: again, forms: []string{fifo, zero, loop, locked, "gone", rootsDirectory}, codes: []int{unfit},
			what: "replaces the agent's directory", why: "the next start lives there"},
		{name: "roots", when: again, forms: []string{fifo, zero, loop, locked, "gone", rootsDirectory}, columns: []string{three}, codes: []int{unfit},
			what: "replaces all three roots", why: "the next start makes them, or takes them as they are"},
		{name: "registered directory", when: again, forms: []string{fifo, zero, loop, locked, "gone"}, columns: []string{registered}, codes: []int{unfit},
			what: "replaces the directory that `azptend register --out` wrote to", why: "the next start reads its files"},
		{name: "temporary litter", when: again,
			what: "makes 10,000 files .azptend-new-* and 2,000 closed directories .azptend-perf-*", why: "azptend removes its temporary files, and looks for what a killed run has left"},
		{name: "control directory", when: again, forms: anyFile(), codes: []int{unfit},
			what: "replaces .azptend, and leaves it so for the next start", why: "the control socket is made there"},
		{name: "work", when: again, forms: []string{fifo, zero, sparse, loop, locked, rootsDirectory}, codes: []int{unfit, unreachable, failedOnce, failedTwice},
			what: "replaces the work directory", why: "the next start checks that it can be written to"},
		{name: "listener program", when: again, forms: append(anyFile(), "endless output", "never ends", "exits 3"),
			codes: append([]int{unfit, internal}, listenerFails...),
			what:  "replaces bin/Agent.Listener", why: "the next start inspects it, asks for its version and starts it"},
		{name: "listener program, now", when: relisten, late: true, forms: append(anyFile(), "endless output", "never ends", "exits 3"),
			codes: slices.Concat([]int{unfit, internal}, listenerKilled, listenerFails),
			what:  "replaces bin/Agent.Listener and kills the listener", why: "azptend starts it again at once"},
		{name: "bin", when: relisten, late: true, forms: []string{fifo, zero, loop, locked, "gone"},
			codes: slices.Concat([]int{unfit, internal}, listenerKilled, listenerFails),
			what:  "replaces the directory bin", why: "azptend tells its own listener by the directory of its program"},

		// Directories.
		{name: "agent directory", when: busy, forms: []string{"renamed", "emptied", "mode 0", rootsDirectory}, codes: []int{tryAgain},
			what: "renames, empties, closes or replaces the agent's directory", why: "azptend removes its files from there at the end"},
		{name: "perf directory", when: busy, forms: []string{"renamed", "mode 0", rootsDirectory, "FIFO"}, env: never,
			what: "renames, closes or replaces the perf directory", why: "azptend watches it, and removes it with all that is in it"},
		{name: "perf litter", when: idle, forms: []string{"20,000 files", "3,000 levels deep", "full of mode 0"}, needs: files,
			what: "fills the perf directory", why: "its removal must not use up the grace period"},
		{name: "control socket", when: busy, forms: []string{"renamed", "own socket", "FIFO", rootsDirectory},
			what: "renames .azptend, or puts its own server there", why: "drain and healthcheck ask at that socket"},

		// Processes.
		{name: "listener stopped", when: busy, codes: []int{tryAgain},
			what: "sends SIGSTOP to its listener", why: "a stopped process ignores SIGINT"},
		{name: "listener stopped, idle", when: idle, late: true, codes: []int{tryAgain},
			what: "leaves a daemon that sends SIGSTOP to the listener", why: "a stopped process ignores SIGINT"},
		{name: "listener traced", when: busy, codes: []int{tryAgain},
			what: "leaves a daemon that holds the listener with ptrace", why: "a traced process does not get SIGINT"},
		{name: "listener starved", when: busy, codes: []int{tryAgain},
			what: "takes its listener's descriptors and processes away (`prlimit`)", why: "such a listener can report nothing"},
		{name: "listener killed", when: relisten, codes: listenerKilled,
			what: "sends SIGKILL to its listener", why: "the agent must be registered anew"},
		{name: "listener killed each time", when: relisten, late: true, codes: listenerEnded,
			what: "leaves a daemon that kills each listener", why: "starting again must have an end"},
		{name: "pids exhausted", when: busy, needs: pids, codes: []int{internal, tryAgain},
			what: "forks until the pids limit", why: "azptend can then start no process and no thread"},
		{name: "daemons", when: idle,
			what: "leaves 100 daemons with sessions of their own and an empty environment", why: "nobody is their parent, and nothing says whose they are"},
		{name: "orphans", when: busy,
			what: "makes 1,000 orphans that end at once", why: "azptend reaps them"},
		{name: "strays", when: killed, codes: []int{unfit, tryAgain},
			what: "leaves 300 daemons that are known to be its agent's", why: "the next start looks at each process, and ends these"},
		{name: "false worker", when: idle, codes: []int{tryAgain},
			what: "leaves a daemon that runs as bin/Agent.Worker", why: "a worker is evidence of a job"},
		{name: "false listener", when: killed, codes: []int{unfit, tryAgain},
			what: "leaves a daemon that runs as bin.1/Agent.Listener", why: "the next start takes it for its own"},
		{name: "false update", when: killed, codes: []int{unfit},
			what: "leaves a daemon called _update.sh", why: "the next start waits for an update's script"},
		{name: "lock taken", when: killed, codes: []int{unfit},
			what: "leaves a daemon that locks the agent's directory", why: "the next start takes that lock"},
		{name: "signals", when: busy,
			what: "sends azptend 20,000 signals that ask for nothing", why: "each is received, and some are logged"},

		// Sockets.
		{name: "health port", when: busy, forms: []string{"idle connections", "half a request", "endless request"}, needs: files,
			env:  []string{"AZP_HEALTH_ADDR=127.0.0.1:0"},
			what: "keeps 1,600 connections open to AZP_HEALTH_ADDR", why: "they must not use up azptend's descriptors"},
		{name: "control flood", when: busy, forms: []string{"idle connections", "endless request"}, needs: files,
			what: "keeps 1,600 connections open to the control socket", why: "they must not use up azptend's descriptors"},
		{name: "notification port", when: relisten, late: true, nextJob: true, forms: []string{"idle connections", "endless lies"}, needs: files, codes: listenerEnded,
			what: "leaves a daemon that floods the next listener's notification port", why: "the port is open until the listener has come"},
		{name: "notification address", when: relisten, late: true, nextJob: true, codes: listenerEnded,
			what: "leaves a daemon that writes its own address into the next .agent", why: "the listener then connects to the daemon"},

		// Output.
		{name: "log flood", when: busy,
			what: "writes 100 MB to its listener's output", why: "azptend passes it on"},
		{name: "output not read", when: busy, needs: unreadOutput,
			what: "fills the listener's output, which nobody reads", why: "writing to a full pipe blocks"},
		{name: "output not blocking", when: busy,
			what: "sets O_NONBLOCK on its listener's output, which azptend's may share", why: "writes then fail"},

		// Limits.
		{name: "disk full", when: busy, needs: disk,
			what: "fills the file system of the agent's directory", why: "azptend writes and removes files there"},
		{name: "disk full, listener killed", when: relisten, late: true, needs: disk, codes: append([]int{unfit, internal}, listenerKilled...),
			what: "fills the file system and kills its listener", why: "the next listener needs new files"},
		{name: "disk full, next start", when: again, needs: disk, codes: []int{unfit},
			what: "fills the file system for the next start", why: "the next start needs new files"},
		{name: "no inodes", when: relisten, late: true, needs: disk, codes: append([]int{unfit, internal}, listenerKilled...),
			what: "uses up the file system's inodes and kills its listener", why: "the next listener needs new files"},
		{name: "inotify exhausted", when: relisten, late: true, nextJob: true, codes: listenerKilled,
			what: "uses up its user's inotify instances", why: "azptend watches files with them"},
	}
}

var (
	// listenerKilled is for attacks that kill the listener with SIGKILL.
	listenerKilled = []int{tryAgain, sigkill}
	// listenerEnded is for attacks that end an idle listener with SIGINT, after which
	// azptend without an identity cannot know why it ended.
	listenerEnded = append([]int{unreachable}, listenerKilled...)
	// listenerFails is for attacks that make the listener fail by itself.
	listenerFails = []int{failedOnce, failedTwice, 3, sigkill, sigterm}
)
