package connlimit

import (
	"errors"
	"fmt"
	"net"
	"syscall"
)

// Listen listens on the address in a setting. The error names the setting, and may have a
// hint.
func Listen(address, setting string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, &listenError{fmt.Errorf("cannot listen on %s, which is %s: %w", address, setting, err)}
	}
	return l, nil
}

// listenError says why azptend cannot listen.
type listenError struct{ error }

func (e *listenError) Unwrap() error { return e.error }

// Hint is what to do about it; "" if that is not known.
func (e *listenError) Hint() string {
	switch {
	case errors.Is(e, syscall.EADDRINUSE):
		return "choose another port, or stop the process that listens there, perhaps another azptend"
	case errors.Is(e, syscall.EACCES):
		return "choose a port of 1024 or higher: lower ports need root"
	}
	return ""
}
