package emulator

import (
	"slices"
	"strconv"
	"strings"
)

// list is the envelope of every collection: {"count":N,"value":[...]}.
type list[T any] struct {
	Count int `json:"count"`
	Value []T `json:"value"`
}

// listOf makes the answer that shows all of them, each as show writes it. An empty collection is [] on the wire.
func listOf[T, J any](c *request, all []T, show func(*request, T) J) list[J] {
	return list[J]{len(all), each(all, func(one T) J { return show(c, one) })}
}

// each returns a slice, not nil, with what one makes of each value.
func each[T, U any](all []T, one func(T) U) []U {
	out := make([]U, len(all))
	for i, v := range all {
		out[i] = one(v)
	}
	return out
}

// filter returns a new slice with those that keep accepts.
func filter[T any](all []T, keep func(T) bool) []T {
	return slices.DeleteFunc(slices.Clone(all), func(one T) bool { return !keep(one) })
}

// first returns the first one that matches, or the zero value.
func first[T any](all []T, matches func(T) bool) (found T) {
	if i := slices.IndexFunc(all, matches); i >= 0 {
		found = all[i]
	}
	return found
}

// without removes one value from a slice.
func without[T comparable](all []T, one T) []T {
	return slices.DeleteFunc(all, func(other T) bool { return other == one })
}

// choose returns yes if the condition is true, else no: an Assumption often decides between two values.
func choose[T any](condition bool, yes, no T) T {
	if condition {
		return yes
	}
	return no
}

// intList reads "1,2"; nil for an empty one.
func intList(s string) []int {
	if s == "" {
		return nil
	}
	out := []int{}
	for f := range strings.SplitSeq(s, ",") {
		if n, err := strconv.Atoi(strings.TrimSpace(f)); err == nil {
			out = append(out, n)
		}
	}
	return out
}

// splitList reads "a,b"; empty parts are dropped.
func splitList(s string) []string {
	return slices.DeleteFunc(strings.Split(s, ","), func(part string) bool { return part == "" })
}

func containsFold(all []string, want string) bool {
	return slices.ContainsFunc(all, func(s string) bool { return strings.EqualFold(s, want) })
}
