package azdo_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/azptend/azptend/internal/azdo"
)

func TestEachAgent(t *testing.T) {
	const bom = "\xef\xbb\xbf"
	for _, tt := range []struct {
		body string
		ids  []int
		err  string
	}{
		{`{"count":2,"value":[{"id":1},{"id":2}]}`, []int{1, 2}, ""},
		{bom + `{"more":{"value":[{"id":9}]},"VALUE":[{"id":1,"lastCompletedRequest":{"demands":["x"]}}],"count":1}` + "\n", []int{1}, ""},
		{`{"value":null}`, nil, ""},
		{`{}`, nil, ""},
		{`null`, nil, ""},
		{`{"value":[{"id":1},{"id":"2"}]}`, []int{1}, "is invalid: json: cannot unmarshal"},
		{`{"value":[{"id":1},{"id":`, []int{1}, "no answer from Azure DevOps: unexpected EOF"},
		{`{"value":[{"id":1}]`, []int{1}, "unexpected EOF"},
		{``, nil, "unexpected EOF"},
		{`[{"id":1}]`, nil, "is invalid: it is no list"},
		{`{"value":{"Message":"no"}}`, nil, "is invalid: it is no list"},
		{`{"value":[}`, nil, "is invalid: invalid character"},
	} {
		s := newServer(t, says(200, asJSON, tt.body))
		var ids []int
		err := s.client.EachAgent(t.Context(), 12, azdo.Include{}, func(a azdo.Agent) { ids = append(ids, a.ID) })
		if !slices.Equal(ids, tt.ids) || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: %v, %v", tt.body, ids, err)
		}
		var answer *azdo.Error
		if err != nil && (!errors.As(err, &answer) || !answer.Sent || answer.Status != 0) {
			t.Errorf("%s: %#v", tt.body, err)
		}
		if all, err := s.client.Agents(t.Context(), 12); err != nil && all != nil {
			t.Errorf("%s: part of a list is returned as one: %v", tt.body, all)
		}
	}
}

// TestListIsStreamed: each is called for the first agent before the last one is sent.
func TestListIsStreamed(t *testing.T) {
	told := make(chan int)
	s := newServer(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", asJSON)
		_, _ = io.WriteString(w, `{"value":[{"id":1},{"id":2}`)
		_ = http.NewResponseController(w).Flush()
		<-told
		_, _ = io.WriteString(w, `,{"id":3}]}`)
	})
	n := 0
	err := s.client.EachAgent(t.Context(), 12, azdo.Include{}, func(azdo.Agent) {
		if n++; n == 1 {
			told <- n
		}
	})
	if err != nil || n != 3 {
		t.Errorf("%d agents, %v", n, err)
	}
}

// TestListThatBreaksOff: a list that is cut is an error.
func TestListThatBreaksOff(t *testing.T) {
	s := newServer(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", asJSON)
		_, _ = io.WriteString(w, `{"value":[{"id":1},`)
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	all, err := s.client.Agents(t.Context(), 12)
	if err == nil || all != nil || !strings.Contains(err.Error(), "no answer") {
		t.Errorf("%v, %v", all, err)
	}
}

func TestTheServersClock(t *testing.T) {
	for _, ahead := range []time.Duration{-2 * time.Hour, 0, 36 * time.Hour} {
		s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Date", time.Now().Add(ahead).UTC().Format(http.TimeFormat))
			says(200, asJSON, `{"value":[]}`)(w, r)
		})
		if off := time.Until(s.client.Now()); off > time.Minute || off < -time.Minute {
			t.Errorf("before the first answer it is off by %v", off)
		}
		if _, err := s.client.Agents(t.Context(), 12); err != nil {
			t.Fatal(err)
		}
		if off := time.Until(s.client.Now()) - ahead; off > time.Minute || off < -time.Minute {
			t.Errorf("with a server %v ahead it is off by %v", ahead, off)
		}
	}
}

// TestAServerWithoutAClock: without a valid Date, Now is this machine's time.
func TestAServerWithoutAClock(t *testing.T) {
	for _, date := range []string{"", "noon"} {
		c := fixed(200, http.Header{"Content-Type": {asJSON}, "Date": {date}}, []byte(`{"value":[]}`))
		if _, err := c.Agents(context.Background(), 12); err != nil {
			t.Fatal(err)
		}
		if off := time.Until(c.Now()); off > time.Minute || off < -time.Minute {
			t.Errorf("date %q: it is off by %v", fmt.Sprint(date), off)
		}
	}
}

// TestAPartOfAListThatDoesNotEnd: a list may be long, but each part of it has a limit.
func TestAPartOfAListThatDoesNotEnd(t *testing.T) {
	megabyte := strings.Repeat("a", 1<<20)
	for _, begins := range []string{`{"value":[{"id":1},{"name":"`, `{"more":"`} {
		s := newServer(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", asJSON)
			_, err := io.WriteString(w, begins)
			for sent := 0; err == nil && sent < 128; sent++ {
				_, err = io.WriteString(w, megabyte)
			}
		})
		err := s.client.EachAgent(t.Context(), 12, azdo.Include{}, func(azdo.Agent) {})
		if err == nil || !strings.Contains(err.Error(), "a part of the list is too long") {
			t.Errorf("%s: %v", begins, err)
		}
	}
}
