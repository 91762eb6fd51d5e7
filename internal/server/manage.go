package server

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/internal/auth"
	"github.com/probity-dev/probity/internal/keys"
	"github.com/probity-dev/probity/internal/store"
	"github.com/probity-dev/probity/token"
)

// notFound turns what is not there into an answer.
func notFound(err error, check *evidence.Definition, expected, found string) error {
	if !errors.Is(err, store.ErrNotFound) {
		return err
	}
	return failed(http.StatusNotFound, codeNotFound, check.FailedWith(expected, found, "compare it with the list"))
}

// signingKey is one row of GET /signingkeys. Nothing secret is in it.
type signingKey struct {
	ID           string    `json:"kid"`
	Algorithm    string    `json:"algorithm"`
	Shared       bool      `json:"shared"`
	Hardware     bool      `json:"hardware,omitzero"`
	State        string    `json:"state"`
	Created      time.Time `json:"created"`
	SignFrom     time.Time `json:"signFrom,omitzero"`
	SignUntil    time.Time `json:"signUntil,omitzero"`
	PublishUntil time.Time `json:"publishUntil,omitzero"`
}

// listKeys answers GET /signingkeys: the provider's own keys and the shared ones.
func (s *Server) listKeys(w http.ResponseWriter, r *http.Request, c *call) error {
	records, err := s.cfg.Store.SigningKeys(r.Context())
	if err != nil {
		return err
	}
	now := s.cfg.Now()
	list := []signingKey{}
	for _, k := range records {
		if k.Provider != "" && k.Provider != c.provider.Name || k.Algorithm != "" && !slices.Contains(token.Algorithms(), k.Algorithm) {
			continue
		}
		row := signingKey{ID: k.ID, Algorithm: k.Algorithm, Shared: k.Provider == "", Hardware: k.Label != "", State: "signing", Created: k.Created,
			SignFrom: k.SignFrom, SignUntil: k.SignUntil, PublishUntil: k.PublishUntil}
		if row.SignFrom.IsZero() { // a key of the first versions
			row.SignFrom = k.Created
		}
		if row.Algorithm == "" {
			row.Algorithm = keys.DefaultAlgorithm
		}
		switch {
		case now.Before(k.SignFrom):
			row.State = "published"
		case !k.PublishUntil.IsZero() && !now.Before(k.PublishUntil):
			row.State = "retired"
		case !k.SignUntil.IsZero() && !now.Before(k.SignUntil):
			row.State = "retiring"
		}
		list = append(list, row)
	}
	return writeJSON(w, map[string]any{"value": list})
}

// rotateKey answers POST /signingkeys:rotate. The shared keys are rotated on the
// service's own address, by owners of everything.
func (s *Server) rotateKey(w http.ResponseWriter, r *http.Request, c *call) error {
	var in struct {
		Algorithm *string `json:"algorithm"`
		// Now begins to sign at once, with no time for relying parties to learn of
		// the key.
		Now bool `json:"now"`
	}
	if err := s.readJSON(w, r, &in); err != nil {
		return err
	}
	algorithm := cmp.Or(c.provider.Settings.Algorithm, keys.DefaultAlgorithm)
	if in.Algorithm != nil {
		algorithm = *in.Algorithm
	}
	whose := c.provider.Name
	if whose == store.DefaultProvider {
		whose = ""
		if !c.caller.May(owner, auth.Everywhere) {
			return failed(http.StatusForbidden, codeForbidden, CheckRole.FailedWith("the role owner at all providers, which share these keys",
				"a caller without it: "+c.caller.Name, "let an owner of all providers rotate the shared keys"))
		}
	}
	rotation := s.cfg.Rotation
	if in.Now {
		rotation.Ahead = 0
	}
	next, err := s.cfg.Registry.RotateKey(r.Context(), whose, algorithm, rotation, c.by())
	if err != nil {
		return err
	}
	return writeJSON(w, map[string]any{"kid": next.ID, "algorithm": next.Algorithm, "signFrom": next.SignFrom})
}

// retireKey answers POST /signingkeys:retire.
func (s *Server) retireKey(w http.ResponseWriter, r *http.Request, c *call) error {
	var in struct {
		ID string `json:"kid"`
	}
	if err := s.readJSON(w, r, &in); err != nil {
		return err
	}
	k, err := s.cfg.Registry.RetireKey(r.Context(), in.ID, c.by())
	if err != nil {
		return err
	}
	return writeJSON(w, map[string]any{"kid": k.ID, "publishUntil": k.PublishUntil})
}

// listTokens answers GET /tokens.
func (s *Server) listTokens(w http.ResponseWriter, r *http.Request, _ *call) error {
	tokens, err := s.cfg.Store.Tokens(r.Context())
	if err != nil {
		return err
	}
	list := []map[string]any{}
	for _, t := range tokens {
		row := map[string]any{"name": t.Name, "role": t.Role, "providers": t.Providers, "created": t.Created, "createdBy": t.CreatedBy}
		if !t.Expires.IsZero() {
			row["expires"] = t.Expires
		}
		list = append(list, row)
	}
	return writeJSON(w, map[string]any{"value": list})
}

// createToken answers POST /tokens: the one time that the token is seen.
func (s *Server) createToken(w http.ResponseWriter, r *http.Request, c *call) error {
	var in struct {
		Name      string    `json:"name"`
		Role      string    `json:"role"`
		Providers []string  `json:"providers"`
		Expires   time.Time `json:"expires"`
	}
	if err := s.readJSON(w, r, &in); err != nil {
		return err
	}
	secret, err := s.cfg.Registry.NewToken(r.Context(), in.Name, in.Role, in.Providers, in.Expires, c.by())
	if err != nil {
		return err
	}
	return writeJSON(w, map[string]any{"name": in.Name, "token": secret})
}

// revokeToken answers DELETE /tokens/{token}.
func (s *Server) revokeToken(w http.ResponseWriter, r *http.Request, c *call) error {
	if err := s.cfg.Registry.RevokeToken(r.Context(), c.params["token"], c.by()); err != nil {
		return err
	}
	return writeJSON(w, map[string]string{"status": "revoked"})
}

// bound reads a number of the query within bounds.
func bound(r *http.Request, name string, standard, least, most int64) (int64, error) {
	text, sent, err := queryText(r, name, number)
	if err != nil || !sent {
		return standard, err
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < least || n > most {
		return 0, badRequest(CheckQuery, fmt.Sprintf("%s from %d to %d", name, least, most), fmt.Sprintf("%.40q", text), "correct the query parameter")
	}
	return n, nil
}
