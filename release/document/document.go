package document

import (
	"crypto"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json"

	"github.com/probity-dev/probity/release"
	"github.com/probity-dev/probity/release/keywrap"
	"github.com/probity-dev/probity/strict/jws"
	"github.com/probity-dev/probity/wording/jsonerror"
)

// MaxSize bounds the compact form of a document that is read, in bytes.
const MaxSize = 1 << 20

// The reasons for which a document is refused.
var (
	ErrFormat      = errors.New("not a released key")
	ErrCertificate = errors.New("the certificates of the released key are not trusted")
	ErrSignature   = errors.New("the signature of the released key does not verify")
	ErrRequest     = errors.New("the released key is the answer to another request")
	ErrMaterial    = errors.New("the key is not what the document says")
)

// Request is what the client asked for, as the service understood it.
type Request struct {
	// APIVersion is the version of the protocol that was asked for.
	APIVersion string `json:"api-version"`
	// Algorithm is how the key is wrapped.
	Algorithm keywrap.Algorithm `json:"enc"`
	// KeyID is the URL of the key as asked, with or without a version.
	KeyID string `json:"kid"`
	// Nonce is the client's, or empty. It says nothing about the age of the attestation.
	Nonce string `json:"nonce,omitempty"`
}

// Key is the released key. The numbers are in base64url without padding (RFC 7518, section 6). Seal
// fills all but KeyID, Type and Operations.
type Key struct {
	// KeyID is the URL of the key with its version.
	KeyID string `json:"kid"`
	// Type is RSA, EC or oct, or one of them with -HSM.
	Type string `json:"kty"`
	// Operations are the operations that the key is for.
	Operations []string `json:"key_ops"`
	N          string   `json:"n,omitempty"`
	E          string   `json:"e,omitempty"`
	// Curve is P-256, P-384 or P-521.
	Curve string `json:"crv,omitempty"`
	X     string `json:"x,omitempty"`
	Y     string `json:"y,omitempty"`
	// Wrapped is the key_hsm document with the wrapped key, see [Wrapped].
	Wrapped string `json:"key_hsm"`
}

// Attributes are the attributes of the key. Times are in seconds since 1970.
type Attributes struct {
	Enabled       bool   `json:"enabled"`
	Exportable    bool   `json:"exportable"`
	Created       int64  `json:"created"`
	Updated       int64  `json:"updated"`
	RecoveryLevel string `json:"recoveryLevel"`
	// RecoverableDays is how long a deleted key can be recovered, in days.
	RecoverableDays int   `json:"recoverableDays"`
	NotBefore       int64 `json:"nbf,omitzero"`
	Expires         int64 `json:"exp,omitzero"`
}

// Policy is the release policy of the key, as it is stored.
type Policy struct {
	// ContentType is application/json; charset=utf-8 in all documents known.
	ContentType string `json:"contentType"`
	// Data is the text of the policy in base64url.
	Data string `json:"data"`
	// Immutable tells that the policy can never change.
	Immutable bool `json:"immutable"`
}

// Document is the content of a released key.
type Document struct {
	Request    Request
	Key        Key
	Attributes Attributes
	Tags       map[string]string
	Policy     Policy
}

// payload is the document as JSON; the key is in a member of the key.
type payload struct {
	Request  Request  `json:"request"`
	Response response `json:"response"`
}

type response struct {
	Key bundle `json:"key"`
}

type bundle struct {
	Key        Key               `json:"key"`
	Attributes Attributes        `json:"attributes"`
	Tags       map[string]string `json:"tags"`
	Policy     Policy            `json:"release_policy"`
}

// Payload returns the document as JSON, in the order of Key Vault's documents.
func (d *Document) Payload() ([]byte, error) {
	p := payload{d.Request, response{bundle{d.Key, d.Attributes, d.Tags, d.Policy}}}
	if p.Response.Key.Key.Operations == nil {
		p.Response.Key.Key.Operations = []string{}
	}
	text, err := json.Marshal(p, json.Deterministic(true))
	if err != nil {
		return nil, fmt.Errorf("document: %w: %s", ErrFormat, jsonerror.Text(err))
	}
	return text, nil
}

