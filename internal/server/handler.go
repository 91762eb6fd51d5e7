package server

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/probity-dev/probity/evidence"
)

// ServeHTTP finds the route, runs it, and writes the answer or the error
// document. Each request gives one line of log, without bodies.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	id := requestID(r.Header.Get("traceparent"))
	header := w.Header()
	header.Set("x-ms-request-id", id)
	header.Set("x-ms-maa-service-version", s.cfg.Version)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cache-Control", "no-store")
	if !s.cfg.AppraisalTime.IsZero() {
		header.Set("x-probity-appraisal-time", s.cfg.AppraisalTime.UTC().Format(time.RFC3339))
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.cfg.Limits.Time)
	defer cancel()
	r = r.WithContext(ctx)
	recorder := &statusRecorder{ResponseWriter: w}
	at, path, err := s.locate(r)
	found, params, methods := match(r.Method, path)
	name := "unknown"
	if found != nil {
		name = found.path
	}
	attrs := []any{"method", r.Method, "route", name, "request", id}
	if err == nil {
		c := &call{tenant: at, params: params, id: id}
		err = s.run(recorder, r, found, c, methods)
		attrs = append(attrs, "provider", at.Name)
		if c.caller != nil {
			attrs = append(attrs, "caller", c.caller.Name)
		}
	}
	if err != nil {
		e, internal := asAPIError(err)
		if recorder.status == 0 {
			e.write(recorder)
		}
		attrs = append(attrs, "code", e.code)
		if len(e.details) > 0 {
			attrs = append(attrs, "check", e.details[0].Check)
		}
		if internal {
			s.cfg.Log.ErrorContext(ctx, "request failed", append(attrs, "err", err.Error())...)
		}
	}
	elapsed := time.Since(start)
	s.cfg.Metrics.Requests.WithLabelValues(name, strconv.Itoa(recorder.status)).Inc()
	s.cfg.Metrics.Seconds.WithLabelValues(name).Observe(elapsed.Seconds())
	s.cfg.Log.InfoContext(ctx, "request", append(attrs, "status", recorder.status, "took", elapsed.String())...)
}

// run calls the route. A panic in it is an internal error of this request, not
// the end of the service.
func (s *Server) run(w http.ResponseWriter, r *http.Request, found *route, c *call, methods []string) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	if found == nil && s.cfg.Extra != nil && strings.HasPrefix(r.URL.Path, s.cfg.ExtraPrefix) {
		s.cfg.Extra.ServeHTTP(w, r)
		return nil
	}
	if found == nil && len(methods) > 0 {
		return &apiError{status: http.StatusMethodNotAllowed, code: codeMethod,
			message: "this path answers " + strings.Join(methods, ", "), header: http.Header{"Allow": {strings.Join(methods, ", ")}}}
	}
	if found == nil {
		return failed(http.StatusNotFound, codeNotFound, evidence.Check{ID: checkPath, Expected: "a path of the attestation API",
			Found: "an unknown path", Remedy: "for instance POST /attest/SgxEnclave?api-version=2022-08-01"})
	}
	if found.versioned {
		if err := checkVersion(r); err != nil {
			return err
		}
	}
	if typeName := c.params["type"]; typeName != "" {
		if c.kind, err = evidence.ParseKind(typeName); err != nil {
			return badRequest(checkType, "a known attestation type", err.Error(), "compare the type in the path with those listed")
		}
	}
	if err := s.allow(r, found, c); err != nil {
		return err
	}
	return s.timedOut(r, found.handle(s, w, r, c))
}

// timedOut names the reason if the request's time ran out.
func (s *Server) timedOut(r *http.Request, err error) error {
	if err != nil && errors.Is(r.Context().Err(), context.DeadlineExceeded) {
		return &apiError{status: http.StatusServiceUnavailable, code: codeTimeout,
			message: "the request took longer than " + s.cfg.Limits.Time.String(), header: http.Header{"Retry-After": {"1"}}}
	}
	return err
}

type statusRecorder struct {
	http.ResponseWriter
	status int
}

// Unwrap lets http.ResponseController find the connection.
func (r *statusRecorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// WriteHeader remembers the status.
func (r *statusRecorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

// Write implies status 200, as for any response writer.
func (r *statusRecorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	return r.ResponseWriter.Write(b)
}

var traceparent = regexp.MustCompile(`^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$`)

// requestID returns the caller's trace, or a new one (W3C Trace Context).
func requestID(parent string) string {
	if traceparent.MatchString(parent) {
		return parent
	}
	var b [24]byte
	rand.Read(b[:]) // never fails
	return "00-" + hex.EncodeToString(b[:16]) + "-" + hex.EncodeToString(b[16:]) + "-00"
}
