package fakeagent

import (
	"context"
	"math/rand/v2"
	"time"
)

// pollResult is a decrypted message, or the error that ended the polling.
type pollResult struct {
	id      int64
	kind    string
	body    []byte
	session string // the session of the message, in which it must be acknowledged
	err     error
}

// poll is the loop of long polls (7.3). It ends with ctx, or after it has sent an error.
func (l *listener) poll(ctx context.Context, s session, inbox chan<- pollResult) {
	send := func(p pollResult) bool {
		select {
		case inbox <- p:
			return true
		case <-ctx.Done():
			return false
		}
	}
	var last int64
	var outage int // failed polls in a row
	for ctx.Err() == nil {
		m, err := l.pool.nextMessage(ctx, s.id, last)
		if err != nil && ctx.Err() != nil {
			return
		}
		if err == nil { // the real listener logs this for a separate call, every 30 s
			l.log.Printf("Sent GetAgentMessage to keep alive agent %d, session '%s'.", l.agent.AgentID, s.id)
		}
		if err == nil && outage > 0 {
			outage = 0
			l.term.dated(msgReconnected)
		}
		switch {
		case err == nil && m == nil:
			l.settings.timeScale.sleep(ctx, between(5*time.Second, 15*time.Second))
		case err == nil:
			last = m.ID
			p := pollResult{id: m.ID, kind: m.Type, session: s.id}
			p.body, p.err = s.decrypt(m)
			if !send(p) || p.err != nil {
				return
			}
		case isType(err, "TaskAgentSessionExpired"):
			l.log.Printf("the session has expired")
			if s, err = l.createSession(ctx); err != nil {
				send(pollResult{err: err})
				return
			}
			last = 0
		default:
			l.log.Print("Catch exception during get next message.")
			l.log.Print(dotNetText(err))
			if final := l.finalAtPoll(err); final != nil {
				send(pollResult{err: final})
				return
			}
			outage++
			l.backOff(ctx, err, outage)
		}
	}
}

// backOff waits after a failed poll: 15 to 30 s, or 30 to 60 s from the sixth failure in a row on
// (5.5).
func (l *listener) backOff(ctx context.Context, err error, outage int) {
	if outage == 1 {
		l.term.datedErr(msgConnectError, err)
	}
	l.log.Printf("Unable to get next message in GetNextMessageAsync (attempt %d)", outage)
	pause := between(15*time.Second, 30*time.Second)
	if outage > 5 {
		pause *= 2
	}
	l.settings.timeScale.sleep(ctx, pause)
}

// finalAtPoll returns the exit of a listener with a session for errors that end it: exit code 2,
// or 0 if the token was revoked (5.5, 6). A refused token does not end it (corrections, 6 and
// 7.1).
func (l *listener) finalAtPoll(err error) *exitError {
	switch {
	case isType(err, "TaskAgentAccessTokenExpired"), l.settings.endsWhenRefused && isClientGone(err):
		l.log.Print(msgTokenRevoked)
		return &exitError{exitSuccess, nil}
	case isType(err, "TaskAgentNotFound"), isDenied(err):
		return &exitError{exitRetryable, []string{"An error occurred: " + err.Error()}}
	}
	return nil
}

func between(from, to time.Duration) time.Duration {
	return from + rand.N(to-from)
}
