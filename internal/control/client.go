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

// The reasons for which there is no answer. The errors of a Client wrap one of these, or have
// the server's text.
var (
	ErrNotRunning   = errors.New("no azptend runs there")
	ErrForbidden    = errors.New("it belongs to another user")
	ErrNoResponse   = errors.New("azptend does not answer")
	ErrDisconnected = errors.New("azptend exited without a response")
)

// ResponseTimeout is how long a client waits for an answer. The loop usually answers in
// milliseconds, but jobs may use up the machine's processors.
const ResponseTimeout = 5 * time.Second

// maxResponse is the maximum length of a line of an answer, in bytes. It is enough for
// hundreds of agents.
const maxResponse = 1 << 20

// Client sends requests to the azptend at a location.
type Client struct{ Location Location }

// Status returns the agent's status.
func (c Client) Status(ctx context.Context) (Status, error) {
	return c.do(ctx, Request{Command: CommandStatus}, func(Status) {})
}

// Drain requests a drain, and returns the status after it.
func (c Client) Drain(ctx context.Context, terminating bool) (Status, error) {
	return c.do(ctx, Request{Command: CommandDrain, Terminating: terminating}, func(Status) {})
}

// DrainAndWatch requests a drain, calls each with every phase, and returns the last status
// when the run has ended. Only ctx limits the time. azptend waits a moment for this process
// to exit before it exits itself, so the caller should exit soon.
func (c Client) DrainAndWatch(ctx context.Context, terminating bool, each func(Status)) (Status, error) {
	return c.do(ctx, Request{Command: CommandDrain, Terminating: terminating, Watch: true}, each)
}

// do sends a request, and returns the last answer. If others open many connections, azptend
// may close this one before it has read the request. Then do sends it again, which is safe
// for all requests.
func (c Client) do(ctx context.Context, r Request, each func(Status)) (Status, error) {
	deadline := time.Now().Add(ResponseTimeout)
	answered := false
	var first error
	for {
		status, err := c.doOnce(ctx, r, func(s Status) { answered = true; each(s) })
		if first != nil && errors.Is(err, ErrNotRunning) { // azptend did exit
			return status, first
		}
		if answered || !errors.Is(err, ErrDisconnected) || time.Now().After(deadline) || retry.Sleep(ctx, busyInterval) != nil {
			return status, err
		}
		first = err
	}
}

// doOnce sends a request on one connection.
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
		if !ended { // otherwise the exit of this process closes it: as PID 1, azptend waits for that, because its exit kills us
			conn.Close()
		}
	}()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()

	r.Version = protocolVersion
	line, err := json.Marshal(r)
	if err != nil {
		return Status{}, err
	}
	_, _ = conn.Write(append(line, '\n')) // a server that refuses us may not read it: its answer decides
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

// dial connects, and checks the user at the other end.
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
	for errors.Is(err, syscall.EAGAIN) && retry.Sleep(ctx, busyInterval) == nil { // too many pending connections
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

// busyInterval is the pause before the next try if others open too many connections.
const busyInterval = 5 * time.Millisecond

// isTrustedServer says whether a client that runs as own accepts a server of this user. owner
// is the owner of the socket's directory, which root accepts if believeOwner is set.
func isTrustedServer(user, own, owner int, believeOwner bool) bool {
	return user == own || user == 0 || (own == 0 && user == owner && believeOwner)
}

// describe makes an error for the user.
func (c Client) describe(err error) error {
	var fromServer *serverError
	var timeout net.Error
	switch {
	case errors.As(err, &fromServer):
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
