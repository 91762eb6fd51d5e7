package server

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/appraisal"
	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/internal/provider"
	"github.com/probity-dev/probity/internal/store"
	"github.com/probity-dev/probity/policy"
	"github.com/probity-dev/probity/policy/policyjws"
	"github.com/probity-dev/probity/token"
	"github.com/probity-dev/probity/wording/jsonerror"
)

// getPolicy answers GET /policies/{type}.
func (s *Server) getPolicy(w http.ResponseWriter, _ *http.Request, c *call) error {
	in := c.provider.Policy(c.kind)
	w.Header().Set("ETag", etag(in.Version))
	return s.answer(w, c, map[string]any{"x-ms-policy": in.Submitted.JWS})
}

func etag(version int64) string { return `"` + strconv.FormatInt(version, 10) + `"` }

// ifMatch reads the version that the caller wants to replace.
func ifMatch(r *http.Request) (*int64, error) {
	values := r.Header.Values("If-Match")
	if len(values) == 0 || len(values) == 1 && values[0] == "*" {
		return nil, nil
	}
	// A list, or a weak tag, which never matches (RFC 9110, section 13.1.1), is a mistake.
	if len(values) > 1 || !entityTag.MatchString(values[0]) {
		return nil, badRequest(provider.CheckMatch, `If-Match with one ETag of this service, or *`, fmt.Sprintf("%.40q", strings.Join(values, ", ")),
			"send the ETag of the answer that was read, or leave If-Match out")
	}
	n, err := strconv.ParseInt(strings.Trim(values[0], `"`), 10, 64)
	return &n, err
}

// answer sends a management token.
func (s *Server) answer(w http.ResponseWriter, c *call, members map[string]any) error {
	signers, err := c.provider.Signers(s.cfg.Now())
	if err != nil {
		return err
	}
	payload, err := token.Management(c.provider.URL, s.cfg.Now(), members)
	if err != nil {
		return err
	}
	signed, err := signers.Sign.Sign(payload)
	if err != nil {
		return err
	}
	return writeJSON(w, map[string]string{"token": signed})
}

// submitted reads the body of a policy change: a compact JWS, bare or as a JSON
// string, whatever the content type says.
func (s *Server) submitted(w http.ResponseWriter, r *http.Request) (string, error) {
	body, err := s.readBody(w, r)
	if err != nil {
		return "", err
	}
	body = bytes.Trim(body, " \t\r\n")
	if len(body) == 0 {
		return "", invalidOperation("the body is empty; send the policy as a JWS")
	}
	if body[0] != '"' {
		return string(body), nil
	}
	var text string
	if err := json.Unmarshal(body, &text); err != nil {
		return "", invalidOperation("the body begins like a JSON string and is none")
	}
	return strings.Trim(text, " \t\r\n"), nil
}

func invalidOperation(found string) *apiError {
	return failed(http.StatusBadRequest, codeInvalidOperation, CheckPolicyJWS.FailedWith(`a compact JWS with the payload {"AttestationPolicy": base64url(text)}`,
		found, "let the SDK make the body, or use probity policy sign"))
}

// putPolicy answers PUT /policies/{type}.
func (s *Server) putPolicy(w http.ResponseWriter, r *http.Request, c *call) error {
	return s.changePolicy(w, r, c, store.PolicySet)
}

// resetPolicy answers POST /policies/{type}:reset.
func (s *Server) resetPolicy(w http.ResponseWriter, r *http.Request, c *call) error {
	return s.changePolicy(w, r, c, store.PolicyReset)
}

func (s *Server) changePolicy(w http.ResponseWriter, r *http.Request, c *call, action string) error {
	jws, err := s.submitted(w, r)
	if err != nil {
		return err
	}
	match, err := ifMatch(r)
	if err != nil {
		return err
	}
	in, err := s.cfg.Registry.Change(r.Context(), provider.PolicyChange{Provider: c.provider.Name, Kind: c.kind, Action: action, JWS: jws, Match: match, By: c.by()})
	if action == store.PolicyReset && errors.Is(err, policyjws.ErrFormat) {
		return failed(http.StatusBadRequest, codeInvalidOperation, CheckPolicyJWS.FailedWith("a compact JWS with an empty payload",
			err.Error(), "let the SDK make the body, or use probity policy reset"))
	}
	if err != nil {
		return err
	}
	return s.policyChanged(w, c, in)
}

