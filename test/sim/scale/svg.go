package main

import (
	"fmt"
	"math"
	"strings"
)

// plot is one picture: lines over two axes.
type plot struct {
	Title, X, Y string
	Log         bool // both axes
	Lines       []line
	Levels      []level // horizontal
}

type line struct {
	Name   string
	Points [][2]float64
}

type level struct {
	Name string
	At   float64
}

// The picture's size, and the margins around its axes.
const (
	width, height            = 760, 400
	left, right, top, bottom = 84, 30, 44, 84
)

// style has colours for light and dark mode, because the picture is shown in the reader's
// mode.
const style = `<style>
.bg{fill:#fff} text{font:13px system-ui,"DejaVu Sans",sans-serif;fill:#24292f} .t{font-size:15px;font-weight:600}
.grid{stroke:#d0d7de} .level{stroke:#cf222e;stroke-dasharray:6 4} .lv{fill:#cf222e}
.l0{stroke:#0969da} .l1{stroke:#bc4c00} .l2{stroke:#1a7f37} .l3{stroke:#8250df} polyline,.key{fill:none;stroke-width:2.2}
.l1{stroke-dasharray:9 3} .l2{stroke-dasharray:2 3} .l3{stroke-dasharray:9 3 2 3}
@media (prefers-color-scheme:dark){.bg{fill:#0d1117} text{fill:#e6edf3} .grid{stroke:#30363d} .level{stroke:#ff7b72} .lv{fill:#ff7b72}
.l0{stroke:#58a6ff} .l1{stroke:#f0883e} .l2{stroke:#56d364} .l3{stroke:#d2a8ff}}
</style>`

// svg draws the picture.
func (p plot) svg() string {
	x, y := p.axes()
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-label="%s">`+"\n", width, height, width, height, p.Title)
	fmt.Fprintf(&b, "%s\n<rect class=\"bg\" width=\"%d\" height=\"%d\"/>\n<text class=\"t\" x=\"%d\" y=\"24\">%s</text>\n", style, width, height, left, p.Title)
	for _, v := range x.ticks() {
		fmt.Fprintf(&b, `<line class="grid" x1="%.1f" x2="%.1f" y1="%d" y2="%d"/><text x="%.1f" y="%d" text-anchor="middle">%s</text>`+"\n", x.at(v), x.at(v), top, height-bottom, x.at(v), height-bottom+18, number(v))
	}
	for _, v := range y.ticks() {
		fmt.Fprintf(&b, `<line class="grid" x1="%d" x2="%d" y1="%.1f" y2="%.1f"/><text x="%d" y="%.1f" text-anchor="end">%s</text>`+"\n", left, width-right, y.at(v), y.at(v), left-6, y.at(v)+4, number(v))
	}
	for _, l := range p.Levels {
		fmt.Fprintf(&b, `<line class="level" x1="%d" x2="%d" y1="%.1f" y2="%.1f"/><text class="lv" x="%d" y="%.1f">%s</text>`+"\n", left, width-right, y.at(l.At), y.at(l.At), left+6, y.at(l.At)-5, l.Name)
	}
	for n, l := range p.Lines {
		var points []string
		for _, q := range l.Points {
			points = append(points, fmt.Sprintf("%.1f,%.1f", x.at(q[0]), y.at(q[1])))
		}
		fmt.Fprintf(&b, `<polyline class="l%d" points="%s"/>`+"\n", n, strings.Join(points, " "))
		at := left + n*(width-left-right)/max(len(p.Lines), 1)
		fmt.Fprintf(&b, `<line class="key l%d" x1="%d" x2="%d" y1="%d" y2="%d"/><text x="%d" y="%d">%s</text>`+"\n", n, at, at+28, height-14, height-14, at+34, height-10, l.Name)
	}
	fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="middle">%s</text>`+"\n", (left+width-right)/2, height-bottom+40, p.X)
	fmt.Fprintf(&b, `<text transform="translate(20 %d) rotate(-90)" text-anchor="middle">%s</text>`+"\n</svg>\n", (top+height-bottom)/2, p.Y)
	return b.String()
}

// axis maps a range of values to pixels.
type axis struct {
	from, to   float64
	start, end float64
	log        bool
}

func (a axis) at(v float64) float64 {
	part := (v - a.from) / (a.to - a.from)
	if a.log {
		part = math.Log(v/a.from) / math.Log(a.to/a.from)
	}
	return a.start + part*(a.end-a.start)
}

// ticks returns round values for the axis.
func (a axis) ticks() []float64 {
	var all []float64
	if a.log {
		for v := a.from; v <= a.to*1.001; v *= 10 {
			all = append(all, v)
		}
		return all
	}
	step := math.Pow(10, math.Floor(math.Log10(a.to/4)))
	for _, m := range []float64{5, 2} {
		if a.to/(step*m) >= 4 {
			step *= m
			break
		}
	}
	for n := 0.0; n*step <= a.to*1.001; n++ {
		all = append(all, n*step)
	}
	return all
}

// axes returns axes that contain all points. A logarithmic axis starts and ends at a power
// of ten.
func (p plot) axes() (x, y axis) {
	x = axis{from: math.Inf(1), start: left, end: width - right, log: p.Log}
	y = axis{from: math.Inf(1), start: height - bottom, end: top, log: p.Log}
	widen := func(a *axis, v float64) { a.from, a.to = min(a.from, v), max(a.to, v) }
	for _, l := range p.Lines {
		for _, q := range l.Points {
			widen(&x, q[0])
			widen(&y, q[1])
		}
	}
	for _, l := range p.Levels {
		widen(&y, l.At)
	}
	for _, a := range []*axis{&x, &y} {
		if a.log {
			a.from, a.to = math.Pow(10, math.Floor(math.Log10(a.from)+1e-9)), math.Pow(10, math.Ceil(math.Log10(a.to)-1e-9))
		} else {
			a.from, a.to = 0, a.to*1.05
		}
	}
	return x, y
}

func number(v float64) string {
	if v >= 1e6 {
		return fmt.Sprintf("%d,%03d,%03d", int(v)/1e6, int(v)/1000%1000, int(v)%1000)
	}
	if v >= 1000 {
		return fmt.Sprintf("%d,%03d", int(v)/1000, int(v)%1000)
	}
	return fmt.Sprintf("%g", math.Round(v*1000)/1000)
}
