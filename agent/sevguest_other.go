//go:build !linux

package agent

import "errors"

const sevGuest = "/dev/sev-guest"

func sevReport([64]byte) (*Report, error) { return nil, errors.New("SEV-SNP guests run Linux here") }
