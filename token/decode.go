package token

import (
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
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
	b, err := base64.RawURLEncoding.DecodeString(first)
	if err != nil {
		return h, ErrFormat
	}
	return h, json.Unmarshal(b, &h)
}

// Decode returns header and payload of a compact token without verifying
// anything. It is for looking at tokens, never for trusting them.
func Decode(compact string) (header, payload jsontext.Value, err error) {
	compact = strings.TrimSpace(compact)
	parts := strings.Split(compact, ".")
	if len(compact) > MaxSize || len(parts) != 3 {
		return nil, nil, ErrFormat
	}
	for i, dst := range []*jsontext.Value{&header, &payload} {
		b, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[i], "="))
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
