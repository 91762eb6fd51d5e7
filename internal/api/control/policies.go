package control

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/internal/api/edge"
	"github.com/probity-dev/probity/internal/provider"
	"github.com/probity-dev/probity/internal/store"
	"github.com/probity-dev/probity/policy/policyjws"
	"github.com/probity-dev/probity/token"
	"github.com/probity-dev/probity/wording/jsonerror"
)

// GetPolicy answers GET /policies/{type}.
func (p *Plane) GetPolicy(w http.ResponseWriter, _ *http.Request, c *edge.Call) error {
	in := c.Provider.Policy(c.Kind)
	w.Header().Set("ETag", etag(in.Version))
	return p.answer(w, c, map[string]any{"x-ms-policy": in.Submitted.JWS})
}

func etag(version int64) string { return `"` + strconv.FormatInt(version, 10) + `"` }

// An ETag is in quotes (RFC 9110, section 8.8.3); many tools drop them.
var entityTag = regexp.MustCompile(`^(?:(?:0|[1-9][0-9]{0,17})|"(?:0|[1-9][0-9]{0,17})")$`)

// ifMatch reads the version that the caller wants to replace.
func ifMatch(r *http.Request) (*int64, error) {
	values := r.Header.Values("If-Match")
	if len(values) == 0 || len(values) == 1 && values[0] == "*" {
		return nil, nil
	}
	// A list, or a weak tag, which never matches (RFC 9110, section 13.1.1), is a mistake.
	if len(values) > 1 || !entityTag.MatchString(values[0]) {
		return nil, edge.BadRequest(provider.CheckMatch, `If-Match with one ETag of this service, or *`,
			fmt.Sprintf("%.40q", strings.Join(values, ", ")),
			"send the ETag of the answer that was read, or leave If-Match out")
	}
	n, err := strconv.ParseInt(strings.Trim(values[0], `"`), 10, 64)
	return &n, err
}

// answer sends a management token.
func (p *Plane) answer(w http.ResponseWriter, c *edge.Call, members map[string]any) error {
	signers, err := c.Provider.Signers(p.Now())
	if err != nil {
		return err
	}
	payload, err := token.Management(c.Provider.URL, p.Now(), members)
	if err != nil {
		return err
	}
	signed, err := signers.Sign.Sign(payload)
	if err != nil {
		return err
	}
	return edge.WriteJSON(w, map[string]string{"token": signed})
}

// submitted reads the body of a policy change: a compact JWS, bare or as a JSON
// string, whatever the content type says.
func (p *Plane) submitted(w http.ResponseWriter, r *http.Request) (string, error) {
	body, err := p.Bodies.Read(w, r)
	if err != nil {
		return "", err
	}
	body = bytes.Trim(body, " \t\r\n")
	if len(body) == 0 {
		return "", edge.InvalidOperation("the body is empty; send the policy as a JWS")
	}
	if body[0] != '"' {
		return string(body), nil
	}
	var text string
	if err := json.Unmarshal(body, &text); err != nil {
		return "", edge.InvalidOperation("the body begins like a JSON string and is none")
	}
	return strings.Trim(text, " \t\r\n"), nil
}

// PutPolicy answers PUT /policies/{type}.
func (p *Plane) PutPolicy(w http.ResponseWriter, r *http.Request, c *edge.Call) error {
	return p.changePolicy(w, r, c, store.PolicySet)
}

// ResetPolicy answers POST /policies/{type}:reset.
func (p *Plane) ResetPolicy(w http.ResponseWriter, r *http.Request, c *edge.Call) error {
	return p.changePolicy(w, r, c, store.PolicyReset)
}

func (p *Plane) changePolicy(w http.ResponseWriter, r *http.Request, c *edge.Call, action string) error {
	jws, err := p.submitted(w, r)
	if err != nil {
		return err
	}
	match, err := ifMatch(r)
	if err != nil {
		return err
	}
	in, err := p.Registry.Change(r.Context(), provider.PolicyChange{
		Provider: c.Provider.Name, Kind: c.Kind, Action: action, JWS: jws, Match: match, By: c.By(),
	})
	if action == store.PolicyReset && errors.Is(err, policyjws.ErrFormat) {
		return edge.Failed(http.StatusBadRequest, edge.CodeInvalidOperation,
			edge.CheckPolicyJWS.FailedWith("a compact JWS with an empty payload",
				err.Error(), "let the SDK make the body, or use probity policy reset"))
	}
	if err != nil {
		return err
	}
	return p.policyChanged(w, c, in)
}

