package control

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// retryInterval is how often Open looks whether another azptend has left the socket.
const retryInterval = time.Second

// Open is Listen for an azptend that works without its socket too. It logs why there is
// none. If another azptend has the socket, it tries again in the background until that one
// has exited. The returned function closes the socket; farewell is as in Server.Close.
func Open(p Location, h Handler, log *slog.Logger) (closeSocket func(farewell time.Duration)) {
	server, err := listenOrLog(p, h, log)
	if !errors.Is(err, ErrInUse) {
		return func(farewell time.Duration) { server.closeOrLog(farewell) }
	}
	log.Warn("Control socket in use by another azptend: drain and healthcheck reach that one until it exits")
	ctx, cancel := context.WithCancel(context.Background())
	opened := make(chan *Server, 1)
	go func() {
		defer close(opened)
		again := time.NewTicker(retryInterval)
		defer again.Stop()
		for {
			select {
			case <-again.C:
			case <-ctx.Done():
				return
			}
			server, err := listenOrLog(p, h, log)
			if errors.Is(err, ErrInUse) {
				continue
			}
			if err == nil {
				log.Info("Control socket opened")
				opened <- server
			}
			return
		}
	}()
	return func(farewell time.Duration) {
		cancel()
		(<-opened).closeOrLog(farewell)
	}
}

// listenOrLog logs every error but ErrInUse.
func listenOrLog(p Location, h Handler, log *slog.Logger) (*Server, error) {
	server, err := Listen(p, h, log)
	if err != nil && !errors.Is(err, ErrInUse) {
		log.Warn("Control socket unavailable: drain and healthcheck will not work", "error", err)
	}
	return server, err
}

// closeOrLog closes the socket; a nil server is one that was not opened.
func (s *Server) closeOrLog(farewell time.Duration) {
	if s == nil {
		return
	}
	if err := s.Close(farewell); err != nil {
		s.log.Warn("Cannot remove the control socket", "error", err)
	}
}
