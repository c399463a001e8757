package main

// order is what Microsoft's listener does first when it starts, and with it the
// version that the fake agent plays.
type order struct {
	name string
	what string // for the page
	env  []string
}

// orders are the source's, which is the fake agent's default, and the one that the
// fake agent played before the source was read.
func orders() []order {
	return []order{
		{name: "session first", what: "as in the listener's source: it creates its session, reads feature flags, connects to the notification socket and polls; " +
			"it retries a refused token forever; version 5"},
		{name: "socket first", what: "it connects to the notification socket before it creates its session; a refused token ends it; version 4",
			env: []string{"AZPTEND_FAKEAGENT_CONNECTS=first", "AZPTEND_FAKEAGENT_REFUSED=ends", "AZPTEND_FAKEAGENT_PLAYS=v4"}},
	}
}

// inOrder are the cells of one order.
func inOrder(cells []cell, name string) []cell {
	var some []cell
	for _, c := range cells {
		if c.order.name == name {
			some = append(some, c)
		}
	}
	return some
}

// usual is what make matrix plays: all cells of the source's order, and of the
// other one a set that has each pair.
func usual(cells []cell) []cell {
	source, other := orders()[0].name, orders()[1].name
	return append(inOrder(cells, source), pairwise(inOrder(cells, other))...)
}
