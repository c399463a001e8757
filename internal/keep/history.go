package keep

import "time"

// slotLength and maxSlots make a history of six hours.
const (
	slotLength = time.Minute
	maxSlots   = 360
)

// Slot is one minute of a pool's history.
type Slot struct {
	From    time.Time
	Seen    bool          // the pool was seen
	Started int           // jobs that started
	Waited  time.Duration // the longest wait of those
	Oldest  time.Duration // the longest wait of a job that had not started
}

// history is a ring of slots.
type history [maxSlots]Slot

func (h *history) add(p Snapshot, n jobChanges) {
	from := p.At.Truncate(slotLength)
	slot := &h[index(from)]
	if !slot.From.Equal(from) {
		*slot = Slot{From: from}
	}
	slot.Seen = true
	slot.Oldest = max(slot.Oldest, p.Oldest)
	slot.Started += len(n.waits)
	for _, wait := range n.waits {
		slot.Waited = max(slot.Waited, wait)
	}
}

// last returns the newest n slots up to now, the oldest first.
func (h *history) last(n int, now time.Time) []Slot {
	var found []Slot
	for at := now.Truncate(slotLength).Add(-time.Duration(n-1) * slotLength); len(found) < n; at = at.Add(slotLength) {
		slot := h[index(at)]
		if !slot.From.Equal(at) {
			slot = Slot{From: at}
		}
		found = append(found, slot)
	}
	return found
}

// index is the place of a minute in the ring. A server without a clock may say 1970, or
// earlier.
func index(from time.Time) int {
	return (int(from.Unix()/int64(slotLength.Seconds()))%maxSlots + maxSlots) % maxSlots
}
