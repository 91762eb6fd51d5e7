// Package client is a Go client of the attestation service: attest an enclave, verify tokens, get keys that
// are released to attested machines, and manage providers, policies, keys, callers and the ledger.
//
// Start with [New]; [Client.Vault] has the keys that are released, and [Vault.Unlock] gets one. Redirects are
// not followed. Answers other than success are errors of type [*Error] with the service's code and the failed
// check.
package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/token"
)

// apiVersion is sent with each request.
const apiVersion = "2022-08-01"

// maxAnswer bounds the answers that are read, in bytes.
const maxAnswer = 4 << 20

// Config says how the service is reached.
type Config struct {
	// URL is the service's base URL; https only.
	URL string
	// Roots are the CAs that may have issued the service's certificate. Nil
	// means the system's.
	Roots *x509.CertPool
	// Token, if not empty, is the bearer token that is sent with each request.
	Token string
	// Certificate, if not nil, is shown to services that know callers by theirs.
	Certificate *tls.Certificate
	// Dial, if not nil, makes the connections.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Timeout bounds each request. Zero means 30 seconds.
	Timeout time.Duration
}

// Client talks to one service. It is safe for concurrent use.
type Client struct {
	base    string
	bearer  string
	ifMatch string
	roots   *x509.CertPool
	http    *http.Client
}

// New returns a client.
func New(cfg Config) (*Client, error) {
	u, err := url.Parse(cfg.URL)
	if err == nil && u.Scheme != "http" && u.Host == "" {
		if meant, err := url.Parse("https://" + cfg.URL); err == nil && meant.Host != "" {
			return nil, fmt.Errorf("client: %q is not an https URL; write https://%s", cfg.URL, cfg.URL)
		}
	}
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("client: %q is not an https URL", cfg.URL)
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 30 * time.Second
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if cfg.Dial != nil {
		transport.DialContext = cfg.Dial
	}
	transport.TLSClientConfig = &tls.Config{RootCAs: cfg.Roots, MinVersion: tls.VersionTLS12}
	if cfg.Certificate != nil {
		transport.TLSClientConfig.Certificates = []tls.Certificate{*cfg.Certificate}
	}
	c := &Client{base: strings.TrimSuffix(cfg.URL, "/"), bearer: cfg.Token, roots: cfg.Roots}
	c.http = &http.Client{
		Transport: transport, Timeout: cfg.Timeout,
		// Security: a redirect could send evidence, or the search for keys, to
		// another host or out of TLS. It becomes an [*Error].
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c, nil
}

// Error is an answer other than success.
type Error struct {
	Status int
	// RetryAfter is when to try again, if the service says so.
	RetryAfter time.Duration `json:"-"`
	Code       string        `json:"code"`
	Message    string        `json:"message"`
	// Details has the check of Inner, too.
	Details []Detail `json:"details"`
	// Inner is the reason within the code, which the vault's errors have; nil if there is none.
	Inner *InnerError `json:"innererror"`
}

// InnerError is the reason of a refusal by the vault. Providers may leave the check out of refusals of
// releases.
type InnerError struct {
	// Code is Azure's, or the id of the check.
	Code string `json:"code"`
	Detail
}

// Detail explains a failed check.
type Detail struct {
	Check    string `json:"check"`
	Expected string `json:"expected"`
	Found    string `json:"found"`
	Remedy   string `json:"remedy"`
}

// Error gives status, code and message.
func (e *Error) Error() string {
	return fmt.Sprintf("the service answered %d %s: %s", e.Status, e.Code, e.Message)
}

// Is reports whether target is the definition of a check that failed, as in
// errors.Is(err, snp.CheckSignature).
func (e *Error) Is(target error) bool {
	d, ok := target.(*evidence.Definition)
	return ok && slices.ContainsFunc(e.Details, func(detail Detail) bool { return detail.Check == d.ID })
}

// Request is evidence to attest.
type Request struct {
	Kind     evidence.Kind
	Evidence []byte
	// RuntimeData and InitTimeData may be nil.
	RuntimeData, InitTimeData *evidence.Data
	// EventLog, with a TDX quote, must lead to its registers. It may be nil.
	EventLog []byte
	// DraftPolicy, if not empty, is tried instead of the policy in force; the
	// token is then unsecured.
	DraftPolicy string
	// Nonce, if not empty, comes back in the token.
	Nonce string
}

// Attest sends evidence and returns the token.
func (c *Client) Attest(ctx context.Context, r Request) (string, error) {
	encode := base64.RawURLEncoding.EncodeToString
	body := map[string]any{r.Kind.Member(): encode(r.Evidence)}
	if len(r.EventLog) > 0 {
		body["eventLog"] = encode(r.EventLog)
	}
	for name, data := range map[string]*evidence.Data{
		"runtimeData": r.RuntimeData, "initTimeData": r.InitTimeData,
	} {
		if data != nil {
			body[name] = map[string]string{"data": encode(data.Bytes), "dataType": string(data.Type)}
		}
	}
	if r.DraftPolicy != "" {
		body["draftPolicyForAttestation"] = r.DraftPolicy
	}
	if r.Nonce != "" {
		body["nonce"] = r.Nonce
	}
	return c.token(ctx, http.MethodPost, "/attest/"+string(r.Kind), body)
}

// IfMatch returns a client whose changes are refused with status 412 if another
// version than this one is in force: of a policy, as [Client.PolicyHistory] has it.
func (c *Client) IfMatch(version int64) *Client {
	other := *c
	other.ifMatch = `"` + strconv.FormatInt(version, 10) + `"`
	return &other
}

// Baseline is a TCB baseline that policies may name in x-ms-sgx-tcbidentifier.
type Baseline struct {
	Identifier       string `json:"tcbIdentifier"`
	EvaluationNumber uint32 `json:"tcbEvaluationDataNumber"`
	ReleaseDate      string `json:"tcbReleaseDate"`
	// Selected says that the policy in force uses it.
	Selected bool `json:"isSelectedTcb"`
}

// Baselines returns the TCB baselines of a type, the newest first.
func (c *Client) Baselines(ctx context.Context, kind evidence.Kind) ([]Baseline, error) {
	var answer struct {
		List []Baseline `json:"tcbBaselines"`
	}
	err := c.call(ctx, http.MethodGet, "/tcbbaselines/"+string(kind)+"?api-version="+apiVersion, nil, &answer)
	return answer.List, err
}

// Policy returns the policy of a type as the service's token states it: the
// signed token whose claim x-ms-policy contains the policy.
func (c *Client) Policy(ctx context.Context, kind evidence.Kind) (string, error) {
	return c.token(ctx, http.MethodGet, "/policies/"+string(kind), nil)
}

// Discovery returns the service's OpenID metadata.
func (c *Client) Discovery(ctx context.Context) (token.Discovery, error) {
	var d token.Discovery
	return d, c.do(ctx, http.MethodGet, c.base+"/.well-known/openid-configuration", nil, &d)
}

// Keys returns the key set that the metadata name. It must be on the same
// host: a document cannot send the caller elsewhere for keys.
func (c *Client) Keys(ctx context.Context, d token.Discovery) (token.KeySet, error) {
	var set token.KeySet
	own, err := url.Parse(c.base)
	if err != nil {
		return set, err
	}
	u, err := url.Parse(d.KeySetURL)
	if err != nil || u.Scheme != "https" || u.Host != own.Host {
		return set, fmt.Errorf("client: jwks_uri %q is not on %s", d.KeySetURL, own.Host)
	}
	return set, c.do(ctx, http.MethodGet, d.KeySetURL, nil, &set)
}

// Verify checks a token as a relying party does: metadata and keys from the
// issuer, then signature, issuer and times at the given time.
func (c *Client) Verify(ctx context.Context, compact string, at time.Time) (*token.Verified, error) {
	d, err := c.Discovery(ctx)
	if err != nil {
		return nil, err
	}
	if d.Issuer != c.base {
		return nil, fmt.Errorf("client: the metadata at %s are of issuer %q", c.base, d.Issuer)
	}
	keys, err := c.Keys(ctx, d)
	if err != nil {
		return nil, err
	}
	return token.Verify(compact, keys, c.base, at)
}

func (c *Client) token(ctx context.Context, method, path string, body any) (string, error) {
	var answer struct {
		Token string `json:"token"`
	}
	if err := c.do(ctx, method, c.base+path+"?api-version="+apiVersion, body, &answer); err != nil {
		return "", err
	}
	if answer.Token == "" {
		return "", errors.New("client: the answer contains no token")
	}
	return answer.Token, nil
}

// send sends a request with a JSON body, if it has one.
func (c *Client) send(ctx context.Context, method, target string, body any) (*http.Response, error) {
	var reader io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("client: %w", err)
		}
		reader = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, target, reader)
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.bearer != "" {
		req.Header.Set("Authorization", "Bearer "+c.bearer)
	}
	if c.ifMatch != "" && method != http.MethodGet {
		req.Header.Set("If-Match", c.ifMatch)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	return resp, nil
}

