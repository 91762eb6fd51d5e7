package tpm

import (
	"bytes"
	"crypto"
	"fmt"
	"math/bits"
	"slices"
	"strconv"
	"strings"

	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/eventlog"
	"github.com/probity-dev/probity/wording/phrase"
)

// Quote is a quote as it was sent: the signed structure, its signature, and the
// registers that it is said to be about.
type Quote struct {
	Attested  []byte
	Signature *Signature
	Banks     []eventlog.Bank
}

// Verify checks that key signed the quote and that the registers are those it is
// about, of banks that are accepted. What the caller gave as qualifying data is his to
// compare.
func (q *Quote) Verify(result *evidence.Result, key crypto.PublicKey, sha1 bool) (*Attestation, error) {
	if err := q.Signature.Verify(key, q.Attested); err != nil {
		return nil, result.Fail(CheckQuoteSignature, "a signature of the attestation key over the quote",
			err.Error())
	}
	result.Pass(CheckQuoteSignature, "a signature of the attestation key over the quote", q.Signature.Name())
	a, err := ParseAttestation(q.Attested)
	if err == nil && a.Type != TypeQuote {
		err = fmt.Errorf("an attestation of type %#x", a.Type)
	}
	if err != nil {
		return nil, result.Fail(CheckQuote, "a quote that a TPM made (TPMS_ATTEST)", err.Error())
	}
	result.Pass(CheckQuote, "a quote that a TPM made (TPMS_ATTEST)",
		fmt.Sprintf("%s, firmware %#x", phrase.Plural(len(a.Selection), "bank"), a.Firmware))
	if err := q.selected(a); err != nil {
		return nil, result.Fail(CheckSelection, "the registers that were quoted, and at least one", err.Error())
	}
	selection := describe(a.Selection)
	result.Pass(CheckSelection, "the registers that were quoted, and at least one", selection)
	if digest := q.digest(a); !bytes.Equal(digest, a.PCRDigest) {
		return nil, result.Fail(CheckDigest, fmt.Sprintf("%x, which the TPM signed", a.PCRDigest),
			fmt.Sprintf("%x of the registers sent", digest))
	}
	result.Pass(CheckDigest, "registers whose digest the TPM signed", fmt.Sprintf("%x", a.PCRDigest))
	if q.Signature.Hash == eventlog.SHA1 && !sha1 {
		return nil, result.Fail(CheckBank, "a signature over SHA-256, SHA-384 or SHA-512",
			"a signature over SHA-1")
	}
	if !sha1 &&
		!slices.ContainsFunc(q.Banks, func(b eventlog.Bank) bool { return b.Algorithm != eventlog.SHA1 }) {
		return nil, result.Fail(CheckBank, "a bank of SHA-256, SHA-384 or SHA-512", "only a SHA-1 bank")
	}
	result.Pass(CheckBank, "a bank and a signature with a hash that is accepted", selection)
	return a, nil
}

// selected compares what was quoted with what was sent: the same banks in the
// same order with the same registers. An empty selection proves nothing
// (CVE-2022-0317).
func (q *Quote) selected(a *Attestation) error {
	if len(a.Selection) != len(q.Banks) {
		return fmt.Errorf("%s quoted, %d sent", phrase.Plural(len(a.Selection), "bank"), len(q.Banks))
	}
	quoted := 0
	for i, s := range a.Selection {
		bank := &q.Banks[i]
		if s.Bank.Size() == 0 || bank.Algorithm != s.Bank {
			return fmt.Errorf("%v quoted, %v sent", s.Bank, bank.Algorithm)
		}
		for n, value := range bank.Values {
			switch selected := s.Mask&(1<<n) != 0; {
			case selected && value == nil:
				return fmt.Errorf("PCR %d of %v was quoted and not sent", n, s.Bank)
			case !selected && value != nil:
				return fmt.Errorf("PCR %d of %v was sent and not quoted", n, s.Bank)
			case selected && len(value) != s.Bank.Size():
				return fmt.Errorf("PCR %d of %v has %d bytes", n, s.Bank, len(value))
			}
		}
		quoted += bits.OnesCount32(s.Mask)
	}
	if quoted == 0 {
		return fmt.Errorf("no registers")
	}
	return nil
}

// digest is that of all registers in the order of the selection, ascending within
// a bank, with the hash of the signature (part 1, section 17.6).
func (q *Quote) digest(a *Attestation) []byte {
	var all []byte
	for i := range a.Selection {
		for _, value := range q.Banks[i].Values {
			all = append(all, value...)
		}
	}
	return q.Signature.Hash.Sum(nil, all)
}

// describe writes a selection as in "SHA256: 0–7, 11".
func describe(list []Selection) string {
	var banks []string
	for _, s := range list {
		banks = append(banks, s.Bank.String()+": "+Registers(s.Mask))
	}
	return strings.Join(banks, "; ")
}

// Registers writes a mask of registers as in "0–7, 11".
func Registers(mask uint32) string {
	text := make([]byte, 0, 16)
	for i := 0; i < 32; i++ {
		if mask&(1<<i) == 0 {
			continue
		}
		last := i
		for last < 31 && mask&(1<<(last+1)) != 0 {
			last++
		}
		if len(text) > 0 {
			text = append(text, ", "...)
		}
		if text = strconv.AppendInt(text, int64(i), 10); last > i {
			text = strconv.AppendInt(append(text, "–"...), int64(last), 10)
		}
		i = last
	}
	return string(text)
}

// Certification is a key that another key of the TPM certified.
type Certification struct {
	Public    *Public
	Attested  []byte
	Signature *Signature
}

// Verify checks that key certified the public area, with the given qualifying
// data; nil takes any.
func (c *Certification) Verify(key crypto.PublicKey, qualifying []byte) error {
	if err := c.Signature.Verify(key, c.Attested); err != nil {
		return err
	}
	a, err := ParseAttestation(c.Attested)
	switch {
	case err != nil:
		return err
	case a.Type != TypeCertify:
		return fmt.Errorf("an attestation of type %#x, want a certification", a.Type)
	case !bytes.Equal(a.Name, c.Public.Name()):
		return fmt.Errorf("a certification of the key %x; the one sent is %x", a.Name, c.Public.Name())
	case qualifying != nil && !bytes.Equal(a.ExtraData, qualifying):
		return fmt.Errorf("qualifying data %x, want the challenge %x", a.ExtraData, qualifying)
	}
	return nil
}
