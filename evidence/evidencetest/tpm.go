package evidencetest

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"math/big"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-tpm/tpm2"
)

// TPM is a simulated TPM with an attestation key, and the authority that
// certified it. No TPM runs: it signs what it is told to.
type TPM struct {
	Root   Signer
	AK     crypto.Signer
	AKCert *x509.Certificate
	// Request is the key of requests.
	Request *rsa.PrivateKey
	Clock   TPMClock
}

// TPMClock is what quotes say about the TPM's clock.
type TPMClock struct {
	Milliseconds   uint64
	Reset, Restart uint32
}

// TPMConfig makes a TPM differ from a healthy one.
type TPMConfig struct {
	Now time.Time
	// ECC makes the attestation key one on P-256 instead of RSA.
	ECC bool
	// Edit may change the template of the attestation key's certificate.
	Edit func(*x509.Certificate)
	// Root is the authority; empty makes one.
	Root *Signer
}

// NewTPMCA makes an authority of attestation keys.
func NewTPMCA(now time.Time) *Signer {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	must(err)
	t := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "Simulated TPM CA"},
		NotBefore:             now.AddDate(-1, 0, 0),
		NotAfter:              now.AddDate(10, 0, 0),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	must(err)
	cert, err := x509.ParseCertificate(der)
	must(err)
	return &Signer{Key: key, Cert: cert}
}

// NewTPM makes a TPM.
func NewTPM(cfg TPMConfig) *TPM {
	m := &TPM{Clock: TPMClock{Milliseconds: 60_000, Reset: 7, Restart: 1}}
	if cfg.Root == nil {
		cfg.Root = NewTPMCA(cfg.Now)
	}
	m.Root = *cfg.Root
	var err error
	if cfg.ECC {
		m.AK, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	} else {
		m.AK, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	must(err)
	m.Request, err = rsa.GenerateKey(rand.Reader, 2048)
	must(err)
	m.AKCert, err = x509.ParseCertificate(cfg.Root.certifyAK(m.AK.Public(), cfg.Now, cfg.Edit))
	must(err)
	return m
}

func sized(b, data []byte) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(data))), data...)
}

// attest begins a TPMS_ATTEST.
func (m *TPM) attest(typ uint16, extra []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, 0xff544347)
	b = sized(binary.BigEndian.AppendUint16(b, typ), m.qualifiedName())
	b = binary.BigEndian.AppendUint64(sized(b, extra), m.Clock.Milliseconds)
	b = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(b, m.Clock.Reset), m.Clock.Restart)
	return binary.BigEndian.AppendUint64(append(b, 1), 0x2020031200120003)
}

// qualifiedName is the one of the attestation key as a primary key of the endorsement
// hierarchy, with the attributes of Azure's (part 1, section 16.3).
func (m *TPM) qualifiedName() []byte {
	key, ok := m.AK.(*rsa.PrivateKey)
	if !ok {
		return append([]byte{0, 0x0b}, make([]byte, 32)...)
	}
	name := sha256.Sum256(RSAPublicArea(&key.PublicKey, GuestAK, 0x0014, nil))
	qualified := sha256.Sum256(append([]byte{0x40, 0, 0, 0x0b, 0, 0x0b}, name[:]...))
	return append([]byte{0, 0x0b}, qualified[:]...)
}

// Quote quotes the SHA-256 registers of a mask, with the digest of their values.
func (m *TPM) Quote(pcrs [24][32]byte, mask uint32, extra []byte) []byte {
	b := binary.BigEndian.AppendUint32(m.attest(0x8018, extra), 1)
	b = append(binary.BigEndian.AppendUint16(b, 0x000b), 3, byte(mask), byte(mask>>8), byte(mask>>16))
	h := sha256.New()
	for i := range pcrs {
		if mask&(1<<i) != 0 {
			h.Write(pcrs[i][:])
		}
	}
	return sized(b, h.Sum(nil))
}

// Certify certifies the key with the given public area.
func (m *TPM) Certify(public, extra []byte) []byte {
	name := sha256.Sum256(public)
	full := append([]byte{0, 0x0b}, name[:]...)
	return sized(sized(m.attest(0x8017, extra), full), full)
}

// RawSign signs as RSASSA with SHA-256, or ECDSA, without a frame.
func (m *TPM) RawSign(message []byte) []byte {
	sum := sha256.Sum256(message)
	signature, err := m.AK.Sign(rand.Reader, sum[:], crypto.SHA256)
	must(err)
	return signature
}

