package agentdir

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/azptend/azptend/internal/safefile"
)

// Problem is why a listener cannot reach its server, by its own log. Jobs can write
// into that log, so it is only a reason to ask the server, and a hint for a person.
type Problem struct {
	Kind ProblemKind
	Text string // the listener's own words, of Unreachable alone
}

// ProblemKind is a kind of trouble.
type ProblemKind string

// The kinds.
const (
	NoProblem            ProblemKind = ""                   // it reaches its server, again
	SessionConflict      ProblemKind = "session held"       // another listener has a session for this agent
	RegistrationRefused  ProblemKind = "refused"            // the server does not know the registration that it logs on with
	ClockSkew            ProblemKind = "clock"              // the server does not accept its times
	CertificateUntrusted ProblemKind = "certificate"        // it does not trust the server's certificate
	ServerUnreachable    ProblemKind = "server unreachable" // anything else
)

// The listener's words for them, in the log: the names of exceptions, what .NET says
// of a certificate, and the lines of its terminal, which the log repeats and which
// are English where LANG is not set (src/Agent.Listener/MessageListener.cs,
// src/Misc/layoutbin/en-US/strings.json).
const (
	conflictText    = "TaskAgentSessionConflictException"
	tokenText       = "VssOAuthTokenRequestException"
	clockText       = "Current server time is"
	tlsText         = "The SSL connection could not be established"
	certificateText = "The remote certificate"
	errorText       = "Agent connect error: "
	errorEnd        = ". Retrying until reconnected."
)

// recoveredTexts are those for the end of any trouble: a session was created, a poll or
// the listener's keep-alive was answered.
var recoveredTexts = []string{"Session created.", "Agent reconnected.", "Sent GetAgentMessage to keep alive agent "}

// problemIn says what a line of the log tells of it; known is false where that is
// nothing.
func problemIn(line []byte) (t Problem, known bool) {
	has := func(words string) bool { return bytes.Contains(line, []byte(words)) }
	switch {
	case has(conflictText):
		return Problem{Kind: SessionConflict}, true
	case has(tokenText) && has(clockText):
		return Problem{Kind: ClockSkew}, true
	case has(tokenText):
		return Problem{Kind: RegistrationRefused}, true
	case has(tlsText), has(certificateText):
		return Problem{Kind: CertificateUntrusted}, true
	case slices.ContainsFunc(recoveredTexts, has):
		return Problem{}, true
	}
	if _, text, is := strings.Cut(string(line), errorText); is {
		text, _, _ = strings.Cut(text, errorEnd)
		return Problem{ServerUnreachable, text}, true
	}
	return Problem{}, false
}

const (
	// pollAtStart is how often the log is looked at while a listener starts, and
	// followIdle from a minute on: one that has its session tries again every 15 to
	// 60 s.
	pollAtStart = time.Second
	pollLater   = 10 * time.Second
	startPeriod = time.Minute
)

// FollowProblems tells what the logs say that were written after before was taken, line by
// line, until ctx ends. As reads them with the rights of the jobs' user.
func (f Dir) FollowProblems(ctx context.Context, before LogSizes, as func(func() error) error, tell func(Problem)) {
	follower := logFollower{dir: f, before: before, files: map[string]*followedLog{}}
	for begun := time.Now(); ; {
		var found []Problem
		_ = as(func() error { found = follower.readNew(); return nil })
		for _, t := range found {
			tell(t)
		}
		pause := pollAtStart
		if time.Since(begun) > startPeriod {
			pause = pollLater
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
	dir    Dir
	before LogSizes
	files  map[string]*followedLog
}

// followedLog is one log, and how much of it was read.
type followedLog struct {
	lines *safefile.LineFollower
	read  int64
}

// Jobs can leave logs without number and without end. So a look reads so much of
// each at most, and of so many: a listener has begun one, or a few more, and names
// them by their time.
const (
	maxLogs     = 64
	maxLogReads = 4 // safefile.Lines: 256 KiB each
)

// readNew reads what is new.
func (l *logFollower) readNew() (found []Problem) {
	logs := l.dir.LogSizes()
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
	for _, name := range names[max(0, len(names)-maxLogs):] {
		found = append(found, l.read(name)...)
	}
	return found
}

func (l *logFollower) read(name string) (found []Problem) {
	file := l.files[name]
	if file == nil {
		file = &followedLog{lines: safefile.Dir(l.dir.logDir()).FollowLines(name)}
		l.files[name] = file
	}
	for range maxLogReads {
		lines, replaced, err := file.lines.Next()
		if err != nil || len(lines) == 0 {
			break
		}
		if replaced {
			file.read = 0
		}
		file.read += int64(len(lines))
		for line := range bytes.Lines(lines[bytesBefore(int64(len(lines)), file.read, l.before[name]):]) {
			if t, known := problemIn(line); known {
				found = append(found, t)
			}
		}
	}
	return found
}

// bytesBefore is how much of the last n bytes that were read was there before.
func bytesBefore(n, read, before int64) int64 { return min(n, max(0, before-(read-n))) }
