package dcap

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// Sizes of the fixed parts, in bytes.
const (
	headerSize    = 48
	signatureSize = 64
	keySize       = 64
	// ReportSize is the size of an SGX report body.
	ReportSize = 384
)

// MaxQuoteSize bounds what ParseQuote reads, in bytes. Real quotes are under
// 6 KiB; some platforms pad their buffers to 8000 bytes.
const MaxQuoteSize = 64 << 10

// The TEE types of a quote header.
const (
	TEETypeSGX uint32 = 0x00
	TEETypeTDX uint32 = 0x81
)

// BodyType names the layout of a quote's body, by the numbers of format 5.
type BodyType uint16

// The body types.
const (
	BodySGX        BodyType = 1
	BodyTDX10      BodyType = 2
	BodyTDX15      BodyType = 3
	BodyTDX15Extra BodyType = 4
)

// size returns the only legal size of the body in bytes, or 0.
func (t BodyType) size() int {
	switch t {
	case BodySGX:
		return ReportSize
	case BodyTDX10:
		return 584
	case BodyTDX15:
		return 648
	case BodyTDX15Extra:
		return 885
	default:
		return 0
	}
}

// Certification data types.
const (
	certPPIDClear    = 1
	certPPIDRSA3072  = 3
	certPCKChain     = 5
	certQEReportData = 6
)

const attestationKeyP256 = 2

// intelQEVendor is the QE vendor id of Intel's quoting enclaves.
var intelQEVendor = [16]byte{
	0x93, 0x9a, 0x72, 0x33, 0xf7, 0x9c, 0x4c, 0xa9, 0x94, 0x0a, 0x0d, 0xb3, 0x95, 0x7f, 0x06, 0x07,
}

// ErrHeader is wrapped by errors about a quote's header: a format, key type or
// vendor that is not supported, as opposed to a damaged quote.
var ErrHeader = errors.New("quote header")

// Quote is a parsed quote. All slices point into the bytes that were parsed.
type Quote struct {
	Version     uint16
	TEEType     uint32
	QEVendorID  [16]byte
	UserData    [20]byte
	BodyType    BodyType
	Body        []byte
	Signature   []byte // r || s over Signed
	Key         []byte // attestation key, x || y
	QEReport    []byte
	QESignature []byte // r || s by the PCK over QEReport
	QEAuthData  []byte

	CertificationType uint16
	CertificationData []byte

	// Raw is the quote without padding: what is hashed to identify it.
	Raw []byte
	// Signed is the range that the attestation key signed.
	Signed []byte
}

// ParseQuote reads a quote of format 3, 4 or 5 (Intel SGX DCAP quote library
// API, appendix A; Intel TDX DCAP quoting library API, appendix A). Every
// nested length must fit its parent exactly. Bytes after the quote are
// refused unless they are all zero, as real buffers are padded. The result
// keeps slices of b.
func ParseQuote(b []byte) (*Quote, error) {
	q, rest, err := parse(b)
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(rest, func(c byte) bool { return c != 0 }) {
		return nil, fmt.Errorf("dcap: %d bytes after the quote that are not zero padding", len(rest))
	}
	return q, nil
}

// Split returns the quote at the start of b and what follows it, for framings
// that put data after a quote without saying where it ends.
func Split(b []byte) (quote, rest []byte, err error) {
	q, rest, err := parse(b)
	if err != nil {
		return nil, nil, err
	}
	return q.Raw, rest, nil
}

func parse(b []byte) (*Quote, []byte, error) {
	if len(b) > MaxQuoteSize {
		return nil, nil, fmt.Errorf("dcap: quote is %d bytes, at most %d are read", len(b), MaxQuoteSize)
	}
	if len(b) < headerSize {
		return nil, nil, fmt.Errorf("dcap: quote is %d bytes, the header alone is %d", len(b), headerSize)
	}
	q := &Quote{Version: binary.LittleEndian.Uint16(b), TEEType: binary.LittleEndian.Uint32(b[4:])}
	copy(q.QEVendorID[:], b[12:])
	copy(q.UserData[:], b[28:])
	if err := q.checkHeader(binary.LittleEndian.Uint16(b[2:])); err != nil {
		return nil, nil, err
	}
	r := &reader{b: b, off: headerSize}
	if err := q.readBody(r); err != nil {
		return nil, nil, err
	}
	q.Signed = b[:r.off]
	signatureData, err := r.sized32("signature data")
	if err != nil {
		return nil, nil, err
	}
	q.Raw = b[:r.off]
	return q, b[r.off:], q.readSignatureData(signatureData)
}