// policyChanged answers with what a change did.
func (s *Server) policyChanged(w http.ResponseWriter, c *call, in *provider.Done) error {
	w.Header().Set("ETag", etag(in.Version))
	if in.Action == store.PolicyReset {
		return s.answer(w, c, map[string]any{"x-ms-policy-result": "Removed"})
	}
	members := map[string]any{"x-ms-policy-result": "Updated", "x-ms-policy-token-hash": in.Submitted.Hash()}
	if key := in.Submitted.SignerKey(); key != nil {
		members["x-ms-policy-signer"] = key
	}
	return s.answer(w, c, members)
}

// policyVersion is one row of a policy's history.
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
	return policyVersion{Version: p.Version, Action: p.Action, By: p.By, Signer: p.Signer, From: p.From, At: p.At, JWS: p.JWS, Altered: p.Altered}
}

// policyHistory answers GET /policies/{type}/versions, the newest first.
func (s *Server) policyHistory(w http.ResponseWriter, r *http.Request, c *call) error {
	history, err := s.cfg.Store.PolicyHistory(r.Context(), c.provider.Name, string(c.kind))
	if err != nil {
		return err
	}
	list := []policyVersion{}
	for _, p := range history {
		list = append(list, versionOf(p))
	}
	return writeJSON(w, map[string]any{"value": list})
}

// policyVersion answers GET /policies/{type}/versions/{version}.
func (s *Server) policyVersion(w http.ResponseWriter, r *http.Request, c *call) error {
	n, err := strconv.ParseInt(c.params["version"], 10, 64)
	if err != nil {
		return err // its form was checked
	}
	p, err := s.cfg.Registry.Version(r.Context(), c.provider.Name, c.kind, n)
	if err != nil {
		return err
	}
	out := versionOf(p)
	if submitted, err := policyjws.Parse(p.JWS); err == nil {
		out.Text = submitted.Text
	}
	return writeJSON(w, out)
}

// rollbackPolicy answers POST /policies/{type}:rollback.
func (s *Server) rollbackPolicy(w http.ResponseWriter, r *http.Request, c *call) error {
	var in struct {
		Version int64 `json:"version"`
	}
	if err := s.readJSON(w, r, &in); err != nil {
		return err
	}
	match, err := ifMatch(r)
	if err != nil {
		return err
	}
	p, err := s.cfg.Registry.Rollback(r.Context(), c.provider.Name, c.kind, in.Version, match, c.by())
	if err != nil {
		return err
	}
	return s.policyChanged(w, c, p)
}

// readJSON reads a body strictly.
func (s *Server) readJSON(w http.ResponseWriter, r *http.Request, v any) error {
	body, err := s.readBody(w, r)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, v, json.RejectUnknownMembers(true)); err != nil {
		return badRequest(CheckBody, "a JSON object as the documentation of the route has it", jsonerror.Text(err), "compare the body with the documentation of the route")
	}
	return refuseNull(body, anyMember)
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
	return proposal{p.ID, p.Kind, p.Action, p.JWS, provider.Differences(t.Provider, p), p.Approvals, t.Settings.Approvals, p.Created, p.Expires}
}

// proposals answers GET /proposals.
func (s *Server) proposals(w http.ResponseWriter, r *http.Request, c *call) error {
	waiting, err := s.cfg.Store.Proposals(r.Context(), c.provider.Name)
	if err != nil {
		return err
	}
	list := []proposal{}
	for _, p := range waiting {
		if s.cfg.Now().Before(p.Expires) {
			list = append(list, proposalOf(c.provider, p))
		}
	}
	return writeJSON(w, map[string]any{"value": list})
}

// approve answers POST /proposals/{proposal}:approve.
func (s *Server) approve(w http.ResponseWriter, r *http.Request, c *call) error {
	in, err := s.cfg.Registry.Approve(r.Context(), c.provider.Name, c.params["proposal"], c.by())
	if err != nil {
		return err
	}
	if in.Submitted == nil {
		return writeJSON(w, map[string]string{"status": "approved"})
	}
	return s.policyChanged(w, c, in)
}

