package supervisor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/azptend/azptend/internal/agentdir"
	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/lifecycle"
	"github.com/azptend/azptend/internal/mslistener"
	"github.com/azptend/azptend/internal/proc"
)

// TestResultOf checks the outcome of each error, and its outcome as the answer to a POST.
func TestResultOf(t *testing.T) {
	status := func(code int) error { return &azdo.Error{Status: code} }
	for _, tt := range []struct {
		name      string
		err       error
		want      lifecycle.Outcome
		ofPost    lifecycle.Outcome // if it differs
		wantAfter time.Duration
	}{
		{name: "nothing", err: nil, want: lifecycle.OK},
		{name: "not sent", err: &azdo.Error{Cause: syscall.ECONNREFUSED}, want: lifecycle.Unreachable},
		{name: "sent, not answered", err: &azdo.Error{Sent: true, Cause: io.EOF}, want: lifecycle.AnswerLost},
		{name: "sent, given up", err: &azdo.Error{Sent: true, Cause: errAborted}, want: lifecycle.AnswerLost},
		{name: "given up in its turn", err: &azdo.Error{Cause: errAborted}, want: lifecycle.Unreachable},
		{name: "200 that is no JSON", err: status(200), want: lifecycle.Refused, ofPost: lifecycle.AnswerLost},
		{name: "302", err: status(302), want: lifecycle.Refused},
		{name: "400", err: status(400), want: lifecycle.Refused},
		{name: "a job runs, by another status", err: &azdo.Error{Status: 409, TypeKey: "TaskAgentJobStillRunningException"}, want: lifecycle.JobRunning},
		{name: "the name is taken, by another status", err: &azdo.Error{Status: 400, TypeKey: "TaskAgentExistsException"}, want: lifecycle.NameTaken},
		{name: "a job runs", err: &azdo.Error{Status: 400, TypeKey: "TaskAgentJobStillRunningException"}, want: lifecycle.JobRunning},
		{name: "401", err: status(401), want: lifecycle.Denied},
		{name: "the sign-in page", err: &azdo.Error{Status: 401, Cause: azdo.ErrSignIn}, want: lifecycle.Denied},
		{name: "403", err: status(403), want: lifecycle.Denied},
		{name: "404", err: status(404), want: lifecycle.NotFound},
		{name: "408", err: status(408), want: lifecycle.Unreachable, ofPost: lifecycle.AnswerLost},
		{name: "409", err: status(409), want: lifecycle.NameTaken},
		{name: "429", err: &azdo.Error{Status: 429, RetryAfter: time.Minute}, want: lifecycle.Unreachable, wantAfter: time.Minute},
		{name: "500", err: status(500), want: lifecycle.Unreachable, ofPost: lifecycle.AnswerLost},
		{name: "502", err: status(502), want: lifecycle.Unreachable, ofPost: lifecycle.AnswerLost},
		{name: "503", err: status(503), want: lifecycle.Unreachable, ofPost: lifecycle.Unclear},
		{name: "504", err: status(504), want: lifecycle.Unreachable, ofPost: lifecycle.AnswerLost},
		{name: "no such pool", err: fmt.Errorf("cannot find it: %w", azdo.ErrNoPool), want: lifecycle.Denied},
		{name: "a pool that is not ours to fill", err: checkSelfHosted(azdo.Pool{IsHosted: true}), want: lifecycle.Refused},
		{name: "a scale set's pool", err: checkSelfHosted(azdo.Pool{Options: "elasticPool, singleUseAgents"}), want: lifecycle.Refused},
		{name: "an answer without authorization", err: errIncomplete, want: lifecycle.Refused},
		{name: "no token", err: &azdo.TokenError{Cause: errors.New("refused")}, want: lifecycle.Unreachable},
		{name: "no token for this identity", err: &azdo.TokenError{Cause: refusedToken{}}, want: lifecycle.Refused},
		{name: "a directory of another container's agent", err: &agentdir.DirError{InUse: true}, want: lifecycle.DirInUse},
		{name: "an unusable directory", err: &agentdir.DirError{}, want: lifecycle.DirUnusable},
		{name: "no room for a process", err: syscall.EAGAIN, want: lifecycle.InternalError},
		{name: "given up", err: fmt.Errorf("cannot wait: %w", errAborted), want: lifecycle.Unreachable},
		{name: "cancelled", err: context.Canceled, want: lifecycle.Unreachable},
		{name: "too late", err: context.DeadlineExceeded, want: lifecycle.Unreachable},
		{name: "anything else", err: errors.New("?"), want: lifecycle.InternalError},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := resultOf(tt.err)
			if got.Outcome != tt.want || got.RetryAfter != tt.wantAfter || !errors.Is(got.Err, tt.err) {
				t.Errorf("got %+v, want %v", got, tt.want)
			}
			if tt.ofPost == "" {
				tt.ofPost = tt.want
			}
			if got := resultOfPost(tt.err); got.Outcome != tt.ofPost {
				t.Errorf("of a POST: got %+v, want %v", got, tt.ofPost)
			}
		})
	}
}

