package tpmfiles

import (
	"bytes"
	"crypto"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math/bits"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/probity-dev/probity/evidence/eventlog"
	"github.com/probity-dev/probity/evidence/tpm"
	"github.com/probity-dev/probity/strict/base64text"
)

// Sizes of the structures that tpm2_quote -o writes as they are in memory (tpm2-tools,
// lib/pcr.h; TPM 2.0 part 2, 10.6.2, 10.9.6 and 10.9.7).
const (
	maxSelections = 16
	selectionSize = 8                               // TPMS_PCR_SELECTION: hash, size, 4 bytes, 1 of padding
	selectionList = 4 + maxSelections*selectionSize // TPML_PCR_SELECTION
	digestSize    = 2 + 64                          // TPM2B_DIGEST
	digestList    = 4 + 8*digestSize                // TPML_DIGEST
	maxLists      = maxSelections * 24 / 8          // lists of up to 8 digests
)

// pcrFile reads PCR values that name their bank and index.
func pcrFile(b []byte) File {
	if banks, err := parseSerialized(b); err == nil {
		return File{Type: PCRs, Name: "a PCR file of tpm2_quote (" + describe(banks) + ")", Banks: banks, Bytes: b}
	}
	if banks, err := parsePrinted(b); err == nil {
		return File{
			Type: PCRs, Name: "PCR values as tpm2_pcrread prints them (" + describe(banks) + ")",
			Banks: banks, Bytes: b,
		}
	}
	if banks, err := parseGoPCRs(b); err == nil {
		return File{
			Type:  PCRs,
			Name:  "PCR values of go-attestation (" + describe(banks) + ")",
			Banks: banks,
			Bytes: b,
		}
	}
	return File{}
}

// parseSerialized reads what tpm2_quote -o writes by default: a TPML_PCR_SELECTION and lists
// of digests, as they are in the memory of a little- or big-endian machine.
func parseSerialized(b []byte) ([]eventlog.Bank, error) {
	if len(b) < selectionList+4+digestList || (len(b)-selectionList-4)%digestList != 0 {
		return nil, fmt.Errorf("%d bytes, not the size of a PCR file", len(b))
	}
	var order binary.ByteOrder = binary.LittleEndian
	if order.Uint32(b) > maxSelections {
		order = binary.BigEndian
	}
	n, lists := order.Uint32(b), order.Uint32(b[selectionList:])
	if n == 0 || n > maxSelections || lists > maxLists || int(lists) != (len(b)-selectionList-4)/digestList {
		return nil, errors.New("not a PCR file: its counts do not match its size")
	}
	digests, err := serializedDigests(b[selectionList+4:], order)
	if err != nil {
		return nil, err
	}
	var banks []eventlog.Bank
	for i := range int(n) {
		s := b[4+i*selectionSize:][:selectionSize]
		bank := eventlog.Bank{Algorithm: eventlog.Algorithm(order.Uint16(s))}
		if bank.Algorithm.Size() == 0 || s[2] > 4 || find(banks, bank.Algorithm) != nil {
			return nil, fmt.Errorf("bank %d: not a selection of PCRs", i+1)
		}
		for r := range int(s[2]) * 8 {
			if s[3+r/8]&(1<<(r%8)) == 0 {
				continue
			}
			if r >= eventlog.Registers || len(digests) == 0 || len(digests[0]) != bank.Algorithm.Size() {
				return nil, fmt.Errorf("PCR %d of %v has no digest of its size", r, bank.Algorithm)
			}
			bank.Values[r], digests = digests[0], digests[1:]
		}
		banks = append(banks, bank)
	}
	if len(digests) > 0 {
		return nil, fmt.Errorf("%d digests more than selected registers", len(digests))
	}
	return banks, nil
}

// serializedDigests reads lists of up to eight digests each.
func serializedDigests(b []byte, order binary.ByteOrder) (digests [][]byte, err error) {
	for ; len(b) > 0; b = b[digestList:] {
		count := order.Uint32(b)
		if count == 0 || count > 8 {
			return nil, fmt.Errorf("a list of %d digests, want 1 to 8", count)
		}
		for i := range int(count) {
			one := b[4+i*digestSize:][:digestSize]
			size := order.Uint16(one)
			if size == 0 || size > 64 {
				return nil, fmt.Errorf("a digest of %d bytes", size)
			}
			digests = append(digests, one[2:2+size])
		}
	}
	return digests, nil
}

var bankNames = map[string]eventlog.Algorithm{
	"sha1":   eventlog.SHA1,
	"sha256": eventlog.SHA256,
	"sha384": eventlog.SHA384,
	"sha512": eventlog.SHA512,
}

var errPrinted = errors.New("not the text of tpm2_pcrread")

// parsePrinted reads what tpm2_pcrread prints: "sha256:", and lines such as "0 : 0x3D45…".
func parsePrinted(b []byte) (banks []eventlog.Bank, err error) {
	if len(b) > maxCertificate || bytes.IndexByte(b, 0) >= 0 {
		return nil, errPrinted
	}
	values := 0
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		if line == "" || line == "pcrs:" || line == "---" {
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if algorithm, known := bankNames[name]; ok && known && value == "" && find(banks, algorithm) == nil {
			banks = append(banks, eventlog.Bank{Algorithm: algorithm})
			continue
		}
		if !ok || len(banks) == 0 || !setPrinted(&banks[len(banks)-1], name, value) {
			return nil, errPrinted
		}
		values++
	}
	if values == 0 {
		return nil, errPrinted
	}
	return banks, nil
}

