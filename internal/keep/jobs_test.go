package keep

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/azptend/azptend/internal/azdo"
)

// jobTimes is a job as the server knows it: minutes after noon, 0 for never.
type jobTimes struct {
	queued, received, finished int
	result                     string
	gone                       int // when the server forgets the finished job
}

func minute(m int) azdo.Time {
	if m == 0 {
		return azdo.Time{}
	}
	return azdo.Time{Time: time.Date(2026, 11, 27, 12, m, 0, 0, time.UTC)}
}

// shownAt is the list of job requests at a minute.
func shownAt(jobs []jobTimes, now int) []azdo.JobRequest {
	by := func(m int) azdo.Time {
		if m > now {
			return azdo.Time{}
		}
		return minute(m)
	}
	var list []azdo.JobRequest
	for i, l := range jobs {
		if l.queued > now || (l.gone > 0 && l.gone <= now) {
			continue
		}
		r := azdo.JobRequest{RequestID: int64(i), QueueTime: by(l.queued), ReceiveTime: by(l.received), FinishTime: by(l.finished)}
		if !r.FinishTime.IsZero() {
			r.Result = l.result
		}
		list = append(list, r)
	}
	return list
}

func drawJobTimes(t *rapid.T) jobTimes {
	l := jobTimes{queued: rapid.IntRange(1, 40).Draw(t, "queued")}
	if rapid.Bool().Draw(t, "starts") {
		l.received = l.queued + rapid.IntRange(0, 10).Draw(t, "waits")
	}
	if rapid.Bool().Draw(t, "ends") {
		l.finished = max(l.received, l.queued) + rapid.IntRange(1, 10).Draw(t, "runs")
		l.result = rapid.SampledFrom(append(results(), "new word of the server's")).Draw(t, "result")
		if rapid.Bool().Draw(t, "is forgotten") {
			l.gone = l.finished + rapid.IntRange(0, 3).Draw(t, "is shown for")
		}
	}
	return l
}

// TestEachJobIsCountedOnce: for any jobs and any refresh times, every visible event after the first
// refresh is reported exactly once, with the wait that follows from the server's times.
func TestEachJobIsCountedOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		jobs := rapid.SliceOfN(rapid.Custom(drawJobTimes), 0, 8).Draw(t, "jobs")
		refreshes := rapid.SliceOfNDistinct(rapid.IntRange(1, 60), 1, 12, rapid.ID).Draw(t, "refreshes")
		slices.Sort(refreshes)
		var l jobTracker
		var waits []time.Duration
		var ends []string
		for _, at := range refreshes {
			n := l.update(shownAt(jobs, at))
			waits, ends = append(waits, n.waits...), append(ends, n.results...)
			if len(n.durations) > len(n.results) {
				t.Errorf("%d jobs ended, and %d have a duration", len(n.results), len(n.durations))
			}
		}
		wantWaits, wantEnds := expected(jobs, refreshes)
		slices.Sort(waits)
		slices.Sort(ends)
		if !slices.Equal(waits, wantWaits) || !slices.Equal(ends, wantEnds) {
			t.Errorf("waits %v, want %v; ends %v, want %v", waits, wantWaits, ends, wantEnds)
		}
	})
}

// expected computes, job by job, what the refreshes can report.
func expected(jobs []jobTimes, refreshes []int) (waits []time.Duration, ends []string) {
	first := refreshes[0]
	// A job that started and ended between two refreshes differs from an old one only by being newer
	// than everything that was visible before.
	newest := func(before int) int {
		most := 0
		for _, l := range jobs {
			for _, at := range refreshes {
				if at >= before || l.queued > at || (l.gone > 0 && l.gone <= at) {
					continue
				}
				for _, m := range []int{l.queued, l.received, l.finished} {
					if m <= at {
						most = max(most, m)
					}
				}
			}
		}
		return most
	}
	for _, l := range jobs {
		shown := slices.DeleteFunc(slices.Clone(refreshes), func(at int) bool { return l.queued > at || (l.gone > 0 && l.gone <= at) })
		if len(shown) == 0 {
			continue
		}
		if i := slices.IndexFunc(shown, func(at int) bool { return l.received > 0 && l.received <= at }); i >= 0 &&
			shown[i] > first && (shown[0] < shown[i] || l.received > newest(shown[i])) {
			waits = append(waits, time.Duration(l.received-l.queued)*time.Minute)
		}
		last := shown[len(shown)-1]
		switch i := slices.IndexFunc(shown, func(at int) bool { return l.finished > 0 && l.finished <= at }); {
		case i >= 0 && shown[i] > first && (shown[0] < shown[i] || l.finished > newest(shown[i])):
			ends = append(ends, resultOf(azdo.JobRequest{Result: l.result}))
		case i < 0 && last < refreshes[len(refreshes)-1]: // it disappeared before its end was visible
			ends = append(ends, Unseen)
		}
	}
	slices.Sort(waits)
	slices.Sort(ends)
	return waits, ends
}

