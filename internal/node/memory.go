package node

import (
	"io/fs"
	"log/slog"
	"runtime/debug"
	"strconv"
	"strings"
)

// LimitMemory sets at which use of memory the runtime collects garbage as hard as it can:
// as configured, as GOMEMLIMIT says (which the runtime has read), or nine tenths of what
// the control group allows. Without any there is no limit.
func LimitMemory(configured int64, environment string, cgroup fs.FS, log *slog.Logger) {
	limit := configured
	if limit == 0 && environment == "" {
		limit = cgroupMemory(cgroup) / 10 * 9
	}
	if limit <= 0 {
		return
	}
	debug.SetMemoryLimit(limit)
	log.Info("memory is limited", "bytes", limit)
}

// cgroupMemory returns what the control group allows in bytes (version 2 or 1), or 0.
func cgroupMemory(files fs.FS) int64 {
	const unlimited = 1 << 60 // version 1 writes a number near 2^63
	for _, name := range []string{"memory.max", "memory/memory.limit_in_bytes"} {
		b, err := fs.ReadFile(files, name)
		if err != nil {
			continue
		}
		if n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64); err == nil && n > 0 && n < unlimited {
			return n
		}
	}
	return 0
}
