package mslistener

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/azptend/azptend/internal/lifecycle"
	"github.com/azptend/azptend/internal/safefile"
)

// Problem is why a listener cannot use the server, according to its log. Jobs can write to
// that log. So a problem is only a reason to ask the server, and a hint in azptend's log.
type Problem struct {
	Kind ProblemKind
	Text string // the listener's message; only with ServerUnreachable
}

// ProblemKind is a kind of problem.
type ProblemKind string

// The kinds.
const (
	NoProblem            ProblemKind = ""                   // it reaches the server (again)
	SessionConflict      ProblemKind = "session held"       // another listener has a session for this agent
	RegistrationRefused  ProblemKind = "refused"            // the server refuses the registration that it logs on with
	ClockSkew            ProblemKind = "clock"              // the server refuses its timestamps
	CertificateUntrusted ProblemKind = "certificate"        // it does not trust the server's certificate
	ServerUnreachable    ProblemKind = "server unreachable" // anything else
)

// Texts in the log: names of exceptions, .NET's messages about certificates, and the lines
// that the listener also prints on the terminal. Those are English if LANG is not set
// (src/Agent.Listener/MessageListener.cs, src/Misc/layoutbin/en-US/strings.json).
const (
	conflictText    = "TaskAgentSessionConflictException"
	tokenText       = "VssOAuthTokenRequestException"
	clockText       = "Current server time is"
	tlsText         = "The SSL connection could not be established"
	certificateText = "The remote certificate"
	errorText       = "Agent connect error: "
	errorEnd        = ". Retrying until reconnected."
)

// recoveredTexts mark the end of any problem: a session was created, or the server
// answered a poll or the listener's keep-alive.
var recoveredTexts = []string{"Session created.", "Agent reconnected.", "Sent GetAgentMessage to keep alive agent "}

// problemIn returns the problem in one line of the log. known is false if the line is about
// something else.
func problemIn(line []byte) (p Problem, known bool) {
	has := func(text string) bool { return bytes.Contains(line, []byte(text)) }
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

// Explain says why a listener is not ready, and what to do.
func (p Problem) Explain() (reason, hint string) {
	switch p.Kind {
	case ClockSkew:
		return "clock skew: the server refuses the listener's timestamps", HintClock
	case CertificateUntrusted:
		return "certificate: the listener does not trust the server's certificate",
			"set AZP_CA_FILE (--ca-file) to a file with the CA certificate, or install the certificate in the image"
	case SessionConflict:
		return "session conflict: another listener has a session for this agent",
			"if that listener was killed, wait five minutes until its session expires; otherwise stop the other container that uses this agent's files"
	case RegistrationRefused:
		return "registration: the server refuses this agent's registration", "check whether the agent was deleted, or registered again elsewhere"
	case ServerUnreachable:
		return "server unreachable: the listener reports: " + p.Text, "check that the listener can reach the server through the same proxy as azptend"
	}
	return "no session: the listener's log does not say why", "check the listener's lines above, and its log in _diag"
}

// HintClock is the hint for a wrong clock.
const HintClock = "set the clock; in a container it is the host's"

// problemState is what a listener's log has shown so far.
type problemState struct {
	mu   sync.Mutex
	last Problem

	// The goroutine that reads the log owns these.
	hasConflict bool // Listener.Conflict is closed
	refused     bool
	lastAsked   time.Time     // when the server was last asked whether the agent exists
	pause       time.Duration // until it is asked again
}

func (s *problemState) note(p Problem) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.Kind == ServerUnreachable && s.last.Kind != NoProblem {
		return // the last problem is the cause, which the listener logs before this line
	}
	s.last = p
}

// If the server refuses the registration, azptend asks about the agent at once, and again
// after growing pauses. So a job that forges such lines causes few requests.
const (
	firstAskAgain = time.Minute
	lastAskAgain  = time.Hour
)

// handleProblem reacts to a problem in the log.
func (l *Listener) handleProblem(p Problem, post func(lifecycle.Event)) {
	s := &l.problems
	s.note(p)
	switch {
	case p.Kind == SessionConflict && !s.hasConflict:
		s.hasConflict = true
		close(l.Conflict)
		post(lifecycle.SessionConflict{})
	case p.Kind == RegistrationRefused:
		if !s.refused {
			s.refused = true
			l.o.Log.Warn("The server refuses the agent's registration: the agent may have been deleted", "agent", l.o.Name)
		}
		if time.Since(s.lastAsked) < s.pause {
			return
		}
		s.lastAsked, s.pause = time.Now(), min(max(2*s.pause, firstAskAgain), lastAskAgain)
		post(lifecycle.AgentMaybeDeleted{LogonRefused: true})
	case p.Kind == NoProblem && s.refused:
		s.refused = false
		l.o.Log.Info("The server accepts the agent's registration again", "agent", l.o.Name)
		post(lifecycle.SessionReady{})
	}
}

// Problem returns the last problem in the listener's log.
func (l *Listener) Problem() Problem {
	l.problems.mu.Lock()
	defer l.problems.mu.Unlock()
	return l.problems.last
}

// azptend reads the log every pollAtStart during startPeriod, and then every pollLater: a
// listener with a session retries only every 15 to 60 s.
const (
	pollAtStart = time.Second
	pollLater   = 10 * time.Second
	startPeriod = time.Minute
)

// FollowProblems reports each problem in lines that were written to the logs after before
// was taken. It returns when ctx ends.
func (f Files) FollowProblems(ctx context.Context, before LogSizes, report func(Problem)) {
	follower := logFollower{files: f, before: before, logs: map[string]*followedLog{}}
	for begun := time.Now(); ; {
		var found []Problem
		_ = f.Dir.AsUser(func() error { found = follower.readNew(); return nil })
		for _, p := range found {
			report(p)
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

// logFollower reads new lines in a listener's logs.
type logFollower struct {
	files  Files
	before LogSizes
	logs   map[string]*followedLog
}

// followedLog is one log, and how much of it was read.
type followedLog struct {
	lines *safefile.LineFollower
	read  int64
}

// Jobs can leave any number of log files of any size. So azptend reads only the newest
// ones, and a limited part of each. A listener writes to one at a time, and its name
// contains the time.
const (
	maxLogs     = 64
	maxLogReads = 4 // safefile.LineFollower: 256 KiB each
)

// readNew returns the problems in lines that were added since the last call.
func (l *logFollower) readNew() (found []Problem) {
	sizes := l.files.logSizes()
	for name := range l.logs { // logs that were removed
		if _, is := sizes[name]; !is {
			delete(l.logs, name)
		}
	}
	var names []string // of logs that have grown
	for name, size := range sizes {
		if log := l.logs[name]; size > l.before[name] && (log == nil || size > log.read) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names[max(0, len(names)-maxLogs):] {
		found = append(found, l.readLog(name)...)
	}
	return found
}

func (l *logFollower) readLog(name string) (found []Problem) {
	log := l.logs[name]
	if log == nil {
		log = &followedLog{lines: safefile.Dir(l.files.Dir.Logs()).FollowLines(name)}
		l.logs[name] = log
	}
	for range maxLogReads {
		lines, replaced, err := log.lines.Next()
		if err != nil || len(lines) == 0 {
			break
		}
		if replaced {
			log.read = 0
		}
		n := int64(len(lines))
		old := min(n, max(0, l.before[name]-log.read)) // written before this listener started
		log.read += n
		for line := range bytes.Lines(lines[old:]) {
			if p, known := problemIn(line); known {
				found = append(found, p)
			}
		}
	}
	return found
}
