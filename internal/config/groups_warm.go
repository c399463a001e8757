package config

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // an image without a base image has no time zones

	"go.yaml.in/yaml/v3"

	"github.com/azptend/azptend/internal/pool"
)

// windows reads the warm windows of a group, of which none may have more agents than most.
func (p *groupsParser) windows(n *yaml.Node, most int) []pool.Window {
	if n.Kind != yaml.SequenceNode {
		p.fail(n, `write it as "- {count: 2, days: mon-fri, hours: 07:00-18:00, zone: Europe/Zurich}"`, "warm is not a list")
		return nil
	}
	var all []pool.Window
	for _, item := range n.Content {
		all = append(all, p.window(item, most))
	}
	return all
}

func (p *groupsParser) window(n *yaml.Node, most int) pool.Window {
	w := pool.Window{Zone: time.UTC, To: 24 * 60, Days: [7]bool{true, true, true, true, true, true, true}}
	timed, zoned := false, false
	p.mapping(n, "a window", "write at least count: and a number", map[string]func(*yaml.Node){
		"count": func(n *yaml.Node) {
			if w.Count = p.number(n, "count", maxGroupMax); most > 0 && w.Count > most {
				p.fail(n, "lower it, or raise max", "count is %d, and max of the group is %d", w.Count, most)
			}
		},
		"days":  func(n *yaml.Node) { w.Days, timed = p.days(n), true },
		"hours": func(n *yaml.Node) { w.From, w.To = p.hours(n); timed = true },
		"zone":  func(n *yaml.Node) { w.Zone, zoned = p.zone(n), true },
	}, "count")
	if timed && !zoned {
		p.fail(followed(n), "add zone, for example zone: Europe/Zurich, or zone: UTC", "a window with days or hours has no zone")
	}
	return w
}

var weekdays = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// days reads "mon-fri", "sat, sun" and [mon, wed].
func (p *groupsParser) days(n *yaml.Node) (days [7]bool) {
	words := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		words = n.Content
	}
	some := false
	for _, node := range words {
		for word := range strings.SplitSeq(followed(node).Value, ",") {
			from, to, isRange := strings.Cut(strings.ToLower(strings.TrimSpace(word)), "-")
			if !isRange {
				to = from
			}
			first, last := slices.Index(weekdays, from), slices.Index(weekdays, to)
			if first < 0 || last < 0 {
				p.fail(node, "use mon, tue, wed, thu, fri, sat and sun, for example mon-fri or mon,wed", "days has %q, which is not a day", strings.TrimSpace(word))
				return days
			}
			for d := first; ; d = (d + 1) % 7 {
				days[d], some = true, true
				if d == last {
					break
				}
			}
		}
	}
	if !some {
		p.fail(n, "name at least one day, or remove days", "days is empty")
	}
	return days
}

var hoursPattern = regexp.MustCompile(`^(\d{1,2}):(\d{2}) ?- ?(\d{1,2}):(\d{2})$`)

// hours reads "07:00-18:30" as minutes since midnight.
func (p *groupsParser) hours(n *yaml.Node) (from, to int) {
	const hint = `use 24 hours in quotes, for example "07:00-18:30", "22:00-06:00" or "00:00-24:00"`
	parts := hoursPattern.FindStringSubmatch(n.Value)
	if n.Kind != yaml.ScalarNode || parts == nil {
		p.fail(n, hint, "hours is %q", n.Value)
		return 0, 0
	}
	var numbers [4]int
	for i, part := range parts[1:] {
		numbers[i], _ = strconv.Atoi(part) // two digits
	}
	from, to = numbers[0]*60+numbers[1], numbers[2]*60+numbers[3]
	switch {
	case from >= 24*60 || to > 24*60 || numbers[1] > 59 || numbers[3] > 59:
		p.fail(n, hint, "hours is %q, which is no time of a day", n.Value)
	case from == to:
		p.fail(n, hint, "hours is %q, which is empty", n.Value)
	}
	return from, to
}

func (p *groupsParser) zone(n *yaml.Node) *time.Location {
	name := p.text(n, "zone")
	zone, err := time.LoadLocation(name)
	if name != "" && (err != nil || name == "Local") {
		p.fail(n, "use a name of the IANA time zone database, for example Europe/Zurich, or UTC", "zone is %q, which is no time zone", name)
	}
	if zone == nil {
		return time.UTC
	}
	return zone
}
