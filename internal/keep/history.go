package keep

import "time"

// slotLength and slots make a history of six hours, whatever happens in them.
const (
	slotLength = time.Minute
	maxSlots   = 360
)

// Slot is a minute of a pool's past.
type Slot struct {
	From    time.Time
	Seen    bool          // somebody looked
	Waited  time.Duration // the longest wait of started jobs in it
	Started int           // how many those were
	Oldest  time.Duration // the most that a job that had not started had waited
}

// history is a ring of slots.
type history struct {
	ring [maxSlots]Slot
}

func (h *history) add(p Snapshot, n jobChanges) {
	from := p.At.Truncate(slotLength)
	slot := &h.ring[index(from)]
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

// last are the newest n slots up to now, the oldest first. What nobody looked at
// is a gap.
func (h *history) last(n int, now time.Time) []Slot {
	var found []Slot
	for at := now.Truncate(slotLength).Add(-time.Duration(n-1) * slotLength); len(found) < n; at = at.Add(slotLength) {
		slot := h.ring[index(at)]
		if !slot.From.Equal(at) {
			slot = Slot{From: at}
		}
		found = append(found, slot)
	}
	return found
}

// index is a minute's place. A server without a clock says 1970, and hours before
// that have a place too.
func index(from time.Time) int {
	return (int(from.Unix()/int64(slotLength.Seconds()))%maxSlots + maxSlots) % maxSlots
}
