package sidecar

import (
	"errors"
	"fmt"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/release/document"
)

// keyText is a released key as a JSON Web Key (RFC 7517) with its private parts, as Microsoft's side-car
// writes it: kty is RSA, EC or oct, the operations are those of the vault, and there is no kid. The members
// are sorted. The caller clears it.
func keyText(m *document.Material, operations []string) ([]byte, error) {
	var key any
	switch {
	case m.RSA != nil:
		key = m.RSA
	case m.EC != nil:
		key = m.EC
	case len(m.Octets) > 0:
		key = m.Octets
	default:
		return nil, errors.New("the released document has no key")
	}
	text, err := (&jose.JSONWebKey{Key: key}).MarshalJSON()
	if err != nil {
		return nil, fmt.Errorf("released key: %w", err)
	}
	defer clear(text)
	members := map[string]jsontext.Value{}
	if err := json.Unmarshal(text, &members); err != nil {
		return nil, fmt.Errorf("released key: %w", err)
	}
	if len(operations) > 0 {
		if members["key_ops"], err = json.Marshal(operations); err != nil {
			return nil, fmt.Errorf("released key: %w", err)
		}
	}
	return json.Marshal(members, json.Deterministic(true))
}
