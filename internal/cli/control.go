//go:build unix

package cli

import (
	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/control"
)

// controlLocation is the location of the control socket for these settings.
func controlLocation(s config.Settings) control.Location {
	return control.Location{Root: s.Root(), OtherUser: s.RunAs != ""}
}
