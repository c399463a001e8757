package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// installPart is the page's part about installing and roots.
func installPart(what string, rows []*row, roots string, machine string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `## Installing the agent

Written by `+"`make bench-install`"+` on %s; do not edit. The benchmark creates an archive like the agent's: %s;
it comes from the emulator on loopback, or is limited to 100 MB/s. The methods run in turns, in another order each time, into a new directory. The disk is synced before each run, and no method syncs its output.

| onto | network | | wall, median | against `+"`curl \\| tar`"+` | CPU, median | wall of each run, s |
|---|---|---|---|---|---|---|
`, time.Now().UTC().Format(time.DateOnly), what)
	for i, r := range rows {
		base := rows[i-i%len(ways())+1]
		wall := func(s timing) time.Duration { return s.wall }
		fmt.Fprintf(&b, "| %s | %s | %s | %.2f s | %.2f | %.2f s | %s |\n", r.place, r.network, r.way, r.median(wall),
			r.median(wall)/base.median(wall), r.median(func(s timing) time.Duration { return s.cpu }), r.each())
	}
	fmt.Fprintf(&b, `
CPU is user and system time of the command and its children. azptend and `+"`curl \\| tar`"+` unpack while they
download; azptend installs nothing before the whole archive is verified. The last method has the whole archive before it unpacks any of it.
azptend is faster because its inflate needs less work than gzip, and because it makes fewer calls for each file than tar: it keeps no owner and no time.

%s
The machine: %s.
`, roots, machine)
	return b.String()
}

func (r *row) median(of func(timing) time.Duration) float64 {
	var all []time.Duration
	for _, s := range r.runs {
		all = append(all, of(s))
	}
	slices.Sort(all)
	return all[len(all)/2].Seconds()
}

func (r *row) each() string {
	var words []string
	for _, s := range r.runs {
		words = append(words, fmt.Sprintf("%.2f", s.wall.Seconds()))
	}
	return strings.Join(words, ", ")
}
