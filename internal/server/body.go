package server

import (
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/probity-dev/probity/evidence"
)

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
