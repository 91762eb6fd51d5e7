package kbs

import "strings"

// ResourceTag is the tag of a key that says which resource it is: its value is the path
// repository/type/tag. A key without it is no resource.
const ResourceTag = "kbs-resource"

// KeyName is the name of the key that a resource is, and its path. In the name each character that names
// of keys cannot have is a dash, as are the slashes: default/key/disk.1 is the key default-key-disk-1.
// The tag tells paths apart that come to the same name.
func KeyName(repository, kind, tag string) (name, path string) {
	path = repository + "/" + kind + "/" + tag
	return strings.Map(func(r rune) rune {
		switch {
		case r >= '0' && r <= '9', r >= 'A' && r <= 'Z', r >= 'a' && r <= 'z':
			return r
		}
		return '-'
	}, path), path
}
