package kbs

import (
	"bytes"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/evidence/snp"
)

// Guests on SEV-SNP do not send the bytes of the report, but its fields as the library that read it names
// them, in two forms: the older one has the reserved bytes, too. Here they are put back where they were (AMD
// publication 56860, ATTESTATION_REPORT); the signature covers what comes out.

// form is how a field is written.
type form int

const (
	octets   form = iota // an array of bytes
	number               // a number, little-endian
	levels               // a TCB_VERSION
	version3             // a version of the firmware: build, minor, major
)

// field is a field of the report: its name, where it is, and how long.
type field struct {
	name     string
	at, size int
	form     form
	// optional fields are only in one of the forms, or null in it.
	optional bool
}

const hostData = 0xc0

var fields = []field{
	{"version", 0x00, 4, number, false},
	{"guest_svn", 0x04, 4, number, false},
	{"policy", 0x08, 8, number, false},
	{"family_id", 0x10, 16, octets, false},
	{"image_id", 0x20, 16, octets, false},
	{"vmpl", 0x30, 4, number, false},
	{"sig_algo", 0x34, 4, number, false},
	{"current_tcb", 0x38, 8, levels, false},
	{"plat_info", 0x40, 8, number, false},
	{"key_info", 0x48, 4, number, true},
	{"_author_key_en", 0x48, 4, number, true},
	{"_reserved_0", 0x4c, 4, number, true},
	{"report_data", 0x50, 64, octets, false},
	{"measurement", 0x90, 48, octets, false},
	{"host_data", hostData, 32, octets, false},
	{"id_key_digest", 0xe0, 48, octets, false},
	{"author_key_digest", 0x110, 48, octets, false},
	{"report_id", 0x140, 32, octets, false},
	{"report_id_ma", 0x160, 32, octets, false},
	{"reported_tcb", 0x180, 8, levels, false},
	{"_reserved_1", 0x188, 24, octets, true},
	{"cpuid_fam_id", 0x188, 1, number, true},
	{"cpuid_mod_id", 0x189, 1, number, true},
	{"cpuid_step", 0x18a, 1, number, true},
	{"chip_id", 0x1a0, 64, octets, false},
	{"committed_tcb", 0x1e0, 8, levels, false},
	{"current", 0x1e8, 3, version3, true},
	{"current_build", 0x1e8, 1, number, true},
	{"current_minor", 0x1e9, 1, number, true},
	{"current_major", 0x1ea, 1, number, true},
	{"_reserved_2", 0x1eb, 1, number, true},
	{"committed", 0x1ec, 3, version3, true},
	{"committed_build", 0x1ec, 1, number, true},
	{"committed_minor", 0x1ed, 1, number, true},
	{"committed_major", 0x1ee, 1, number, true},
	{"_reserved_3", 0x1ef, 1, number, true},
	{"launch_tcb", 0x1f0, 8, levels, false},
	{"launch_mit_vector", 0x1f8, 8, number, true},
	{"current_mit_vector", 0x200, 8, number, true},
	{"_reserved_4", 0x1f8, 168, octets, true},
}

// report puts a report together.
func (a *Attestation) report(text jsontext.Value) ([]byte, error) {
	var in map[string]jsontext.Value
	if text.Kind() != '{' || json.Unmarshal(text, &in) != nil {
		return nil, a.malformed("the member attestation_report is missing or not an object")
	}
	b := make([]byte, snp.ReportSize)
	for _, f := range fields {
		v := in[f.name]
		if f.optional && (v == nil || v.Kind() == 'n') {
			continue
		}
		if err := f.put(b[f.at:f.at+f.size], v); err != nil {
			return nil, a.malformed("attestation_report." + f.name + ": " + err.Error())
		}
	}
	var signature struct {
		R        jsontext.Value `json:"r"`
		S        jsontext.Value `json:"s"`
		Reserved jsontext.Value `json:"_reserved"`
	}
	err := json.Unmarshal(in["signature"], &signature)
	for _, part := range []struct {
		v        jsontext.Value
		from, to int
	}{{signature.R, 0x2a0, 0x2e8}, {signature.S, 0x2e8, 0x330}, {signature.Reserved, 0x330, snp.ReportSize}} {
		if err == nil && (part.v != nil || part.from < 0x330) {
			err = putOctets(b[part.from:part.to], part.v)
		}
	}
	if err != nil {
		return nil, a.malformed("attestation_report.signature: not r and s of 72 bytes")
	}
	return b, nil
}