// parsePayload reads the JSON of a document. Members that other services add are left out.
func parsePayload(text []byte) (*Document, error) {
	var p payload
	if err := json.Unmarshal(text, &p); err != nil {
		return nil, fmt.Errorf("document: %w: payload: %s", ErrFormat, jsonerror.Text(err))
	}
	b := p.Response.Key
	d := &Document{p.Request, b.Key, b.Attributes, b.Tags, b.Policy}
	for _, member := range []struct{ name, value string }{
		{"request.kid", d.Request.KeyID}, {"request.enc", string(d.Request.Algorithm)},
		{"response.key.key.kid", d.Key.KeyID}, {"response.key.key.kty", d.Key.Type},
		{"response.key.key.key_hsm", d.Key.Wrapped},
	} {
		if member.value == "" {
			return nil, fmt.Errorf(
				"document: %w: payload: expected the member %s, not found",
				ErrFormat,
				member.name,
			)
		}
	}
	return d, nil
}

// Seal wraps the key of the material to the key of an attested machine, by Request.Algorithm, and fills
// the public numbers and Wrapped. Key.Type says what kind the material must be. Randomness is that of
// [keywrap.Wrap]; the error wraps [ErrMaterial] or one of package keywrap.
func (d *Document) Seal(random io.Reader, to *release.WrappingKey, m *Material) error {
	if to == nil {
		return fmt.Errorf("document: expected the key of a machine, found nil: %w", keywrap.ErrKey)
	}
	if kindOf(d.Key.Type) != m.kind() {
		return fmt.Errorf("document: %w: expected a key of type %q, found %s", ErrMaterial, d.Key.Type, m.kind())
	}
	if m.kind() == unknown {
		return fmt.Errorf("document: %w: expected one key, found none or several", ErrMaterial)
	}
	if len(m.Octets) > keywrap.MaxSecret {
		return fmt.Errorf("document: %w: expected at most %d octets, found %d", ErrMaterial, keywrap.MaxSecret,
			len(m.Octets))
	}
	if err := d.Key.SetPublic(m.public()); err != nil {
		return err
	}
	secret, err := m.marshal()
	if err != nil {
		return err
	}
	defer clear(secret)
	ciphertext, err := keywrap.Wrap(random, d.Request.Algorithm, to.Public, secret)
	if err != nil {
		return fmt.Errorf("document: %w", err)
	}
	return d.SetWrapped(to, ciphertext)
}

// SetWrapped fills Wrapped with a key that was wrapped elsewhere, for instance in an HSM, to the key of an attested
// machine and by Request.Algorithm.
func (d *Document) SetWrapped(to *release.WrappingKey, ciphertext []byte) (err error) {
	wrapped := Wrapped{KeyID: to.ID, Algorithm: d.Request.Algorithm, Ciphertext: ciphertext}
	d.Key.Wrapped, err = wrapped.encode()
	return err
}

// Open unwraps the key with the private key of the machine, which may be in a TPM, and checks that
// it is the private key of the document's public numbers. Randomness is passed to the private key,
// and may be nil. The error wraps [ErrFormat], [ErrMaterial] or one of package keywrap.
func (d *Document) Open(random io.Reader, private crypto.Decrypter) (*Material, error) {
	wrapped, err := ParseWrapped(d.Key.Wrapped)
	if err != nil {
		return nil, err
	}
	if wrapped.Algorithm != d.Request.Algorithm {
		return nil, fmt.Errorf(
			"document: %w: key_hsm: expected enc %q, as in the request, found %.60q",
			ErrFormat,
			d.Request.Algorithm,
			wrapped.Algorithm,
		)
	}
	secret, err := keywrap.Unwrap(random, wrapped.Algorithm, private, wrapped.Ciphertext)
	if err != nil {
		return nil, fmt.Errorf("document: %w", err)
	}
	m, err := parseMaterial(d.Key.Type, secret)
	if kindOf(d.Key.Type) != octets || err != nil {
		clear(secret)
	}
	if err != nil {
		return nil, err
	}
	if err := d.Key.matches(m); err != nil {
		m.Erase()
		return nil, err
	}
	return m, nil
}

// decode reads base64url without padding.
func decode(name, text string) ([]byte, error) {
	b, err := jws.Decode(text)
	if err != nil {
		return nil, fmt.Errorf("document: %w: %s is %w", ErrFormat, name, err)
	}
	return b, nil
}
