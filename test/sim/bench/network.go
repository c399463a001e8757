package main

import (
	"net/http"
	"time"
)

// network is the speed of the server's answers.
type network struct {
	name string
	rate float64 // bytes per second; 0: unlimited
}

// slow limits a handler's answers to the network's rate.
func (n network) slow(to http.Handler) http.Handler {
	if n.rate == 0 {
		return to
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		to.ServeHTTP(&slowWriter{ResponseWriter: w, rate: n.rate, begun: time.Now()}, r)
	})
}

// slowWriter writes in pieces, and sleeps after each to keep to the rate.
type slowWriter struct {
	http.ResponseWriter
	rate    float64
	begun   time.Time
	written int
}

func (s *slowWriter) Write(p []byte) (n int, err error) {
	const piece = 256 << 10
	for len(p) > 0 && err == nil {
		var m int
		m, err = s.ResponseWriter.Write(p[:min(piece, len(p))])
		n, p, s.written = n+m, p[m:], s.written+m
		time.Sleep(time.Until(s.begun.Add(time.Duration(float64(s.written) / s.rate * float64(time.Second)))))
	}
	return n, err
}
