package cli

import (
	"errors"
	"fmt"
	"net"
	"syscall"
)

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
