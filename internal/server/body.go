package server

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
)

// readBody reads the whole body within the limit.
func (s *Server) readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	limit := s.cfg.Limits.Body
	tooLarge := failed(http.StatusRequestEntityTooLarge, codeTooLarge, CheckSize.FailedWith(fmt.Sprintf("a body of at most %d bytes", limit),
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
		return nil, s.outOfBudget()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, &apiError{status: http.StatusRequestTimeout, code: codeTimeout, message: "the body came too slowly"}
	case err != nil:
		return nil, badRequest(CheckBody, "a whole body", "a body that ends early", "send the whole body")
	}
	return body, nil
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
