package client

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/evidence"
)

// PolicyVersion is one version of a policy.
type PolicyVersion struct {
	Version int64     `json:"version"`
	Action  string    `json:"action"`
	By      string    `json:"by"`
	Signer  string    `json:"signer"`
	From    int64     `json:"rolledBackTo"`
	At      time.Time `json:"at"`
	// JWS is what was submitted, Text the policy in it; a list leaves them out.
	JWS  string `json:"jws"`
	Text string `json:"policy"`
	// Altered says that the row in the service's database is not the one that was written.
	Altered bool `json:"altered"`
}

// Proposal is a change of a policy or of a provider that waits for approvals.
type Proposal struct {
	ID string `json:"id"`
	// Type is the attestation type of a change of a policy, else empty.
	Type evidence.Kind `json:"type,omitzero"`
	// Action is set, reset, settings, delete, addCertificate or removeCertificate.
	Action string `json:"action"`
	// JWS is what was submitted for a policy or a certificate.
	JWS string `json:"jws,omitzero"`
	// Changes are the members that a change of settings sets.
	Changes   []Difference `json:"changes,omitzero"`
	Approvals []string     `json:"approvals"`
	Needed    int          `json:"needed"`
	Created   time.Time    `json:"created"`
	Expires   time.Time    `json:"expires"`
}

// Difference is a member of a provider that a proposal changes; nil is a value that is not
// set.
type Difference struct {
	Name string         `json:"name"`
	From jsontext.Value `json:"from,omitzero"`
	To   jsontext.Value `json:"to,omitzero"`
}

// list is how lists are answered.
type list[T any] struct {
	Value []T `json:"value"`
}

func (c *Client) call(ctx context.Context, method, path string, body, answer any) error {
	return c.do(ctx, method, c.base+path, body, answer)
}

// SetPolicy puts a policy in force: a compact JWS, exactly as it is to be kept. The
// answer is the service's token about it.
func (c *Client) SetPolicy(ctx context.Context, kind evidence.Kind, jws string) (string, error) {
	return c.token(ctx, http.MethodPut, "/policies/"+string(kind), jws)
}

// ResetPolicy puts the default in force again; jws is a request to reset, signed
// for an Isolated provider.
func (c *Client) ResetPolicy(ctx context.Context, kind evidence.Kind, jws string) (string, error) {
	return c.token(ctx, http.MethodPost, "/policies/"+string(kind)+":reset", jws)
}

// PolicyHistory returns all versions of a policy, the newest first.
func (c *Client) PolicyHistory(ctx context.Context, kind evidence.Kind) ([]PolicyVersion, error) {
	var l list[PolicyVersion]
	err := c.call(ctx, http.MethodGet, "/policies/"+string(kind)+"/versions", nil, &l)
	return l.Value, err
}

// PolicyVersion returns one version, with its text.
func (c *Client) PolicyVersion(
	ctx context.Context, kind evidence.Kind, version int64,
) (*PolicyVersion, error) {
	var p PolicyVersion
	err := c.call(ctx, http.MethodGet, fmt.Sprintf("/policies/%s/versions/%d", kind, version), nil, &p)
	if err != nil {
		return nil, err
	}
	return &p, nil
}

// Rollback puts an earlier version in force again.
func (c *Client) Rollback(ctx context.Context, kind evidence.Kind, version int64) error {
	return c.call(ctx, http.MethodPost, "/policies/"+string(kind)+":rollback",
		map[string]int64{"version": version}, &struct{}{})
}

// Proposals returns changes that wait for approvals.
func (c *Client) Proposals(ctx context.Context) ([]Proposal, error) {
	var l list[Proposal]
	err := c.call(ctx, http.MethodGet, "/proposals", nil, &l)
	return l.Value, err
}

// Approve agrees to a proposal. An *[Error] with the code ApprovalRequired says
// that more must agree.
func (c *Client) Approve(ctx context.Context, id string) error {
	return c.call(ctx, http.MethodPost, "/proposals/"+url.PathEscape(id)+":approve", nil, &struct{}{})
}

// Reject removes a proposal.
func (c *Client) Reject(ctx context.Context, id string) error {
	return c.call(ctx, http.MethodDelete, "/proposals/"+url.PathEscape(id), nil, &struct{}{})
}

// Certificates returns the token whose claim x-ms-policy-certificates lists the
// certificates that may sign policies.
func (c *Client) Certificates(ctx context.Context) (string, error) {
	return c.token(ctx, http.MethodGet, "/certificates", nil)
}

// ChangeCertificate adds or removes a certificate as the signed request asks.
func (c *Client) ChangeCertificate(ctx context.Context, jws string, add bool) (string, error) {
	action := "remove"
	if add {
		action = "add"
	}
	return c.token(ctx, http.MethodPost, "/certificates:"+action, jws)
}

