package evidencetest

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/binary"
	"slices"
)

// Enclave describes the attested enclave.
type Enclave struct {
	MREnclave, MRSigner [32]byte
	ProductID, SVN      uint16
	Debug               bool
	// KSS sets the flag and the fields below.
	KSS         bool
	ConfigID    [64]byte
	ConfigSVN   uint16
	ExtProdID   [16]byte
	FamilyID    [16]byte
	ReportData  [64]byte
	CPUSVN      [16]byte
	MiscSelect  uint32
	ExtraFlags  uint64
	ReservedSet bool // sets a reserved byte
}

// QuoteConfig makes a quote differ from a healthy one.
type QuoteConfig struct {
	// Version is 3, 4 or 5; 0 means 3.
	Version uint16
	Enclave Enclave
	// TD, if not nil, is quoted instead of the enclave; Version 0 then means 4
	// for a TD report 1.0 and 5 for later ones.
	TD *TD
	// Header and Body may change these parts before they are signed.
	Header func([]byte)
	Body   func([]byte)
	// QE is the quoting enclave; its ReportData is set by the binding.
	QE Enclave
	// QEReport may change the QE report before the PCK signs it.
	QEReport func([]byte)
	AuthData []byte
	// QEKey signs the QE report instead of the PCK.
	QEKey *ecdsa.PrivateKey
	// CertType and CertData replace the certification data (5, the chain).
	CertType uint16
	CertData []byte
	// Signed may change the range that the attestation key signs.
	Signed func([]byte) []byte
	// Signature may change the signature data's fields after signing.
	Signature func(*SignatureFields)
	// Trailer is put after the quote.
	Trailer []byte
}

// SignatureFields are the parts of the signature data.
type SignatureFields struct {
	Signature, Key, QEReport, QESignature, AuthData []byte
	CertType                                        uint16
	CertData                                        []byte
}

// HealthyQE is the quoting enclave that [HealthyTCB] describes.
func HealthyQE() Enclave {
	return Enclave{
		MRSigner:   sha256.Sum256([]byte("test quoting enclave signer")),
		MREnclave:  sha256.Sum256([]byte("test quoting enclave")),
		ProductID:  1,
		SVN:        8,
		ExtraFlags: 1 << 4,
	} // PROVISIONKEY
}

// DemoEnclave is an enclave to attest.
func DemoEnclave() Enclave {
	return Enclave{
		MREnclave: sha256.Sum256([]byte("demo enclave")),
		MRSigner:  sha256.Sum256([]byte("demo signer")),
		ProductID: 7,
		SVN:       3,
	}
}

// BindData returns report data that bind the given bytes.
func BindData(data []byte) (reportData [64]byte) {
	sum := sha256.Sum256(data)
	copy(reportData[:], sum[:])
	return reportData
}

// Report encodes an SGX report body of 384 bytes.
func (e Enclave) Report() []byte {
	b := make([]byte, 384)
	copy(b[0:], e.CPUSVN[:])
	binary.LittleEndian.PutUint32(b[16:], e.MiscSelect)
	flags := uint64(0x05) | e.ExtraFlags // INIT, MODE64BIT
	if e.Debug {
		flags |= 1 << 1
	}
	if e.KSS {
		flags |= 1 << 7
		copy(b[32:], e.ExtProdID[:])
		copy(b[192:], e.ConfigID[:])
		binary.LittleEndian.PutUint16(b[260:], e.ConfigSVN)
		copy(b[304:], e.FamilyID[:])
	}
	if e.ReservedSet {
		b[100] = 1
	}
	binary.LittleEndian.PutUint64(b[48:], flags)
	binary.LittleEndian.PutUint64(b[56:], 0xe7) // XFRM
	copy(b[64:], e.MREnclave[:])
	copy(b[128:], e.MRSigner[:])
	binary.LittleEndian.PutUint16(b[256:], e.ProductID)
	binary.LittleEndian.PutUint16(b[258:], e.SVN)
	copy(b[320:], e.ReportData[:])
	return b
}

