package node

import (
	"io/fs"
	"log/slog"
	"math"
	"runtime/debug"
	"testing"
	"testing/fstest"
)

func TestMemoryIsLimited(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	t.Cleanup(func() { debug.SetMemoryLimit(before) })
	file := func(name, text string) fs.FS { return fstest.MapFS{name: {Data: []byte(text)}} }
	const version2, version1 = "memory.max", "memory/memory.limit_in_bytes"
	for name, tc := range map[string]struct {
		configured  int64
		environment string
		files       fs.FS
		want        int64
	}{
		"configured":          {1 << 30, "2GiB", file(version2, "100000000\n"), 1 << 30},
		"environment":         {0, "2GiB", file(version2, "100000000\n"), math.MaxInt64},
		"control group 2":     {0, "", file(version2, "1000000000\n"), 900_000_000},
		"control group 1":     {0, "", file(version1, "1000000000\n"), 900_000_000},
		"no limit, version 2": {0, "", file(version2, "max\n"), math.MaxInt64},
		"no limit, version 1": {0, "", file(version1, "9223372036854771712\n"), math.MaxInt64},
		"no control group":    {0, "", fstest.MapFS{}, math.MaxInt64},
		"nonsense":            {0, "", file(version2, "-5"), math.MaxInt64},
	} {
		debug.SetMemoryLimit(math.MaxInt64)
		LimitMemory(tc.configured, tc.environment, tc.files, slog.New(slog.DiscardHandler))
		if got := debug.SetMemoryLimit(-1); got != tc.want {
			t.Errorf("%s: %d bytes, expected %d", name, got, tc.want)
		}
	}
}
