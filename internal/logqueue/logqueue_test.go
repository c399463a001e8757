package logqueue

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// reader accepts one write for each token, like a pipe with a slow reader.
type reader struct {
	tokens chan struct{}
	mu     sync.Mutex
	got    bytes.Buffer
}

func (r *reader) Write(p []byte) (int, error) {
	<-r.tokens
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.got.Write(p)
}

func (r *reader) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.got.String()
}

// begin makes a queue whose reader accepts nothing before it gets tokens. The queue's
// goroutine ends with the test.
func begin(t *testing.T) (*Queue, *reader) {
	r := &reader{tokens: make(chan struct{}, 1<<20)}
	q := New(r)
	q.OnDrop(func(n int) []byte { return fmt.Appendf(nil, "dropped %d\n", n) })
	q.Start()
	q.Start()
	t.Cleanup(func() {
		close(r.tokens)
		synctest.Wait()
		close(q.wake)
	})
	return q, r
}

func say(t *testing.T, q interface{ Write([]byte) (int, error) }, line string) {
	t.Helper()
	if n, err := q.Write([]byte(line)); n != len(line) || err != nil {
		t.Fatalf("wrote %d, %v", n, err)
	}
}

// TestStuckReader: Write returns at once, lines that do not fit are counted, and the count
// replaces them.
func TestStuckReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, r := begin(t)
		line := strings.Repeat("x", 999) + "\n"
		fit := maxWaiting / (len(line) + lineOverhead)
		for range fit + 7 {
			say(t, q, line)
		}
		if q.used > maxWaiting {
			t.Errorf("%d bytes wait, of %d", q.used, maxWaiting)
		}
		begun := time.Now()
		if q.Flush() || time.Since(begun) != stuckTimeout {
			t.Errorf("gave a stuck reader up after %v, want %v", time.Since(begun), stuckTimeout)
		}
		for range fit {
			r.tokens <- struct{}{}
		}
		synctest.Wait()
		say(t, q, "last\n") // while the line about dropped lines is being written
		r.tokens <- struct{}{}
		r.tokens <- struct{}{}
		synctest.Wait()
		if want := strings.Repeat(line, fit) + "dropped 7\nlast\n"; r.text() != want {
			t.Errorf("the reader got %d bytes, ending in %q", len(r.text()), r.text()[len(r.text())-40:])
		}
		if !q.Flush() || q.used != 0 {
			t.Errorf("not flushed, %d bytes wait", q.used)
		}
	})
}

// TestSlowReader: Flush waits while the reader accepts lines, up to flushTimeout.
func TestSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, r := begin(t)
		for n := range 9 {
			say(t, q, fmt.Sprintf("line %d\n", n))
		}
		go func() {
			for range 9 {
				time.Sleep(stuckTimeout - time.Millisecond)
				r.tokens <- struct{}{}
			}
		}()
		begun := time.Now()
		if q.Flush() || time.Since(begun) != flushTimeout {
			t.Errorf("flushed in %v, want to give up after %v", time.Since(begun), flushTimeout)
		}
		if !q.Flush() || !strings.HasSuffix(r.text(), "line 8\n") {
			t.Errorf("the reader got %q", r.text())
		}
	})
}

// TestLowPriority: however much a program prints, there is room for azptend's own lines.
func TestLowPriority(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, r := begin(t)
		for range 2 * maxWaiting / 1000 {
			say(t, q.LowPriority(), strings.Repeat("y", 1000)) // no newline
		}
		say(t, q, "ours\n")
		for range maxWaiting {
			r.tokens <- struct{}{}
		}
		synctest.Wait()
		got := r.text()
		if !strings.HasSuffix(got, "\nours\n") || !strings.Contains(got, "y\ndropped ") {
			t.Errorf("the reader got ...%q", got[len(got)-40:])
		}
		if len(got) > maxWaiting/2+100 {
			t.Errorf("%d bytes of a program waited", len(got))
		}
	})
}

// TestALineLongerThanTheQueue is accepted if the queue is empty.
func TestALineLongerThanTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, r := begin(t)
		long := strings.Repeat("z", 2*maxWaiting) + "\n"
		say(t, q, long)
		say(t, q, "more\n")
		r.tokens <- struct{}{}
		r.tokens <- struct{}{}
		synctest.Wait()
		if r.text() != long+"dropped 1\n" {
			t.Errorf("the reader got %d bytes", len(r.text()))
		}
	})
}

// TestBeforeStart: before Start, Write returns after the line was written.
func TestBeforeStart(t *testing.T) {
	var b bytes.Buffer
	q := New(&b)
	say(t, q, "a\n")
	say(t, q.LowPriority(), "b\n")
	if b.String() != "a\nb\n" || !q.Flush() {
		t.Errorf("wrote %q", b.String())
	}
}

// TestOrderOfManyWriters: the lines of each writer are written once, in its order.
func TestOrderOfManyWriters(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	q := New(w)
	q.Start()
	const writers, lines = 8, 500
	for n := range writers {
		go func() {
			for i := range lines {
				fmt.Fprintf(q, "%d %d\n", n, i)
			}
		}()
	}
	next := [writers]int{}
	for range writers * lines {
		var n, i int
		if _, err := fmt.Fscanf(r, "%d %d\n", &n, &i); err != nil || i != next[n] {
			t.Fatalf("line %d of writer %d, want %d: %v", i, n, next[n], err)
		}
		next[n]++
	}
	if !q.Flush() {
		t.Error("not flushed")
	}
	r.Close()
	fmt.Fprintln(q, "to nobody") // EPIPE
	if !q.Flush() {
		t.Error("a reader who has gone is waited for")
	}
	w.Close()
	close(q.wake)
}
