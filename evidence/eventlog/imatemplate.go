package eventlog

import (
	"bytes"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/probity-dev/probity/strict/pubkey"
)

// The digest of an IMA entry covers its data and not the name of its template, which the
// sender of the list chooses. The data say themselves what they are: each field has its length
// before it, so that their number is known, and with it the template.

// The kernel's templates.
const (
	templateIMA    = "ima"
	templateNG     = "ima-ng"
	templateSig    = "ima-sig"
	templateBuf    = "ima-buf"
	templateNGv2   = "ima-ngv2"
	templateSigV2  = "ima-sigv2"
	templateModSig = "ima-modsig"
	templateEVM    = "evm-sig"
)

var knownTemplates = names(templateIMA, templateNG, templateSig, templateBuf, templateNGv2, templateSigV2,
	templateModSig, templateEVM)

// legacy fills in an entry of the template ima: the SHA-1 of the file and its
// path in a field of fixed size.
func (m *Measurement) legacy(digest []byte, name string) {
	m.Reading, m.FileDigest, m.Name = templateIMA, "sha1:"+hex.EncodeToString(digest), name
	m.Data = make([]byte, sha1.Size+legacyName)
	copy(m.Data, digest)
	copy(m.Data[sha1.Size:sha1.Size+legacyName-1], name)
	if len(digest) != sha1.Size || len(name) >= legacyName || strings.Contains(name, "\x00") {
		m.Unread = "template ima with a digest or a path that is not of its form"
	}
}

// read reads the fields of Data.
func (m *Measurement) read() {
	if !knownTemplates[m.Template] {
		m.Unread = fmt.Sprintf("template %q is not one of the kernel's", shorten(m.Template))
		return
	}
	fields, ok := splitFields(m.Data)
	if !ok {
		m.Unread = fmt.Sprintf("template %s with data that are not its fields", m.Template)
		return
	}
	version, algorithm, digest, ok := fileDigest(fields[0])
	name, terminated := bytes.CutSuffix(fields[1], []byte{0})
	if !ok || !terminated || bytes.IndexByte(name, 0) >= 0 {
		m.Unread = fmt.Sprintf("template %s with a digest or a path that is not of its form", m.Template)
		return
	}
	m.FileDigest, m.Name = algorithm+":"+hex.EncodeToString(digest), string(name)
	if version == 2 {
		m.FileDigest = string(fields[0][:bytes.IndexByte(fields[0], ':')]) + ":" + m.FileDigest
	}
	m.readByFields(fields, version, func(b []byte) bool { return isDigest(algorithm, digest, b) })
}

// readByFields tells the template by the number of fields and the version of the first one;
// digested reports whether that one is the digest of a buffer.
func (m *Measurement) readByFields(fields [][]byte, version int, digested func([]byte) bool) {
	switch n := len(fields); {
	case n == 2 && version == 1:
		m.Reading = templateNG
	case n == 2:
		m.Reading = templateNGv2
	case n == 3 && version == 2:
		m.Reading, m.Extra = templateSigV2, fields[2]
	case n == 3:
		m.Extra = fields[2]
		switch signature, buffer := isSignature(m.Extra), digested(m.Extra); {
		case signature && buffer: // either
		case signature:
			m.Reading = templateSig
		case buffer:
			m.Reading = templateBuf
		default:
			m.Unread = "its third field is neither a signature nor a buffer with that digest"
		}
	case n == 5 && version == 1:
		m.Reading, m.Extra = templateModSig, fields[2]
	case n == 9 && version == 1:
		m.Reading, m.Extra = templateEVM, fields[2]
	default:
		m.Unread = fmt.Sprintf("%d fields, which no template has", n)
	}
}

// splitFields takes data apart: each field is its length and its bytes.
func splitFields(b []byte) (fields [][]byte, ok bool) {
	const most = 9
	r := &reader{b: b}
	for len(r.b) > 0 && len(fields) <= most {
		fields = append(fields, r.take(r.u32()))
		if r.err != nil {
			return nil, false
		}
	}
	return fields, len(fields) >= 2 && len(fields) <= most
}

// fileDigest reads a field d-ng ("sha256:", a zero byte, the digest), or of version 2, which
// says besides by which of ima and verity.
func fileDigest(b []byte) (version int, algorithm string, digest []byte, ok bool) {
	head, digest, ok := bytes.Cut(b, []byte(":\x00"))
	version, algorithm = 1, string(head)
	for _, kind := range []string{"ima:", "verity:"} {
		if rest, found := strings.CutPrefix(algorithm, kind); found {
			version, algorithm = 2, rest
		}
	}
	plain := algorithm != "" && len(algorithm) <= 32 &&
		strings.Trim(algorithm, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
	return version, algorithm, digest, ok && plain && len(digest) > 0 && len(digest) <= sha512.Size
}

// isSignature reports whether a field can be what the kernel keeps as a file's signature:
// nothing, or an extended attribute of one of three types (EVM_IMA_XATTR_DIGSIG,
// EVM_XATTR_PORTABLE_DIGSIG, IMA_VERITY_DIGSIG).
func isSignature(b []byte) bool { return len(b) == 0 || b[0] == 3 || b[0] == 5 || b[0] == 6 }

// isDigest reports whether digest is that of b.
func isDigest(algorithm string, digest, b []byte) bool {
	var sum []byte
	switch algorithm {
	case "md5":
		s := md5.Sum(b)
		sum = s[:]
	case "sha1":
		s := sha1.Sum(b)
		sum = s[:]
	case "sha224":
		s := sha256.Sum224(b)
		sum = s[:]
	case "sha256":
		s := sha256.Sum256(b)
		sum = s[:]
	case "sha384":
		s := sha512.Sum384(b)
		sum = s[:]
	case "sha512":
		s := sha512.Sum512(b)
		sum = s[:]
	}
	return len(sum) > 0 && bytes.Equal(sum, digest)
}

// subject returns the subject of a measured key, or "".
func (m *Measurement) subject() string {
	if m.Reading != templateBuf || !strings.HasPrefix(m.Name, ".") {
		return ""
	}
	cert, err := pubkey.ParseCertificate(m.Extra)
	if err != nil {
		return ""
	}
	return cert.Subject.String()
}
