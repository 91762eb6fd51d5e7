package dcap

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"sync"
	"sync/atomic"
	"time"

	"github.com/probity-dev/probity/evidence/internal/sigverify"
)

// Anchor is the root of trust of PCK certificates and collateral: a key and a
// subject, not the bytes of one certificate. Intel has published two
// certificates for its root key, and quotes of 2019 to 2021 carry the older.
type Anchor struct {
	Key       *ecdsa.PublicKey
	Subject   string // as pkix.Name prints it
	NotBefore time.Time
	NotAfter  time.Time

	// raw is an encoding of Subject that was seen before: decoding a name to
	// compare it costs more than all else that is done with it.
	raw *atomic.Pointer[[]byte]
	// certificates are the hashes of those that were found self-signed. Only
	// the holder of the root's key can make the list grow.
	certificates *sync.Map
	// table checks for Key at little more than half the price: three of the nine
	// signatures of a quote that was never seen are the root's.
	table *sigverify.P256
}

// intelRootKey is the uncompressed point of the Intel SGX Root CA's key. The
// SHA-256 of its SubjectPublicKeyInfo is
// a0af031289f5d5d4132f9186068a7fc13628633ba235777472e29b6b6c67a49e.
const intelRootKey = "040ba9c4c0c0c86193a3fe23d6b02cda10a8bbd4e88e48b4458561a36e705525f5" +
	"67918e2edc88e40d860bd0cc4ee26aacc988e505a953558c453f6b0904ae7394"

// IntelRoot returns the Intel SGX Root CA, the production root of SGX and TDX.
// Roots of pre-production and sample hierarchies bear the same name and are
// refused for their keys.
func IntelRoot() Anchor {
	point, err := hex.DecodeString(intelRootKey)
	if err != nil {
		panic(err) // a constant; a test parses it
	}
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		panic(err)
	}
	table, err := sigverify.NewP256(key)
	if err != nil {
		panic(err)
	}
	return Anchor{
		raw: new(atomic.Pointer[[]byte]), certificates: new(sync.Map), table: table,
		Key:       key,
		Subject:   "CN=Intel SGX Root CA,O=Intel Corporation,L=Santa Clara,ST=CA,C=US",
		NotBefore: time.Date(2018, 5, 21, 10, 45, 10, 0, time.UTC),
		NotAfter:  time.Date(2049, 12, 31, 23, 59, 59, 0, time.UTC),
	}
}

// AnchorFromCertificate makes an anchor of a self-issued P-256 CA certificate,
// for hierarchies other than Intel's production one.
func AnchorFromCertificate(cert *x509.Certificate) (Anchor, error) {
	key, ok := cert.PublicKey.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() {
		return Anchor{}, errors.New("dcap: root certificate has no P-256 key")
	}
	if !cert.IsCA || cert.Subject.String() != cert.Issuer.String() {
		return Anchor{}, errors.New("dcap: root certificate is not a self-issued CA certificate")
	}
	table, err := sigverify.NewP256(key)
	if err != nil {
		return Anchor{}, fmt.Errorf("dcap: root certificate: %w", err)
	}
	return Anchor{
		raw: new(atomic.Pointer[[]byte]), certificates: new(sync.Map), table: table, Key: key,
		Subject: cert.Subject.String(), NotBefore: cert.NotBefore, NotAfter: cert.NotAfter,
	}, nil
}

// is reports whether cert is a certificate of this anchor: same key, same
// subject, signed with that key. The signature adds no trust, but leaves one
// encoding for each certificate that the root's owner made.
func (a Anchor) is(cert *x509.Certificate) bool {
	key, ok := cert.PublicKey.(*ecdsa.PublicKey)
	if !ok || !a.Key.Equal(key) || !a.named(cert.RawSubject) {
		return false
	}
	sum := sha256.Sum256(cert.Raw)
	if a.certificates != nil {
		if _, seen := a.certificates.Load(sum); seen {
			return true
		}
	}
	if verifyCertificate(a.signed, cert) != nil {
		return false
	}
	if a.certificates != nil {
		a.certificates.Store(sum, true)
	}
	return true
}

// signed reports whether signature, in DER, is the anchor's over the digest. An
// anchor whose key was exchanged after it was made is checked with the new key.
func (a Anchor) signed(digest, signature []byte) bool {
	if a.table == nil || !a.table.Of(a.Key) {
		return ecdsa.VerifyASN1(a.Key, digest, signature)
	}
	return a.table.VerifyASN1(digest, signature)
}

// signer checks a signature in DER over a digest.
type signer func(digest, signature []byte) bool

// signedBy returns the signer of a key.
func signedBy(key *ecdsa.PublicKey) signer {
	return func(digest, signature []byte) bool { return ecdsa.VerifyASN1(key, digest, signature) }
}

// named reports whether an encoded name reads like the anchor's subject. The
// root's certificates and CRLs encode it in more than one way.
func (a Anchor) named(rawName []byte) bool {
	if known := a.known(); known != nil && bytes.Equal(*known, rawName) {
		return true
	}
	var sequence pkix.RDNSequence
	if rest, err := asn1.Unmarshal(rawName, &sequence); err != nil || len(rest) > 0 {
		return false
	}
	var name pkix.Name
	name.FillFromRDNSequence(&sequence)
	if name.String() != a.Subject {
		return false
	}
	if a.raw != nil {
		known := bytes.Clone(rawName)
		a.raw.Store(&known)
	}
	return true
}

func (a Anchor) known() *[]byte {
	if a.raw == nil {
		return nil // made by hand
	}
	return a.raw.Load()
}

// verifyCertificate checks that cert is signed by one with ECDSA P-256 and SHA-256.
func verifyCertificate(by signer, cert *x509.Certificate) error {
	if cert.SignatureAlgorithm != x509.ECDSAWithSHA256 {
		return fmt.Errorf("certificate %q is signed with %s, want ECDSA-SHA256", cert.Subject.CommonName,
			cert.SignatureAlgorithm)
	}
	sum := sha256.Sum256(cert.RawTBSCertificate)
	if !by(sum[:], cert.Signature) {
		return fmt.Errorf("signature of certificate %q does not verify", cert.Subject.CommonName)
	}
	return nil
}

// p256Key returns the certificate's key if it is a P-256 key.
func p256Key(cert *x509.Certificate) (*ecdsa.PublicKey, error) {
	key, ok := cert.PublicKey.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, fmt.Errorf("certificate %q has no P-256 key", cert.Subject.CommonName)
	}
	return key, nil
}

// verifyRaw checks a raw r || s signature over the SHA-256 of message. The
// standard library refuses r and s outside [1, n-1].
func verifyRaw(key *ecdsa.PublicKey, message, signature []byte) bool {
	if len(signature) != signatureSize {
		return false
	}
	sum := sha256.Sum256(message)
	r := new(big.Int).SetBytes(signature[:32])
	s := new(big.Int).SetBytes(signature[32:])
	return ecdsa.Verify(key, sum[:], r, s)
}