// Sign signs in the form of a TPMT_SIGNATURE.
func (m *TPM) Sign(message []byte) []byte {
	if key, ok := m.AK.(*ecdsa.PrivateKey); ok {
		sum := sha256.Sum256(message)
		r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
		must(err)
		return sized(sized([]byte{0, 0x18, 0, 0x0b}, r.FillBytes(make([]byte, 32))), s.FillBytes(make([]byte, 32)))
	}
	return sized([]byte{0, 0x14, 0, 0x0b}, m.RawSign(message))
}

// RSAPublicArea is the TPMT_PUBLIC of an RSA key. Scheme 0x0014 (RSASSA) comes with
// its hash, 0x0010 is none; restricted decryption keys have AES-128-CFB.
func RSAPublicArea(key *rsa.PublicKey, attributes uint32, scheme uint16, policy []byte) []byte {
	b := append([]byte{0, 1, 0, 0x0b}, binary.BigEndian.AppendUint32(nil, attributes)...)
	b = sized(b, policy)
	if attributes&(1<<16) != 0 && attributes&(1<<17) != 0 {
		b = append(b, 0, 6, 0, 128, 0, 0x43)
	} else {
		b = append(b, 0, 0x10)
	}
	b = binary.BigEndian.AppendUint16(b, scheme)
	if scheme != 0x0010 {
		b = append(b, 0, 0x0b)
	}
	b = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint16(b, uint16(key.N.BitLen())), 0)
	return sized(b, key.N.Bytes())
}

// JWK is a public key as a JSON Web Key.
func JWK(key crypto.PublicKey) json.RawMessage {
	b, err := (&jose.JSONWebKey{Key: key}).MarshalJSON()
	must(err)
	return b
}

// TPMEvidence describes evidence of Azure Attestation's TPM protocol; its zero
// value with a boot is healthy.
type TPMEvidence struct {
	Boot      *Boot
	Challenge []byte
	// Context is the service's own state, echoed.
	Context string
	// Mask are the quoted registers; 0 stands for all.
	Mask uint32
	// Bare leaves the certificate of the attestation key out.
	Bare bool
	// IMA is a list besides the log.
	IMA []byte
	// Certified binds the request key by certification instead of by the quote.
	Certified bool
	// Edit may change the evidence object before it is signed, Type the JWS's type.
	Edit func(map[string]any)
	Type string
	// Enclave makes the report of a VBS enclave over the signed bytes.
	Enclave func(signed []byte) []byte
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// Attestation makes one attestation object: logs, quote, registers.
func (m *TPM) Attestation(cfg TPMEvidence, extra []byte) map[string]any {
	if cfg.Mask == 0 {
		cfg.Mask = 0xffffff
	}
	quote := m.Quote(cfg.Boot.PCRs, cfg.Mask, extra)
	var values []any
	for i := range cfg.Boot.PCRs {
		if cfg.Mask&(1<<i) != 0 {
			values = append(values, map[string]any{"index": i, "digest": b64(cfg.Boot.PCRs[i][:])})
		}
	}
	logs := []any{map[string]any{"type": "TCG", "log": b64(cfg.Boot.Log)}}
	if cfg.IMA != nil {
		logs = append(logs, map[string]any{"type": "IMA", "log": b64(cfg.IMA)})
	}
	a := map[string]any{
		"logs":      logs,
		"aik_pub":   JWK(m.AK.Public()),
		"quote":     b64(quote),
		"signature": b64(m.Sign(quote)),
		"pcrs":      []any{map[string]any{"algorithm": 11, "values": values}},
	}
	if !cfg.Bare {
		a["aik_cert"] = b64(append(m.AKCert.Raw, make([]byte, 100)...))
	}
	return a
}

// Evidence makes the client's second message of the protocol.
func (m *TPM) Evidence(cfg TPMEvidence) []byte {
	jwk := JWK(m.Request.Public())
	bound := sha256.Sum256(append(append([]byte(jwk), 0), cfg.Challenge...))
	extra, info := bound[:], map[string]any{"tpm_quote": map[string]any{"hash_alg": "sha-256"}}
	if cfg.Certified {
		public := RSAPublicArea(&m.Request.PublicKey, 0x40072, 0x0010, nil)
		certification := m.Certify(public, cfg.Challenge)
		extra = cfg.Challenge
		info = map[string]any{"tpm_certify": map[string]any{
			"public":        b64(public),
			"certification": b64(certification),
			"signature":     b64(m.Sign(certification)),
		}}
	}
	data := map[string]any{
		"rp_id": "https://relying.example", "rp_data": b64([]byte("nonce of a relying party")),
		"challenge": b64(cfg.Challenge), "service_context": cfg.Context,
		"tpm_att_data": map[string]any{"current_attestation": m.Attestation(cfg, extra)},
		"request_key":  map[string]any{"jwk": jwk, "info": info},
	}
	if cfg.Edit != nil {
		cfg.Edit(data)
	}
	signed, err := json.Marshal(data)
	must(err)
	payload := append(append([]byte(`{"att_type":"basic","att_data":`), signed...), '}')
	if cfg.Enclave != nil {
		payload = append([]byte(`{"att_type":"vbs","att_data":{"report_signed":`), signed...)
		payload = append(payload, `,"vsm_report":{"enclave":{"report":"`+b64(cfg.Enclave(signed))+`"}}}}`...)
	}
	if cfg.Type == "" {
		cfg.Type = "attReqV2"
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.PS256, Key: m.Request},
		(&jose.SignerOptions{}).WithType(jose.ContentType(cfg.Type)))
	must(err)
	jws, err := signer.Sign(payload)
	must(err)
	compact, err := jws.CompactSerialize()
	must(err)
	out, err := json.Marshal(map[string]any{"payload": map[string]any{"request": compact}})
	must(err)
	return out
}

