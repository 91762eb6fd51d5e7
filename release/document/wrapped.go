package document

import (
	"encoding/base64"
	"fmt"

	"github.com/go-json-experiment/json"

	"github.com/probity-dev/probity/release/keywrap"
	"github.com/probity-dev/probity/wording/jsonerror"
)

// schemaVersion is the version of key_hsm documents.
const schemaVersion = "1.0"

// Wrapped is the content of key_hsm, the document in the document that has the wrapped key.
type Wrapped struct {
	// KeyID is the kid of the key that it is wrapped to.
	KeyID string
	// Algorithm is how it is wrapped.
	Algorithm keywrap.Algorithm
	// Ciphertext is what [keywrap.Wrap] made.
	Ciphertext []byte
}

type wrappedJSON struct {
	Version    string        `json:"schema_version"`
	Header     wrappedHeader `json:"header"`
	Ciphertext string        `json:"ciphertext"`
}

type wrappedHeader struct {
	KeyID     string `json:"kid"`
	Algorithm string `json:"alg"`
	Wrapping  string `json:"enc"`
}

func (w *Wrapped) encode() (string, error) {
	text, err := json.Marshal(wrappedJSON{
		schemaVersion, wrappedHeader{w.KeyID, "dir", string(w.Algorithm)},
		base64.RawURLEncoding.EncodeToString(w.Ciphertext),
	})
	if err != nil {
		return "", fmt.Errorf("document: %w: key_hsm: %s", ErrFormat, jsonerror.Text(err))
	}
	return base64.RawURLEncoding.EncodeToString(text), nil
}

// ParseWrapped reads a key_hsm document: base64url of JSON with schema_version 1.0. It decrypts
// nothing. The error wraps [ErrFormat] or [keywrap.ErrAlgorithm].
func ParseWrapped(text string) (*Wrapped, error) {
	if len(text) > MaxSize {
		return nil, fmt.Errorf(
			"document: %w: key_hsm: expected at most %d bytes, found %d",
			ErrFormat,
			MaxSize,
			len(text),
		)
	}
	b, err := decode("key_hsm", text)
	if err != nil {
		return nil, err
	}
	var w wrappedJSON
	if err := json.Unmarshal(b, &w); err != nil {
		return nil, fmt.Errorf("document: %w: key_hsm: %s", ErrFormat, jsonerror.Text(err))
	}
	for _, member := range []struct{ name, want, found string }{
		{"schema_version", schemaVersion, w.Version}, {"header.alg", "dir", w.Header.Algorithm},
	} {
		if member.want != member.found {
			return nil, fmt.Errorf("document: %w: key_hsm: expected %s %q, found %.60q", ErrFormat, member.name,
				member.want, member.found)
		}
	}
	algorithm, err := keywrap.ParseAlgorithm(w.Header.Wrapping)
	if err != nil {
		return nil, fmt.Errorf("document: key_hsm: %w", err)
	}
	ciphertext, err := decode("the ciphertext of key_hsm", w.Ciphertext)
	if err != nil {
		return nil, err
	}
	return &Wrapped{w.Header.KeyID, algorithm, ciphertext}, nil
}
