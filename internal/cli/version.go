package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"github.com/azptend/azptend/internal/term"
)

// buildInfo is what a binary knows of its build. The Go command records it, so nothing has to
// be passed to the linker, and every way to build azptend gives the same answer.
type buildInfo struct {
	Version  string `json:"version"`          // version of azptend
	Commit   string `json:"commit,omitempty"` // commit that it was built from
	Date     string `json:"date,omitempty"`   // date of the commit, RFC 3339
	Modified bool   `json:"modified"`         // whether files differed from the commit
	Go       string `json:"go"`               // version of Go
	System   string `json:"system"`           // operating system and architecture
}

// shortCommit is how much of a commit the text output shows.
const shortCommit = 12

func newVersion(p Process) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "version",
		Short: "Print the version, and the commit that it was built from",
		RunE: func(*cobra.Command, []string) error {
			b := readBuildInfo()
			if asJSON {
				return term.PrintJSON(p.Stdout, b)
			}
			_, err := fmt.Fprintln(p.Stdout, b)
			return err
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func version() string { return readBuildInfo().Version }

func readBuildInfo() buildInfo {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{GoVersion: runtime.Version()}
	}
	return buildInfoOf(info)
}

// buildInfoOf takes the version from the module: Go sets it to the tag of the commit, to a
// pseudo-version if there is no tag, and to (devel) without version control.
func buildInfoOf(info *debug.BuildInfo) buildInfo {
	b := buildInfo{Version: "0.0.0-dev", Go: info.GoVersion, System: runtime.GOOS + "/" + runtime.GOARCH}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.time":
			b.Date = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	if v := strings.TrimPrefix(info.Main.Version, "v"); v != "" && v != "(devel)" {
		b.Version = v
	}
	return b
}

func (b buildInfo) String() string {
	from := ""
	if b.Commit != "" {
		from = fmt.Sprintf("commit %.*s of %s, ", shortCommit, b.Commit, b.Date)
	}
	if b.Modified {
		from += "modified, "
	}
	return fmt.Sprintf("azptend %s (%s%s, %s)", b.Version, from, b.Go, b.System)
}
