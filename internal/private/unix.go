//go:build unix

package private

import (
	"io/fs"
	"os"
	"syscall"
)

const hasModes = true

// owns reports whether this process owns a file, so that it could change its mode.
func owns(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return !ok || int(st.Uid) == os.Geteuid()
}
