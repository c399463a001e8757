package cli

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"syscall"

	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/health"
	"github.com/azptend/azptend/internal/identity"
)

// openHealth answers probes and scrapes, where that was asked for, until done is
// called: from before an agent package is installed, for that takes minutes in
// which nobody is to be taken for dead. An address that cannot be had is an error
// of the settings, before anything is registered: a probe that nobody answers
// would have the platform kill an agent in the middle of its job.
func openHealth(s config.Settings, log *slog.Logger) (page *health.Server, done func(), err error) {
	page = health.New(version())
	if s.HealthAddr == "" {
		return page, func() {}, nil
	}
	l, err := Listen(s.HealthAddr, "AZP_HEALTH_ADDR (--health-addr)")
	if err != nil {
		return nil, nil, err
	}
	log.Info("Health server started", "page", "http://"+l.Addr().String()+"/")
	return page, page.Serve(l, log), nil
}

// Listen opens an address of a setting. Its error names the setting.
func Listen(address, setting string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, &addressError{address, setting, err}
	}
	return l, nil
}

// addressError is an address that cannot be listened on, and the setting it is from.
type addressError struct {
	address, setting string
	cause            error
}

func (e *addressError) Error() string {
	return fmt.Sprintf("cannot listen on %s, which is %s: %v", e.address, e.setting, e.cause)
}

func (e *addressError) Unwrap() error { return e.cause }

// Hint is what to do about it, where that is known.
func (e *addressError) Hint() string {
	switch {
	case errors.Is(e.cause, syscall.EADDRINUSE):
		return "choose another port, or stop the process that listens there, perhaps another azptend"
	case errors.Is(e.cause, syscall.EACCES):
		return "choose a port of 1024 or higher: lower ports need root"
	}
	return ""
}

// countTokens counts the tokens of an identity.
func countTokens(who *identity.Identity, page *health.Server) {
	who.OnFetch(func(f identity.Fetch) { page.TokenFetched(string(f.Source), f.Expires, f.Err) })
}
