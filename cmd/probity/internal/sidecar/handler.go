package sidecar

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/agent"
	"github.com/probity-dev/probity/client"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/internal/config"
	"github.com/probity-dev/probity/wording/jsonerror"
	"github.com/probity-dev/probity/wording/plainerror"
)

const (
	// maxBody bounds the body of a call, in bytes.
	maxBody = 256 << 10
	// maxCalls is how many calls are answered at a time.
	maxCalls = 8
)

// handler answers the calls of the guest's programs.
type handler struct {
	guest *guest
	roots *x509.CertPool
	// endpoints are those that calls may name; none means all.
	endpoints  []string
	bearerFile string
	challenge  bool
	// remote says that others than this guest may call.
	remote bool
	// slots bounds the calls that are answered at a time.
	slots chan struct{}
	log   *slog.Logger
}

// malformedError is a body that was refused. Its status is 400, that of all other errors 403.
type malformedError struct{ error }

func (e malformedError) Unwrap() error { return e.error }

func malformed(err error) error { return malformedError{err} }

// route is a call of the interface.
type route struct {
	method string
	answer func(h *handler, ctx context.Context, body []byte) (any, error)
}

func routes() map[string]route {
	return map[string]route{
		"/status": {http.MethodGet, func(*handler, context.Context, []byte) (any, error) {
			return map[string]string{"message": "Status OK"}, nil
		}},
		"/attest/raw":      {http.MethodPost, (*handler).raw},
		"/attest/combined": {http.MethodPost, (*handler).combined},
		"/attest/maa":      {http.MethodPost, (*handler).maa},
		"/key/release":     {http.MethodPost, (*handler).release},
	}
}

// crossOrigin refuses what pages of browsers send.
var crossOrigin = http.NewCrossOriginProtection()

// ServeHTTP implements http.Handler.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	begin := time.Now()
	status, answer, err := h.serve(w, r)
	level, path := slog.LevelInfo, r.URL.Path
	if _, known := routes()[path]; !known {
		path = "unknown"
	}
	attrs := []slog.Attr{slog.String("path", path), slog.Int("status", status),
		slog.Duration("took", time.Since(begin))}
	if err != nil {
		level, answer = slog.LevelWarn, map[string]string{"error": explain(err)}
		attrs = append(attrs, slog.String("err", explain(err)))
	}
	if r.URL.Path != "/status" || err != nil {
		h.log.LogAttrs(r.Context(), level, "call", attrs...)
	}
	text, err := json.Marshal(answer, json.Deterministic(true))
	if err != nil {
		status, text = http.StatusInternalServerError, []byte(`{"error":"the answer cannot be written"}`)
	}
	defer clear(text)
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write(text) // a caller that went away is not an error of this program
}

func (h *handler) serve(w http.ResponseWriter, r *http.Request) (status int, answer any, err error) {
	found, ok := routes()[r.URL.Path]
	switch {
	case !ok:
		return http.StatusNotFound, nil, errors.New("expected GET /status, or POST /attest/raw, " +
			"/attest/combined, /attest/maa or /key/release, found another path")
	case r.Method != found.method:
		w.Header().Set("Allow", found.method)
		return http.StatusMethodNotAllowed, nil, errors.New("expected the method " + found.method)
	}
	if !h.remote && !loopbackHost(r.Host) {
		return http.StatusForbidden, nil, fmt.Errorf("expected localhost as Host, found %.140q", r.Host)
	}
	if err := crossOrigin.Check(r); err != nil {
		return http.StatusForbidden, nil, errors.New("expected a call of a program, found one of a page in a " +
			"browser")
	}
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
	default:
		w.Header().Set("Retry-After", "1")
		return http.StatusServiceUnavailable, nil, fmt.Errorf("%d calls are being answered; try again", maxCalls)
	}
	var body []byte
	if found.method == http.MethodPost {
		if body, err = readBody(w, r); err != nil {
			return http.StatusBadRequest, nil, err
		}
	}
	ctx, cancel := context.WithTimeout(r.Context(), callTime)
	defer cancel()
	answer, err = found.answer(h, ctx, body)
	var bad malformedError
	switch {
	case errors.As(err, &bad):
		return http.StatusBadRequest, nil, err
	case err != nil:
		return http.StatusForbidden, nil, err
	}
	return http.StatusOK, answer, nil
}

// loopbackHost reports whether the header Host names this guest.
//
// Security: a page that has its own name resolve to this guest (DNS rebinding) sends that name.
func loopbackHost(name string) bool {
	if host, _, err := net.SplitHostPort(name); err == nil {
		name = host
	}
	return config.LoopbackHost(name)
}

// readBody reads the body of a call. Its type is not looked at: clients name any.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return nil, fmt.Errorf("expected a body of at most %d bytes, found more", maxBody)
	}
	return body, err
}

// call is the body of a call; each path uses some of its members.
type call struct {
	MAA     string `json:"maa_endpoint"`
	AKV     string `json:"akv_endpoint"`
	KeyID   string `json:"kid"`
	Token   string `json:"access_token"`
	Runtime string `json:"runtime_data"`
}

// readCall reads a body: one JSON object without duplicate members. Members that are unknown are ignored.
func readCall(body []byte) (c call, err error) {
	if len(bytes.TrimSpace(body)) == 0 {
		return c, malformed(errors.New("invalid request format: expected a JSON object, found an empty body"))
	}
	if err := json.Unmarshal(body, &c, json.MatchCaseInsensitiveNames(true)); err != nil {
		return c, malformed(fmt.Errorf("invalid request format: %s", jsonerror.Text(err)))
	}
	return c, nil
}

