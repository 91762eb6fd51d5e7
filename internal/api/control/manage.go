package control

import (
	"cmp"
	"errors"
	"net/http"
	"time"

	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/internal/api/edge"
	"github.com/probity-dev/probity/internal/auth"
	"github.com/probity-dev/probity/internal/keys"
	"github.com/probity-dev/probity/internal/store"
)

// notFound turns what is not there into an answer.
func notFound(err error, check *evidence.Definition, expected, found string) error {
	if !errors.Is(err, store.ErrNotFound) {
		return err
	}
	return edge.Failed(http.StatusNotFound, edge.CodeNotFound,
		check.FailedWith(expected, found, "compare it with the list"))
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

// ListKeys answers GET /signingkeys: the provider's own keys and the shared ones.
func (p *Plane) ListKeys(w http.ResponseWriter, r *http.Request, c *edge.Call) error {
	records, err := p.Store.SigningKeys(r.Context())
	if err != nil {
		return err
	}
	now := p.Now()
	list := []signingKey{}
	for _, k := range records {
		if k.Provider != "" && k.Provider != c.Provider.Name {
			continue
		}
		row := signingKey{
			ID: k.ID, Algorithm: k.Algorithm, Shared: k.Provider == "", Hardware: k.Label != "",
			State: "signing", Created: k.Created,
			SignFrom: k.SignFrom, SignUntil: k.SignUntil,
			PublishUntil: k.PublishUntil,
		}
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
	return edge.WriteJSON(w, map[string]any{"value": list})
}

// RotateKey answers POST /signingkeys:rotate. The shared keys are rotated on the
// service's own address, by owners of everything.
func (p *Plane) RotateKey(w http.ResponseWriter, r *http.Request, c *edge.Call) error {
	var in struct {
		Algorithm *string `json:"algorithm"`
		// Now begins to sign at once, with no time for relying parties to learn of
		// the key.
		Now bool `json:"now"`
	}
	if err := p.Bodies.ReadJSON(w, r, &in); err != nil {
		return err
	}
	algorithm := cmp.Or(c.Provider.Settings.Algorithm, keys.DefaultAlgorithm)
	if in.Algorithm != nil {
		algorithm = *in.Algorithm
	}
	whose := c.Provider.Name
	if whose == store.DefaultProvider {
		whose = ""
		if !c.Caller.May(auth.Owner, auth.Everywhere) {
			return edge.Failed(http.StatusForbidden, edge.CodeForbidden,
				edge.CheckRole.FailedWith("the role owner at all providers, which share these keys",
					"a caller without it: "+c.Caller.Name, "let an owner of all providers rotate the shared keys"))
		}
	}
	rotation := p.Rotation
	if in.Now {
		rotation.Ahead = 0
	}
	next, err := p.Registry.RotateKey(r.Context(), whose, algorithm, rotation, c.By())
	if err != nil {
		return err
	}
	return edge.WriteJSON(w,
		map[string]any{"kid": next.ID, "algorithm": next.Algorithm, "signFrom": next.SignFrom})
}

// RetireKey answers POST /signingkeys:retire.
func (p *Plane) RetireKey(w http.ResponseWriter, r *http.Request, c *edge.Call) error {
	var in struct {
		ID string `json:"kid"`
	}
	if err := p.Bodies.ReadJSON(w, r, &in); err != nil {
		return err
	}
	k, err := p.Registry.RetireKey(r.Context(), in.ID, c.By())
	if err != nil {
		return err
	}
	return edge.WriteJSON(w, map[string]any{"kid": k.ID, "publishUntil": k.PublishUntil})
}

// ListTokens answers GET /tokens.
func (p *Plane) ListTokens(w http.ResponseWriter, r *http.Request, _ *edge.Call) error {
	tokens, err := p.Store.Tokens(r.Context())
	if err != nil {
		return err
	}
	list := []map[string]any{}
	for _, t := range tokens {
		row := map[string]any{
			"name": t.Name, "role": t.Role, "providers": t.Providers, "created": t.Created,
			"createdBy": t.CreatedBy,
		}
		if !t.Expires.IsZero() {
			row["expires"] = t.Expires
		}
		list = append(list, row)
	}
	return edge.WriteJSON(w, map[string]any{"value": list})
}

// CreateToken answers POST /tokens: the one time that the token is seen.
func (p *Plane) CreateToken(w http.ResponseWriter, r *http.Request, c *edge.Call) error {
	var in struct {
		Name      string    `json:"name"`
		Role      string    `json:"role"`
		Providers []string  `json:"providers"`
		Expires   time.Time `json:"expires"`
	}
	if err := p.Bodies.ReadJSON(w, r, &in); err != nil {
		return err
	}
	secret, err := p.Registry.NewToken(r.Context(), in.Name, in.Role, in.Providers, in.Expires, c.By())
	if err != nil {
		return err
	}
	return edge.WriteJSON(w, map[string]any{"name": in.Name, "token": secret})
}

// RevokeToken answers DELETE /tokens/{token}.
func (p *Plane) RevokeToken(w http.ResponseWriter, r *http.Request, c *edge.Call) error {
	if err := p.Registry.RevokeToken(r.Context(), c.Params["token"], c.By()); err != nil {
		return err
	}
	return edge.WriteJSON(w, map[string]string{"status": "revoked"})
}
