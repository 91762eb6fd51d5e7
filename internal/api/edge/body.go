package edge

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/go-json-experiment/json"

	"github.com/probity-dev/probity/wording/jsonerror"
)

// Bodies reads the bodies of requests, each within Limit bytes.
type Bodies struct {
	Limit int64
	// Budget bounds the memory of all bodies together; nil bounds nothing.
	Budget *Budget
	// Refused is called when a body has no place in memory.
	Refused func()
}

// Read reads the whole body within the limit.
func (b *Bodies) Read(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	limit := b.Limit
	tooLarge := Failed(http.StatusRequestEntityTooLarge, CodeTooLarge,
		CheckSize.FailedWith(fmt.Sprintf("a body of at most %d bytes", limit),
			"a larger one", "send less, or raise limits.body in the configuration"))
	if r.ContentLength > limit {
		return nil, tooLarge
	}
	body, err := readAll(http.MaxBytesReader(w, r.Body, limit), r.ContentLength)
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, tooLarge
	case errors.Is(err, errBudget):
		return nil, b.outOfBudget()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil,
			&Error{Status: http.StatusRequestTimeout, Code: CodeTimeout, Message: "the body came too slowly"}
	case err != nil:
		return nil, BadRequest(CheckBody, "a whole body", "a body that ends early", "send the whole body")
	}
	return body, nil
}

// ReadJSON reads a body strictly: members that v does not have, and null, are refused.
func (b *Bodies) ReadJSON(w http.ResponseWriter, r *http.Request, v any) error {
	body, err := b.Read(w, r)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, v, json.RejectUnknownMembers(true)); err != nil {
		return BadRequest(CheckBody, "a JSON object as the documentation of the route has it", jsonerror.Text(err),
			"compare the body with the documentation of the route")
	}
	return RefuseNull(body, anyMember)
}

// readAll reads a body into one buffer of its declared length, so that memory is
// no multiple of what the budget was charged. Without a length, -1, it grows.
func readAll(r io.Reader, declared int64) ([]byte, error) {
	if declared < 0 {
		return io.ReadAll(r)
	}
	body := make([]byte, declared)
	n := 0
	// The first read takes the budget; memory is touched only as bytes come.
	for n < len(body) {
		k, err := r.Read(body[n:])
		n += k
		if err == io.EOF && n < len(body) {
			return nil, io.ErrUnexpectedEOF
		}
		if err != nil && err != io.EOF {
			return nil, err
		}
	}
	return body, nil
}
