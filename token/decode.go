package token

import (
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/strict/jws"
)

type headerJSON struct {
	Alg string `json:"alg"`
	KID string `json:"kid"`
}

func unverifiedHeader(compact string) (headerJSON, error) {
	var h headerJSON
	first, _, ok := strings.Cut(compact, ".")
	if !ok {
		return h, ErrFormat
	}
	b, err := jws.Decode(first)
	if err != nil {
		return h, ErrFormat
	}
	return h, json.Unmarshal(b, &h)
}

// Decode returns header and payload of a compact token without verifying
// anything. It is for looking at tokens, never for trusting them.
func Decode(compact string) (header, payload jsontext.Value, err error) {
	if len(compact) > MaxSize {
		return nil, nil, ErrFormat
	}
	first, second, _, err := jws.Split(compact)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	for i, dst := range []*jsontext.Value{&header, &payload} {
		b, err := jws.Decode([]string{first, second}[i])
		if err != nil {
			return nil, nil, fmt.Errorf("%w: part %d: %w", ErrFormat, i+1, err)
		}
		if len(b) == 0 && i == 1 {
			continue // the payload of a policy reset is empty
		}
		if v := jsontext.Value(b); !v.IsValid() || v.Kind() != '{' {
			return nil, nil, fmt.Errorf("%w: part %d is not a JSON object", ErrFormat, i+1)
		}
		*dst = b
	}
	return header, payload, nil
}
