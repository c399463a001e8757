package supervisor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/azptend/azptend/internal/agentdir"
	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/bounded"
	"github.com/azptend/azptend/internal/lifecycle"
	"github.com/azptend/azptend/internal/mslistener"
)

// launch writes the agent's files and starts the listener. With RegisterOnly it only
// writes the files: another azptend starts the listener.
func (r *runner) launch() func(context.Context) message {
	writeFiles := r.fileWriter()
	r.wroteFiles = true // at least in part, soon
	if r.o.Policy.RegisterOnly {
		return func(ctx context.Context) message {
			return message{event: lifecycle.LaunchResult{Result: resultOf(bounded.Do(ctx, func() error { return writeFiles("") }))}}
		}
	}
	return func(ctx context.Context) message {
		begun := time.Now()
		l, err := r.startInTime(ctx, writeFiles)
		if err != nil {
			return message{event: lifecycle.LaunchResult{Result: resultOf(err)}}
		}
		spent := time.Since(begun)
		return message{
			apply: func(r *runner) {
				r.listener, r.started, r.jobsBefore = l.Process, l, r.state.Jobs
				r.times.launch, r.times.launched = spent, time.Now()
				r.times.startAt(begun)
				r.log.Info("Started the listener", "pid", l.Pid(), "version", r.version)
				r.watch(l)
			},
			event:  lifecycle.LaunchResult{Result: lifecycle.Result{Outcome: lifecycle.OK}},
			onDrop: func() { discard(l) },
		}
	}
}