// runtime is the runtime data of a call: standard base64, as the interface has it.
func (c *call) runtime() ([]byte, error) {
	if c.Runtime == "" {
		return nil, malformed(errors.New("invalid request format: the member runtime_data is missing"))
	}
	b, err := base64.StdEncoding.DecodeString(c.Runtime)
	if err != nil {
		return nil, malformed(errors.New("runtime_data: expected base64 with the alphabet of RFC 4648, " +
			"section 4, and padding, found other characters"))
	}
	return b, nil
}

func (h *handler) report(ctx context.Context, body []byte) (*agent.Report, error) {
	c, err := readCall(body)
	if err != nil {
		return nil, err
	}
	data, err := c.runtime()
	if err != nil {
		return nil, err
	}
	return h.guest.report(ctx, agent.BindData(data))
}

// raw answers /attest/raw: the report over the SHA-256 of the runtime data, in hex.
func (h *handler) raw(ctx context.Context, body []byte) (any, error) {
	r, err := h.report(ctx, body)
	if err != nil {
		return nil, err
	}
	return map[string]string{"report": hex.EncodeToString(r.Raw)}, nil
}

// combined answers /attest/combined: the report with what is needed to verify it.
func (h *handler) combined(ctx context.Context, body []byte) (any, error) {
	r, err := h.report(ctx, body)
	if err != nil {
		return nil, err
	}
	return h.guest.combined(r)
}

// maa answers /attest/maa: a token of the attestation service.
func (h *handler) maa(ctx context.Context, body []byte) (any, error) {
	c, err := readCall(body)
	if err != nil {
		return nil, err
	}
	data, err := c.runtime()
	if err != nil {
		return nil, err
	}
	at, err := h.allowed("maa_endpoint", c.MAA)
	if err != nil {
		return nil, err
	}
	token, err := h.attest(ctx, at, data)
	if err != nil {
		return nil, err
	}
	return map[string]string{"token": token}, nil
}

// attest has the guest attested with the runtime data, and returns the token.
func (h *handler) attest(ctx context.Context, at string, data []byte) (string, error) {
	service, err := client.New(client.Config{URL: "https://" + at, Roots: h.roots, Timeout: callTime})
	if err != nil {
		return "", err
	}
	defer service.Close()
	request, err := h.guest.request(ctx, data)
	if err != nil {
		return "", fmt.Errorf("attestation failed: %w", err)
	}
	request.RuntimeData = &evidence.Data{Bytes: data, Type: evidence.Binary}
	if v := jsontext.Value(data); v.IsValid() && v.Kind() == '{' {
		request.RuntimeData.Type = evidence.JSON
	}
	token, err := service.Attest(ctx, request)
	if err != nil {
		return "", fmt.Errorf("attestation failed: %w", err)
	}
	return token, nil
}

// keyForm is the name of a key, with or without a version.
var keyForm = regexp.MustCompile(`^[0-9A-Za-z-]{1,127}(/[0-9A-Za-z]{1,64})?$`)

// release answers /key/release: a key as a JSON Web Key in a text.
func (h *handler) release(ctx context.Context, body []byte) (any, error) {
	c, err := readCall(body)
	if err != nil {
		return nil, err
	}
	maa, err := h.allowed("maa_endpoint", c.MAA)
	if err != nil {
		return nil, err
	}
	akv, err := h.allowed("akv_endpoint", c.AKV)
	if err != nil {
		return nil, err
	}
	if !keyForm.MatchString(c.KeyID) {
		return nil, malformed(fmt.Errorf("kid: expected NAME or NAME/VERSION, found %.200q", c.KeyID))
	}
	token, err := h.token(c.Token)
	if err != nil {
		return nil, err
	}
	if len(token) > maxToken || strings.ContainsAny(token, "\r\n\x00") {
		return nil, malformed(errors.New("access_token: expected a bearer token, found other characters, or too " +
			"many"))
	}
	cfg := client.Config{URL: "https://" + akv, Roots: h.roots, Token: token, Timeout: callTime}
	vault, err := client.New(cfg)
	if err != nil {
		return nil, err
	}
	defer vault.Close()
	name, version, _ := strings.Cut(c.KeyID, "/")
	// Unlock makes a key for this call alone, and verifies the answer under the same roots.
	released, err := vault.Vault().Unlock(ctx, client.Unlock{
		Name: name, Version: version, Challenge: h.challenge,
		Attest: func(ctx context.Context, data []byte) (string, error) { return h.attest(ctx, maa, data) },
	})
	if err != nil {
		return nil, fmt.Errorf("secure key release failed: %w", err)
	}
	defer released.Material.Erase()
	key, err := keyText(released.Material, released.Document.Key.Operations)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	return map[string]string{"key": string(key)}, nil
}

// explain says what was wrong, with what the service found.
func explain(err error) string {
	text := plainerror.Text(err)
	var answer *client.Error
	if !errors.As(err, &answer) {
		return text
	}
	for _, d := range answer.Details {
		if d.Check != "" {
			text += fmt.Sprintf("\n%s: expected %s, found %s; %s", d.Check, d.Expected, d.Found, d.Remedy)
		}
	}
	return text
}