// TestOneJob is one example of that property: seen queued, seen running, seen finished.
func TestOneJob(t *testing.T) {
	var l jobTracker
	jobs := []jobTimes{{queued: 2, received: 5, finished: 9, result: "failed"}, {queued: 1, received: 1, finished: 1, result: "succeeded"}}
	for _, tt := range []struct{ at, waits, ends int }{{1, 0, 0}, {3, 0, 0}, {6, 1, 0}, {7, 0, 0}, {10, 0, 1}, {20, 0, 0}} {
		n := l.update(shownAt(jobs, tt.at))
		if len(n.waits) != tt.waits || len(n.results) != tt.ends {
			t.Errorf("at %d it tells %+v", tt.at, n)
		}
		if len(n.waits) == 1 && n.waits[0] != 3*time.Minute || len(n.results) == 1 && n.results[0] != "failed" {
			t.Errorf("it tells %+v", n)
		}
		if len(n.durations) != tt.ends || tt.ends == 1 && n.durations[0] != 4*time.Minute {
			t.Errorf("at %d the durations are %v", tt.at, n.durations)
		}
	}
}

func TestHistory(t *testing.T) {
	var h history
	noon := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	h.add(Snapshot{At: noon, Oldest: time.Minute}, jobChanges{})
	h.add(Snapshot{At: noon.Add(30 * time.Second), Oldest: 20 * time.Second}, jobChanges{waits: []time.Duration{5 * time.Second, 70 * time.Second}})
	h.add(Snapshot{At: noon.Add(2 * time.Minute)}, jobChanges{})
	got := h.last(4, noon.Add(2*time.Minute+10*time.Second))
	want := []Slot{
		{From: noon.Add(-time.Minute)},
		{From: noon, Seen: true, Waited: 70 * time.Second, Started: 2, Oldest: time.Minute},
		{From: noon.Add(time.Minute)},
		{From: noon.Add(2 * time.Minute), Seen: true},
	}
	if !slices.Equal(got, want) {
		t.Errorf("it remembers %+v", got)
	}
	// Six hours later another minute uses the same slot, and the old values are gone.
	h.add(Snapshot{At: noon.Add(maxSlots * slotLength)}, jobChanges{})
	if got := h.last(1, noon.Add(maxSlots*slotLength))[0]; got.Started != 0 || got.Oldest != 0 {
		t.Errorf("it remembers %+v of six hours ago", got)
	}
}

// A server clock that was never set must not cause a panic.
func TestHistoryBefore1970(t *testing.T) {
	var h history
	h.add(Snapshot{At: time.Unix(0, 0), Oldest: time.Minute}, jobChanges{})
	h.add(Snapshot{At: time.Unix(-3600, 0), Oldest: time.Hour}, jobChanges{})
	got := h.last(maxSlots, time.Unix(0, 0))
	if first, last := got[maxSlots-61], got[maxSlots-1]; first.Oldest != time.Hour || last.Oldest != time.Minute {
		t.Errorf("it remembers %+v and %+v", first, last)
	}
}

func TestPauses(t *testing.T) {
	l := poolLoop{k: &Keeper{o: Options{Interval: 30 * time.Second}}}
	pause := func(look time.Duration, err error) time.Duration {
		l.lookDuration = look
		return l.pauseAfter(err)
	}
	within := func(what string, got, least, most time.Duration) {
		t.Helper()
		if got < least || got > most {
			t.Errorf("%s: %v, want %v to %v", what, got, least, most)
		}
	}
	within("fast", pause(100*time.Millisecond, nil), 27*time.Second, 33*time.Second)
	within("slow", pause(10*time.Second, nil), 90*time.Second, 110*time.Second)
	failure := &azdo.Error{Status: 503}
	within("first failure", pause(0, failure), 27*time.Second, 33*time.Second)
	within("second", pause(0, failure), 54*time.Second, 66*time.Second)
	for range 100 {
		within("later", pause(0, failure), 54*time.Second, 132*time.Second)
	}
	within("throttled", pause(0, &azdo.Error{Status: 429, RetryAfter: 10 * time.Minute}), 10*time.Minute, 10*time.Minute)
	within("again", pause(0, nil), 27*time.Second, 33*time.Second)
}
