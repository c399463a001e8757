//go:build unix

package standin

import (
	"context"
	"errors"
	"time"
)

// The times of 5.5.
const (
	sessionRetry  = 30 * time.Second
	conflictLimit = 4 * time.Minute
	skewLimit     = 30 * time.Minute
)

// The texts of the real listener.
const (
	msgAgentGone    = "The agent no longer exists on the server. Please reconfigure the agent."
	msgTokenRevoked = "Agent OAuth token has been revoked. Shutting down."
)

// leaveWith is an error that ends the listener with an exit code.
type leaveWith struct {
	code  int
	lines []string // for stderr
}

func (e *leaveWith) Error() string {
	if len(e.lines) == 0 {
		return "leaving"
	}
	return e.lines[len(e.lines)-1]
}

// createSession tries until the session exists, the server's answer is final
// (a *leaveWith) or ctx ends. Only the first error of a row is printed.
func (l *listener) createSession(ctx context.Context) (session, error) {
	first, printed := time.Now(), false
	for {
		s, err := l.tryCreateSession(ctx)
		if err == nil {
			if printed {
				l.term.dated("Agent reconnected.")
			}
			l.setSession(s)
			return s, nil
		}
		if ctx.Err() != nil {
			return session{}, ctx.Err()
		}
		// As the real one's log has it: the exception by its name (MessageListener.cs).
		l.log.Printf("Catch exception during create session. %s", described(err))
		if final := l.finalAtCreate(err, time.Since(first)); final != nil {
			return session{}, final
		}
		if !printed {
			printed = true
			l.term.dated("Agent connect error: %v. Retrying until reconnected.", err)
		}
		if !l.knobs.pace.wait(ctx, sessionRetry) {
			return session{}, ctx.Err()
		}
	}
}

// described is an error as .NET writes an exception.
func described(err error) string {
	var s *serverError
	if errors.As(err, &s) && s.typeKey != "" {
		return "Microsoft.TeamFoundation.DistributedTask.WebApi." + s.typeKey + ": " + err.Error()
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

// createGrace is how long a request for a session that is under way may still
// take after a signal: a session that nobody knows of could not be deleted, and
// would keep the agent online for minutes.
const createGrace = 2 * time.Second

// withGrace returns a context that ends d after ctx.
func withGrace(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	late, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(d, cancel) })
	return late, func() { stop(); cancel() }
}

// finalAtCreate says which refusals end the listener (5.5); nil means: again.
func (l *listener) finalAtCreate(err error, tried time.Duration) *leaveWith {
	refused := "Failed to create session. " + err.Error()
	var token *tokenError
	switch {
	case isType(err, "TaskAgentAccessTokenExpired"):
		return &leaveWith{exitSuccess, []string{msgTokenRevoked}}
	case isType(err, "TaskAgentNotFound"), errors.As(err, &token) && token.isClientGone():
		// 6 says that a relaunch after the agent's deletion ends with 1, whichever
		// of the two the server refuses first.
		return &leaveWith{exitTerminated, []string{msgAgentGone, refused}}
	case isType(err, "TaskAgentPoolNotFound"), isForbidden(err), isUnauthorized(err):
		return &leaveWith{exitTerminated, []string{refused}}
	case isType(err, "TaskAgentSessionConflict"):
		if tried >= l.knobs.pace.of(conflictLimit) {
			return &leaveWith{exitTerminated, []string{"Stop retry on SessionConflictException after retried for 240 seconds.", refused}}
		}
	case errors.As(err, &token) && token.isClockSkew():
		if tried >= l.knobs.pace.of(skewLimit) {
			return &leaveWith{exitTerminated, []string{refused}}
		}
	}
	return nil
}

// deleteLimit bounds the farewell to the server (5.2).
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

// setSession replaces the session to be deleted at the end and returns the one
// before.
func (l *listener) setSession(s session) session {
	l.mu.Lock()
	defer l.mu.Unlock()
	before := l.session
	l.session = s
	return before
}