// put writes a value to its place.
func (f *field) put(b []byte, v jsontext.Value) error {
	switch f.form {
	case octets:
		return putOctets(b, v)
	case levels:
		return putLevels(b, v)
	case version3:
		var in struct{ Major, Minor, Build *uint8 }
		err := json.Unmarshal(v, &in, json.MatchCaseInsensitiveNames(true))
		if err != nil || in.Major == nil || in.Minor == nil || in.Build == nil {
			return fmt.Errorf("not major, minor and build")
		}
		b[0], b[1], b[2] = *in.Build, *in.Minor, *in.Major
		return nil
	case number:
	}
	var n uint64
	if v.Kind() != '0' || json.Unmarshal(v, &n) != nil || len(b) < 8 && n>>(8*len(b)) != 0 {
		return fmt.Errorf("not a number of %d bytes", len(b))
	}
	var whole [8]byte
	binary.LittleEndian.PutUint64(whole[:], n)
	copy(b, whole[:])
	return nil
}

// putOctets writes an array of bytes of exactly the length of its place.
func putOctets(b []byte, v jsontext.Value) error {
	var list []uint16 // bytes would be read as base64
	if v.Kind() != '[' || json.Unmarshal(v, &list) != nil || len(list) != len(b) {
		return fmt.Errorf("not an array of %d bytes", len(b))
	}
	for i, n := range list {
		if n > 0xff {
			return fmt.Errorf("%d is not a byte", n)
		}
		b[i] = byte(n)
	}
	return nil
}

// putLevels writes a TCB_VERSION: with fmc in the layout of Turin, else in that of the lines before it.
func putLevels(b []byte, v jsontext.Value) error {
	var in struct {
		FMC        *uint8         `json:"fmc"`
		Bootloader *uint8         `json:"bootloader"`
		TEE        *uint8         `json:"tee"`
		SNP        *uint8         `json:"snp"`
		Microcode  *uint8         `json:"microcode"`
		Reserved   jsontext.Value `json:"_reserved"`
	}
	if json.Unmarshal(v, &in) != nil || in.Bootloader == nil || in.TEE == nil || in.SNP == nil ||
		in.Microcode == nil {
		return fmt.Errorf("not the levels bootloader, tee, snp and microcode")
	}
	b[7] = *in.Microcode
	if in.FMC != nil {
		b[0], b[1], b[2], b[3] = *in.FMC, *in.Bootloader, *in.TEE, *in.SNP
		return nil
	}
	b[0], b[1], b[6] = *in.Bootloader, *in.TEE, *in.SNP
	if in.Reserved == nil {
		return nil
	}
	return putOctets(b[2:6], in.Reserved)
}

// certificate is a row of the certificate table that came with a report.
type certificate struct {
	// Type is a name, or an object for types without one.
	Type jsontext.Value `json:"cert_type"`
	Data []uint16       `json:"data"`
}

// maxChain bounds the rows, maxCertificate a certificate in bytes.
const maxChain, maxCertificate = 16, 16 << 10

// chain writes the certificates of AMD's hierarchy in PEM. Others are left out.
func (a *Attestation) chain(list []certificate) ([]byte, error) {
	if len(list) > maxChain {
		return nil, a.malformed(fmt.Sprintf("cert_chain of %d rows, at most %d are read", len(list), maxChain))
	}
	var out bytes.Buffer
	for i, c := range list {
		switch name := strings.Trim(string(c.Type), `"`); name {
		case "ARK", "ASK", "VCEK", "VLEK":
		default:
			continue
		}
		if len(c.Data) == 0 || len(c.Data) > maxCertificate {
			return nil, a.malformed(fmt.Sprintf("cert_chain: row %d: a certificate of %d bytes", i+1,
				len(c.Data)))
		}
		der := make([]byte, len(c.Data))
		for k, n := range c.Data {
			if n > 0xff {
				return nil, a.malformed(fmt.Sprintf("cert_chain: row %d: %d is not a byte", i+1, n))
			}
			der[k] = byte(n)
		}
		if block, _ := pem.Decode(der); block != nil {
			der = block.Bytes // some hosts store PEM in the table
		}
		if err := pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: der}); err != nil {
			return nil, fmt.Errorf("kbs: %w", err)
		}
	}
	return out.Bytes(), nil
}