// policyChanged answers with what a change did.
func (p *Plane) policyChanged(w http.ResponseWriter, c *edge.Call, in *provider.Done) error {
	w.Header().Set("ETag", etag(in.Version))
	if in.Action == store.PolicyReset {
		return p.answer(w, c, map[string]any{"x-ms-policy-result": "Removed"})
	}
	members := map[string]any{"x-ms-policy-result": "Updated", "x-ms-policy-token-hash": in.Submitted.Hash()}
	if key := in.Submitted.SignerKey(); key != nil {
		members["x-ms-policy-signer"] = key
	}
	return p.answer(w, c, members)
}

// PolicyVersion is one row of a policy's history.
type policyVersion struct {
	Version int64     `json:"version"`
	Action  string    `json:"action"`
	By      string    `json:"by"`
	Signer  string    `json:"signer,omitzero"`
	From    int64     `json:"rolledBackTo,omitzero"`
	At      time.Time `json:"at"`
	JWS     string    `json:"jws,omitzero"`
	Text    string    `json:"policy,omitzero"`
	// Altered says that the row in the database is not the one that was written.
	Altered bool `json:"altered,omitzero"`
}

func versionOf(p store.PolicyVersion) policyVersion {
	return policyVersion{
		Version: p.Version, Action: p.Action, By: p.By, Signer: p.Signer, From: p.From, At: p.At,
		JWS: p.JWS, Altered: p.Altered,
	}
}

// PolicyHistory answers GET /policies/{type}/versions, the newest first.
func (p *Plane) PolicyHistory(w http.ResponseWriter, r *http.Request, c *edge.Call) error {
	history, err := p.Store.PolicyHistory(r.Context(), c.Provider.Name, string(c.Kind))
	if err != nil {
		return err
	}
	list := []policyVersion{}
	for _, version := range history {
		list = append(list, versionOf(version))
	}
	return edge.WriteJSON(w, map[string]any{"value": list})
}

// PolicyVersion answers GET /policies/{type}/versions/{version}.
func (p *Plane) PolicyVersion(w http.ResponseWriter, r *http.Request, c *edge.Call) error {
	n, err := strconv.ParseInt(c.Params["version"], 10, 64)
	if err != nil {
		return err // its form was checked
	}
	version, err := p.Registry.Version(r.Context(), c.Provider.Name, c.Kind, n)
	if err != nil {
		return err
	}
	out := versionOf(version)
	if submitted, err := policyjws.Parse(version.JWS); err == nil {
		out.Text = submitted.Text
	}
	return edge.WriteJSON(w, out)
}

// RollbackPolicy answers POST /policies/{type}:rollback.
func (p *Plane) RollbackPolicy(w http.ResponseWriter, r *http.Request, c *edge.Call) error {
	var in struct {
		Version int64 `json:"version"`
	}
	if err := p.Bodies.ReadJSON(w, r, &in); err != nil {
		return err
	}
	match, err := ifMatch(r)
	if err != nil {
		return err
	}
	done, err := p.Registry.Rollback(r.Context(), c.Provider.Name, c.Kind, in.Version, match, c.By())
	if err != nil {
		return err
	}
	return p.policyChanged(w, c, done)
}

// proposal is a change that waits for approvals.
type proposal struct {
	ID        string                `json:"id"`
	Type      string                `json:"type,omitzero"`
	Action    string                `json:"action"`
	JWS       string                `json:"jws,omitzero"`
	Changes   []provider.Difference `json:"changes,omitzero"`
	Approvals []string              `json:"approvals"`
	Needed    int                   `json:"needed"`
	Created   time.Time             `json:"created"`
	Expires   time.Time             `json:"expires"`
}

func proposalOf(t *provider.Provider, p store.Proposal) proposal {
	return proposal{p.ID, p.Kind, p.Action, p.JWS, provider.Differences(t.Provider,
		p), p.Approvals, t.Settings.Approvals, p.Created, p.Expires}
}

