package edge

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
	id := newRequestID()
	claimed := clientIDs(r.Header)
	header := w.Header()
	header.Set("x-ms-request-id", id)
	header.Set("x-ms-maa-service-version", s.Version)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cache-Control", "no-store")
	if !s.AppraisalTime.IsZero() {
		header.Set("x-probity-appraisal-time", s.AppraisalTime.UTC().Format(time.RFC3339))
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.Limits.Time)
	defer cancel()
	r = r.WithContext(ctx)
	recorder := &statusRecorder{ResponseWriter: w, ctx: ctx}
	defer s.Bodies.within(w, r, s.Limits.Time)()
	at, path, err := s.Locate(r)
	found, params, methods := s.Match(r.Method, path)
	name := "unknown"
	if found != nil {
		name = found.Path
	}
	attrs := []any{"method", method(r.Method), "route", name, "request", id}
	if len(claimed) > 0 {
		attrs = append(attrs, "client", claimed)
	}
	c := &Call{Provider: at, Params: params, ID: id, ClientIDs: claimed}
	if err == nil {
		err = s.run(recorder, r, found, c, methods)
		attrs = append(attrs, "provider", at.Name)
		if c.Caller != nil {
			attrs = append(attrs, "caller", c.Caller.Name)
		}
	}
	if err != nil {
		e, internal := asAPIError(err)
		if found != nil && found.Versioned == KeyVault && e.Code == CodeInvalidParameter {
			e.Code = "BadParameter" // as that interface names it
		}
		if recorder.status == 0 {
			e.write(recorder)
		}
		attrs = append(attrs, "code", e.Code)
		if len(e.Details) > 0 {
			attrs = append(attrs, "check", e.Details[0].Check)
		}
		if internal {
			if e.Cause != nil {
				err = e.Cause
			}
			s.Log.ErrorContext(ctx, "request failed", append(attrs, "err", err.Error())...)
		}
	}
	undelivered(c, recorder)
	elapsed := time.Since(start)
	s.Metrics.Requests.WithLabelValues(name, strconv.Itoa(recorder.status)).Inc()
	s.Metrics.Seconds.WithLabelValues(name).Observe(elapsed.Seconds())
	s.Log.InfoContext(ctx, "request", append(attrs, "status", recorder.status, "took", elapsed.String())...)
}

// run calls the route. A panic in it is an internal error of this request, not
// the end of the service.
func (s *Server) run(
	w http.ResponseWriter, r *http.Request, found *Route, c *Call, methods []string,
) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	if found == nil && s.Extra != nil && strings.HasPrefix(r.URL.Path, s.ExtraPrefix) {
		s.Extra.ServeHTTP(w, r)
		return nil
	}
	if found == nil && len(methods) > 0 {
		return &Error{Status: http.StatusMethodNotAllowed, Code: CodeMethod,
			Message: "this path answers " + strings.Join(methods, ", "),
			Header:  http.Header{"Allow": {strings.Join(methods, ", ")}}}
	}
	if found == nil {
		return Failed(http.StatusNotFound, CodeNotFound, CheckPath.FailedWith("a path of the attestation API",
			"an unknown path", "for instance POST /attest/SgxEnclave?api-version=2022-08-01"))
	}
	if err := checkQueryForm(r); err != nil {
		return err
	}
	if err := checkPathForms(c.Params); err != nil {
		return err
	}
	if err := found.Versioned.check(r); err != nil {
		return err
	}
	if typeName := c.Params["type"]; typeName != "" {
		if c.Kind, err = evidence.ParseKind(typeName); err != nil {
			return BadRequest(CheckType, "a known attestation type", err.Error(),
				"compare the type in the path with those listed")
		}
	}
	if err := s.Allow(r, found, c); err != nil {
		return err
	}
	return s.timedOut(r, found.Handle(w, r, c))
}

// timedOut names the reason if the request's time ran out.
func (s *Server) timedOut(r *http.Request, err error) error {
	if err != nil && errors.Is(r.Context().Err(), context.DeadlineExceeded) {
		return &Error{Status: http.StatusServiceUnavailable, Code: CodeTimeout,
			Message: "the request took longer than " + s.Limits.Time.String(),
			Header:  http.Header{"Retry-After": {"1"}}}
	}
	return err
}

// undelivered tells the route that its answer never left. A client that closes
// the connection behind its answer has it: what matters is whether it was there when the
// answer was written, and whether it could be sent.
func undelivered(c *Call, w *statusRecorder) {
	if c.Undelivered == nil {
		return
	}
	if err := http.NewResponseController(w).Flush(); w.failed == nil && !errors.Is(err, http.ErrNotSupported) {
		w.failed = err
	}
	reason := ""
	switch {
	case w.status != http.StatusOK:
		reason = "the service answered with an error after its decision"
	case w.failed != nil:
		reason = "the answer could not be sent"
	case w.clientGone:
		reason = "the client closed the connection"
	default:
		return
	}
	c.Undelivered(reason)
}

type statusRecorder struct {
	http.ResponseWriter
	ctx        context.Context // of the request
	status     int
	failed     error // of the first write that failed
	clientGone bool  // before the first write
}

// Unwrap lets http.ResponseController find the connection.
func (r *statusRecorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// WriteHeader remembers the status.
func (r *statusRecorder) WriteHeader(status int) {
	r.begin(status)
	r.ResponseWriter.WriteHeader(status)
}

func (r *statusRecorder) begin(status int) {
	if r.status == 0 {
		r.status, r.clientGone = status, errors.Is(r.ctx.Err(), context.Canceled)
	}
}

// Write implies status 200, as for any response writer.
func (r *statusRecorder) Write(b []byte) (int, error) {
	r.begin(http.StatusOK)
	n, err := r.ResponseWriter.Write(b)
	if r.failed == nil {
		r.failed = err
	}
	return n, err
}

var traceparent = regexp.MustCompile(`^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$`)

// newRequestID returns an id in the form of W3C Trace Context, as Azure's service
// answers. It is always the service's own: with an id that a client may choose,
// any client could give entries of a ledger the id of another request.
func newRequestID() string {
	var b [24]byte
	rand.Read(b[:]) // never fails
	return "00-" + hex.EncodeToString(b[:16]) + "-" + hex.EncodeToString(b[16:]) + "-00"
}

// MaxClientID bounds what is recorded of a client's own id, in bytes.
const MaxClientID = 128

// clientIDs returns the ids that a client sent, by header, for records that say
// that they are the client's.
func clientIDs(h http.Header) map[string]string {
	var ids map[string]string
	for _, name := range []string{
		"traceparent", "x-ms-client-request-id", "x-ms-request-id", "x-ms-correlation-request-id",
	} {
		value := h.Get(name)
		if value == "" || name == "traceparent" && !traceparent.MatchString(value) {
			continue
		}
		if ids == nil {
			ids = map[string]string{}
		}
		ids[name] = printable(value)
	}
	return ids
}

// printable bounds a text from outside, and leaves out what is not printable ASCII.
func printable(text string) string {
	text = text[:min(len(text), MaxClientID)]
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, text)
}

// method is a request's method for the log: clients can send any word.
func method(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
		http.MethodDelete, http.MethodOptions:
		return m
	}
	return "other"
}
