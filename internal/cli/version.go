package cli

import (
	"fmt"
	"runtime/debug"
)

type versionCommand struct{}

// Help gives the examples of the help text.
func (versionCommand) Help() string {
	return "Examples:\n  probity version"
}

// Run prints the version.
func (versionCommand) Run(e *env) error {
	fmt.Fprintln(e.Out, "probity", version())
	return nil
}

// version is the module's version, or the commit it was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return "devel-" + s.Value[:12]
		}
	}
	return "devel"
}
