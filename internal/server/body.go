package server

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/evidence"
)

// attestRequest is the body of an attestation, in the forms of all kinds and
// versions. Names are compared without case.
type attestRequest struct {
	Quote           base64Bytes    `json:"quote"`
	Report          base64Bytes    `json:"report"`
	RuntimeData     *dataObject    `json:"runtimeData"`
	InitTimeData    *dataObject    `json:"initTimeData"`
	DraftPolicy     string         `json:"draftPolicyForAttestation"`
	Nonce           jsontext.Value `json:"nonce"`
	EnclaveHeldData base64Bytes    `json:"enclaveHeldData"` // 2018-09-01-preview
}

type dataObject struct {
	Data     base64Bytes `json:"data"`
	DataType string      `json:"dataType"`
}

// decodeBody reads a request body: one JSON object, without duplicate members
// or anything behind it. Unknown members are left alone, as clients of later
// versions send them.
func decodeBody(body []byte) (*attestRequest, error) {
	var req attestRequest
	if err := json.Unmarshal(body, &req, json.MatchCaseInsensitiveNames(true)); err != nil {
		return nil, badRequest(checkBody, "a JSON object without duplicate members", plain(err), "compare the body with the documentation of the route")
	}
	switch req.Nonce.Kind() {
	case 0, 'n':
		req.Nonce = nil
	case '"', '0':
	default:
		return nil, badRequest(checkBody, "a string or a number as nonce", "a nonce of another type", "send the nonce as a string")
	}
	return &req, nil
}

// plain returns the message of a decoding error without Go's type names, which
// mean nothing to a client.
func plain(err error) string {
	var semantic *json.SemanticError
	if errors.As(err, &semantic) {
		where := string(semantic.JSONPointer)
		if where == "" {
			where = "the body"
		}
		if semantic.Err != nil {
			return fmt.Sprintf("at %s: %v", where, semantic.Err)
		}
		return fmt.Sprintf("at %s: a JSON value of the wrong type (%s)", where, semantic.JSONKind)
	}
	var syntactic *jsontext.SyntacticError
	if errors.As(err, &syntactic) {
		return fmt.Sprintf("at byte %d: %v", syntactic.ByteOffset, syntactic.Err)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return "a body that ends early"
	}
	return "a body that does not decode"
}

// data returns runtime or init-time data; an object without data counts as
// absent, as some clients always send one.
func (o *dataObject) data() (*evidence.Data, error) {
	if o == nil || len(o.Data) == 0 {
		return nil, nil
	}
	typ, err := evidence.ParseDataType(o.DataType)
	if err != nil {
		return nil, badRequest(checkBody, "dataType Binary or JSON", err.Error(), "give dataType Binary or JSON")
	}
	return &evidence.Data{Bytes: o.Data, Type: typ}, nil
}

// base64Bytes decodes base64 text in either alphabet, with padding or without.
type base64Bytes []byte

// UnmarshalJSONFrom implements json.UnmarshalerFrom. It decodes straight from
// the body: evidence is most of it.
func (b *base64Bytes) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	raw, err := dec.ReadValue()
	if err != nil {
		return err
	}
	if raw.Kind() == 'n' {
		return nil
	}
	if raw.Kind() != '"' {
		return errors.New("want base64 text")
	}
	decoded, err := decodeBase64(raw[1 : len(raw)-1])
	if err != nil {
		return err
	}
	*b = decoded
	return nil
}

var errBase64 = errors.New("not base64url")

// decodeBase64 decodes the inside of a JSON string.
func decodeBase64(text []byte) ([]byte, error) {
	packed := make([]byte, len(text))
	for i, c := range text {
		switch c {
		case '-':
			c = '+'
		case '_':
			c = '/'
		case '\\':
			// Some encoders escape the characters + / and =.
			unquoted, err := jsontext.AppendUnquote(nil, append(append([]byte{'"'}, text...), '"'))
			if err != nil {
				return nil, errBase64
			}
			return decodeBase64(unquoted)
		case '\r', '\n':
			return nil, errBase64 // the library would skip them
		}
		packed[i] = c
	}
	for range 2 {
		if n := len(packed); n > 0 && packed[n-1] == '=' {
			packed = packed[:n-1]
		}
	}
	n, err := base64.RawStdEncoding.Strict().Decode(packed, packed)
	if err != nil {
		return nil, errBase64
	}
	return packed[:n:n], nil
}

// readBody reads the whole body within the limit.
func (s *Server) readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	limit := s.cfg.Limits.Body
	tooLarge := failed(http.StatusRequestEntityTooLarge, codeTooLarge, evidence.Check{ID: checkSize,
		Expected: fmt.Sprintf("a body of at most %d bytes", limit), Found: "a larger one", Remedy: "send less, or raise limits.body in the configuration"})
	if r.ContentLength > limit {
		return nil, tooLarge
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, tooLarge
	case err != nil:
		return nil, badRequest(checkBody, "a whole body", "a body that ends early", "send the whole body")
	}
	return body, nil
}
