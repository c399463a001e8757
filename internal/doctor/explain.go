package doctor

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/azptend/azptend/internal/agentdir"
	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/identity"
	"github.com/azptend/azptend/internal/text"
)

// Explain returns the cause of a failure of any command, nil if there is none for it.
func Explain(err error) *Cause {
	switch {
	case err == nil:
		return nil
	case errors.As(err, new(*agentdir.DirError)):
		return FolderUnusable
	}
	return cmp.Or(causeOfToken(err), causeOfPool(err), causeOfAnswer(err), causeOfNetwork(err))
}

// explainAt is Explain for an identity of this host. The metadata service needs no header, so its 403 is
// not about one.
func explainAt(host identity.Host, err error) *Cause {
	if c := Explain(err); c != WrongHeader || host != identity.MetadataService {
		return c
	}
	return NotAssigned
}

// causeOfToken is about what kept an identity from getting a token (reference/identity.md
// 1.2). Entra ID's sentence says which of its reasons it is; a policy is told by
// its code, for nothing about the application is wrong then.
func causeOfToken(err error) *Cause {
	var answer *identity.EndpointError
	if !errors.As(err, &answer) {
		var file *identity.FileError
		if errors.As(err, &file) && file.Setting == "AZP_TOKEN_FILE" {
			return BadTokenFile
		}
		if errors.Is(err, identity.ErrNoEndpoint) {
			return NoEndpoint
		}
		return nil
	}
	switch {
	case strings.Contains(answer.Message, "AADSTS53003"):
		return EntraPolicy
	case answer.Endpoint != "":
		return EntraRefused
	case answer.NoToken:
		return NoTokenGiven
	case answer.Status == http.StatusForbidden:
		return WrongHeader
	}
	return NotAssigned
}

// causeOfPool tells the causes apart that look the same to a client: the list of
// pools leaves out what the caller may not view, without a word. The post had
// this puzzle, and its answer was the licence.
func causeOfPool(err error) *Cause {
	var e *azdo.NoPoolError
	switch {
	case !errors.Is(err, azdo.ErrNoPool):
		return nil
	case errors.As(err, &e) && len(e.Sees) > 0:
		return PoolNotAmong
	case errors.As(err, &e) && e.Known:
		return NoPools
	}
	return PoolInvisible
}

// causeOfAnswer is by the server's status, and by the code in its sentence where
// one status means several things (azure-devops-rest.md 5).
func causeOfAnswer(err error) *Cause {
	var answer *azdo.Error
	switch {
	case !errors.As(err, &answer):
		return nil
	case errors.Is(err, azdo.ErrSignIn):
		return SignInPage
	case errors.Is(err, azdo.ErrNotJSON):
		return NotDevOps
	case errors.Is(err, azdo.ErrRedirect):
		return Redirects
	}
	says := func(text string) bool { return strings.Contains(strings.ToLower(answer.Message), text) }
	switch answer.Status {
	case http.StatusUnauthorized:
		return causeOfRefusal(says)
	case http.StatusForbidden:
		if says("vs403463") {
			return ConditionalAccess
		}
		return NoManage
	case http.StatusNotFound:
		if azdo.Is(err, "TaskAgentNotFoundException") {
			return AgentGone
		}
		if says("vs800075") {
			return NoProject
		}
		return NoOrganisation
	case http.StatusBadRequest:
		if says("vs800075") {
			return NoProject
		}
	case http.StatusTooManyRequests:
		return Throttled
	}
	if answer.Status >= 500 {
		return Unavailable
	}
	return nil
}

// causeOfRefusal is that of a 401.
func causeOfRefusal(says func(string) bool) *Cause {
	switch {
	case says("personal access token used has expired"):
		return PATExpired
	case says("tf401444"):
		return NotAMember
	case says("tf400813"):
		return NotAuthorized
	case says("does not have access to azure devops organization"):
		return ServiceConnection
	}
	return Refused
}

// causeOfNetwork is how far a request came that was not answered.
func causeOfNetwork(err error) *Cause {
	var (
		name    *net.DNSError
		op      *net.OpError
		verify  *tls.CertificateVerificationError
		invalid x509.CertificateInvalidError
		answer  *azdo.Error
	)
	if !errors.As(err, &answer) || answer.Status != 0 {
		return nil
	}
	text := err.Error()
	switch {
	case strings.Contains(text, "Proxy Authentication Required"), strings.Contains(text, "proxyconnect") && errors.As(err, &verify):
		return ProxyRefuses
	case errors.As(err, &op) && op.Op == "proxyconnect", strings.Contains(text, "proxyconnect"):
		return ProxyDown
	case errors.As(err, &name):
		return NoName
	case errors.As(err, new(x509.UnknownAuthorityError)):
		return UnknownIssuer
	case errors.As(err, new(x509.HostnameError)):
		return WrongHostName
	case errors.As(err, &invalid):
		if invalid.Reason == x509.Expired {
			return BadTimeOfCert
		}
		return UnknownIssuer
	case strings.Contains(text, "tls: "), errors.As(err, new(tls.RecordHeaderError)), strings.Contains(text, "HTTP response to HTTPS client"):
		return NoTLS
	case isTimeout(err):
		return NoAnswer
	case errors.As(err, &op):
		return NoConnection
	}
	return nil
}

func isTimeout(err error) bool {
	var e net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &e) && e.Timeout()
}

// isAmbiguous says that a failure may have several causes, which only the checks tell apart.
func isAmbiguous(err error) bool {
	return slices.Contains([]*Cause{Refused, SignInPage, NotAuthorized, Throttled, NoPools}, Explain(err))
}

// diagnoseTimeout bounds Diagnose, because a run that has failed waits for it before it exits.
// Each of the few requests takes a fraction of a second.
const diagnoseTimeout = 10 * time.Second

// Diagnose finds the cause of a failure that may have several: for example, the server refuses
// a token of another tenant without a reason. It makes the checks that are about the identity
// and the organisation, and adds the first problem to the error. It returns err if the failure
// has one cause, if the checks find no other, or if ctx ends first.
func Diagnose(ctx context.Context, e Environment, err error) error {
	if !isAmbiguous(err) || e.Registered != "" {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, diagnoseTimeout)
	defer cancel()
	remote := slices.DeleteFunc(Checks(), func(c Check) bool {
		return !slices.Contains([]Name{Identity, Token, Network, Organisation, Tenant, SignIn, Membership, Licence, Pool}, c.Name)
	})
	for _, f := range runChecks(ctx, remote, e, nil).Findings {
		if f.Verdict != Failed {
			continue
		}
		found := f.Problems[0]
		if found.Cause == Explain(err) || ctx.Err() != nil {
			return err
		}
		rest, repeats := strings.CutPrefix(found.What, err.Error())
		if !repeats {
			rest = ": " + found.What
		}
		return text.WithHint(fmt.Errorf("%w%s", err, rest), found.Fix)
	}
	return err
}

// Hint is what to do about the failure of a command with these settings; "" if its cause is
// not known.
func Hint(err error, s config.Settings) string {
	cause := explainAt(s.Identity.Host, err)
	if cause == nil {
		return ""
	}
	return completeSetup(fixFor(cause, s.Identity), s, cmp.Or(s.Managed.ObjectID, "OBJECT_ID"))
}
