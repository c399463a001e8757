package selftest

// Verdict is what came of a row.
type Verdict string

// The verdicts.
const (
	AsExpected Verdict = "as expected"
	Covered    Verdict = "different, handled"
	NotCovered Verdict = "different, not handled"
	Unknown    Verdict = "unknown" // it was tried, or was to be, and nothing was learnt
	NotTried   Verdict = "not tested"
)

// Row is one belief, and what was seen.
type Row struct {
	ID       string  `json:"id"`                 // id of the assumption, as in docs/assumptions.md
	Expected string  `json:"expected"`           // the expected behaviour
	Seen     string  `json:"seen,omitempty"`     // the observed behaviour
	Verdict  Verdict `json:"verdict"`            // the result
	Fallback string  `json:"fallback,omitempty"` // what azptend does if the server differs, or why nothing was tried
}

// assumption is a row before it was tried.
type assumption struct {
	id, expected string
	fallback     string // "" where azptend has none
	notTestable  string // why it is not tried
	basic        bool   // no row of docs/assumptions.md
}

// The reasons for which a belief is not tried.
const (
	needsJob      = "it needs a job"
	needsIdentity = "it needs another identity"
	needsTime     = "it takes several minutes"
)

// assumptions are the rows in the order in which they are tried.
func assumptions() []assumption {
	return []assumption{
		{id: "missing-pool", expected: "a pool that does not exist is 404", fallback: "the exit code is the same, without the list of pools"},
		{id: "add", expected: "POST of an agent returns its id and its authorization", basic: true},
		{id: "name-length", expected: "a name of 64 characters is accepted"},
		{id: "read-own-write", expected: "GET shows what was just written", fallback: "believes only a write that an agent is gone"},
		{id: "post-capabilities", expected: "POST keeps the user capabilities", fallback: "reads the owner tags back and writes them again"},
		{id: "post-enabled", expected: "POST with enabled false creates a disabled agent", fallback: "never sends it"},
		{id: "get-authorization", expected: "GET does not show an agent's authorization", fallback: "after a lost answer azptend uses the created agent"},
		{id: "name-taken-status", expected: "POST of a name that is taken is 409 TaskAgentExistsException", fallback: "recognises it by its type"},
		{id: "patch-id-refused", expected: "PATCH accepts the agent's id in its body", fallback: "cannot disable the agent; the check for a job and the refused DELETE prevent the loss of a job"},
		{id: "patch-id", expected: "PATCH without the id in its body is refused", fallback: "always sends it"},
		{id: "disable", expected: "PATCH disables an agent", basic: true},
		{id: "capabilities-path", expected: "PUT usercapabilities writes user capabilities", fallback: "warns; it needs this only if the owner tags were not kept"},
		{id: "preview-version", expected: "PUT usercapabilities with version 7.1 is 400", fallback: "sends -preview"},
		{id: "put-capabilities", expected: "PUT without user capabilities removes them", fallback: "uses PUT only for placeholders, and sends them"},
		{id: "put-enabled", expected: "PUT without the field enabled keeps its value", fallback: "sends back the value that it found"},
		{id: "token", expected: "the agent's key gets a token", basic: true},
		{id: "assertion-life", expected: "a client assertion valid for 600 s is refused", fallback: "this concerns only the listener"},
		{id: "session", expected: "the agent opens a session, and is online", basic: true},
		{id: "session-capabilities", expected: "a new session keeps the user capabilities", fallback: "reads the owner tags back and writes them again"},
		{id: "session-conflict", expected: "a second session is 409 TaskAgentSessionConflictException", fallback: "this concerns only the listener", basic: true},
		{id: "put-session", expected: "PUT keeps the session", fallback: "never replaces agents that run"},
		{id: "remove", expected: "DELETE removes an agent that is online", basic: true},
		{id: "delete-status", expected: "DELETE answers 204", fallback: "accepts any success"},
		{id: "session-after-delete", expected: "the session ends with its agent", fallback: "the listener gets SIGINT after the DELETE"},
		{id: "removed-agent", expected: "calls of a removed agent are 404", fallback: "ends the listener itself"},
		{id: "delete-missing", expected: "DELETE of an agent that does not exist is 404", fallback: "accepts any success"},
		{id: "clean", expected: "no agent of this test is in the pool afterwards", basic: true},

		{id: "delete-busy", expected: "DELETE of an agent that runs a job is refused", notTestable: needsJob},
		{id: "delete-busy-status", expected: "that refusal is 400 TaskAgentJobStillRunningException", notTestable: needsJob},
		{id: "disable-assigned", expected: "a job assigned just before is delivered to a disabled agent", notTestable: needsJob},
		{id: "disable-late", expected: "a disabled agent gets no further job", notTestable: needsJob},
		{id: "once-shutting-down", expected: "an agent whose --once job has ended gets no other job", notTestable: needsJob},
		{id: "lock-life", expected: "a job's lock expires 5 to 10 minutes after its listener died", notTestable: needsJob},
		{id: "session-life", expected: "a session expires 5 minutes after the last poll", notTestable: needsTime},
		{id: "unlicensed", expected: "an identity without a licence sees pools", notTestable: needsIdentity},
		{id: "wrong-tenant", expected: "a token of another tenant is 401", notTestable: needsIdentity},
		{id: "expired-token", expected: "an expired token is 401", notTestable: needsIdentity},
		{id: "own-role", expected: "changing one's own role is 400", notTestable: "it would change a role"},
	}
}

// judge makes a row of what was seen.
func (b assumption) judge(verdict Verdict, seen string) Row {
	r := Row{ID: b.id, Expected: b.expected, Seen: seen, Verdict: verdict}
	switch {
	case b.notTestable != "":
		r.Verdict, r.Fallback = NotTried, b.notTestable
	case verdict == Covered && b.fallback == "":
		r.Verdict = NotCovered
	case verdict == Covered:
		r.Fallback = b.fallback
	}
	return r
}

// IDs are the rows by name, and which of them are basic: no assumptions.
func IDs() (all, basic []string) {
	for _, b := range assumptions() {
		all = append(all, b.id)
		if b.basic {
			basic = append(basic, b.id)
		}
	}
	return all, basic
}
