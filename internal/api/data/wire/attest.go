// Package wire reads the bodies of attestation requests: JSON in the forms of
// all clients and versions of the Azure Attestation protocol.
//
// [Decode] is strict where a body could mean two things (duplicate members,
// trailing data) and lenient where real clients differ (case of names, base64
// alphabets, empty objects). It does not look into the evidence.
package wire

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/strict/base64text"
	"github.com/probity-dev/probity/wording/jsonerror"
)

// Error is a body that was refused: what was expected, what was found, and how
// to fix it.
type Error struct{ Expected, Found, Remedy string }

// Error gives what was found instead of what.
func (e *Error) Error() string { return "expected " + e.Expected + ", found " + e.Found }

// maxNonce bounds the characters of a nonce: it is echoed in the token.
const maxNonce = 4 << 10

// AttestRequest is the body of an attestation, in the forms of all kinds and
// versions. Nonce is the JSON text of a string or number, or empty.
type AttestRequest struct {
	Quote           Bytes          `json:"quote"`
	Report          Bytes          `json:"report"`
	Document        Bytes          `json:"document"` // of Nitro enclaves
	Token           Bytes          `json:"token"`    // of Arm CCA
	Data            Bytes          `json:"data"`     // of TPMs: a message of their protocol
	AttestationInfo Bytes          `json:"attestationInfo"`
	RuntimeData     *DataObject    `json:"runtimeData"`
	InitTimeData    *DataObject    `json:"initTimeData"`
	DraftPolicy     string         `json:"draftPolicyForAttestation"`
	Nonce           jsontext.Value `json:"nonce"`
	EnclaveHeldData Bytes          `json:"enclaveHeldData"` // 2018-09-01-preview
	// EventLog is Probity's own member: a log of measured boot beside a TDX quote.
	EventLog Bytes `json:"eventLog"`
}

// DataObject is runtime or init-time data.
type DataObject struct {
	Data     Bytes  `json:"data"`
	DataType string `json:"dataType"`
}

// Decode reads a request body: one JSON object, without duplicate members
// or anything after it. Unknown members are left alone, as clients of later
// versions send them.
func Decode(body []byte) (*AttestRequest, error) {
	var req AttestRequest
	if err := json.Unmarshal(body, &req, json.MatchCaseInsensitiveNames(true)); err != nil {
		expected := "a JSON object without duplicate members"
		if errors.Is(err, base64text.ErrEncoding) {
			expected = "base64 or base64url where the route takes bytes"
		}
		return nil, &Error{
			expected,
			jsonerror.Text(err),
			"compare the body with the documentation of the route",
		}
	}
	switch req.Nonce.Kind() {
	case 0, 'n':
		req.Nonce = nil
	case '"':
		text, err := jsontext.AppendUnquote(nil, req.Nonce)
		if n := utf8.RuneCount(text); err != nil || n > maxNonce {
			return nil, &Error{
				fmt.Sprintf("a nonce of at most %d characters", maxNonce),
				fmt.Sprintf("%d characters", n),
				"send the hash of what is longer",
			}
		}
	case '0':
		if len(req.Nonce) > maxNonce {
			return nil, &Error{
				fmt.Sprintf("a nonce of at most %d digits", maxNonce),
				fmt.Sprintf("%d digits", len(req.Nonce)),
				"send the nonce as a string",
			}
		}
	default:
		return nil, &Error{"a string or a number as nonce", "a nonce of another type", "send the nonce as a string"}
	}
	return &req, nil
}

// Decoded returns runtime or init-time data; an object without data is treated as
// absent, as some clients always send one.
func (o *DataObject) Decoded() (*evidence.Data, error) {
	if o == nil {
		return nil, nil
	}
	typ, err := evidence.ParseDataType(o.DataType)
	if err != nil {
		return nil, &Error{"dataType Binary or JSON", err.Error(), "give dataType Binary or JSON"}
	}
	if len(o.Data) == 0 {
		return nil, nil
	}
	return &evidence.Data{Bytes: o.Data, Type: typ}, nil
}

// Bytes decodes base64 text in either alphabet, with padding or without.
type Bytes = base64text.Bytes
