package main

import (
	"fmt"
	"time"

	"github.com/azptend/azptend/internal/emulator"
)

// outcome is how azptend's next call ends. The fault applies to that call only, or to two
// calls where azptend retries at once.
type outcome struct {
	name  string
	fault *emulator.Fault // nil: the call succeeds
}

const timeout = "timeout"

// late is longer than azptend waits for an answer.
const late = 2 * time.Minute

func outcomes() []outcome {
	status := func(code int, body string) *emulator.Fault {
		return &emulator.Fault{Status: code, Body: body, Times: 1}
	}
	server := func(code int, typeKey, message string) *emulator.Fault {
		return status(code, fmt.Sprintf(`{"$id":"1","message":%q,"typeKey":%q,"errorCode":0}`, message, typeKey))
	}
	page := &emulator.Fault{Status: 203, ContentType: "text/html; charset=utf-8", Body: "<html>Sign in</html>", Times: 2}
	unauthorized := server(401, "UnauthorizedRequestException", "TF400813: not authorized")
	unauthorized.Times = 2 // azptend retries once with a new token
	throttled := server(429, "RequestBlockedException", "TF400733: the request has been canceled")
	throttled.Headers = map[string]string{"Retry-After": "5"}
	return []outcome{
		{"ok", nil},
		{"401", unauthorized},
		{"403", server(403, "AccessDeniedException", "TF401027: you need the Manage permission")},
		{"404", server(404, "TaskAgentNotFoundException", "No agent found")},
		{"409", server(409, "TaskAgentExistsException", "it exists")},
		{"429 with Retry-After", throttled},
		{"500", server(500, "VssServiceException", "an error has occurred")},
		{"503", status(503, "")},
		{timeout, &emulator.Fault{Delay: late, DropAnswer: emulator.DropBefore, Times: 1}},
		{"reset before the server acts", &emulator.Fault{Reset: true, DropAnswer: emulator.DropBefore, Times: 1}},
		{"reset after it acted", &emulator.Fault{Reset: true, DropAnswer: emulator.DropAfter, Times: 1}},
		{"203 with a page", page},
	}
}

// The calls that can get an outcome: those for the pool's agents, and before the first token
// those to the identity endpoint.
const (
	agentCalls = `/distributedtask/pools/[0-9]+/agents`
	tokenCalls = `^/msi/token`
)