// SigningKey is a key that signs tokens, signed them, or will.
type SigningKey struct {
	ID           string    `json:"kid"`
	Algorithm    string    `json:"algorithm"`
	Shared       bool      `json:"shared"`
	Hardware     bool      `json:"hardware"`
	State        string    `json:"state"`
	Created      time.Time `json:"created"`
	SignFrom     time.Time `json:"signFrom"`
	SignUntil    time.Time `json:"signUntil"`
	PublishUntil time.Time `json:"publishUntil"`
}

// SigningKeys returns the provider's own keys and the shared ones.
func (c *Client) SigningKeys(ctx context.Context) ([]SigningKey, error) {
	var l list[SigningKey]
	err := c.call(ctx, http.MethodGet, "/signingkeys", nil, &l)
	return l.Value, err
}

// RotateKey makes the next key. With now it signs at once.
func (c *Client) RotateKey(ctx context.Context, algorithm string, now bool) (*SigningKey, error) {
	var k SigningKey
	err := c.call(ctx, http.MethodPost, "/signingkeys:rotate",
		map[string]any{"algorithm": algorithm, "now": now}, &k)
	if err != nil {
		return nil, err
	}
	return &k, nil
}

// RetireKey ends a key at once: tokens that it signed are refused from then on.
func (c *Client) RetireKey(ctx context.Context, id string) error {
	return c.call(ctx, http.MethodPost, "/signingkeys:retire", map[string]string{"kid": id}, &struct{}{})
}

// StaticToken is a static bearer token without its secret.
type StaticToken struct {
	Name      string    `json:"name"`
	Role      string    `json:"role"`
	Providers []string  `json:"providers"`
	Created   time.Time `json:"created,omitzero"`
	CreatedBy string    `json:"createdBy,omitzero"`
	Expires   time.Time `json:"expires,omitzero"`
}

// Tokens returns the static tokens.
func (c *Client) Tokens(ctx context.Context) ([]StaticToken, error) {
	var l list[StaticToken]
	err := c.call(ctx, http.MethodGet, "/tokens", nil, &l)
	return l.Value, err
}

// CreateToken makes a static token and returns its secret, which cannot be read
// again.
func (c *Client) CreateToken(ctx context.Context, t StaticToken) (string, error) {
	var answer struct {
		Token string `json:"token"`
	}
	err := c.call(ctx, http.MethodPost, "/tokens",
		StaticToken{Name: t.Name, Role: t.Role, Providers: t.Providers, Expires: t.Expires}, &answer)
	return answer.Token, err
}

// RevokeToken removes a static token.
func (c *Client) RevokeToken(ctx context.Context, name string) error {
	return c.call(ctx, http.MethodDelete, "/tokens/"+url.PathEscape(name), nil, &struct{}{})
}

// LedgerPage is a part of a ledger.
type LedgerPage struct {
	Value []jsontext.Value `json:"value"`
	// Size is the ledger's, Next the row to go on from, if there is more.
	Size int64  `json:"size"`
	Next *int64 `json:"next"`
}

// Ledger returns entries that match the query: from, last, limit, type, kind,
// outcome, check, evidence, token, by, action, request.
func (c *Client) Ledger(ctx context.Context, query map[string]string) (*LedgerPage, error) {
	q := url.Values{}
	for name, value := range query {
		if value != "" {
			q.Set(name, value)
		}
	}
	var p LedgerPage
	if err := c.call(ctx, http.MethodGet, "/ledger?"+q.Encode(), nil, &p); err != nil {
		return nil, err
	}
	return &p, nil
}

// ExportLedger copies the whole ledger as NDJSON to w.
func (c *Client) ExportLedger(ctx context.Context, w io.Writer) error {
	patient := *c
	unbound := *c.http
	unbound.Timeout = 0 // a ledger may be long; ctx bounds it
	patient.http = &unbound
	resp, err := patient.send(ctx, http.MethodGet, c.base+"/ledger/export", nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
		return asError(resp.StatusCode, b)
	}
	_, err = io.Copy(w, resp.Body)
	return err
}

// Checkpoint is the newest checkpoint of a ledger, and what verifies it.
type Checkpoint struct {
	Verifier   string `json:"verifier"`
	Size       int64  `json:"size"`
	Checkpoint string `json:"checkpoint"`
	// Cosigned is the newest checkpoint that a witness signed too, CosignedSize its
	// size; empty without a witness.
	Cosigned     string `json:"cosigned,omitzero"`
	CosignedSize int64  `json:"cosignedSize,omitzero"`
}

// Checkpoint returns the newest checkpoint.
func (c *Client) Checkpoint(ctx context.Context) (*Checkpoint, error) {
	var p Checkpoint
	if err := c.call(ctx, http.MethodGet, "/ledger/checkpoint", nil, &p); err != nil {
		return nil, err
	}
	return &p, nil
}

// Proof returns the proof that an entry is in the ledger, as JSON.
func (c *Client) Proof(ctx context.Context, seq int64) (jsontext.Value, error) {
	var p jsontext.Value
	err := c.call(ctx, http.MethodGet, "/ledger/proof/"+strconv.FormatInt(seq, 10), nil, &p)
	return p, err
}