// do sends a request and reads its answer, unless answer is nil.
func (c *Client) do(ctx context.Context, method, target string, body, answer any) error {
	return c.within(ctx, maxAnswer, method, target, body, answer)
}

// within is do with another bound of the answer, in bytes.
func (c *Client) within(ctx context.Context, limit int64, method, target string, body, answer any) error {
	resp, err := c.send(ctx, method, target, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return fmt.Errorf("client: %w", err)
	}
	if int64(len(b)) > limit {
		return fmt.Errorf("client: answer of %s: expected at most %d bytes, found more", target, limit)
	}
	switch resp.StatusCode {
	case http.StatusOK, http.StatusCreated:
	case http.StatusNoContent:
		return nil
	default:
		return withRetry(asError(resp.StatusCode, b), resp.Header.Get("Retry-After"))
	}
	if answer == nil {
		return nil
	}
	if err := json.Unmarshal(b, answer); err != nil {
		return fmt.Errorf("client: answer of %s: %w", target, err)
	}
	return nil
}

// maxRetrySeconds bounds what a Retry-After may ask for: a day.
const maxRetrySeconds = 24 * 60 * 60

// withRetry adds what the header Retry-After says, in seconds.
func withRetry(err error, header string) error {
	var e *Error
	if seconds, parseErr := strconv.Atoi(header); parseErr == nil && seconds >= 0 && errors.As(err, &e) {
		// Before the product: a large number would overflow to a negative one.
		e.RetryAfter = time.Duration(min(seconds, maxRetrySeconds)) * time.Second
	}
	return err
}

func asError(status int, body []byte) error {
	var document struct {
		Error Error `json:"error"`
	}
	if err := json.Unmarshal(body, &document); err != nil || document.Error.Code == "" {
		return &Error{Status: status, Code: http.StatusText(status), Message: "the answer is not an error document"}
	}
	document.Error.Status = status
	if inner := document.Error.Inner; inner != nil && inner.Check != "" {
		document.Error.Details = append(document.Error.Details, inner.Detail)
	}
	return &document.Error
}