// reject answers DELETE /proposals/{proposal}.
func (s *Server) reject(w http.ResponseWriter, r *http.Request, c *call) error {
	if err := s.cfg.Registry.Reject(r.Context(), c.provider.Name, c.params["proposal"], c.by()); err != nil {
		return err
	}
	return writeJSON(w, map[string]string{"status": "rejected"})
}

// CheckBaseline refuses a policy that pins a TCB baseline of which there is no
// collateral: no evidence could pass it.
func CheckBaseline(in *provider.PolicyInForce, baselines func() []collateral.About) error {
	settings, err := in.Policy.Settings()
	if err != nil {
		return err
	}
	value, pinned := settings["x-ms-sgx-tcbidentifier"]
	text, _ := value.Text()
	if !pinned || text == "azuredefault" {
		return nil
	}
	var held []string
	for _, about := range baselines() {
		n := strconv.FormatUint(uint64(about.EvaluationNumber), 10)
		if n == text {
			return nil
		}
		if !slices.Contains(held, n) {
			held = append(held, n)
		}
	}
	return badRequest(appraisal.CheckTCBIdentifier, "azuredefault, or a TCB evaluation data number with collateral: "+strings.Join(held, ", "), value.String(),
		"provide collateral of that number first")
}

// getCertificates answers GET /certificates.
func (s *Server) getCertificates(w http.ResponseWriter, _ *http.Request, c *call) error {
	keys := append([]jsontext.Value{}, c.provider.Provider.Signers...)
	return s.answer(w, c, map[string]any{"x-ms-policy-certificates": map[string]any{"keys": keys}})
}

func (s *Server) addCertificate(w http.ResponseWriter, r *http.Request, c *call) error {
	return s.changeCertificate(w, r, c, true)
}

func (s *Server) removeCertificate(w http.ResponseWriter, r *http.Request, c *call) error {
	return s.changeCertificate(w, r, c, false)
}

// changeCertificate answers POST /certificates:add and :remove. The signed
// request comes bare, as a JSON string, or as a member of an object.
func (s *Server) changeCertificate(w http.ResponseWriter, r *http.Request, c *call, add bool) error {
	jws, err := s.submitted(w, r)
	if err != nil {
		return err
	}
	if strings.HasPrefix(jws, "{") {
		if jws, err = certificateMember(jws); err != nil {
			return err
		}
	}
	thumbprint, err := s.cfg.Registry.ChangeCertificate(r.Context(), c.provider.Name, jws, add, c.by())
	if errors.Is(err, policyjws.ErrFormat) {
		return failed(http.StatusBadRequest, codeInvalidOperation, CheckPolicyJWS.FailedWith(`a compact JWS with the payload {"policyCertificate": JSON Web Key with x5c}, signed by a registered certificate`,
			err.Error(), "let the SDK make the body, or use probity policy signers add and remove"))
	}
	if err != nil {
		return err
	}
	result := "IsAbsent"
	if add {
		result = "IsPresent"
	}
	return s.answer(w, c, map[string]any{"x-ms-certificate-thumbprint": thumbprint, "x-ms-policycertificates-result": result})
}

// certificateMember returns the JWS out of an object, as some clients send it.
func certificateMember(body string) (string, error) {
	var members struct {
		Add         *string `json:"policyCertificateToAdd"`
		Remove      *string `json:"policyCertificateToRemove"`
		Certificate *string `json:"certificate"`
	}
	refuse := func(expected, found string) error {
		return failed(http.StatusBadRequest, codeInvalidOperation, CheckBody.FailedWith(expected,
			found, "send the signed request as one of policyCertificateToAdd, policyCertificateToRemove and certificate, or as the whole body"))
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

// traceDetails explains a denial rule by rule, if the provider lets clients
// see its policy's inside.
func traceDetails(t *provider.Provider, e *apiError, trace *policy.Trace) *apiError {
	if !t.Explain {
		return e
	}
	for _, r := range trace.Report().Rules {
		if r.Section == policy.Authorization {
			found := "matched"
			if !r.Matched {
				found = r.Failed
			} else if r.Because != "" {
				found = "matched: " + r.Because
			}
			e.details = append(e.details, detail{Code: "policy.rule", Message: fmt.Sprintf("rule %d (line %d, %s): %s", r.Rule, r.Line, r.Action, found),
				Check: "policy.rule", Expected: r.Action, Found: found, Line: r.Line})
		}
	}
	return e
}
