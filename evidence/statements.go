package evidence

import (
	"encoding/hex"

	"github.com/probity-dev/probity/claims"
)

// Statements collects the claims that a verifier makes in the service's name.
type Statements struct{ Set claims.Set }

// Add states a value of any type.
func (s *Statements) Add(name string, v claims.Value) {
	s.Set.Add(claims.Claim{Type: name, Value: v, Issuer: claims.AttestationService})
}

// Text states a string.
func (s *Statements) Text(name, text string) { s.Add(name, claims.StringValue(text)) }

// Hex states bytes in lower-case hex, in the order of the evidence.
func (s *Statements) Hex(name string, b []byte) { s.Text(name, hex.EncodeToString(b)) }

// Integer states a number.
func (s *Statements) Integer(name string, n int64) { s.Add(name, claims.IntegerValue(n)) }

// Boolean states a truth value.
func (s *Statements) Boolean(name string, v bool) { s.Add(name, claims.BooleanValue(v)) }

// BoundJSON returns bound data of type JSON to the relying party, as
// x-ms-runtime and x-ms-inittime. The data must have been found bound before.
// A failure is a [*Rejection] of the check with the given definition.
func (s *Statements) BoundJSON(result *Result, check *Definition, ev Evidence) error {
	for _, item := range []struct {
		name string
		data *Data
	}{{"x-ms-runtime", ev.RuntimeData}, {"x-ms-inittime", ev.InitTimeData}} {
		if item.data == nil || item.data.Type != JSON {
			continue
		}
		object, err := item.data.Object()
		if err != nil {
			return result.FailErr(check, item.name+" as a JSON object", err)
		}
		s.Add(item.name, claims.JSONValue(string(object)))
	}
	return nil
}
