package cli

// ExitCode is a row of the table of what `azptend run` ends with.
type ExitCode struct {
	Code string // "64"; "1, 2" for several that mean one thing; "128+n" for a family
	When string // a sentence without a period, in the README's Markdown
}

// ExitCodes is that table, for people who write what runs azptend: the README
// has it word for word, and each row has a script that shows it (test/coverage_test.go).
// Package lifecycle decides for them; 64 is decided here.
func ExitCodes() []ExitCode {
	return []ExitCode{
		{"0", "it left on purpose: the one job served, drained, a limit reached, or the placeholder is there; the agent is removed, or named (with `--strict-remove`: 75)"},
		{"1, 2", "the listener's own, after giving up on it"},
		{"64", "settings, or the command line"},
		{"69", "Azure DevOps or the identity endpoint stayed unreachable, or refused for good reason of its own"},
		{"70", "a fault of ours, or of the machine: no room for another file or process"},
		{"75", "try again: the name is held by another, or the agent folder is in use by another container, or a job was cut: the grace period was spent, `AZP_ON_TERM` is cancel, or others than azptend have told the listener to end; or one may have been cut, and nothing tells how it ended"},
		{"77", "the identity may not: no licence, no role, a token that is refused, or the pool (its name or id) is not visible to it"},
		{"78", "the agent folder cannot work: no listener, wrong architecture, not writable, or with another tool's agent in it"},
		{"128+n", "the listener died of signal n and was not started again; 130 when a person cancelled the job"},
	}
}
