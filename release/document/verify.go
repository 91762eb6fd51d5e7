package document

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/release/keywrap"
	"github.com/probity-dev/probity/strict/jws"
	"github.com/probity-dev/probity/strict/pubkey"
	"github.com/probity-dev/probity/wording/jsonerror"
	"github.com/probity-dev/probity/wording/plainerror"
)

// Expectation is what a client knows about the answer to its request. All but APIVersion, Nonce,
// Algorithm and WrappingKeyID must be set.
type Expectation struct {
	// Roots are the authorities that the certificates must lead to.
	Roots *x509.CertPool
	// Host is the host that was called, as HOST or HOST:PORT. The certificate names either the
	// host, or the whole text as a DNS name.
	Host string
	// Time is the time at which the certificates must be valid.
	Time time.Time
	// KeyID is the URL of the key as it was asked for, with or without a version.
	KeyID string
	// Nonce is the nonce that was sent. Empty means none, and then the answer must have none.
	Nonce string
	// Algorithm is the wrapping that was asked for. Empty means the default.
	Algorithm keywrap.Algorithm
	// APIVersion is the version of the protocol that was asked for. Empty means any.
	APIVersion string
	// WrappingKeyID is the kid of the client's key. Empty means any: a key that is wrapped to another
	// one does not unwrap.
	WrappingKeyID string
}

// Verify reads a released key: a compact JWS signed by RS256 with the key of the first certificate
// of x5c. The certificates must lead to one of the roots, be for server authentication, and name
// the host; and the document must answer the client's own request. The error wraps [ErrFormat],
// [ErrCertificate], [ErrSignature] or [ErrRequest].
func Verify(compact string, want Expectation) (*Document, error) {
	if want.Roots == nil || want.Host == "" || want.Time.IsZero() || want.KeyID == "" {
		return nil, fmt.Errorf("document: %w: the caller must name roots, host, time and key", ErrRequest)
	}
	if len(compact) > MaxSize {
		return nil, fmt.Errorf(
			"document: %w: expected at most %d bytes, found %d",
			ErrFormat,
			MaxSize,
			len(compact),
		)
	}
	signed, err := jws.Parse(compact, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		return nil, fmt.Errorf("document: %w: expected a compact JWS signed by RS256: %w", ErrFormat, err)
	}
	chain, err := chainOf(compact)
	if err != nil {
		return nil, err
	}
	public, ok := chain[0].PublicKey.(*rsa.PublicKey)
	if !ok || public.N.BitLen() < pubkey.MinRSABits {
		return nil, fmt.Errorf("document: %w: expected an RSA key of at least %d bits in the first one, found %s",
			ErrCertificate, pubkey.MinRSABits, describeKey(chain[0].PublicKey))
	}
	text, err := signed.Verify(public)
	if err != nil {
		return nil, fmt.Errorf("document: %w with the key of the first certificate", ErrSignature)
	}
	if err := want.trusts(chain); err != nil {
		return nil, err
	}
	d, err := parsePayload(text)
	if err != nil {
		return nil, err
	}
	if err := want.answers(d); err != nil {
		return nil, err
	}
	return d, nil
}

// header is the header of a document.
type header struct {
	Type     string         `json:"typ"`
	X5T      string         `json:"x5t"`
	X5T256   string         `json:"x5t#S256"`
	X5C      []string       `json:"x5c"`
	Critical jsontext.Value `json:"crit"`
	B64      jsontext.Value `json:"b64"`
}