// EndorsementArea is the TPMT_PUBLIC of an endorsement key.
func EndorsementArea(key *rsa.PublicKey) []byte { return RSAPublicArea(key, 0x000300b2, 0x0010, nil) }

// Activate opens a credential as a TPM does that holds the endorsement key, and
// the attestation key of the given name (TPM 2.0 Library, part 1, section 24).
func Activate(endorsement *rsa.PrivateKey, name, object, secret []byte) []byte {
	seed, err := rsa.DecryptOAEP(sha256.New(), nil, endorsement, secret, []byte("IDENTITY\x00"))
	if err != nil {
		return nil
	}
	key := tpm2.KDFa(crypto.SHA256, seed, "STORAGE", name, nil, 128)
	size := int(binary.BigEndian.Uint16(object))
	block, err := aes.NewCipher(key)
	must(err)
	plain := make([]byte, len(object)-2-size)
	//lint:ignore SA1019 what TPMs use
	cipher.NewCFBDecrypter(block, make([]byte, 16)).XORKeyStream(plain, object[2+size:])
	if len(plain) < 2 || len(plain) < 2+int(binary.BigEndian.Uint16(plain)) {
		return nil
	}
	return plain[2 : 2+binary.BigEndian.Uint16(plain)]
}

// CertifyAK certifies an attestation key, DER.
func (s *Signer) CertifyAK(key crypto.PublicKey, now time.Time) []byte {
	return s.certifyAK(key, now, nil)
}

func (s *Signer) certifyAK(key crypto.PublicKey, now time.Time, edit func(*x509.Certificate)) []byte {
	t := &x509.Certificate{
		SerialNumber:       big.NewInt(2),
		Subject:            pkix.Name{CommonName: "ak.simulated"},
		NotBefore:          now.AddDate(0, -1, 0),
		NotAfter:           now.AddDate(1, 0, 0),
		KeyUsage:           x509.KeyUsageDigitalSignature,
		UnknownExtKeyUsage: []asn1.ObjectIdentifier{{2, 23, 133, 8, 3}},
		ExtraExtensions:    []pkix.Extension{simulatedMark},
	}
	if edit != nil {
		edit(t)
	}
	der, err := x509.CreateCertificate(rand.Reader, t, s.Cert, key, s.Key)
	must(err)
	return der
}

// CertifyEK certifies an endorsement key as a vendor does, with the TPM's manufacturer
// ("id:50524F42"), model and version as its alternative name (TCG EK Credential Profile 2.5,
// section 3.2.9).
func (s *Signer) CertifyEK(key crypto.PublicKey, now time.Time) []byte {
	attribute := func(n int, value string) pkix.RelativeDistinguishedNameSET {
		return pkix.RelativeDistinguishedNameSET{{Type: asn1.ObjectIdentifier{2, 23, 133, 2, n}, Value: value}}
	}
	name, err := asn1.Marshal(pkix.RDNSequence{
		attribute(1, "id:50524F42"), attribute(2, "Simulated"), attribute(3, "id:00010002"),
	})
	must(err)
	value, err := asn1.Marshal(
		[]asn1.RawValue{{Class: asn1.ClassContextSpecific, Tag: 4, IsCompound: true, Bytes: name}},
	)
	must(err)
	return s.certifyAK(key, now, func(c *x509.Certificate) {
		c.Subject = pkix.Name{}
		c.KeyUsage, c.UnknownExtKeyUsage = x509.KeyUsageKeyEncipherment, []asn1.ObjectIdentifier{{2, 23, 133, 8, 1}}
		c.ExtraExtensions = append(c.ExtraExtensions,
			pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Critical: true, Value: value})
	})
}
