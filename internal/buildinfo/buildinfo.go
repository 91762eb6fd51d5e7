// Package buildinfo says which program this is, from what the Go toolchain wrote into it.
package buildinfo

import (
	"runtime/debug"
	"strings"
)

// Info is what the toolchain knows of a build. Values that it does not know are "unknown".
type Info struct {
	// Version is the module's version; the pseudo-version of the commit for a build from a
	// checkout; "devel" if neither is known.
	Version string `json:"version"`
	// Commit is the revision of the source, with "+changes" if the checkout had any.
	Commit string `json:"commit"`
	// Date is the commit's time, in UTC (RFC 3339).
	Date string `json:"date"`
	Go   string `json:"go"`
}

// Read returns what is known of the running program.
func Read() Info {
	build, ok := debug.ReadBuildInfo()
	if !ok {
		build = &debug.BuildInfo{}
	}
	return of(build)
}

// Version is the version alone.
func Version() string { return Read().Version }

func of(build *debug.BuildInfo) Info {
	info := Info{Version: build.Main.Version, Commit: "unknown", Date: "unknown", Go: build.GoVersion}
	settings := map[string]string{}
	for _, s := range build.Settings {
		settings[s.Key] = s.Value
	}
	if commit := settings["vcs.revision"]; commit != "" {
		info.Commit = commit
	}
	if settings["vcs.modified"] == "true" {
		info.Commit += "+changes"
	}
	if date := settings["vcs.time"]; date != "" {
		info.Date = date
	}
	if info.Go == "" {
		info.Go = "unknown"
	}
	switch {
	case info.Version != "" && info.Version != "(devel)":
		info.Version = strings.TrimSuffix(info.Version, "+dirty")
	case info.Commit != "unknown":
		info.Version = "devel-" + info.Commit[:min(12, len(info.Commit))]
	default:
		info.Version = "devel"
	}
	return info
}