// Quote makes a quote of this machine.
func (m *Platform) Quote(cfg QuoteConfig) []byte {
	body := cfg.Enclave.Report()
	bodyType := byte(1)
	if cfg.TD != nil {
		body, bodyType = cfg.TD.report(), cfg.TD.bodyType()
		if cfg.QE == (Enclave{}) {
			cfg.QE = HealthyQE()
			cfg.QE.ProductID = 2
		}
	}
	if cfg.Version == 0 {
		cfg.Version = map[byte]uint16{1: 3, 2: 4, 3: 5, 4: 5}[bodyType]
	}
	header := make([]byte, 48)
	binary.LittleEndian.PutUint16(header, cfg.Version)
	binary.LittleEndian.PutUint16(header[2:], 2)
	copy(header[12:], []byte{
		0x93, 0x9a, 0x72, 0x33, 0xf7, 0x9c, 0x4c, 0xa9, 0x94, 0x0a, 0x0d, 0xb3, 0x95, 0x7f, 0x06, 0x07,
	})
	if cfg.TD != nil {
		header[4] = 0x81
	}
	if cfg.Header != nil {
		cfg.Header(header)
	}
	if cfg.Body != nil {
		cfg.Body(body)
	}
	if cfg.Version == 5 {
		head := binary.LittleEndian.AppendUint32([]byte{bodyType, 0}, uint32(len(body)))
		body = append(head, body...)
	}
	quote := slices.Concat(header, body)
	data := m.sign(cfg, quote).encode(cfg.Version)
	quote = binary.LittleEndian.AppendUint32(quote, uint32(len(data)))
	return slices.Concat(quote, data, cfg.Trailer)
}

func (m *Platform) sign(cfg QuoteConfig, signed []byte) *SignatureFields {
	if cfg.Signed != nil {
		signed = cfg.Signed(slices.Clone(signed))
	}
	key := newKey()
	f := &SignatureFields{Key: rawPoint(key), AuthData: cfg.AuthData, CertType: 5, CertData: m.Chain}
	if f.AuthData == nil {
		f.AuthData = []byte("test QE authentication data 0123")
	}
	if cfg.CertType != 0 {
		f.CertType, f.CertData = cfg.CertType, cfg.CertData
	}
	qe := cfg.QE
	if qe == (Enclave{}) {
		qe = HealthyQE()
	}
	qe.ReportData = BindData(slices.Concat(f.Key, f.AuthData))
	f.QEReport = qe.Report()
	if cfg.QEReport != nil {
		cfg.QEReport(f.QEReport)
	}
	qeKey := m.PCK.Key
	if cfg.QEKey != nil {
		qeKey = cfg.QEKey
	}
	f.QESignature = SignRaw(qeKey, f.QEReport)
	f.Signature = SignRaw(key, signed)
	if cfg.Signature != nil {
		cfg.Signature(f)
	}
	return f
}

func (f *SignatureFields) encode(version uint16) []byte {
	inner := slices.Concat(f.QEReport, f.QESignature)
	inner = binary.LittleEndian.AppendUint16(inner, uint16(len(f.AuthData)))
	inner = append(inner, f.AuthData...)
	inner = binary.LittleEndian.AppendUint16(inner, f.CertType)
	inner = binary.LittleEndian.AppendUint32(inner, uint32(len(f.CertData)))
	inner = append(inner, f.CertData...)
	outer := slices.Concat(f.Signature, f.Key)
	if version >= 4 {
		outer = binary.LittleEndian.AppendUint16(outer, 6)
		outer = binary.LittleEndian.AppendUint32(outer, uint32(len(inner)))
	}
	return append(outer, inner...)
}

// OpenEnclaveReport frames a quote as a remote Open Enclave report.
func OpenEnclaveReport(quote []byte) []byte {
	header := []byte{1, 0, 0, 0, 2, 0, 0, 0}
	return append(binary.LittleEndian.AppendUint64(header, uint64(len(quote))), quote...)
}