// Proposals answers GET /proposals.
func (p *Plane) Proposals(w http.ResponseWriter, r *http.Request, c *edge.Call) error {
	waiting, err := p.Store.Proposals(r.Context(), c.Provider.Name)
	if err != nil {
		return err
	}
	list := []proposal{}
	for _, one := range waiting {
		if p.Now().Before(one.Expires) {
			list = append(list, proposalOf(c.Provider, one))
		}
	}
	return edge.WriteJSON(w, map[string]any{"value": list})
}

// Approve answers POST /proposals/{proposal}:approve.
func (p *Plane) Approve(w http.ResponseWriter, r *http.Request, c *edge.Call) error {
	in, err := p.Registry.Approve(r.Context(), c.Provider.Name, c.Params["proposal"], c.By())
	if err != nil {
		return err
	}
	if in.Submitted == nil {
		return edge.WriteJSON(w, map[string]string{"status": "approved"})
	}
	return p.policyChanged(w, c, in)
}

// Reject answers DELETE /proposals/{proposal}.
func (p *Plane) Reject(w http.ResponseWriter, r *http.Request, c *edge.Call) error {
	if err := p.Registry.Reject(r.Context(), c.Provider.Name, c.Params["proposal"], c.By()); err != nil {
		return err
	}
	return edge.WriteJSON(w, map[string]string{"status": "rejected"})
}

// GetCertificates answers GET /certificates.
func (p *Plane) GetCertificates(w http.ResponseWriter, _ *http.Request, c *edge.Call) error {
	keys := append([]jsontext.Value{}, c.Provider.Provider.Signers...)
	return p.answer(w, c, map[string]any{"x-ms-policy-certificates": map[string]any{"keys": keys}})
}

func (p *Plane) AddCertificate(w http.ResponseWriter, r *http.Request, c *edge.Call) error {
	return p.changeCertificate(w, r, c, true)
}

func (p *Plane) RemoveCertificate(w http.ResponseWriter, r *http.Request, c *edge.Call) error {
	return p.changeCertificate(w, r, c, false)
}

// changeCertificate answers POST /certificates:add and :remove. The signed
// request comes bare, as a JSON string, or as a member of an object.
func (p *Plane) changeCertificate(w http.ResponseWriter, r *http.Request, c *edge.Call, add bool) error {
	jws, err := p.submitted(w, r)
	if err != nil {
		return err
	}
	if strings.HasPrefix(jws, "{") {
		if jws, err = certificateMember(jws); err != nil {
			return err
		}
	}
	thumbprint, err := p.Registry.ChangeCertificate(r.Context(), c.Provider.Name, jws, add, c.By())
	if errors.Is(err, policyjws.ErrFormat) {
		return edge.Failed(http.StatusBadRequest, edge.CodeInvalidOperation, edge.CheckPolicyJWS.FailedWith(
			`a compact JWS with the payload {"policyCertificate": JSON Web Key with x5c}, `+
				`signed by a registered certificate`,
			err.Error(), "let the SDK make the body, or use probity policy signers add and remove",
		))
	}
	if err != nil {
		return err
	}
	result := "IsAbsent"
	if add {
		result = "IsPresent"
	}
	return p.answer(w, c,
		map[string]any{"x-ms-certificate-thumbprint": thumbprint, "x-ms-policycertificates-result": result})
}

// certificateMember returns the JWS out of an object, as some clients send it.
func certificateMember(body string) (string, error) {
	var members struct {
		Add         *string `json:"policyCertificateToAdd"`
		Remove      *string `json:"policyCertificateToRemove"`
		Certificate *string `json:"certificate"`
	}
	refuse := func(expected, found string) error {
		return edge.Failed(http.StatusBadRequest, edge.CodeInvalidOperation, edge.CheckBody.FailedWith(expected,
			found, "send the signed request as one of policyCertificateToAdd, "+
				"policyCertificateToRemove and certificate, or as the whole body"))
	}
	if err := json.Unmarshal([]byte(body), &members); err != nil {
		return "", refuse("a JSON object with the signed request as a string", jsonerror.Text(err))
	}
	var found []*string
	for _, member := range []*string{members.Add, members.Remove, members.Certificate} {
		if member != nil {
			found = append(found, member)
		}
	}
	if len(found) != 1 {
		return "", refuse("one member with the signed request", strconv.Itoa(len(found))+" such members")
	}
	return *found[0], nil
}
