// Package statement makes the claims that verifiers state in the name of the attestation service.
package statement

import (
	"encoding/hex"
	"time"

	"github.com/probity-dev/probity/claims"
	"github.com/probity-dev/probity/evidence"
)

// List collects claims, all with the issuer AttestationService.
type List struct{ Set claims.Set }

// Add states a value of any type.
func (s *List) Add(name string, v claims.Value) {
	s.Set.Add(claims.Claim{Type: name, Value: v, Issuer: claims.AttestationService})
}

// Text states a string.
func (s *List) Text(name, text string) { s.Add(name, claims.StringValue(text)) }

// Hex states bytes in lower-case hex, in the order of the evidence.
func (s *List) Hex(name string, b []byte) { s.Text(name, hex.EncodeToString(b)) }

// Integer states a number.
func (s *List) Integer(name string, n int64) { s.Add(name, claims.IntegerValue(n)) }

// Boolean states a truth value.
func (s *List) Boolean(name string, v bool) { s.Add(name, claims.BooleanValue(v)) }

// BoundJSON returns bound data of type JSON to the relying party, as x-ms-runtime and
// x-ms-inittime. The data must have been found bound before. A failure is an
// *[evidence.Rejection] of the given check.
func (s *List) BoundJSON(result *evidence.Result, check *evidence.Definition, ev evidence.Evidence) error {
	for _, item := range []struct {
		name string
		data *evidence.Data
	}{{"x-ms-runtime", ev.RuntimeData}, {"x-ms-inittime", ev.InitTimeData}} {
		if item.data == nil || item.data.Type != evidence.JSON {
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

// TCB states what policies may read of a platform's TCB. These claims are Probity's own: the wire
// protocol has none for them.
func TCB(tcb *evidence.TCB) claims.Set {
	var s List
	s.Text("x-probity-tcb-status", tcb.Status)
	s.Text("x-probity-tcb-date", tcb.Date.UTC().Format(time.DateOnly))
	if tcb.EvaluationDataNumber != 0 {
		s.Integer("x-probity-tcb-evaluation-number", int64(tcb.EvaluationDataNumber))
	}
	for _, advisory := range tcb.Advisories {
		s.Text("x-probity-tcb-advisory", advisory)
	}
	if tcb.CurrentStatus != "" {
		s.Text("x-probity-tcb-launch-status", tcb.LaunchStatus)
		s.Text("x-probity-tcb-current-status", tcb.CurrentStatus)
	}
	return s.Set
}