// chainOf reads the certificates of the header, and checks what the header says about the first.
func chainOf(compact string) ([]*x509.Certificate, error) {
	first, _, _, err := jws.Split(compact)
	if err != nil {
		return nil, fmt.Errorf("document: %w: %w", ErrFormat, err)
	}
	text, err := decode("the header", first)
	if err != nil {
		return nil, err
	}
	var h header
	if err := json.Unmarshal(text, &h); err != nil {
		return nil, fmt.Errorf("document: %w: header: %s", ErrFormat, jsonerror.Text(err))
	}
	switch {
	case h.Type != "" && h.Type != "JWT":
		return nil, fmt.Errorf("document: %w: header: expected typ JWT, found %.60q", ErrFormat, h.Type)
	case h.Critical != nil || h.B64 != nil:
		return nil, fmt.Errorf("document: %w: header: found crit or b64, which no released key has", ErrFormat)
	case len(h.X5C) == 0 || len(h.X5C) > maxChain:
		return nil, fmt.Errorf(
			"document: %w: header: expected 1 to %d certificates in x5c, found %d",
			ErrFormat,
			maxChain,
			len(h.X5C),
		)
	}
	var chain []*x509.Certificate
	for i, one := range h.X5C {
		der, err := base64.StdEncoding.Strict().DecodeString(one)
		if err != nil {
			return nil, fmt.Errorf("document: %w: certificate %d of x5c is not base64", ErrFormat, i+1)
		}
		cert, err := pubkey.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("document: %w: certificate %d of x5c: %s", ErrFormat, i+1, plainerror.Text(err))
		}
		chain = append(chain, cert)
	}
	a, b := thumbprints(chain[0])
	for _, member := range []struct {
		name, text string
		want       []byte
	}{{"x5t", h.X5T, a}, {"x5t#S256", h.X5T256, b}} {
		if member.text == "" {
			continue
		}
		if got, err := jws.Decode(member.text); err != nil || !bytes.Equal(got, member.want) {
			return nil, fmt.Errorf(
				"document: %w: header: %s is not that of the first certificate",
				ErrFormat,
				member.name,
			)
		}
	}
	return chain, nil
}

// trusts checks the chain, and that it is the server's that was called.
func (want *Expectation) trusts(chain []*x509.Certificate) error {
	between := x509.NewCertPool()
	for _, cert := range chain[1:] {
		between.AddCert(cert)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{
		Roots: want.Roots, Intermediates: between, CurrentTime: want.Time,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	if err != nil {
		return fmt.Errorf("document: %w: %s (subject %.100q); trust the root of the server's certificates",
			ErrCertificate, plainerror.Text(err), chain[0].Subject)
	}
	// A certificate for HOST:PORT is invalid as a host name, and is compared as a text: some clients want it.
	if chain[0].VerifyHostname(want.Host) == nil {
		return nil
	}
	host, _, err := net.SplitHostPort(want.Host)
	if err == nil && chain[0].VerifyHostname(host) == nil {
		return nil
	}
	return fmt.Errorf("document: %w: expected the host %q, found one for %.200q", ErrCertificate, want.Host,
		strings.Join(chain[0].DNSNames, ", "))
}

// answers checks that the document is for the request of the client: an answer to another request may
// have another key.
func (want *Expectation) answers(d *Document) error {
	algorithm, err := keywrap.ParseAlgorithm(string(want.Algorithm))
	if err != nil {
		return fmt.Errorf("document: %w: %w", ErrRequest, err)
	}
	wrapped, err := ParseWrapped(d.Key.Wrapped)
	if err != nil {
		return err
	}
	version, versioned := strings.CutPrefix(d.Key.KeyID, strings.TrimRight(want.KeyID, "/")+"/")
	if same := d.Key.KeyID == want.KeyID; !same &&
		(!versioned || version == "" || strings.Contains(version, "/")) {
		return fmt.Errorf(
			"document: %w: expected the key %.200q or a version of it, found %.200q",
			ErrRequest,
			want.KeyID,
			d.Key.KeyID,
		)
	}
	for _, member := range []struct {
		name, want, found string
		any               bool
	}{
		{"request.kid", want.KeyID, d.Request.KeyID, false},
		{"request.nonce", want.Nonce, d.Request.Nonce, false},
		{"request.enc", string(algorithm), string(d.Request.Algorithm), false},
		{"enc of key_hsm", string(algorithm), string(wrapped.Algorithm), false},
		{"request.api-version", want.APIVersion, d.Request.APIVersion, want.APIVersion == ""},
		{"kid of key_hsm", want.WrappingKeyID, wrapped.KeyID, want.WrappingKeyID == ""},
	} {
		if !member.any && member.want != member.found {
			return fmt.Errorf("document: %w: expected %s %.200q, found %.200q; send the request again", ErrRequest,
				member.name, member.want, member.found)
		}
	}
	return nil
}
