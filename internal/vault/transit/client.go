package transit

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/probity-dev/probity/internal/vault"
	"github.com/probity-dev/probity/wording/plainerror"
)

// Config says which transit key protects, and how it is reached.
type Config struct {
	// URL is the service without a path, Mount the path of the secrets engine, Key the name of the key in it.
	URL, Mount, Key string
	// Namespace is empty for the root namespace.
	Namespace string
	// Token reads the client's token. It is asked again when the service refuses the one before.
	Token func() (string, error)
	// Transport is without a proxy, and trusts the authorities of the service.
	Transport http.RoundTripper
	// Timeout bounds one request.
	Timeout time.Duration
}

// The bounds of answers and tokens, in bytes.
const (
	maxAnswer = 64 << 10
	maxToken  = 4096
)

// Client speaks to the transit service. It is safe for concurrent use.
type Client struct {
	cfg  Config
	http *http.Client

	mu    sync.Mutex
	token string
}

// NewClient returns a client. It makes no request.
func NewClient(cfg Config) *Client {
	return &Client{cfg: cfg, http: &http.Client{Transport: cfg.Transport, Timeout: cfg.Timeout,
		// Security: the token in the header goes to the service that is configured, and nowhere else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// answerError is a refusal of what was sent (400): a ciphertext that was altered, or is of another id or key.
type answerError struct{ text string }

func (e *answerError) Error() string { return e.text }

// unavailable says why transit does nothing now, and what to do.
func unavailable(format string, args ...any) error {
	return fmt.Errorf("transit: %w: %w", vault.ErrUnavailable, fmt.Errorf(format, args...))
}

// read returns the token. With again, it is read again; changed tells whether it is another one.
func (c *Client) read(again bool, used string) (token string, changed bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.token == "" || again {
		text, err := c.cfg.Token()
		if err != nil {
			return "", false, unavailable("its token: %w", err)
		}
		text = strings.TrimSpace(text)
		if text == "" || len(text) > maxToken || strings.ContainsFunc(text, func(r rune) bool { return r < '!' || r > '~' }) {
			return "", false, unavailable("its token file is not a token: expected one line of 1 to %d visible characters",
				maxToken)
		}
		c.token = text
	}
	return c.token, c.token != used, nil
}

// message is what the service answers.
type message struct {
	Data struct {
		Ciphertext string `json:"ciphertext"`
		Plaintext  string `json:"plaintext"`
	} `json:"data"`
	Auth struct {
		Duration  int64 `json:"lease_duration"`
		Renewable bool  `json:"renewable"`
	} `json:"auth"`
	Errors []string `json:"errors"`
}

// readMessage reads an answer. Members that it does not know are left out.
func readMessage(text []byte) (*message, error) {
	var m message
	if err := json.Unmarshal(text, &m); err != nil {
		// Security: errors of the JSON library may show a part of a plaintext.
		return nil, unavailable("its answer is not the JSON of a transit engine: see what answers at its URL")
	}
	return &m, nil
}

// post makes a request below /v1/, once more with another token if that was replaced in the meantime.
func (c *Client) post(ctx context.Context, path string, body map[string]string) (*message, error) {
	text, err := json.Marshal(body, json.Deterministic(true))
	if err != nil {
		return nil, fmt.Errorf("transit: %w", err)
	}
	defer clear(text)
	token, _, err := c.read(false, "")
	if err != nil {
		return nil, err
	}
	status, m, err := c.send(ctx, path, text, token)
	if err == nil && status == http.StatusForbidden {
		next, changed, readErr := c.read(true, token)
		if readErr != nil {
			return nil, readErr
		}
		if changed {
			status, m, err = c.send(ctx, path, text, next)
		}
	}
	if err != nil {
		return nil, err
	}
	return m, c.check(status, path, m)
}

// send makes one request.
func (c *Client) send(ctx context.Context, path string, body []byte, token string) (int, *message, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.cfg.URL+"/v1/"+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, fmt.Errorf("transit: %w", err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Vault-Token", token)
	r.Header.Set("X-Vault-Request", "true")
	if c.cfg.Namespace != "" {
		r.Header.Set("X-Vault-Namespace", c.cfg.Namespace)
	}
	resp, err := c.http.Do(r)
	if err != nil {
		return 0, nil, unavailable("%s: %s", c.cfg.URL, plainerror.Text(err))
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	defer clear(text)
	switch {
	case err != nil:
		return 0, nil, unavailable("%s: %s", c.cfg.URL, plainerror.Text(err))
	case len(text) > maxAnswer:
		return 0, nil, unavailable("%s: an answer of more than %d bytes", c.cfg.URL, maxAnswer)
	case resp.StatusCode == http.StatusOK, resp.StatusCode == http.StatusBadRequest:
		m, err := readMessage(text)
		return resp.StatusCode, m, err
	}
	m, err := readMessage(text)
	if err != nil { // of a proxy
		m = &message{}
	}
	if len(m.Errors) == 0 && resp.Header.Get("Location") != "" {
		m.Errors = []string{"it redirects to " + resp.Header.Get("Location")}
	}
	return resp.StatusCode, m, nil
}

// check turns the status of an answer into an error.
func (c *Client) check(status int, path string, m *message) error {
	said := "no reason"
	if len(m.Errors) > 0 {
		said = fmt.Sprintf("%.300q", strings.TrimSpace(m.Errors[0]))
	}
	switch status {
	case http.StatusOK:
		return nil
	case http.StatusBadRequest:
		return &answerError{"transit refused it: " + said}
	case http.StatusForbidden:
		return unavailable("%s: 403 for %s (%s): the token in vault.transit.tokenFile has expired, or its policy lacks "+
			"update on this path: replace the token, or extend the policy", c.cfg.URL, path, said)
	case http.StatusNotFound:
		return unavailable("%s: 404 for %s (%s): compare vault.transit.mount, key and namespace with the service's", c.cfg.URL,
			path, said)
	case http.StatusServiceUnavailable:
		return unavailable("%s: 503 (%s): the service is sealed, or in maintenance: unseal it", c.cfg.URL, said)
	case http.StatusTemporaryRedirect, http.StatusPermanentRedirect, http.StatusMovedPermanently, http.StatusFound:
		return unavailable("%s: %d (%s): name the node that answers itself, or a load balancer", c.cfg.URL, status, said)
	}
	return unavailable("%s: %d for %s (%s)", c.cfg.URL, status, path, said)
}

// path is the address of an operation with the key.
func (c *Client) path(operation string) string {
	return c.cfg.Mount + "/" + operation + "/" + url.PathEscape(c.cfg.Key)
}

// encrypt encrypts a data key. Context counts for transit keys that are derived, associated_data for all.
func (c *Client) encrypt(ctx context.Context, id, data []byte) (string, error) {
	bound := base64.StdEncoding.EncodeToString(id)
	m, err := c.post(ctx, c.path("encrypt"), map[string]string{
		"plaintext": base64.StdEncoding.EncodeToString(data), "associated_data": bound, "context": bound})
	var no *answerError
	switch {
	case asAnswer(err, &no):
		return "", unavailable("%s: encrypt with key %q: %s: it wants a key of a type with associated data, such as aes256-gcm96",
			c.cfg.URL, c.cfg.Key, no.text)
	case err != nil:
		return "", err
	case !strings.HasPrefix(m.Data.Ciphertext, "vault:v") || len(m.Data.Ciphertext) > maxWrapped:
		return "", unavailable("%s: its answer has no ciphertext of at most %d bytes", c.cfg.URL, maxWrapped)
	}
	return m.Data.Ciphertext, nil
}

// decrypt decrypts a data key. The error is an *answerError if transit refuses the ciphertext.
func (c *Client) decrypt(ctx context.Context, id []byte, wrapped string) ([]byte, error) {
	bound := base64.StdEncoding.EncodeToString(id)
	m, err := c.post(ctx, c.path("decrypt"), map[string]string{
		"ciphertext": wrapped, "associated_data": bound, "context": bound})
	if err != nil {
		return nil, err
	}
	data, err := base64.StdEncoding.Strict().DecodeString(m.Data.Plaintext)
	if err != nil || len(data) != dataKey {
		clear(data)
		return nil, unavailable("%s: its answer has no plaintext of %d bytes", c.cfg.URL, dataKey)
	}
	return data, nil
}
