package cli

import (
	"errors"
	"fmt"
	"net"
	"syscall"
)

// Listen listens on the address in a setting. The error names the setting.
func Listen(address, setting string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, &addressError{address, setting, err}
	}
	return l, nil
}

// addressError says that azptend cannot listen on the address in a setting.
type addressError struct {
	address, setting string
	cause            error
}

func (e *addressError) Error() string {
	return fmt.Sprintf("cannot listen on %s, which is %s: %v", e.address, e.setting, e.cause)
}

func (e *addressError) Unwrap() error { return e.cause }

// Hint is what to do about it; "" if that is not known.
func (e *addressError) Hint() string {
	switch {
	case errors.Is(e.cause, syscall.EADDRINUSE):
		return "choose another port, or stop the process that listens there, perhaps another azptend"
	case errors.Is(e.cause, syscall.EACCES):
		return "choose a port of 1024 or higher: lower ports need root"
	}
	return ""
}