// setPrinted reads one register of a bank, and reports whether it is one that was missing.
func setPrinted(bank *eventlog.Bank, number, value string) bool {
	n, err := strconv.Atoi(number)
	if err != nil || n < 0 || n >= eventlog.Registers {
		return false
	}
	digits, isHex := strings.CutPrefix(value, "0x")
	digest, err := hex.DecodeString(digits)
	if !isHex || err != nil || len(digest) != bank.Algorithm.Size() || bank.Values[n] != nil {
		return false
	}
	bank.Values[n] = digest
	return true
}

// goPCR is a PCR of go-attestation (attest.PCR).
type goPCR struct {
	Index     int              `json:"Index"`
	Digest    base64text.Bytes `json:"Digest"`
	DigestAlg crypto.Hash      `json:"DigestAlg"`
}

// parseGoPCRs reads a JSON list of attest.PCR.
func parseGoPCRs(b []byte) ([]eventlog.Bank, error) {
	text := bytes.TrimSpace(b)
	if len(text) == 0 || len(text) > maxText || text[0] != '[' {
		return nil, errors.New("not a list of PCRs")
	}
	var list []goPCR
	if err := json.Unmarshal(text, &list); err != nil || len(list) == 0 {
		return nil, errors.New("not a list of PCRs")
	}
	return goBanks(list)
}

func goBanks(list []goPCR) (banks []eventlog.Bank, err error) {
	for _, v := range list {
		var algorithm eventlog.Algorithm
		for _, one := range bankNames {
			if one.Hash() == v.DigestAlg {
				algorithm = one
			}
		}
		if algorithm == 0 || v.Index < 0 || v.Index >= eventlog.Registers || len(v.Digest) != algorithm.Size() {
			return nil, fmt.Errorf("PCR %d: an index, hash (%d) or digest that no TPM 2.0 has", v.Index, v.DigestAlg)
		}
		bank := find(banks, algorithm)
		if bank == nil {
			banks = append(banks, eventlog.Bank{Algorithm: algorithm})
			bank = &banks[len(banks)-1]
		}
		if bank.Values[v.Index] != nil {
			return nil, fmt.Errorf("PCR %d of %v is listed twice", v.Index, algorithm)
		}
		bank.Values[v.Index] = v.Digest
	}
	return banks, nil
}

func find(banks []eventlog.Bank, algorithm eventlog.Algorithm) *eventlog.Bank {
	for i := range banks {
		if banks[i].Algorithm == algorithm {
			return &banks[i]
		}
	}
	return nil
}

// pick takes the quoted registers out of banks that may have more, in the order of the
// quote. What is missing stays missing: the verifier says so.
func pick(banks []eventlog.Bank, selection []tpm.Selection) (out []eventlog.Bank) {
	for _, s := range selection {
		one := eventlog.Bank{Algorithm: s.Bank}
		if bank := find(banks, s.Bank); bank != nil {
			for i := range bank.Values {
				if s.Mask&(1<<i) != 0 {
					one.Values[i] = bank.Values[i]
				}
			}
		}
		out = append(out, one)
	}
	return out
}

// bareSize returns how many bytes the values of a selection have.
func bareSize(selection []tpm.Selection) (n int) {
	for _, s := range selection {
		n += s.Bank.Size() * bits.OnesCount32(s.Mask)
	}
	return n
}

// parseBare reads values without bank and index, as tpm2_quote -F values and tpm2_pcrread -o
// write them: those of the selection, or all 24 of its only bank. It returns nil for other
// sizes.
func parseBare(b []byte, selection []tpm.Selection) []eventlog.Bank {
	if len(b) == 0 {
		return nil
	}
	all := selection
	if len(b) != bareSize(selection) {
		if len(selection) != 1 || len(b) != eventlog.Registers*selection[0].Bank.Size() {
			return nil
		}
		all = []tpm.Selection{{Bank: selection[0].Bank, Mask: 1<<eventlog.Registers - 1}}
	}
	var banks []eventlog.Bank
	for _, s := range all {
		bank := eventlog.Bank{Algorithm: s.Bank}
		for i := range eventlog.Registers {
			if s.Mask&(1<<i) != 0 {
				bank.Values[i], b = b[:s.Bank.Size()], b[s.Bank.Size():]
			}
		}
		banks = append(banks, bank)
	}
	return pick(banks, selection)
}

// selections says which registers banks have.
func selections(banks []eventlog.Bank) (list []tpm.Selection) {
	for _, b := range banks {
		s := tpm.Selection{Bank: b.Algorithm}
		for i, value := range b.Values {
			if value != nil {
				s.Mask |= 1 << i
			}
		}
		list = append(list, s)
	}
	return list
}

// describe writes banks as in "SHA256: 0–7, 11".
func describe(banks []eventlog.Bank) string {
	var parts []string
	for _, s := range selections(banks) {
		registers := tpm.Registers(s.Mask)
		if s.Mask == 0 {
			registers = "none"
		}
		parts = append(parts, s.Bank.String()+": "+registers)
	}
	return strings.Join(parts, "; ")
}
