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

	"github.com/azptend/azptend/internal/retry"
)

// Why there is no answer. The errors of a Client wrap one of these, or quote the
// server.
var (
	ErrNotRunning   = errors.New("no azptend runs there")
	ErrForbidden    = errors.New("it belongs to another user")
	ErrNoResponse   = errors.New("azptend does not answer")
	ErrDisconnected = errors.New("azptend exited without a response")
)

// ResponseTimeout is how long an answer is waited for. The loop answers in
// milliseconds; the rest is for machines whose jobs use all of them.
const ResponseTimeout = 5 * time.Second

// maxResponse bounds what is read of a line of an answer, in bytes. Hundreds of
// agents fit in.
const maxResponse = 1 << 20

// Client asks the azptend of a place.
type Client struct{ Location Location }

// Status asks how the agent is.
func (c Client) Status(ctx context.Context) (Status, error) {
	return c.do(ctx, Request{Command: CommandStatus}, func(Status) {})
}

// Drain asks for a drain.
func (c Client) Drain(ctx context.Context, terminating bool) (Status, error) {
	return c.do(ctx, Request{Command: CommandDrain, Terminating: terminating}, func(Status) {})
}

// DrainAndWatch asks for a drain and returns at the end of the life, the status
// then; each is told of its every phase. There is no time limit but ctx's. After
// the end azptend waits a moment for this process's own: it should not dawdle.
func (c Client) DrainAndWatch(ctx context.Context, terminating bool, each func(Status)) (Status, error) {
	return c.do(ctx, Request{Command: CommandDrain, Terminating: terminating, Watch: true}, each)
}

// do asks, and returns the last answer. Where others use the socket up, azptend may
// close a connection before it has read the question: it is asked again then, which
// does no harm.
func (c Client) do(ctx context.Context, r Request, each func(Status)) (Status, error) {
	patience := time.Now().Add(ResponseTimeout)
	answered := false
	var first error
	for {
		status, err := c.doOnce(ctx, r, func(s Status) { answered = true; each(s) })
		if first != nil && errors.Is(err, ErrNotRunning) { // it did end
			return status, first
		}
		if answered || !errors.Is(err, ErrDisconnected) || time.Now().After(patience) || retry.Sleep(ctx, busyInterval) != nil {
			return status, err
		}
		first = err
	}
}

// doOnce asks on one connection.
func (c Client) doOnce(ctx context.Context, r Request, each func(Status)) (Status, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	first := time.AfterFunc(ResponseTimeout, cancel)
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

	r.Version = protocolVersion
	line, err := json.Marshal(r)
	if err != nil {
		return Status{}, err
	}
	_, _ = conn.Write(append(line, '\n')) // who refuses us may not read it: his answer says so, or its lack
	answers := bufio.NewReaderSize(conn, maxResponse)
	for {
		status, err := readResponse(answers)
		if err != nil {
			return Status{}, c.describe(err)
		}
		first.Stop()
		each(status)
		ended = r.Watch && status.End != nil
		if !r.Watch || ended {
			return status, nil
		}
	}
}

func readResponse(answers *bufio.Reader) (Status, error) {
	line, err := answers.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return Status{}, &serverError{errors.New("cannot read azptend's answer: it is too long")}
	}
	if err != nil {
		return Status{}, err
	}
	var a Response
	switch err := json.Unmarshal(line, &a); {
	case err != nil:
		return Status{}, fmt.Errorf("cannot read azptend's answer: %w", err)
	case a.Error == refusal:
		return Status{}, ErrForbidden
	case a.Error != "":
		return Status{}, &serverError{errors.New(a.Error)}
	case a.Version != protocolVersion || a.Status == nil:
		return Status{}, &serverError{fmt.Errorf("cannot read azptend's answer: its protocol version is %d, not %d", a.Version, protocolVersion)}
	}
	return *a.Status, nil
}

// serverError is an error that the server sent.
type serverError struct{ error }

// dial connects, and makes sure of who is at the other end.
func (c Client) dial(ctx context.Context) (*net.UnixConn, error) {
	path, believeOwner := c.Location.find()
	f, err := openDir(path)
	if err != nil {
		return nil, c.describe(err)
	}
	defer f.file.Close()
	info, err := f.file.Stat()
	if err != nil {
		return nil, c.describe(err)
	}
	conn, err := new(net.Dialer).DialContext(ctx, "unix", f.socket())
	for errors.Is(err, syscall.EAGAIN) && retry.Sleep(ctx, busyInterval) == nil { // too many others wait to be accepted
		conn, err = new(net.Dialer).DialContext(ctx, "unix", f.socket())
	}
	if err != nil {
		return nil, c.describe(err)
	}
	unix := conn.(*net.UnixConn)
	user, err := peerUser(unix)
	if err == nil && !isTrustedServer(user, os.Geteuid(), owner(info), believeOwner) {
		err = ErrForbidden
	}
	if err != nil {
		conn.Close()
		return nil, c.describe(err)
	}
	return unix, nil
}

// busyInterval is how long a client waits before it tries a socket again that others
// use up.
const busyInterval = 5 * time.Millisecond

// isTrustedServer says whether a client that runs as own believes this user, in a
// folder of owner's, who may be believed by root.
func isTrustedServer(user, own, owner int, believeOwner bool) bool {
	return user == own || user == 0 || (own == 0 && user == owner && believeOwner)
}

// describe turns a failure into an error for people.
func (c Client) describe(err error) error {
	var said *serverError
	var timeout net.Error
	switch {
	case errors.As(err, &said):
		return err
	case errors.Is(err, ErrForbidden), errors.Is(err, fs.ErrPermission):
		err = ErrForbidden
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.ELOOP):
		err = ErrNotRunning
	case errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, context.Canceled), errors.Is(err, syscall.EAGAIN):
		err = ErrNoResponse
	default: // EOF, a reset connection
		err = fmt.Errorf("%w (%w)", ErrDisconnected, err)
	}
	path, _ := c.Location.find()
	return fmt.Errorf("cannot reach azptend in %s: %w", path, err)
}
