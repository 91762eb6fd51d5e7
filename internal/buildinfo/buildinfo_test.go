package buildinfo

import (
	"runtime/debug"
	"testing"
)

func TestVersions(t *testing.T) {
	vcs := []debug.BuildSetting{{Key: "vcs.revision", Value: "0123456789abcdef0123456789abcdef01234567"},
		{Key: "vcs.time", Value: "2026-01-02T03:04:05Z"}, {Key: "vcs.modified", Value: "true"}}
	for name, tc := range map[string]struct {
		build debug.BuildInfo
		want  Info
	}{
		"a tagged module": {debug.BuildInfo{GoVersion: "go1.26.0", Main: debug.Module{Version: "v1.2.3"}},
			Info{"v1.2.3", "unknown", "unknown", "go1.26.0"}},
		"a checkout with changes": {debug.BuildInfo{
			GoVersion: "go1.26.0",
			Main:      debug.Module{Version: "v0.0.0-20260102030405-0123456789ab+dirty"},
			Settings:  vcs,
		},
			Info{
				"v0.0.0-20260102030405-0123456789ab",
				"0123456789abcdef0123456789abcdef01234567+changes", "2026-01-02T03:04:05Z", "go1.26.0",
			}},
		"a checkout without a version": {
			debug.BuildInfo{GoVersion: "go1.26.0", Main: debug.Module{Version: "(devel)"}, Settings: vcs[:2]},
			Info{
				"devel-0123456789ab", "0123456789abcdef0123456789abcdef01234567",
				"2026-01-02T03:04:05Z", "go1.26.0",
			},
		},
		"nothing known": {debug.BuildInfo{}, Info{"devel", "unknown", "unknown", "unknown"}},
	} {
		if got := of(&tc.build); got != tc.want {
			t.Errorf("%s: %+v, want %+v", name, got, tc.want)
		}
	}
	if Version() == "" {
		t.Error("the test's own program has no version")
	}
}
