package pool

import (
	"strings"

	"github.com/azptend/azptend/internal/azdo"
)

// PlaceholderMatches says whether an agent of a survey is still the placeholder that Ensure
// left: of this name, no agent, and with what people can change of it as it was
// wanted. It costs no call.
func PlaceholderMatches(a azdo.Agent, want PlaceholderSpec) bool {
	maker, is := PlaceholderMaker(a)
	if !is || !strings.EqualFold(a.Name, want.Name) {
		return false
	}
	if maker == MadeByOther {
		return true // and left as it is
	}
	for name, value := range newPlaceholder(want).UserCapabilities {
		if !strings.HasPrefix(name, "azptend.") && !hasCapability(a.UserCapabilities, name, value) {
			return false
		}
	}
	return true
}
