package pool

import (
	"strings"

	"github.com/azptend/azptend/internal/azdo"
)

// Stands says whether an agent of a survey is still the placeholder that Ensure
// left: of this name, no agent, and with what people can change of it as it was
// wanted. It costs no call.
func Stands(a azdo.Agent, want Wanted) bool {
	maker, is := PlaceholderOf(a)
	if !is || !strings.EqualFold(a.Name, want.Name) {
		return false
	}
	if maker == Another {
		return true // and left as it is
	}
	for name, value := range newPlaceholder(want).UserCapabilities {
		if !strings.HasPrefix(name, "azptend.") && !has(a.UserCapabilities, name, value) {
			return false
		}
	}
	return true
}
