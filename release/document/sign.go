package document

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/cryptosigner"

	"github.com/probity-dev/probity/strict/pubkey"
)

// maxChain bounds the certificates of a document.
const maxChain = 8

// ErrSigner says that a key and its certificates cannot sign documents that clients accept.
var ErrSigner = errors.New("the certificates do not sign released keys")

// Signer signs documents with the key of a server's certificate. Many goroutines may use it.
type Signer struct {
	leaf *x509.Certificate
	jose jose.Signer
}

// NewSigner returns a signer. The chain begins with the certificate of the key; each of the others is the
// issuer of the one before it, and the root may be left out. Clients accept the answer only from a
// certificate for server authentication that names the host which they called, with an RSA key of at least
// 2048 bits; a client that called HOST:PORT may want this text as another DNS name. The error wraps
// [ErrSigner].
func NewSigner(key crypto.Signer, chain []*x509.Certificate) (*Signer, error) {
	refuse := func(format string, args ...any) (*Signer, error) {
		return nil, fmt.Errorf("document: %w: %w", ErrSigner, fmt.Errorf(format, args...))
	}
	if len(chain) == 0 || len(chain) > maxChain {
		return refuse("expected 1 to %d certificates, found %d", maxChain, len(chain))
	}
	leaf := chain[0]
	public, ok := leaf.PublicKey.(*rsa.PublicKey)
	if !ok || public.N.BitLen() < pubkey.MinRSABits {
		return refuse("expected an RSA key of at least %d bits in the first certificate, found %s; "+
			"clients accept RS256 only", pubkey.MinRSABits, describeKey(leaf.PublicKey))
	}
	if !public.Equal(key.Public()) {
		return refuse("the first certificate is not that of the signing key")
	}
	for i, cert := range chain[1:] {
		if err := chain[i].CheckSignatureFrom(cert); err != nil {
			return refuse("certificate %d of the chain did not issue the one before it; "+
				"put them into the order server, intermediates, root", i+2)
		}
	}
	if !slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageServerAuth) &&
		!slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageAny) && len(leaf.ExtKeyUsage) > 0 {
		return refuse("the first certificate is not for server authentication; use the one of the HTTPS server")
	}
	if len(leaf.DNSNames)+len(leaf.IPAddresses) == 0 {
		return refuse("the first certificate names no host; use the one of the HTTPS server")
	}
	var material any = key
	if _, software := key.(*rsa.PrivateKey); !software {
		material = cryptosigner.Opaque(key)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: material}, options(chain))
	if err != nil {
		return refuse("%w", err)
	}
	return &Signer{leaf, signer}, nil
}

func describeKey(key any) string {
	if key, ok := key.(*rsa.PublicKey); ok {
		return fmt.Sprintf("one of %d bits", key.N.BitLen())
	}
	return fmt.Sprintf("%T", key)
}

// options are the members of the header: those of Key Vault.
func options(chain []*x509.Certificate) *jose.SignerOptions {
	var x5c []string
	for _, cert := range chain {
		x5c = append(x5c, base64.StdEncoding.EncodeToString(cert.Raw))
	}
	first, second := thumbprints(chain[0])
	return (&jose.SignerOptions{}).WithType("JWT").
		WithHeader("kid", strings.ToUpper(hex.EncodeToString(first))).
		WithHeader("x5t", base64.RawURLEncoding.EncodeToString(first)).
		WithHeader("x5t#S256", base64.RawURLEncoding.EncodeToString(second)).
		WithHeader("x5c", x5c)
}

// thumbprints are x5t and x5t#S256 (RFC 7515, sections 4.1.7 and 4.1.8). They name the certificate
// and prove nothing.
func thumbprints(cert *x509.Certificate) (first, second []byte) {
	a, b := sha1.Sum(cert.Raw), sha256.Sum256(cert.Raw)
	return a[:], b[:]
}

// Certificate is the certificate of the signing key.
func (s *Signer) Certificate() *x509.Certificate { return s.leaf }

// Sign returns the document as a compact JWS, signed by RS256. Its header has alg, kid, typ, x5c, x5t and
// x5t#S256.
func (s *Signer) Sign(d *Document) (string, error) {
	payload, err := d.Payload()
	if err != nil {
		return "", err
	}
	signed, err := s.jose.Sign(payload)
	if err != nil {
		return "", fmt.Errorf("document: sign: %w", err)
	}
	return signed.CompactSerialize()
}
