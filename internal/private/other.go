//go:build !unix

package private

import "io/fs"

const hasModes = false

func owns(fs.FileInfo) bool { return true }
