package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"
)

// Why there is no answer. The errors of a Client wrap one of these, or quote the
// server.
var (
	ErrNobody    = errors.New("no azptend runs there")
	ErrForbidden = errors.New("it belongs to another user")
	ErrSilent    = errors.New("azptend does not answer")
	ErrBrokenOff = errors.New("azptend ended without a word")
)

// AnswerWithin is how long an answer is waited for. The loop answers in
// milliseconds; the rest is for machines whose jobs use all of them.
const AnswerWithin = 5 * time.Second

// longestAnswer bounds what is read of a line of an answer, in bytes. Hundreds of
// agents fit in.
const longestAnswer = 1 << 20

// Client asks the azptend of a place.
type Client struct{ Place Place }

// Status asks how the agent is.
func (c Client) Status(ctx context.Context) (Status, error) {
	return c.ask(ctx, Request{Ask: AskStatus}, func(Status) {})
}

// Drain asks for a drain.
func (c Client) Drain(ctx context.Context, terminating bool) (Status, error) {
	return c.ask(ctx, Request{Ask: AskDrain, Terminating: terminating}, func(Status) {})
}

// DrainAndWatch asks for a drain and returns at the end of the life, the status
// then; each is told of its every phase. There is no time limit but ctx's. After
// the end azptend waits a moment for this process's own: it should not dawdle.
func (c Client) DrainAndWatch(ctx context.Context, terminating bool, each func(Status)) (Status, error) {
	return c.ask(ctx, Request{Ask: AskDrain, Terminating: terminating, Watch: true}, each)
}

// ask asks, and returns the last answer. Where others use the socket up, azptend may
// close a connection before it has read the question: it is asked again then, which
// does no harm.
func (c Client) ask(ctx context.Context, r Request, each func(Status)) (Status, error) {
	patience := time.Now().Add(AnswerWithin)
	answered := false
	var first error
	for {
		status, err := c.askOnce(ctx, r, func(s Status) { answered = true; each(s) })
		if first != nil && errors.Is(err, ErrNobody) { // it did end
			return status, first
		}
		if answered || !errors.Is(err, ErrBrokenOff) || time.Now().After(patience) || !pause(ctx, crowded) {
			return status, err
		}
		first = err
	}
}

// askOnce asks on one connection.
func (c Client) askOnce(ctx context.Context, r Request, each func(Status)) (Status, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	first := time.AfterFunc(AnswerWithin, cancel)
	defer first.Stop()
	conn, err := c.dial(ctx)
	if err != nil {
		return Status{}, err
	}
	ended := false
	defer func() {
		if !ended { // else our own end closes it: azptend waits for that, lest as PID 1 it takes us along
			conn.Close()
		}
	}()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()

	r.Version = version
	line, err := json.Marshal(r)
	if err != nil {
		return Status{}, err
	}
	_, _ = conn.Write(append(line, '\n')) // who refuses us may not read it: his answer says so, or its lack
	answers := bufio.NewReaderSize(conn, longestAnswer)
	for {
		status, err := read(answers)
		if err != nil {
			return Status{}, c.without(err)
		}
		first.Stop()
		each(status)
		ended = r.Watch && status.End != nil
		if !r.Watch || ended {
			return status, nil
		}
	}
}

func read(answers *bufio.Reader) (Status, error) {
	line, err := answers.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return Status{}, &saidError{"cannot read azptend's answer: it is too long"}
	}
	if err != nil {
		return Status{}, err
	}
	var a Answer
	switch err := json.Unmarshal(line, &a); {
	case err != nil:
		return Status{}, fmt.Errorf("cannot read azptend's answer: %w", err)
	case a.Error == refusal:
		return Status{}, ErrForbidden
	case a.Error != "":
		return Status{}, &saidError{a.Error}
	case a.Version != version || a.Status == nil:
		return Status{}, &saidError{fmt.Sprintf("cannot read azptend's answer: it is of version %d, and this one speaks %d", a.Version, version)}
	}
	return *a.Status, nil
}

// saidError is in the words of the other side.
type saidError struct{ what string }

func (e *saidError) Error() string { return e.what }

// dial connects, and makes sure of who is at the other end.
func (c Client) dial(ctx context.Context) (*net.UnixConn, error) {
	path, believeOwner := c.Place.find()
	f, err := openFolder(path)
	if err != nil {
		return nil, c.without(err)
	}
	defer f.file.Close()
	info, err := f.file.Stat()
	if err != nil {
		return nil, c.without(err)
	}
	conn, err := new(net.Dialer).DialContext(ctx, "unix", f.socket())
	for errors.Is(err, syscall.EAGAIN) && pause(ctx, crowded) { // too many others wait to be accepted
		conn, err = new(net.Dialer).DialContext(ctx, "unix", f.socket())
	}
	if err != nil {
		return nil, c.without(err)
	}
	unix := conn.(*net.UnixConn)
	user, err := peerUser(unix)
	if err == nil && !mayAnswer(user, os.Geteuid(), owner(info), believeOwner) {
		err = ErrForbidden
	}
	if err != nil {
		conn.Close()
		return nil, c.without(err)
	}
	return unix, nil
}

// crowded is how long a client waits before it tries a socket again that others
// use up.
const crowded = 5 * time.Millisecond

// mayAnswer says whether a client that runs as own believes this user, in a
// folder of owner's, who may be believed by root.
func mayAnswer(user, own, owner int, believeOwner bool) bool {
	return user == own || user == 0 || (own == 0 && user == owner && believeOwner)
}

// without says what a failure means.
func (c Client) without(err error) error {
	var said *saidError
	var timeout net.Error
	switch {
	case errors.As(err, &said):
		return err
	case errors.Is(err, ErrForbidden), errors.Is(err, fs.ErrPermission):
		err = ErrForbidden
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.ELOOP):
		err = ErrNobody
	case errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, context.Canceled), errors.Is(err, syscall.EAGAIN):
		err = ErrSilent
	default: // EOF, a reset connection
		err = fmt.Errorf("%w (%w)", ErrBrokenOff, err)
	}
	path, _ := c.Place.find()
	return fmt.Errorf("cannot talk to azptend in %s: %w", path, err)
}
