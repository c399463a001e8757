package agentdir

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/azptend/azptend/internal/safefile"
)

// Trouble is why a listener cannot reach its server, by its own log. Jobs can write
// into that log, so it is only a reason to ask the server, and a hint for a person.
type Trouble struct {
	Kind TroubleKind
	Text string // the listener's own words, of Unreachable alone
}

// TroubleKind is a kind of trouble.
type TroubleKind string

// The kinds.
const (
	NoTrouble   TroubleKind = ""                   // it reaches its server, again
	SessionHeld TroubleKind = "session held"       // another listener has a session for this agent
	Refused     TroubleKind = "refused"            // the server does not know the registration that it logs on with
	ClockOff    TroubleKind = "clock"              // the server does not accept its times
	Untrusted   TroubleKind = "certificate"        // it does not trust the server's certificate
	Unreachable TroubleKind = "server unreachable" // anything else
)

// The listener's words for them, in the log: the names of exceptions, what .NET says
// of a certificate, and the lines of its terminal, which the log repeats and which
// are English where LANG is not set (src/Agent.Listener/MessageListener.cs,
// src/Misc/layoutbin/en-US/strings.json).
const (
	heldWords      = "TaskAgentSessionConflictException"
	tokenWords     = "VssOAuthTokenRequestException"
	clockWords     = "Current server time is"
	trustWords     = "The SSL connection could not be established"
	authorityWords = "The remote certificate"
	errorWords     = "Agent connect error: "
	errorEnd       = ". Retrying until reconnected."
)

// overWords are those for the end of any trouble: a session was created, a poll or
// the listener's keep-alive was answered.
var overWords = []string{"Session created.", "Agent reconnected.", "Sent GetAgentMessage to keep alive agent "}

// troubleIn says what a line of the log tells of it; known is false where that is
// nothing.
func troubleIn(line []byte) (t Trouble, known bool) {
	has := func(words string) bool { return bytes.Contains(line, []byte(words)) }
	switch {
	case has(heldWords):
		return Trouble{Kind: SessionHeld}, true
	case has(tokenWords) && has(clockWords):
		return Trouble{Kind: ClockOff}, true
	case has(tokenWords):
		return Trouble{Kind: Refused}, true
	case has(trustWords), has(authorityWords):
		return Trouble{Kind: Untrusted}, true
	case slices.ContainsFunc(overWords, has):
		return Trouble{}, true
	}
	if _, text, is := strings.Cut(string(line), errorWords); is {
		text, _, _ = strings.Cut(text, errorEnd)
		return Trouble{Unreachable, text}, true
	}
	return Trouble{}, false
}

const (
	// followEvery is how often the log is looked at while a listener starts, and
	// followIdle from a minute on: one that has its session tries again every 15 to
	// 60 s.
	followEvery = time.Second
	followIdle  = 10 * time.Second
	followSoon  = time.Minute
)

// Troubles tells what the logs say that were written after before was taken, line by
// line, until ctx ends. As reads them with the rights of the jobs' user.
func (f Folder) Troubles(ctx context.Context, before Logs, as func(func() error) error, tell func(Trouble)) {
	follower := logFollower{folder: f, before: before, files: map[string]*followed{}}
	for begun := time.Now(); ; {
		var found []Trouble
		_ = as(func() error { found = follower.look(); return nil })
		for _, t := range found {
			tell(t)
		}
		pause := followEvery
		if time.Since(begun) > followSoon {
			pause = followIdle
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
}

// logFollower reads what is added to a listener's logs.
type logFollower struct {
	folder Folder
	before Logs
	files  map[string]*followed
}

// followed is one log, and how much of it was read.
type followed struct {
	lines *safefile.Lines
	read  int64
}

// Jobs can leave logs without number and without end. So a look reads so much of
// each at most, and of so many: a listener has begun one, or a few more, and names
// them by their time.
const (
	mostLogs       = 64
	mostLogWindows = 4 // safefile.Lines: 256 KiB each
)

// look reads what is new.
func (l *logFollower) look() (found []Trouble) {
	logs := l.folder.ListenerLogs()
	for name := range l.files { // logs that were removed
		if _, is := logs[name]; !is {
			delete(l.files, name)
		}
	}
	var names []string // of logs that have grown
	for name, size := range logs {
		if file := l.files[name]; size > l.before[name] && (file == nil || size > file.read) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names[max(0, len(names)-mostLogs):] {
		found = append(found, l.read(name)...)
	}
	return found
}

func (l *logFollower) read(name string) (found []Trouble) {
	file := l.files[name]
	if file == nil {
		file = &followed{lines: safefile.Dir(l.folder.diag()).Lines(name)}
		l.files[name] = file
	}
	for range mostLogWindows {
		lines, replaced, err := file.lines.Next()
		if err != nil || len(lines) == 0 {
			break
		}
		if replaced {
			file.read = 0
		}
		file.read += int64(len(lines))
		for line := range bytes.Lines(lines[oldPart(int64(len(lines)), file.read, l.before[name]):]) {
			if t, known := troubleIn(line); known {
				found = append(found, t)
			}
		}
	}
	return found
}

// oldPart is how much of the last n bytes that were read was there before.
func oldPart(n, read, before int64) int64 { return min(n, max(0, before-(read-n))) }