func TestSelfHosted(t *testing.T) {
	for _, tt := range []struct {
		pool azdo.Pool
		says string
	}{
		{azdo.Pool{Name: "p", Options: "none", PoolType: "automation"}, ""},
		{azdo.Pool{Name: "p", IsHosted: true}, `cannot add an agent to pool "p": its agents are hosted by Microsoft`},
		{azdo.Pool{Name: "p", Options: "elasticPool, singleUseAgents"}, `cannot add an agent to pool "p": it is a scale set pool`},
		{azdo.Pool{Name: "p", PoolType: "deployment"}, `cannot add an agent to pool "p": it is a deployment pool`},
	} {
		err := checkSelfHosted(tt.pool)
		if tt.says == "" {
			if err != nil {
				t.Errorf("%+v: %v", tt.pool, err)
			}
			continue
		}
		var no *permanentError
		if !errors.As(err, &no) || !strings.HasPrefix(err.Error(), tt.says) || !strings.Contains(no.Hint(), "AZP_POOL") {
			t.Errorf("%+v: %v", tt.pool, err)
		}
	}
}

// noVersion is a listener whose --version never exits.
type noVersion struct{ Processes }

func (noVersion) Output(ctx context.Context, _ proc.Spec) (string, proc.Status, error) {
	<-ctx.Done()
	return "", proc.Status{}, fmt.Errorf("cannot wait for it: %w", context.Cause(ctx))
}

// TestNoVersion: a listener that hangs makes the directory unusable, unless the call was
// aborted.
func TestNoVersion(t *testing.T) {
	f := newAgentDir(t)
	synctest.Test(t, func(t *testing.T) {
		o := mslistener.Options{Dir: f, Processes: noVersion{}}
		_, err := mslistener.Version(t.Context(), o)
		if resultOf(err).Outcome != lifecycle.DirUnusable || !strings.Contains(err.Error(), "--version did not exit within 30s") {
			t.Errorf("error is %v", err)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errAborted)
		if _, err := mslistener.Version(ctx, o); resultOf(err).Outcome != lifecycle.Unreachable {
			t.Errorf("error is %v", err)
		}
	})
}

func TestOwnerOf(t *testing.T) {
	tags := func(instance, host, kind string) map[string]string {
		return map[string]string{agentdir.TagInstance: instance, agentdir.TagHost: host, agentdir.TagKind: kind}
	}
	for _, tt := range []struct {
		name, instance string
		tags           map[string]string
		want           lifecycle.Owner
	}{
		{"our tags", "i", tags("i", "host", agentdir.KindAgent), lifecycle.ThisRun},
		{"of our host and directory, which prove nothing", "i", tags("h", "host", agentdir.KindAgent), lifecycle.Foreign},
		{"the same before we have a tag", "", tags("", "host", agentdir.KindAgent), lifecycle.Foreign},
		{"another host's", "i", tags("h", "elsewhere", agentdir.KindAgent), lifecycle.Foreign},
		{"a placeholder of this host", "i", tags("h", "host", "placeholder"), lifecycle.Placeholder},
		{"no tags", "i", nil, lifecycle.Foreign},
		{"no tags, and we have none", "", nil, lifecycle.Foreign},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := ownerOf(azdo.Agent{UserCapabilities: tt.tags}, tt.instance); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestAgentSince(t *testing.T) {
	at := azdo.Time{Time: time.Date(2026, 11, 22, 13, 0, 0, 0, time.FixedZone("", 3600))}
	for want, a := range map[string]azdo.Agent{
		"an unknown time":      {},
		"2026-11-22T12:00:00Z": {CreatedOn: at},
	} {
		if got := a.Since(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
