// Package jsonerror words the errors of JSON decoding for people. It is a leaf:
// it imports no other package of this module. It does not shorten what a type's own decoder
// says.
package jsonerror

import (
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/wording/plainerror"
)

// Text returns the message of a decoding error without Go's type names, which
// mean nothing to the author of the JSON.
func Text(err error) string { return plainerror.Words(text(err)) }

func text(err error) string {
	var semantic *json.SemanticError
	if errors.As(err, &semantic) {
		where := string(semantic.JSONPointer)
		if where == "" {
			where = "the top"
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
		return "text that ends early"
	}
	return "text that does not decode"
}
