//go:build !pkcs11

package e2e

// tags are those that the program is built with.
const tags = ""