// startInTime starts a listener, and returns when ctx ends: the agent's directory, or that
// of its logs, may be on a file system that hangs, and the agent must still be removed. A
// listener that starts later is killed.
func (r *runner) startInTime(ctx context.Context, writeFiles func(notifications string) error) (*mslistener.Listener, error) {
	type result struct {
		l   *mslistener.Listener
		err error
	}
	options, sources := r.o.listenerOptions(), r.sources
	started := make(chan result)
	r.goBackground(func(context.Context) {
		l, err := mslistener.Start(ctx, options, sources, writeFiles)
		select {
		case started <- result{l, err}:
		case <-ctx.Done():
			if err == nil {
				discard(l)
			}
		}
	})
	select {
	case got := <-started:
		return got.l, got.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// discard kills a listener that started too late.
func discard(l *mslistener.Listener) {
	ctx, cancel := context.WithTimeout(context.Background(), finalStepTimeout)
	defer cancel()
	l.Discard(ctx)
}

// fileWriter returns the function that writes the agent's files. notifications is the
// address that the listener connects to.
func (r *runner) fileWriter() func(notifications string) error {
	o, pool, a, key := r.o, r.pool, r.registered, r.key
	if o.Handoff != nil {
		return func(notifications string) error { return o.Dir.WriteHandoff(*o.Handoff, notifications) }
	}
	return func(notifications string) error {
		if !hasCredentials(a) {
			return errIncomplete
		}
		server := agentdir.ServerURL(o.URL, a.Properties.Text("ServerUrl"))
		return o.Dir.WriteFiles(agentdir.Registration{
			AgentID:          a.ID,
			AgentName:        o.Name,
			PoolID:           pool.ID,
			PoolName:         pool.Name,
			ServerURL:        server,
			WorkFolder:       o.WorkFolder,
			ClientID:         a.Authorization.ClientID,
			AuthorizationURL: a.Authorization.AuthorizationURL,
			OAuthEndpointURL: agentdir.OAuthEndpointURL(server, a.Authorization.AuthorizationURL),
			Notifications:    notifications,
		}, key)
	}
}

var errIncomplete = &permanentError{error: errors.New("the server's answer to the registration lacks the agent's client id or its authorization URL")}

// watch posts the events of a listener, until it has exited.
func (r *runner) watch(l *mslistener.Listener) {
	alive, exited := context.WithCancel(r.ctx)
	poolID, id := r.pool.ID, r.registered.ID
	r.goBackground(func(ctx context.Context) {
		defer exited()
		l.Watch(ctx, func(e lifecycle.Event) {
			if _, is := e.(lifecycle.ListenerExited); is {
				exited()
			}
			r.post(message{from: l.Process, event: e})
		})
	})
	r.goBackground(func(context.Context) { r.waitForReady(alive, l, poolID, id) })
	if r.o.presence != nil && id != 0 {
		leave := r.o.presence.add(poolID, id, func() { r.post(message{from: l.Process, event: lifecycle.AgentMaybeDeleted{}}) })
		context.AfterFunc(alive, leave)
	}
}

const (
	// notReadyAfter is when azptend first reports that a listener is not ready. The pause
	// doubles each time, up to notReadyMax.
	notReadyAfter = time.Minute
	notReadyMax   = time.Hour
)

// waitForReady waits until the listener's counters or the server show its session. Until
// then it logs from time to time why the listener is not ready.
func (r *runner) waitForReady(alive context.Context, l *mslistener.Listener, poolID, id int) {
	ctx, cancel := context.WithCancel(alive)
	defer cancel()
	first := make(chan string, 2)
	r.goBackground(func(context.Context) {
		if l.WaitForSession(ctx) == nil {
			first <- "perf file"
		}
	})
	if r.o.Server != nil {
		r.goBackground(func(context.Context) {
			if r.waitForOnline(ctx, poolID, id, l.Conflict) {
				first <- "server"
			}
		})
	}
	warn := time.NewTimer(notReadyAfter)
	defer warn.Stop()
	for begun, pause := time.Now(), notReadyAfter; ; {
		select {
		case source := <-first:
			r.post(message{
				from: l.Process, event: lifecycle.SessionReady{},
				apply: func(r *runner) { r.reportReady(source); r.confirmTags() },
			})
			return
		case <-warn.C:
			r.warnNotReady(l, time.Since(begun))
			pause = min(2*pause, notReadyMax)
			warn.Reset(pause)
		case <-ctx.Done():
			return
		}
	}
}

const (
	// onlineAfter is when the server is first asked whether the agent is online, in case
	// the counters do not show it. onlineEvery is the pause between further requests.
	onlineAfter = 20 * time.Second
	onlineEvery = 30 * time.Second
)

// waitForOnline waits until the server shows the agent online. After a session conflict
// it returns false: the agent is online because of the other session.
func (r *runner) waitForOnline(ctx context.Context, poolID, id int, conflict <-chan struct{}) bool {
	for wait := onlineAfter; ; wait = onlineEvery {
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-conflict:
			timer.Stop()
			return false
		case <-ctx.Done():
			timer.Stop()
			return false
		}
		if a, err := r.o.Server.AgentByID(ctx, poolID, id, azdo.Include{AssignedRequest: true}); err == nil && a.Online() {
			return true
		}
	}
}

// maxClockSkew is the clock difference from which azptend warns. From five minutes on, the
// server refuses the listener's logon.
const maxClockSkew = 4 * time.Minute

// warnNotReady logs why a listener is not ready, according to its log and to our clock.
func (r *runner) warnNotReady(l *mslistener.Listener, since time.Duration) {
	reason, hint := l.Problem().Explain()
	if r.o.ClockAhead != nil {
		if ahead := r.o.ClockAhead(); ahead.Abs() >= maxClockSkew {
			reason = fmt.Sprintf("clock skew: the server's clock and this machine's differ by %v", ahead.Abs().Round(time.Second))
			hint = mslistener.HintClock
		}
	}
	r.log.Warn("The agent is not ready", "agent", r.o.Name, "for", since.Round(time.Second).String(), "reason", reason, "hint", hint)
}

// killTimeout bounds one KillTree: on a machine with too little CPU the search for a
// hundred processes takes seconds. lifecycle has its own timeout for the listener's exit.
const killTimeout = 5 * time.Second

// kill kills the listener and everything below it.
func (r *runner) kill() {
	l := r.listener
	r.goBackground(func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, killTimeout)
		defer cancel()
		n := l.KillTree(ctx)
		r.log.Warn("Killed the listener and everything below it", "processes", n)
	})
}

// updateTimeout bounds the wait for the update script, which only moves two directories.
const updateTimeout = 60 * time.Second

// waitForUpdate waits for the script that updates the listener.
func (r *runner) waitForUpdate() {
	l := r.started
	r.log.Info("The agent is updating: waiting for the update script")
	r.goBackground(func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, updateTimeout)
		defer cancel()
		if err := l.WaitForUpdate(ctx); err != nil {
			r.log.Warn("The update script did not report its end", "error", err)
		}
		r.post(message{event: lifecycle.UpdateEnded{}})
	})
}
