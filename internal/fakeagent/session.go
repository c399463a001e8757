package fakeagent

import (
	"context"
	"errors"
	"time"
)

// sessionRetry is the pause after a session that could not be created. The limits are how many
// refusals of a kind end the listener: after 240 s and 30 min of pauses, counted before the
// pause (5.5; MessageListener.cs, IsSessionCreationExceptionRetriable).
const (
	sessionRetry  = 30 * time.Second
	conflictLimit = 8
	skewLimit     = 60
)

// The texts of the real listener (strings.json). The last one is only in its log.
const (
	msgAgentGone    = "The agent no longer exists on the server. Please reconfigure the agent."
	msgSessionHeld  = "A session for this agent already exists."
	msgConflictEnd  = "Stop retry on SessionConflictException after retried for 240 seconds."
	msgClockSkewed  = "The local machine's clock may be out of sync with the server time by more than five minutes. Please sync your clock with your domain or internet time and try again."
	msgSkewEnd      = "Stopped retrying OAuth token request exception after 1800 seconds."
	msgConnectError = "Agent connect error: %v. Retrying until reconnected."
	msgReconnected  = "Agent reconnected."
	msgTokenRevoked = "Agent OAuth token has been revoked - shutting down gracefully"
)

// exitError is an error that ends the listener with an exit code.
type exitError struct {
	code  int
	lines []string // for stderr
}

func (e *exitError) Error() string {
	if len(e.lines) == 0 {
		return "leaving"
	}
	return e.lines[len(e.lines)-1]
}

// createSession tries until the session exists, an error is final (an *exitError) or ctx ends.
// It prints only the first error.
func (l *listener) createSession(ctx context.Context) (session, error) {
	printed := false
	var met refusalCounts
	for {
		s, err := l.tryCreateSession(ctx)
		if err == nil {
			l.log.Print("Session created.")
			if printed {
				l.term.dated(msgReconnected)
			}
			l.setSession(s)
			return s, nil
		}
		if ctx.Err() != nil {
			return session{}, ctx.Err()
		}
		// The real listener logs the name of the exception (MessageListener.cs).
		l.log.Print("Catch exception during create session.")
		l.log.Print(dotNetText(err))
		if final := l.finalAtCreate(err, &met); final != nil {
			return session{}, final
		}
		if !printed {
			printed = true
			l.term.datedErr(msgConnectError, err)
		}
		if !l.settings.timeScale.sleep(ctx, sessionRetry) {
			return session{}, ctx.Err()
		}
	}
}

// dotNetText is an error in the format of a .NET exception.
func dotNetText(err error) string {
	var s *serverError
	if errors.As(err, &s) && s.typeKey != "" {
		return "Microsoft.TeamFoundation.DistributedTask.WebApi." + s.typeKey + ": " + err.Error()
	}
	var token *tokenError
	if errors.As(err, &token) {
		return "Microsoft.VisualStudio.Services.OAuth.VssOAuthTokenRequestException: " + err.Error()
	}
	return err.Error()
}

func (l *listener) tryCreateSession(ctx context.Context) (session, error) {
	caps := map[string]string{}
	if !l.agent.SkipCapabilitiesScan {
		caps = capabilities(l.env, l.facts())
	}
	ctx, done := withGrace(ctx, createGrace)
	defer done()
	answer, err := l.pool.createSession(ctx, sessionRequest{
		OwnerName: l.host,
		Agent: agentReference{
			ID: l.agent.AgentID, Name: l.agent.AgentName,
			Version: l.version, OSDescription: osDescription,
		},
		SystemCapabilities: caps,
	})
	if err != nil {
		return session{}, err
	}
	return openSession(answer, l.key)
}

// createGrace is how long a request for a session may take after a signal. If it were aborted,
// its session could not be deleted, and would keep the agent online for minutes.
const createGrace = 2 * time.Second

// withGrace returns a context that ends d after ctx.
func withGrace(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	late, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(d, cancel) })
	return late, func() { stop(); cancel() }
}

// refusalCounts counts the refusals that end the listener if there are too many.
type refusalCounts struct{ conflicts, skews int }

// finalAtCreate returns the listener's exit for errors that end it (5.5); nil means retry. A
// token that is refused for another reason than the clock does not end it.
func (l *listener) finalAtCreate(err error, met *refusalCounts) *exitError {
	refused := "Failed to create session. " + err.Error()
	var token *tokenError
	switch {
	case isType(err, "TaskAgentAccessTokenExpired"):
		l.log.Print(msgTokenRevoked)
		return &exitError{exitSuccess, nil}
	case isType(err, "TaskAgentNotFound"), l.settings.endsWhenRefused && isClientGone(err):
		return &exitError{exitTerminated, []string{msgAgentGone, refused}}
	case isDenied(err):
		return &exitError{exitTerminated, []string{refused}}
	case isType(err, "TaskAgentSessionConflict"):
		l.term.err(msgSessionHeld)
		if met.conflicts++; met.conflicts == conflictLimit {
			return &exitError{exitTerminated, []string{msgConflictEnd, refused}}
		}
	case errors.As(err, &token) && token.isClockSkew():
		l.term.err(msgClockSkewed)
		if met.skews++; met.skews == skewLimit {
			return &exitError{exitTerminated, []string{msgSkewEnd, refused}}
		}
	}
	return nil
}

// deleteLimit is the timeout for deleting the session (5.2).
const deleteLimit = 30 * time.Second

func (l *listener) deleteSession() {
	s := l.setSession(session{})
	if s.id == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), deleteLimit)
	defer cancel()
	if err := l.pool.deleteSession(ctx, s.id); err != nil {
		l.log.Printf("cannot delete the session: %v", err)
	}
}

// setSession replaces the session that is deleted at the end, and returns the old one.
func (l *listener) setSession(s session) session {
	l.mu.Lock()
	defer l.mu.Unlock()
	before := l.session
	l.session = s
	return before
}
