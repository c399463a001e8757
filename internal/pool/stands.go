package pool

import (
	"strings"

	"github.com/azptend/azptend/internal/azdo"
)

// Stands says whether the pool has its placeholder, to whom has listed its agents
// with capabilities anyway: one that Ensure would leave as it is. A name that an
// agent holds does not stand.
func Stands(agents []azdo.Agent, want Wanted) bool {
	target := newPlaceholder(want)
	for _, a := range agents {
		if !strings.EqualFold(a.Name, want.Name) {
			continue
		}
		maker, is := PlaceholderOf(a)
		return is && (maker == Another || len(lacking(a, target)) == 0)
	}
	return false
}
