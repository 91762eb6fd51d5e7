package client

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/release/document"
	"github.com/probity-dev/probity/release/keywrap"
)

// ReleaseRequest asks for the release of a key.
type ReleaseRequest struct {
	Name string
	// Version is empty for the newest one.
	Version string
	// Token is the token of the attested machine. Its x-ms-runtime.keys name the key that
	// the released one is wrapped to.
	Token string
	// Nonce comes back in the answer. It says nothing about the age of the attestation; [Vault.Challenge]
	// does that.
	Nonce string
	// Algorithm is the wrapping. Empty means [keywrap.RSAAESKeyWrap256].
	Algorithm keywrap.Algorithm
}

func (r *ReleaseRequest) complete() {
	if r.Algorithm == "" {
		r.Algorithm = keywrap.RSAAESKeyWrap256
	}
}

// Challenge returns a nonce for an attestation, and until when it can be answered. The service accepts it
// once.
func (v *Vault) Challenge(ctx context.Context) (nonce string, expires time.Time, err error) {
	var answer struct {
		Nonce   string    `json:"nonce"`
		Expires time.Time `json:"expires"`
	}
	err = v.c.call(ctx, http.MethodPost, "/keys:challenge", nil, &answer)
	if err == nil && answer.Nonce == "" {
		err = errors.New("client: the answer contains no nonce")
	}
	return answer.Nonce, answer.Expires, err
}

// Release returns the signed answer as it came, a compact JWS that package document verifies. An
// *[Error] says which check failed: see its Inner. [Vault.Open] also verifies and unwraps.
func (v *Vault) Release(ctx context.Context, r ReleaseRequest) (string, error) {
	r.complete()
	body := map[string]string{"target": r.Token, "enc": string(r.Algorithm)}
	if r.Nonce != "" {
		body["nonce"] = r.Nonce
	}
	var answer struct {
		Value string `json:"value"`
	}
	target := v.c.base + vaultPath("keys", r.Name, r.Version, "release")
	if err := v.c.within(ctx, document.MaxSize+1024, http.MethodPost, target, body, &answer); err != nil {
		return "", err
	}
	if answer.Value == "" {
		return "", errors.New("client: the answer contains no released key")
	}
	return answer.Value, nil
}

// Released is a key that was released, verified and unwrapped.
type Released struct {
	// Document is what the service signed.
	Document *document.Document
	// Material is the key. Who is done with it calls its Erase.
	Material *document.Material
	// Compact is the document as it came.
	Compact string
}

// Open asks for the release of a key, verifies the answer, and unwraps the key. The private key is that
// of the machine, which may be in a TPM; its public one is in the runtime data that the token names.
// The answer must be for this request (its nonce is drawn if r has none), and signed under the roots of the
// client for the host of the service.
func (v *Vault) Open(ctx context.Context, r ReleaseRequest, private crypto.Decrypter) (*Released, error) {
	r.complete()
	if r.Nonce == "" {
		r.Nonce = rand.Text()
	}
	compact, err := v.Release(ctx, r)
	if err != nil {
		return nil, err
	}
	d, err := v.Verify(compact, r, time.Now())
	if err != nil {
		return nil, err
	}
	m, err := d.Open(rand.Reader, private)
	if err != nil {
		return nil, fmt.Errorf("client: released key: %w", err)
	}
	return &Released{d, m, compact}, nil
}

// Verify verifies an answer of [Vault.Release] to a request, at a time.
func (v *Vault) Verify(compact string, r ReleaseRequest, at time.Time) (*document.Document, error) {
	r.complete()
	base, err := url.Parse(v.c.base)
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	roots := v.c.roots
	if roots == nil {
		if roots, err = x509.SystemCertPool(); err != nil {
			return nil, fmt.Errorf("client: roots of the system: %w", err)
		}
	}
	asked := v.c.base + "/keys/" + r.Name
	if r.Version != "" {
		asked += "/" + r.Version
	}
	d, err := document.Verify(compact, document.Expectation{
		Roots: roots, Host: base.Host, Time: at, KeyID: asked, Nonce: r.Nonce, Algorithm: r.Algorithm,
		APIVersion: vaultVersion,
	})
	if err != nil {
		return nil, fmt.Errorf("client: released key: %w", err)
	}
	return d, nil
}

// RuntimeData returns the runtime data of an attestation whose token opens keys: JSON with the public
// key of the machine, for encryption, and named by its SHA-256 thumbprint (RFC 7638). Challenge, if not
// empty, is in it as nonce; see [Vault.Challenge].
func RuntimeData(public *rsa.PublicKey, challenge string) ([]byte, error) {
	key := jose.JSONWebKey{Key: public}
	thumbprint, err := key.Thumbprint(crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("client: key of the machine: %w", err)
	}
	key.KeyID = base64.RawURLEncoding.EncodeToString(thumbprint)
	text, err := key.MarshalJSON()
	if err != nil {
		return nil, fmt.Errorf("client: key of the machine: %w", err)
	}
	members := map[string]jsontext.Value{}
	if err := json.Unmarshal(text, &members); err != nil {
		return nil, fmt.Errorf("client: key of the machine: %w", err)
	}
	members["key_ops"] = jsontext.Value(`["encrypt"]`)
	return json.Marshal(struct {
		Keys  []map[string]jsontext.Value `json:"keys"`
		Nonce string                      `json:"nonce,omitzero"`
	}{[]map[string]jsontext.Value{members}, challenge}, json.Deterministic(true))
}

// machineBits is the size of the keys that Unlock makes.
const machineBits = 2048

// Unlock is how a machine gets a key.
type Unlock struct {
	Name, Version string
	// Attest collects evidence that binds the runtime data, has it appraised, and returns the token.
	Attest func(ctx context.Context, runtimeData []byte) (token string, err error)
	// Challenge asks the vault for a nonce first, for providers that want one.
	Challenge bool
	// Algorithm is that of the [ReleaseRequest].
	Algorithm keywrap.Algorithm
}

// Unlock gets a key in one step: it makes an RSA key for this call alone, attests with it in the runtime
// data, has the key released to it, verifies the answer, and unwraps the key.
func (v *Vault) Unlock(ctx context.Context, u Unlock) (*Released, error) {
	machine, err := rsa.GenerateKey(rand.Reader, machineBits)
	if err != nil {
		return nil, fmt.Errorf("client: key of the machine: %w", err)
	}
	challenge := ""
	if u.Challenge {
		if challenge, _, err = v.Challenge(ctx); err != nil {
			return nil, err
		}
	}
	data, err := RuntimeData(&machine.PublicKey, challenge)
	if err != nil {
		return nil, err
	}
	token, err := u.Attest(ctx, data)
	if err != nil {
		return nil, err
	}
	return v.Open(ctx, ReleaseRequest{
		Name: u.Name, Version: u.Version, Token: token, Algorithm: u.Algorithm,
	}, machine)
}
