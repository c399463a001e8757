package install

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/azptend/azptend/internal/retry"
	"github.com/azptend/azptend/internal/safefile"
)

// ChecksumError says that an archive is not the one that was asked for.
type ChecksumError struct {
	What      string // the address or the file
	Want, Got string // SHA-256, in hex
}

func (e *ChecksumError) Error() string {
	return fmt.Sprintf("cannot verify %s: its SHA-256 is %s, not %s", e.What, e.Got, e.Want)
}

// Hint says what to check.
func (e *ChecksumError) Hint() string { return wrongArchiveHint }

const wrongArchiveHint = "check the version and the platform, and whether a proxy answers instead of the server; nothing was installed"

// unverifiedError says that a download was stopped, because it cannot be an agent package.
type unverifiedError struct{ error }

func (e *unverifiedError) Unwrap() error { return e.error }

func (e *unverifiedError) Hint() string { return wrongArchiveHint }

// GetFunc requests an archive, from a byte on. It uses the proxy, and a token where one is
// needed.
type GetFunc func(ctx context.Context, address string, from int64) (*http.Response, error)

// How often a download is tried again, and after what pause.
const (
	downloadTries = 5
	downloadPause = 2 * time.Second
)

// fetch downloads the package into part. It resumes what an earlier download left,
// and a download that broke off. It ends early if the part is rejected.
func fetch(ctx context.Context, get GetFunc, p Package, part *download) error {
	for try := 1; ; try++ {
		before := part.length()
		err := fetchOnce(ctx, get, p, part)
		wrong := errors.As(err, new(*ChecksumError)) || errors.As(err, new(*contentError))
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case wrong && before > 0: // the beginning was of another file
			try--
			if err := part.restart(); err != nil {
				return err
			}
			continue
		case wrong, errors.As(err, new(*permanentError)), try == downloadTries:
			return err
		case part.length() > before: // it made progress
			try = 0
		}
		if err := retry.Sleep(ctx, retry.Between(downloadPause/2, downloadPause*3/2)); err != nil {
			return err
		}
	}
}

// permanentError is a failure that another try does not change.
type permanentError struct{ error }

func (e *permanentError) Unwrap() error { return e.error }

func fetchOnce(ctx context.Context, get GetFunc, p Package, part *download) error {
	digest := sha256.New()
	have, err := part.hash(ctx, digest)
	if err != nil {
		return &permanentError{err}
	}
	if hex.EncodeToString(digest.Sum(nil)) == p.SHA256 {
		return nil
	}
	ctx, alive, stop := watchStall(ctx)
	defer stop()
	resp, err := get(ctx, p.URL, have)
	if err != nil {
		return fmt.Errorf("cannot download %s: %w", p.URL, err)
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusOK:
		digest.Reset()
		if have, err = 0, part.restart(); err != nil {
			return &permanentError{err}
		}
	case resp.StatusCode == http.StatusPartialContent && rangeStart(resp) == have:
	case resp.StatusCode == http.StatusRequestedRangeNotSatisfiable && have > 0:
		// The whole archive is no longer than the part, and the part is not the archive.
		return &ChecksumError{p.URL, p.SHA256, hex.EncodeToString(digest.Sum(nil))}
	default:
		err := fmt.Errorf("cannot download %s: the server answers %s", p.URL, resp.Status)
		if resp.StatusCode/100 == 4 && resp.StatusCode != http.StatusTooManyRequests && resp.StatusCode != http.StatusRequestTimeout {
			return &permanentError{err}
		}
		return err
	}
	return receive(resp, p, part, have, digest, alive)
}

// stallTimeout is how long a download may receive nothing before it is tried again.
const stallTimeout = time.Minute

var errStalled = fmt.Errorf("no data arrived for %v", stallTimeout)

// watchStall returns a context that ends if alive is not called for stallTimeout.
func watchStall(ctx context.Context) (watched context.Context, alive func(), stop func()) {
	watched, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(stallTimeout, func() { cancel(errStalled) })
	return watched, func() { timer.Reset(stallTimeout) }, func() { timer.Stop(); cancel(nil) }
}

// receive appends the body to part, and verifies the package.
func receive(resp *http.Response, p Package, part *download, have int64, digest hash.Hash, alive func()) error {
	total := int64(0)
	if resp.ContentLength > 0 {
		total = have + resp.ContentLength
	}
	counter := &progressCounter{Progress{Stage: Downloading, Done: have, Total: total}, func(p Progress) { alive(); part.report(p) }}
	body := io.LimitReader(resp.Body, maxArchive-have) // an archive without end fails its checksum
	_, err := io.CopyBuffer(io.MultiWriter(part, digest, counter), body, make([]byte, 1<<20))
	var disk *os.PathError
	switch {
	case errors.As(err, new(*contentError)):
		return err
	case errors.As(err, &disk):
		return &permanentError{fmt.Errorf("cannot save the download: %w", err)}
	case err != nil:
		return fmt.Errorf("cannot download %s: it stopped after %d bytes: %w", p.URL, counter.Done, err)
	}
	if got := hex.EncodeToString(digest.Sum(nil)); got != p.SHA256 {
		return &ChecksumError{p.URL, p.SHA256, got}
	}
	return nil
}

// rangeStart is the first byte of a partial answer; -1: it does not say.
func rangeStart(resp *http.Response) int64 {
	text, _, _ := strings.Cut(strings.TrimPrefix(resp.Header.Get("Content-Range"), "bytes "), "-")
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return -1
	}
	return n
}

// hashContent adds a file's content to the digest.
func hashContent(ctx context.Context, file io.Reader, digest hash.Hash) error {
	_, err := io.CopyBuffer(digest, contextReader{ctx, file}, make([]byte, 1<<20))
	return err
}

// contextReader reads until a context ends. It also hides the file's WriteTo, which would
// not use the caller's buffer.
type contextReader struct {
	ctx context.Context
	io.Reader
}

func (u contextReader) Read(p []byte) (int, error) {
	if err := context.Cause(u.ctx); err != nil {
		return 0, err
	}
	return u.Reader.Read(p)
}

// FileSHA256 is a local file's SHA-256 in hex.
func FileSHA256(ctx context.Context, name string) (string, error) {
	f, err := safefile.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	digest := sha256.New()
	if err := hashContent(ctx, f, digest); err != nil {
		return "", err
	}
	return hex.EncodeToString(digest.Sum(nil)), nil
}

// progressCounter reports how much was written to it.
type progressCounter struct {
	Progress
	report func(Progress)
}

func (c *progressCounter) Write(p []byte) (int, error) {
	c.Done += int64(len(p))
	c.report(c.Progress)
	return len(p), nil
}
