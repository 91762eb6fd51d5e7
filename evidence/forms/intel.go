package forms

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"

	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/dcap"
)

// intelVendor is the QE vendor id at byte 12 of a quote's header.
var intelVendor = []byte{
	0x93, 0x9a, 0x72, 0x33, 0xf7, 0x9c, 0x4c, 0xa9, 0x94, 0x0a, 0x0d, 0xb3, 0x95, 0x7f, 0x06, 0x07,
}

// quoteForm names DCAP and EPID quotes.
func quoteForm(b []byte) Form {
	if len(b) < 8 {
		return Form{}
	}
	version, keyType, tee := binary.LittleEndian.Uint16(b), binary.LittleEndian.Uint16(b[2:]),
		binary.LittleEndian.Uint32(b[4:])
	if known := b[min(12, len(b)):min(28, len(b))]; !bytes.Equal(known, intelVendor[:len(known)]) {
		if len(b) >= 436 && version >= 1 && version <= 2 && keyType <= 1 && looksEPID(b) {
			return Form{
				Name: fmt.Sprintf("an EPID quote of version %d, which Intel's service no longer verifies",
					version),
				Hint: "make a DCAP (ECDSA) quote",
			}
		}
		return Form{}
	}
	f := Form{Kind: evidence.SGXEnclave}
	name := "an SGX quote"
	switch {
	case tee == dcap.TEETypeTDX:
		f.Kind, name = evidence.TDXVM, "a TDX quote"
	case tee != dcap.TEETypeSGX:
		return Form{}
	}
	if version < 3 || version > 5 || keyType < 2 || keyType > 3 {
		return Form{}
	}
	f.Name = fmt.Sprintf("%s of version %d", name, version)
	if f.Cut = quoteCut(b, version, tee); f.Cut == "" {
		if end := quoteEnd(b, version, tee); end < len(b) {
			f.Behind = len(bytes.TrimRight(b[end:], "\x00"))
		}
	}
	return f
}

// quoteEnd returns where a quote that is not cut ends by its own length.
func quoteEnd(b []byte, version uint16, tee uint32) int {
	at := 48 + bodySize(tee)
	if version == 5 {
		at = 54 + int(min(binary.LittleEndian.Uint32(b[50:]), 4096))
	}
	return at + 4 + int(min(binary.LittleEndian.Uint32(b[at:]), uint32(len(b)-at-4)))
}

func bodySize(tee uint32) int {
	if tee == dcap.TEETypeTDX {
		return 584
	}
	return dcap.ReportSize
}

// looksEPID checks the fixed fields of an EPID quote: the signature's length at
// byte 432 leads to its end.
func looksEPID(b []byte) bool {
	size := uint64(binary.LittleEndian.Uint32(b[432:]))
	return size >= 500 && 436+size == uint64(len(b))
}

// quoteCut says where a quote ends too early, or "".
func quoteCut(b []byte, version uint16, tee uint32) string {
	body := bodySize(tee)
	at := 48
	if version == 5 {
		if len(b) < at+6 {
			return fmt.Sprintf("ends after %d bytes, inside the header", len(b))
		}
		body = int(min(binary.LittleEndian.Uint32(b[at+2:]), 4096))
		at += 6
	}
	switch {
	case len(b) < at:
		return fmt.Sprintf("ends after %d bytes, inside the header", len(b))
	case len(b) < at+body+4:
		return fmt.Sprintf("ends after %d bytes, inside the body", len(b))
	}
	size := uint64(binary.LittleEndian.Uint32(b[at+body:]))
	total := uint64(at+body+4) + size
	if size > dcap.MaxQuoteSize || uint64(len(b)) >= total {
		return ""
	}
	part := "certification data"
	switch have := len(b) - (at + body + 4); {
	case have < 64:
		part = "signature"
	case have < 128:
		part = "attestation key"
	case version == 3 && have < 128+384+64, version > 3 && have < 128+6+384+64:
		part = "signature data (report of the quoting enclave)"
	default:
		part = "signature data (certificates)"
	}
	return fmt.Sprintf("ends after %d of %d bytes, inside the %s", len(b), total, part)
}

// The formats of Open Enclave evidence (attestation/sgx/evidence.h).
var openEnclaveFormats = map[string]string{
	"a3a21e871b4d4014b70aa125d2fbcd8c": "Open Enclave evidence (SGX ECDSA)",
	"c8303454d9234c2ca691df7def460a76": "Open Enclave evidence (legacy report)",
	"1923d91e12d24c72b22025cd8dace871": "Open Enclave evidence (raw quote)",
	"09268c336e0b45e58a2715644d0ef89a": "local Open Enclave evidence",
	"f228aa3fde4d49d388b2bb88084cc25e": "Open Enclave evidence (EPID)",
}

// openEnclaveForm names reports, evidence and endorsements of the Open Enclave SDK.
func openEnclaveForm(b []byte) Form {
	if len(b) < 16 || binary.LittleEndian.Uint32(b) != 1 {
		return Form{}
	}
	f := Form{Kind: evidence.OpenEnclave}
	typ, size := binary.LittleEndian.Uint32(b[4:]), binary.LittleEndian.Uint64(b[8:])
	if len(b) >= 28 {
		if name := openEnclaveFormats[hex.EncodeToString(b[4:20])]; name != "" {
			f.Name = name
			if size := binary.LittleEndian.Uint64(b[20:]); size > uint64(len(b)-28) && size < evidence.MaxSize {
				f.Cut = fmt.Sprintf("ends after %d of %d bytes", len(b), size+28)
			}
			return f
		}
	}
	items := binary.LittleEndian.Uint32(b[12:])
	if blob := binary.LittleEndian.Uint32(b[8:]); typ == 2 && items >= 1 && items <= 16 && blob > 0 {
		return Form{Name: "Open Enclave endorsements", Hint: "they are collateral: name them with --collateral"}
	}
	if (typ != 1 && typ != 2) || size == 0 || size > evidence.MaxSize {
		return Form{}
	}
	f.Name = "an Open Enclave report (oe_get_report)"
	if typ == 1 {
		f.Name = "a local Open Enclave report, which only its own machine can check"
		f.Hint = "make a remote report (OE_REPORT_FLAGS_REMOTE_ATTESTATION)"
	}
	if size > uint64(len(b)-16) {
		f.Cut = fmt.Sprintf("ends after %d of %d bytes", len(b), size+16)
	}
	return f
}
