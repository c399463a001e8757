//go:build unix

package control

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestRefusalsAreLoggedOnceAMinute: a client that is refused again and again does not fill the
// log.
func TestRefusalsAreLoggedOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said bytes.Buffer
		s := &Server{log: slog.New(slog.NewTextHandler(&said, nil))}
		for range 1000 {
			s.logRefusal(1000, nil)
		}
		time.Sleep(refusalsEvery)
		s.logRefusal(1000, nil)
		if got := said.String(); strings.Count(got, "\n") != 2 || !strings.Contains(got, "times=1000") {
			t.Errorf("it said %s", got)
		}
	})
}
