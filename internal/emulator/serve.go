package emulator

import (
	"bytes"
	"io"
	"maps"
	"net"
	"net/http"
	"strings"
	"time"
)

// maxBody bounds what a call may send; the largest real bodies are logs.
const maxBody = 64 << 20

// ServeHTTP answers a call: to the control API below /_emulator/, to the identity endpoint /msi/token, or to Azure
// DevOps below /{org}, /vssps/{org} and /vsaex/{org}. Faults and holds do not apply to the control API.
func (e *Emulator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if p := strings.ToLower(r.URL.Path); p == "/_emulator" || strings.HasPrefix(p, "/_emulator/") {
		e.control.ServeHTTP(w, r)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		http.Error(w, "cannot read the body: "+err.Error(), http.StatusBadRequest)
		return
	}
	rec, plan, ok := e.recordArrival(r)
	if !ok {
		http.Error(w, "the emulator is closed", http.StatusServiceUnavailable)
		return
	}
	out, sent := e.serveWithFaults(newRequest(r, body), plan, rec)
	if !sent {
		e.recordEnd(rec, 0, plan.describe())
		breakConnection(w, plan.fault != nil && plan.fault.Reset)
		return
	}
	w.Header().Set("Date", e.Now().Format(http.TimeFormat)) // the clock by which agents and jobs are dated
	// The call is recorded before its answer is sent: a client that has the answer must find the call in the records.
	write(recordingWriter{w, func(status int) { e.recordEnd(rec, status, plan.describe()) }}, r, out)
}

// recordingWriter reports the status of an answer just before it is sent.
type recordingWriter struct {
	http.ResponseWriter
	record func(status int)
}

func (w recordingWriter) WriteHeader(status int) {
	w.record(status)
	w.ResponseWriter.WriteHeader(status)
}

// serveWithFaults does what the plan says, in its order: delay, hold, act or not, hold. It reports whether there is an answer.
func (e *Emulator) serveWithFaults(c *request, plan interference, rec *Call) (reply, bool) {
	if !e.sleep(plan.delay) || !e.holdCall(plan, HoldBefore) {
		return reply{}, false
	}
	if f := plan.fault; f != nil {
		switch {
		case f.DropAnswer == DropBefore, f.Reset && f.DropAnswer == "":
			return reply{}, false
		case f.DropAnswer == "" && f.answers() && !f.Acts:
			return f.reply(), true
		}
	}
	out := e.dispatch(c)
	e.mu.Lock()
	rec.Who, rec.Held = c.caller, out.held
	e.mu.Unlock()
	if !e.holdCall(plan, HoldAfter) || plan.fault != nil && plan.fault.DropAnswer == DropAfter {
		return reply{}, false
	}
	if f := plan.fault; f != nil && f.Acts && f.answers() {
		return f.reply(), true
	}
	return out, true
}

// sleep waits for a delay; it is false when the emulator closes meanwhile. A client that gives up does not
// shorten it: a slow server acts anyway.
func (e *Emulator) sleep(d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-e.done:
		return false
	}
}

func write(w http.ResponseWriter, r *http.Request, out reply) {
	maps.Copy(w.Header(), out.header)
	if out.ranges {
		w.Header().Set("Content-Type", out.contentType)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(out.body))
		return
	}
	if out.contentType != "" {
		w.Header().Set("Content-Type", out.contentType)
	} else if len(out.body) == 0 {
		w.Header()["Content-Type"] = nil // net/http would guess one
	}
	w.WriteHeader(out.status)
	if r.Method != http.MethodHead && out.status != http.StatusNoContent && out.status != http.StatusNotModified {
		_, _ = w.Write(out.body) // the client may be gone
	}
}

// breakConnection closes the call's connection without an answer: with a FIN, or with a RST.
func breakConnection(w http.ResponseWriter, reset bool) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // HTTP/2 and recorders cannot hijack
	}
	if tcp, ok := conn.(*net.TCPConn); ok && reset {
		_ = tcp.SetLinger(0) // unsent and unread data is dropped and the peer gets a RST
	}
	_ = conn.Close()
}
