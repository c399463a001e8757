package keep

import (
	"fmt"
	"strings"
	"time"

	"github.com/azptend/azptend/internal/text"
)

// chartSlots are the slots that a chart shows: half an hour at least, and as many
// hours as something was seen in.
func chartSlots(all []Slot) []Slot {
	first := len(all)
	for i, s := range all {
		if s.Seen {
			first = i
			break
		}
	}
	for _, n := range []int{30, 60, 120, 240} {
		if n < len(all) && len(all)-first <= n {
			return all[len(all)-n:]
		}
	}
	return all
}

// waitedSentence is what the chart says, for those who do not see it, and for
// those who do.
func waitedSentence(shown []Slot) string {
	started, longest, oldest := 0, time.Duration(0), time.Duration(0)
	for _, s := range shown {
		started += s.Started
		longest, oldest = max(longest, s.Waited), max(oldest, s.Oldest)
	}
	sentence := fmt.Sprintf("%s started in the last %s", text.Count(started, "job"), spanOf(shown))
	if started > 0 {
		sentence += ", after " + text.Duration(longest) + " at most"
	}
	if oldest > longest {
		sentence += fmt.Sprintf("; longest wait of a job that had not started: %s", text.Duration(oldest))
	}
	return sentence + "."
}

func spanOf(shown []Slot) string {
	if n := len(shown); n >= 120 {
		return fmt.Sprintf("%d hours", n/60)
	}
	return fmt.Sprintf("%d minutes", len(shown))
}

// The plot's own units; CSS stretches it.
const (
	plotWidth  = 720
	plotHeight = 100
)

// chart draws bars for the jobs that started, over an area for those that wait.
func chart(shown []Slot, now time.Time) string {
	top := chartTop(shown)
	height := func(d time.Duration) float64 { return plotHeight * d.Seconds() / top.Seconds() }
	width := plotWidth / float64(len(shown))
	m := &markup{}
	m.raw(`<div class="y">`).element("span", axisLabel(top)).element("span", axisLabel(top/2)).raw("<span>0</span></div>")
	m.raw(fmt.Sprintf(`<svg viewBox="0 0 %d %d" preserveAspectRatio="none"><path class="mid" d="M0 %dH%d"/>`,
		plotWidth, plotHeight, plotHeight/2, plotWidth))
	m.raw(area(shown, width, height))
	for i, s := range shown {
		if s.Started == 0 {
			continue
		}
		h := max(height(s.Waited), 1.5) // a job that did not wait is a job all the same
		m.raw(fmt.Sprintf(`<rect class="bar" x="%.1f" y="%.1f" width="%.1f" height="%.1f"/>`, (float64(i)+.1)*width, plotHeight-h, .8*width, h))
	}
	m.raw(`</svg><div class="x">`)
	for _, i := range []int{0, len(shown) / 2} {
		m.element("span", shown[i].From.UTC().Format("15:04"))
	}
	return m.element("span", now.UTC().Format("15:04")+" UTC").raw("</div>").String()
}

// area is the age of the oldest waiting job, one piece for each stretch of time
// in which somebody looked.
func area(shown []Slot, width float64, height func(time.Duration) float64) string {
	m := &markup{}
	for i := 0; i < len(shown); i++ {
		if shown[i].Oldest == 0 {
			continue
		}
		var edge strings.Builder
		from := i
		for ; i < len(shown) && shown[i].Oldest > 0; i++ {
			y := plotHeight - height(shown[i].Oldest)
			fmt.Fprintf(&edge, "L%.1f %.1fH%.1f", float64(i)*width, y, float64(i+1)*width)
		}
		line := "M" + strings.TrimPrefix(edge.String(), "L")
		m.raw(fmt.Sprintf(`<path class="area" d="%sV%dH%.1fZ"/><path class="edge" d="%s"/>`, line, plotHeight, float64(from)*width, line))
	}
	return m.String()
}

// chartTop is the top of the chart: the next time above all that people count in.
func chartTop(shown []Slot) time.Duration {
	var most time.Duration
	for _, s := range shown {
		most = max(most, s.Waited, s.Oldest)
	}
	for _, top := range []time.Duration{
		10 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 4 * time.Minute, 10 * time.Minute, 20 * time.Minute,
		time.Hour, 2 * time.Hour, 4 * time.Hour, 12 * time.Hour, 24 * time.Hour,
	} {
		if most <= top {
			return top
		}
	}
	return most.Round(24*time.Hour) + 24*time.Hour
}

// axisLabel is a time of the axis; its half must be one too.
func axisLabel(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	}
	return fmt.Sprintf("%d h", int(d.Hours()))
}
