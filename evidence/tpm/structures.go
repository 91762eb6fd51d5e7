package tpm

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"

	"github.com/probity-dev/probity/evidence/eventlog"
	"github.com/probity-dev/probity/strict/pubkey"
)

// Types of attestations (TPM_ST), and the mark of structures that a TPM made.
const (
	generated      = 0xff544347
	TypeQuote      = 0x8018
	TypeCertify    = 0x8017
	maxAttestation = 4096
)

// Attestation is a TPMS_ATTEST (part 2, section 10.12.12). Only quotes and
// certifications are read.
type Attestation struct {
	Type            uint16
	QualifiedSigner []byte
	// ExtraData is the qualifying data that the caller gave.
	ExtraData []byte
	Clock     Clock
	Firmware  uint64
	// Selection and PCRDigest are a quote's.
	Selection []Selection
	PCRDigest []byte
	// Name is that of the key that a certification is about.
	Name []byte
}

// Clock is a TPMS_CLOCK_INFO. The counters are obfuscated for keys outside the
// endorsement and platform hierarchies.
type Clock struct {
	// Milliseconds is how long the TPM has run since its clock was cleared.
	Milliseconds             uint64
	ResetCount, RestartCount uint32
	Safe                     bool
}

// Selection says which registers of a bank were quoted, bit n for PCR n.
type Selection struct {
	Bank eventlog.Algorithm
	Mask uint32
}

// reader takes a structure apart; the first failure sticks.
type reader struct {
	b   []byte
	err error
}

var errShort = errors.New("the structure is cut short")

func (r *reader) take(n int) []byte {
	if r.err != nil || n > len(r.b) {
		if r.err == nil {
			r.err = errShort
		}
		return nil
	}
	taken := r.b[:n:n]
	r.b = r.b[n:]
	return taken
}

