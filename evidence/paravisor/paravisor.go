// Package paravisor says which paravisors of confidential machines are trusted.
//
// A paravisor is the part of a guest that gives the rest a TPM. The hardware report binds the
// key of that TPM, and measures the paravisor: without knowing it, anyone who rents a machine
// with the hardware could have put a key of his own there. Azure publishes no list, so it is
// the operator's.
package paravisor

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// Compliant is the value of x-ms-compliance-status for machines with a trusted paravisor.
const Compliant = "azure-compliant-cvm"

// Trust is a paravisor that is trusted. All members that are given must be those of the
// report; digests are hex of 48 bytes (SHA-384). It is of SEV-SNP or of TDX.
type Trust struct {
	// Name is what logs call it.
	Name string `json:"name"`
	// IDKeyDigest and AuthorKeyDigest are those of the keys that signed the launch (SEV-SNP
	// firmware ABI, ID block), Measurement that of the launch. A digest of a key stands for
	// all launches that it signed, from MinSVN on.
	IDKeyDigest     Digest `json:"idKeyDigest,omitempty"`
	AuthorKeyDigest Digest `json:"authorKeyDigest,omitempty"`
	Measurement     Digest `json:"measurement,omitempty"`
	MinSVN          uint32 `json:"minSvn,omitzero"`
	// MRTD is the measurement of a trust domain, MRSEAM that of the TDX module.
	MRTD   Digest `json:"mrtd,omitempty"`
	MRSEAM Digest `json:"mrseam,omitempty"`
}

// Digest is a SHA-384, written in hex.
type Digest []byte

// UnmarshalText reads 48 bytes of hex that are not all zero, which stand for no digest.
func (d *Digest) UnmarshalText(text []byte) error {
	b, err := hex.DecodeString(string(text))
	if err != nil || len(b) != digestSize {
		return fmt.Errorf("%.100q is not a digest of %d bytes in hex", text, digestSize)
	}
	if len(bytes.Trim(b, "\x00")) == 0 {
		return errors.New("a digest of zeros, which reports without one have")
	}
	*d = b
	return nil
}

// MarshalText writes lower-case hex.
func (d Digest) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, d), nil }

const digestSize = 48

// List are the paravisors that are trusted.
type List []Trust

// Check returns an error for entries that say nothing, or that are of both kinds.
func (l List) Check() error {
	for i, t := range l {
		snp := len(t.IDKeyDigest)+len(t.AuthorKeyDigest)+len(t.Measurement) > 0
		tdx := len(t.MRTD)+len(t.MRSEAM) > 0
		switch {
		case t.Name == "" || len(t.Name) > 100 || strings.ContainsAny(t.Name, "\r\n\t"):
			return fmt.Errorf("%d: a name of 1 to 100 characters is missing", i+1)
		case snp && tdx || tdx && t.MinSVN > 0:
			return fmt.Errorf("%d (%s): members of SEV-SNP and of TDX; make two entries", i+1, t.Name)
		case tdx && len(t.MRTD) == 0:
			return fmt.Errorf("%d (%s): mrtd is missing: mrseam alone is the same for all trust domains", i+1, t.Name)
		case !snp && !tdx:
			return fmt.Errorf("%d (%s): no digest; give idKeyDigest, authorKeyDigest or measurement for "+
				"SEV-SNP, mrtd for TDX",
				i+1, t.Name)
		}
	}
	return nil
}

// SNP is what a SEV-SNP report says about the launch.
type SNP struct {
	VMPL, SVN                                 uint32
	IDKeyDigest, AuthorKeyDigest, Measurement []byte
}

// SNP returns the name of the trusted paravisor that made a report, or "". Only the most
// privileged level of a guest (VMPL 0) is the paravisor's.
func (l List) SNP(r SNP) string {
	if r.VMPL != 0 {
		return ""
	}
	for _, t := range l {
		if len(t.MRTD) == 0 && r.SVN >= t.MinSVN && t.IDKeyDigest.matches(r.IDKeyDigest) &&
			t.AuthorKeyDigest.matches(r.AuthorKeyDigest) && t.Measurement.matches(r.Measurement) {
			return t.Name
		}
	}
	return ""
}

// TDX returns the name of the trusted paravisor that a trust domain began with, or "".
func (l List) TDX(mrtd, mrseam []byte) string {
	for _, t := range l {
		if len(t.MRTD) > 0 && t.MRTD.matches(mrtd) && t.MRSEAM.matches(mrseam) {
			return t.Name
		}
	}
	return ""
}

// matches reports whether a digest is not asked for, or is the one found.
func (d Digest) matches(found []byte) bool { return len(d) == 0 || bytes.Equal(d, found) }