func (q *Quote) checkHeader(keyType uint16) error {
	if q.Version > 5 {
		return fmt.Errorf(
			"%w: version %d, newer than this program knows; expected 3, 4 or 5: update this program",
			ErrHeader, q.Version,
		)
	}
	if q.Version < 3 {
		return fmt.Errorf("%w: version %d, want 3, 4 or 5", ErrHeader, q.Version)
	}
	if keyType != attestationKeyP256 {
		return fmt.Errorf("%w: attestation key type %d, want 2 (ECDSA P-256)", ErrHeader, keyType)
	}
	if q.TEEType != TEETypeSGX && (q.TEEType != TEETypeTDX || q.Version == 3) {
		return fmt.Errorf("%w: TEE type 0x%x in a quote of version %d", ErrHeader, q.TEEType, q.Version)
	}
	if q.QEVendorID != intelQEVendor {
		return fmt.Errorf("%w: QE vendor %x, want Intel's %x", ErrHeader, q.QEVendorID, intelQEVendor)
	}
	return nil
}

func (q *Quote) readBody(r *reader) error {
	q.BodyType = BodySGX
	if q.TEEType == TEETypeTDX {
		q.BodyType = BodyTDX10
	}
	if q.Version == 5 {
		head, err := r.take(6, "body type and size")
		if err != nil {
			return err
		}
		q.BodyType = BodyType(binary.LittleEndian.Uint16(head))
		size := binary.LittleEndian.Uint32(head[2:])
		if q.BodyType.size() == 0 || size != uint32(q.BodyType.size()) {
			return fmt.Errorf("dcap: quote body type %d with %d bytes is not defined", q.BodyType, size)
		}
		if (q.BodyType == BodySGX) != (q.TEEType == TEETypeSGX) {
			return fmt.Errorf("dcap: quote body type %d in a quote of TEE type 0x%x", q.BodyType, q.TEEType)
		}
	}
	var err error
	q.Body, err = r.take(q.BodyType.size(), "body")
	return err
}

// readSignatureData reads the ECDSA signature data. In formats 4 and 5 the QE
// report and what certifies it are nested in certification data of type 6.
func (q *Quote) readSignatureData(b []byte) error {
	r := &reader{b: b}
	var err error
	if q.Signature, err = r.take(signatureSize, "quote signature"); err != nil {
		return err
	}
	if q.Key, err = r.take(keySize, "attestation key"); err != nil {
		return err
	}
	if q.Version >= 4 {
		outer, data, err := r.certificationData()
		if err != nil {
			return err
		}
		if outer != certQEReportData {
			return fmt.Errorf("dcap: certification data type %d, want %d (QE report)", outer, certQEReportData)
		}
		if err := r.end("signature data"); err != nil {
			return err
		}
		r = &reader{b: data}
	}
	if q.QEReport, err = r.take(ReportSize, "QE report"); err != nil {
		return err
	}
	if q.QESignature, err = r.take(signatureSize, "QE report signature"); err != nil {
		return err
	}
	if q.QEAuthData, err = r.sized16("QE authentication data"); err != nil {
		return err
	}
	if q.CertificationType, q.CertificationData, err = r.certificationData(); err != nil {
		return err
	}
	return r.end("signature data")
}

// reader takes fields off a byte slice. Lengths are compared as 64-bit
// numbers, so none can wrap around.
type reader struct {
	b   []byte
	off int
}

func (r *reader) take(n int, what string) ([]byte, error) {
	if n > len(r.b)-r.off {
		return nil, fmt.Errorf("dcap: quote ends in its %s: %d bytes wanted, %d left", what, n, len(r.b)-r.off)
	}
	field := r.b[r.off : r.off+n : r.off+n]
	r.off += n
	return field, nil
}

func (r *reader) sized16(what string) ([]byte, error) {
	n, err := r.take(2, what)
	if err != nil {
		return nil, err
	}
	return r.take(int(binary.LittleEndian.Uint16(n)), what)
}

func (r *reader) sized32(what string) ([]byte, error) {
	n, err := r.take(4, what)
	if err != nil {
		return nil, err
	}
	size := binary.LittleEndian.Uint32(n)
	if uint64(size) > uint64(len(r.b)-r.off) {
		return nil, fmt.Errorf("dcap: quote ends in its %s: %d bytes wanted, %d left", what, size, len(r.b)-r.off)
	}
	return r.take(int(size), what)
}

func (r *reader) certificationData() (typ uint16, data []byte, err error) {
	head, err := r.take(2, "certification data type")
	if err != nil {
		return 0, nil, err
	}
	data, err = r.sized32("certification data")
	return binary.LittleEndian.Uint16(head), data, err
}

func (r *reader) end(what string) error {
	if r.off != len(r.b) {
		return fmt.Errorf("dcap: %d bytes left over in the quote's %s", len(r.b)-r.off, what)
	}
	return nil
}
