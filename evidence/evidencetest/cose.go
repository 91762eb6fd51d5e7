package evidencetest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"math/big"
	"time"

	"github.com/fxamacker/cbor/v2"
)

// Sign1 makes a COSE_Sign1 message (RFC 9052): ES256, ES384 or PS384, as the
// key and the protected header ask for.
func Sign1(key crypto.Signer, protected, unprotected map[any]any, payload []byte, tagged bool) []byte {
	header := mustCBOR(protected)
	toSign := mustCBOR([]any{"Signature1", header, []byte{}, payload})
	var signature []byte
	switch key := key.(type) {
	case *ecdsa.PrivateKey:
		size := (key.Curve.Params().BitSize + 7) / 8
		sum := sha512.Sum384(toSign)
		digest := sum[:]
		if size == 32 {
			short := sha256.Sum256(toSign)
			digest = short[:]
		}
		r, s, err := ecdsa.Sign(rand.Reader, key, digest)
		must(err)
		signature = make([]byte, 2*size)
		r.FillBytes(signature[:size])
		s.FillBytes(signature[size:])
	case *rsa.PrivateKey:
		sum := sha512.Sum384(toSign)
		var err error
		signature, err = rsa.SignPSS(rand.Reader, key, crypto.SHA384, sum[:], &rsa.PSSOptions{SaltLength: 48})
		must(err)
	}
	if unprotected == nil {
		unprotected = map[any]any{}
	}
	parts := []any{header, unprotected, payload, signature}
	if tagged {
		return mustCBOR(cbor.Tag{Number: 18, Content: parts})
	}
	return mustCBOR(parts)
}

func mustCBOR(v any) []byte {
	b, err := cbor.Marshal(v)
	must(err)
	return b
}

// UVM is a hierarchy shaped like that of the publisher of utility VMs.
type UVM struct {
	Root, CA, Leaf Signer

	now time.Time
}

// UVMConfig makes a hierarchy differ from a healthy one.
type UVMConfig struct {
	Now time.Time
	// Edit may change the template of any certificate, told by its subject.
	Edit func(*x509.Certificate)
}

// NewUVM makes a hierarchy with fresh keys.
func NewUVM(cfg UVMConfig) *UVM {
	u := &UVM{now: cfg.Now}
	issue := func(cn string, serial int64, isCA bool, parent *Signer) Signer {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		must(err)
		t := &x509.Certificate{
			SerialNumber: big.NewInt(serial),
			Subject: pkix.Name{
				CommonName:   cn,
				Organization: []string{"Test Corporation"},
				Country:      []string{"US"},
			},
			NotBefore: u.now.AddDate(-1, 0, 0), NotAfter: u.now.AddDate(20, 0, 0),
			BasicConstraintsValid: true, IsCA: isCA,
		}
		if isCA {
			t.KeyUsage = x509.KeyUsageCertSign
		} else {
			t.NotAfter = u.now.AddDate(0, 1, 0)
			t.KeyUsage = x509.KeyUsageDigitalSignature
			t.UnknownExtKeyUsage = append(t.UnknownExtKeyUsage, []int{1, 3, 6, 1, 4, 1, 311, 76, 59, 1, 2})
		}
		if cfg.Edit != nil {
			cfg.Edit(t)
		}
		signer, issuer := key, t
		if parent != nil {
			signer, issuer = parent.Key.(*rsa.PrivateKey), parent.Cert
		}
		der, err := x509.CreateCertificate(rand.Reader, t, issuer, key.Public(), signer)
		must(err)
		cert, err := x509.ParseCertificate(der)
		must(err)
		return Signer{key, cert}
	}
	u.Root = issue("Test Supply Chain Root CA", 1, true, nil)
	u.CA = issue("Test Products CA", 2, true, &u.Root)
	u.Leaf = issue("ContainerPlat", 3, false, &u.CA)
	return u
}

// DID returns the issuer of the hierarchy's endorsements.
func (u *UVM) DID() string {
	sum := sha256.Sum256(u.Root.Cert.Raw)
	return "did:x509:0:sha256:" + base64.RawURLEncoding.EncodeToString(sum[:]) +
		"::eku:1.3.6.1.4.1.311.76.59.1.2"
}

// EndorsementConfig makes an endorsement differ from a healthy one.
type EndorsementConfig struct {
	SVN  string // "101"
	Feed string // "ContainerPlat-AMD-UVM"
	DID  string
	// Envelope makes the newer form, with CWT claims around the measurement.
	Envelope bool
	// EditHeader may change the protected header, Payload replaces the payload.
	EditHeader func(map[any]any)
	Payload    []byte
	Key        crypto.Signer
}

// Endorse makes an endorsement of a measurement.
func (u *UVM) Endorse(measurement []byte, cfg EndorsementConfig) []byte {
	text := func(s *string, value string) {
		if *s == "" {
			*s = value
		}
	}
	text(&cfg.SVN, "101")
	text(&cfg.Feed, "ContainerPlat-AMD-UVM")
	text(&cfg.DID, u.DID())
	signed := cbor.Tag{Number: 1, Content: u.now.Unix()}
	header := map[any]any{
		int64(1): int64(-38), int64(33): [][]byte{u.Leaf.Cert.Raw, u.CA.Cert.Raw, u.Root.Cert.Raw},
	}
	payload := measurement
	if cfg.Envelope {
		header[int64(15)] = map[any]any{int64(1): cfg.DID, int64(2): cfg.Feed, int64(6): signed, "svn": cfg.SVN}
		header[int64(258)], header[int64(259)] = int64(-43), "application/octet-stream"
	} else {
		header["iss"], header["feed"], header["signingtime"], header[int64(3)] = cfg.DID, cfg.Feed, signed,
			"application/json"
		payload = []byte(`{"x-ms-sevsnpvm-guestsvn":"` + cfg.SVN + `","x-ms-sevsnpvm-launchmeasurement":"` +
			hexText(measurement) + `"}`)
	}
	if cfg.Payload != nil {
		payload = cfg.Payload
	}
	if cfg.EditHeader != nil {
		cfg.EditHeader(header)
	}
	key := cfg.Key
	if key == nil {
		key = u.Leaf.Key
	}
	return Sign1(key, header, nil, payload, true)
}
