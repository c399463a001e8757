package selftest

// Verdict is the result of testing an assumption.
type Verdict string

// The verdicts.
const (
	AsExpected Verdict = "as expected"
	Covered    Verdict = "different, handled"
	NotCovered Verdict = "different, not handled"
	Unknown    Verdict = "unknown" // the test had no result
	NotTried   Verdict = "not tested"
)

// Row is one assumption, and what was seen.
type Row struct {
	ID       string  `json:"id"`                 // id of the assumption, as in docs/assumptions.md
	Expected string  `json:"expected"`           // the expected behaviour
	Seen     string  `json:"seen,omitempty"`     // the observed behaviour
	Verdict  Verdict `json:"verdict"`            // the result
	Fallback string  `json:"fallback,omitempty"` // what azptend does if the server differs, or why it was not tested
}

// assumption is a row before the test.
type assumption struct {
	id, expected string
	fallback     string // "": azptend has none
	notTestable  string // why it is not tested
	basic        bool   // it is no row of docs/assumptions.md
}

// Why an assumption is not tested.
const (
	needsJob      = "it needs a job"
	needsIdentity = "it needs another identity"
	needsTime     = "it takes minutes of waiting"
)

// assumptions are all rows, in the order in which they are tested.
func assumptions() []assumption {
	return []assumption{
		{id: "missing-pool", expected: "a missing pool is 404", fallback: "the exit code is the same, without the list of pools"},
		{id: "add", expected: "POST of an agent answers with its id and how it logs on", basic: true},
		{id: "name-length", expected: "a name of 64 characters is accepted"},
		{id: "read-own-write", expected: "GET shows what was just written", fallback: "only an answer to a write counts as proof that an agent is gone"},
		{id: "post-capabilities", expected: "POST keeps the user capabilities", fallback: "reads the owner tag back and writes it again"},
		{id: "post-enabled", expected: "POST with enabled false makes a disabled agent", fallback: "never sends it"},
		{id: "get-authorization", expected: "GET does not show how an agent logs on", fallback: "after a lost answer azptend uses the agent that was created"},
		{id: "name-taken-status", expected: "POST of a name that is taken is 409 TaskAgentExistsException", fallback: "recognises it by its type"},
		{id: "patch-id-refused", expected: "PATCH accepts the agent's id in its body", fallback: "disables no agent; the check before DELETE, and the refused DELETE, keep jobs from being lost"},
		{id: "patch-id", expected: "PATCH without the id in its body is refused", fallback: "always sends it"},
		{id: "disable", expected: "PATCH disables an agent", basic: true},
		{id: "capabilities-path", expected: "PUT usercapabilities writes user capabilities", fallback: "logs a warning; it needs this only if POST did not keep the owner tag"},
		{id: "preview-version", expected: "PUT usercapabilities with version 7.1 is 400", fallback: "sends it with -preview"},
		{id: "put-capabilities", expected: "PUT without user capabilities removes them", fallback: "uses PUT only for placeholders, and sends them"},
		{id: "put-enabled", expected: "PUT without enabled does not change it", fallback: "never enables or disables placeholders"},
		{id: "token", expected: "the agent gets a token with its key", basic: true},
		{id: "assertion-life", expected: "a client assertion with a lifetime of 600 s is refused", fallback: "this concerns only the listener"},
		{id: "session", expected: "the agent opens a session, and is online", basic: true},
		{id: "session-capabilities", expected: "a new session does not change the user capabilities", fallback: "reads the owner tag back and writes it again"},
		{id: "session-conflict", expected: "a second session is 409 TaskAgentSessionConflictException", fallback: "this concerns only the listener", basic: true},
		{id: "put-session", expected: "PUT does not end the session", fallback: "never replaces a running agent"},
		{id: "remove", expected: "DELETE removes an agent that is online", basic: true},
		{id: "delete-status", expected: "DELETE answers 204", fallback: "accepts any success"},
		{id: "session-after-delete", expected: "the session ends with its agent", fallback: "the listener gets SIGINT after the DELETE"},
		{id: "removed-agent", expected: "a removed agent's calls are 404", fallback: "stops the listener itself"},
		{id: "delete-missing", expected: "DELETE of a missing agent is 404", fallback: "accepts any success"},
		{id: "clean", expected: "no agent of this test is in the pool afterwards", basic: true},

		{id: "delete-busy", expected: "DELETE of an agent that runs a job is refused", notTestable: needsJob},
		{id: "delete-busy-status", expected: "that refusal is 400 TaskAgentJobStillRunningException", notTestable: needsJob},
		{id: "disable-assigned", expected: "a job assigned just before is delivered to a disabled agent", notTestable: needsJob},
		{id: "disable-late", expected: "a disabled agent is assigned nothing", notTestable: needsJob},
		{id: "once-shutting-down", expected: "an agent whose --once job has ended gets no other", notTestable: needsJob},
		{id: "lock-life", expected: "a job's lock expires 5 to 10 minutes after its listener was killed", notTestable: needsJob},
		{id: "session-life", expected: "a session that nobody polls ends after 5 minutes", notTestable: needsTime},
		{id: "unlicensed", expected: "an identity without a licence sees pools", notTestable: needsIdentity},
		{id: "wrong-tenant", expected: "a token of another tenant is 401", notTestable: needsIdentity},
		{id: "expired-token", expected: "an expired token is 401", notTestable: needsIdentity},
		{id: "own-role", expected: "changing one's own role is 400", notTestable: "it would change a role"},
	}
}

// judge makes the row of what was seen.
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

// IDs returns the ids of all rows, and of the basic ones.
func IDs() (all, basic []string) {
	for _, b := range assumptions() {
		all = append(all, b.id)
		if b.basic {
			basic = append(basic, b.id)
		}
	}
	return all, basic
}