func (r *reader) u8() uint8 {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) u16() uint16 {
	if b := r.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (r *reader) u32() uint32 {
	if b := r.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (r *reader) u64() uint64 {
	if b := r.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// sized reads a TPM2B.
func (r *reader) sized() []byte { return r.take(int(r.u16())) }

// end makes trailing bytes an error.
func (r *reader) end() error {
	if r.err == nil && len(r.b) > 0 {
		return fmt.Errorf("%d bytes after the structure", len(r.b))
	}
	return r.err
}

// ParseAttestation reads a TPMS_ATTEST.
func ParseAttestation(b []byte) (*Attestation, error) {
	if len(b) > maxAttestation {
		return nil, fmt.Errorf("%d bytes, an attestation has at most %d", len(b), maxAttestation)
	}
	r := &reader{b: b}
	if magic := r.u32(); r.err == nil && magic != generated {
		return nil, fmt.Errorf("magic %#x: not made by a TPM, which writes %#x", magic, uint32(generated))
	}
	a := &Attestation{Type: r.u16(), QualifiedSigner: r.sized(), ExtraData: r.sized()}
	a.Clock.Milliseconds, a.Clock.ResetCount, a.Clock.RestartCount = r.u64(), r.u32(), r.u32()
	safe := r.u8()
	a.Clock.Safe, a.Firmware = safe == 1, r.u64()
	if r.err == nil && safe > 1 {
		return nil, fmt.Errorf("clock safe %d", safe)
	}
	switch a.Type {
	case TypeQuote:
		a.Selection = r.selections()
		a.PCRDigest = r.sized()
	case TypeCertify:
		a.Name = r.sized()
		r.sized() // the qualified name
	default:
		if r.err == nil {
			return nil, fmt.Errorf("type %#x, neither a quote nor a certification", a.Type)
		}
	}
	return a, r.end()
}

// selections reads a TPML_PCR_SELECTION. Each bank comes once: a digest over one
// bank twice could be read in two ways.
func (r *reader) selections() (list []Selection) {
	n := r.u32()
	if r.err == nil && n > 8 {
		r.err = fmt.Errorf("%d banks are selected", n)
	}
	for range n {
		if r.err != nil {
			return nil
		}
		s := Selection{Bank: eventlog.Algorithm(r.u16())}
		bitmap := r.take(int(r.u8()))
		if len(bitmap) > 4 {
			r.err = fmt.Errorf("a selection of %d bytes", len(bitmap))
			return nil
		}
		for i, b := range bitmap {
			s.Mask |= uint32(b) << (8 * i)
		}
		for _, other := range list {
			if other.Bank == s.Bank && r.err == nil {
				r.err = fmt.Errorf("%v is selected twice", s.Bank)
			}
		}
		if s.Mask>>eventlog.Registers != 0 && r.err == nil {
			r.err = fmt.Errorf("registers beyond %d are selected", eventlog.Registers-1)
		}
		list = append(list, s)
	}
	return list
}

// Attributes are a key's TPMA_OBJECT (part 2, section 8.3).
type Attributes uint32

// The attributes that are asked for.
const (
	FixedTPM            Attributes = 1 << 1
	FixedParent         Attributes = 1 << 4
	SensitiveDataOrigin Attributes = 1 << 5
	UserWithAuth        Attributes = 1 << 6
	AdminWithPolicy     Attributes = 1 << 7
	NoDA                Attributes = 1 << 10
	Restricted          Attributes = 1 << 16
	Decrypt             Attributes = 1 << 17
	Sign                Attributes = 1 << 18

	// resident says that a key was made in the TPM and cannot leave it.
	resident = FixedTPM | FixedParent | SensitiveDataOrigin
)

// Public is a TPMT_PUBLIC of an RSA or ECC key (part 2, section 12.2.4).
type Public struct {
	NameAlgorithm eventlog.Algorithm
	Attributes    Attributes
	AuthPolicy    []byte
	Key           crypto.PublicKey
	// Scheme is the signing or encryption scheme, NullScheme if it is open.
	Scheme uint16
	name   []byte
}

// Algorithms of TPM 2.0 (TCG Algorithm Registry).
const (
	algRSA     = 0x0001
	algAES     = 0x0006
	NullScheme = 0x0010
	algRSASSA  = 0x0014
	algRSAES   = 0x0015
	algRSAPSS  = 0x0016
	algOAEP    = 0x0017
	algECDSA   = 0x0018
	algECDH    = 0x0019
	algECC     = 0x0023
)

var curves = map[uint16]elliptic.Curve{3: elliptic.P256(), 4: elliptic.P384(), 5: elliptic.P521()}

// ParsePublic reads a TPMT_PUBLIC.
func ParsePublic(b []byte) (*Public, error) {
	if len(b) > maxAttestation {
		return nil, fmt.Errorf("a public area of %d bytes", len(b))
	}
	r := &reader{b: b}
	p, err := r.public()
	if err != nil {
		return nil, err
	}
	if err := r.end(); err != nil {
		return nil, err
	}
	p.setName(b)
	return p, nil
}

// ParseSizedPublic reads a TPM2B_PUBLIC; what follows it is left alone, as some
// clients append names.
func ParseSizedPublic(b []byte) (*Public, error) {
	r := &reader{b: b}
	inner := r.sized()
	if r.err != nil {
		return nil, r.err
	}
	return ParsePublic(inner)
}

func (p *Public) setName(b []byte) {
	p.name = binary.BigEndian.AppendUint16(nil, uint16(p.NameAlgorithm))
	p.name = p.NameAlgorithm.Sum(p.name, b)
}

// Name returns the key's name: the algorithm and the digest of the public area.
func (p *Public) Name() []byte { return p.name }

func (r *reader) public() (*Public, error) {
	typ := r.u16()
	p := &Public{
		NameAlgorithm: eventlog.Algorithm(r.u16()),
		Attributes:    Attributes(r.u32()),
		AuthPolicy:    r.sized(),
	}
	if r.err == nil && (p.NameAlgorithm.Size() == 0 || p.NameAlgorithm == eventlog.SHA1) {
		return nil, fmt.Errorf("a key named with %v", p.NameAlgorithm)
	}
	if symmetric := r.u16(); symmetric != NullScheme {
		r.u16() // key bits
		r.u16() // mode
	}
	if p.Scheme = r.u16(); p.Scheme != NullScheme && p.Scheme != algRSAES {
		r.u16() // hash
	}
	switch typ {
	case algRSA:
		bits, exponent := r.u16(), r.u32()
		modulus := new(big.Int).SetBytes(r.sized())
		if exponent == 0 {
			exponent = 65537
		}
		if r.err != nil {
			return nil, r.err
		}
		if modulus.BitLen() != int(bits) {
			return nil, fmt.Errorf("a modulus of %d bits in a key of %d", modulus.BitLen(), bits)
		}
		key := &rsa.PublicKey{N: modulus, E: int(exponent)}
		p.Key = key
		return p, checkKey(key)
	case algECC:
		curve := curves[r.u16()]
		if kdf := r.u16(); kdf != NullScheme {
			r.u16()
		}
		x, y := r.sized(), r.sized()
		if r.err != nil {
			return nil, r.err
		}
		key, err := point(curve, x, y)
		if err != nil {
			return nil, err
		}
		p.Key = key
		return p, nil
	}
	if r.err != nil {
		return nil, r.err
	}
	return nil, fmt.Errorf("a key of type %#x", typ)
}

// point makes a key of coordinates on one of the accepted curves.
func point(curve elliptic.Curve, x, y []byte) (*ecdsa.PublicKey, error) {
	if curve == nil {
		return nil, errors.New("a curve other than P-256, P-384 and P-521")
	}
	size := (curve.Params().BitSize + 7) / 8
	if len(x) > size || len(y) > size {
		return nil, errors.New("a point with coordinates that are too long")
	}
	b := make([]byte, 1+2*size)
	b[0] = 4
	copy(b[1+size-len(x):], x)
	copy(b[1+2*size-len(y):], y)
	key, err := ecdsa.ParseUncompressedPublicKey(curve, b)
	if err != nil {
		return nil, errors.New("a point that is not on its curve")
	}
	return key, nil
}

// checkKey refuses keys that are weak, or too large to be checked with.
func checkKey(key crypto.PublicKey) error {
	switch key := key.(type) {
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits < 2048 || bits > 4096 {
			return fmt.Errorf("an RSA key of %d bits; want 2048 to 4096", bits)
		}
		return pubkey.Check(key)
	case *ecdsa.PublicKey:
		for _, curve := range curves {
			if key.Curve == curve {
				return nil
			}
		}
		return errors.New("a curve other than P-256, P-384 and P-521")
	}
	return fmt.Errorf("a key of type %T", key)
}
