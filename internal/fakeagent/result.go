package fakeagent

import "strings"

// result is TaskResult; a worker's exit code is 100 more (4.1).
type result int

const (
	succeeded result = iota
	succeededWithIssues
	failed
	canceled
	skipped
	abandoned
)

// String is the name on the terminal (5.6).
func (r result) String() string {
	names := [...]string{"Succeeded", "SucceededWithIssues", "Failed", "Canceled", "Skipped", "Abandoned"}
	if r < 0 || int(r) >= len(names) {
		return "Failed"
	}
	return names[r]
}

// wire is the name in JSON: camelCase (2.2).
func (r result) wire() string {
	name := r.String()
	return strings.ToLower(name[:1]) + name[1:]
}

// workerExitBase is what a worker adds to its result.
const workerExitBase = 100

// resultOfWorker reads a worker's exit code; false means that it crashed.
func resultOfWorker(code int) (result, bool) {
	r := result(code - workerExitBase)
	return r, r >= succeeded && r <= abandoned
}
