// Package hsm keeps signing keys in a PKCS#11 token (OASIS PKCS#11 2.40): they are
// made there and never leave it. It needs cgo, and is empty unless the program is
// built with the tag pkcs11; [Built] tells.
package hsm
