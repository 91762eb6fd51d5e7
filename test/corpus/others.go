package main

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"

	"github.com/probity-dev/probity/evidence/cca"
	"github.com/probity-dev/probity/evidence/nitro"
)

// armAnchor reads the key of a case's platform.
func armAnchor(folder string) (cca.Anchor, error) {
	b, err := firstFile(folder, "cpak.pem", "iak.pem")
	if err != nil {
		return cca.Anchor{}, err
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return cca.Anchor{}, errors.New("no PEM key")
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	return cca.Anchor{Key: key}, err
}

// rootProblems compares AWS's root with the one that is pinned.
func rootProblems(folder string) []string {
	files, err := filepath.Glob(filepath.Join(folder, "*.pem"))
	if err != nil || len(files) != 1 {
		return []string{"want one PEM file"}
	}
	b, err := os.ReadFile(files[0])
	if err != nil {
		return []string{err.Error()}
	}
	if block, _ := pem.Decode(b); block == nil || !nitro.IsRoot(block.Bytes) {
		return []string{"not the root that is pinned"}
	}
	return nil
}
