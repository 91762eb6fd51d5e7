package vault

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/probity-dev/probity/internal/api/edge"
	"github.com/probity-dev/probity/internal/store"
	"github.com/probity-dev/probity/internal/vault"
	"github.com/probity-dev/probity/strict/base64text"
)

// name is the key that the path names, version its version or empty.
func name(c *edge.Call) string    { return c.Params["key"] }
func version(c *edge.Call) string { return c.Params["keyversion"] }

// write answers with a key.
func (p *Plane) write(
	w http.ResponseWriter, c *edge.Call, k *vault.Key, set *store.ReleasePolicy, err error,
) error {
	if err != nil {
		return err
	}
	b, err := p.bundle(c.Provider.URL, k)
	if err != nil {
		return err
	}
	b.Warnings = p.warnings(c.Provider.URL, set)
	return edge.WriteJSON(w, b)
}

// CreateKey answers POST /keys/{key}/create.
func (p *Plane) CreateKey(w http.ResponseWriter, r *http.Request, c *edge.Call) error {
	return p.create(w, r, c, (*keyBody).request)
}

// ImportKey answers PUT /keys/{key}.
func (p *Plane) ImportKey(w http.ResponseWriter, r *http.Request, c *edge.Call) error {
	return p.create(w, r, c, (*keyBody).imported)
}

func (p *Plane) create(
	w http.ResponseWriter, r *http.Request, c *edge.Call, read func(*keyBody, string) (vault.Request, error),
) error {
	var body keyBody
	if err := p.read(w, r, &body); err != nil {
		return err
	}
	request, err := read(&body, name(c))
	if err != nil {
		return err
	}
	k, err := p.Vault.Create(r.Context(), c.Provider, request, c.By())
	return p.write(w, c, k, request.Policy, err)
}

// GetKey answers GET /keys/{key} and /keys/{key}/{keyversion}.
func (p *Plane) GetKey(w http.ResponseWriter, r *http.Request, c *edge.Call) error {
	k, err := p.Vault.Get(r.Context(), c.Provider, name(c), version(c))
	return p.write(w, c, k, nil, err)
}

// UpdateKey answers PATCH /keys/{key} and /keys/{key}/{keyversion}.
func (p *Plane) UpdateKey(w http.ResponseWriter, r *http.Request, c *edge.Call) error {
	var body keyBody
	if err := p.read(w, r, &body); err != nil {
		return err
	}
	request, err := body.request(name(c))
	if err != nil {
		return err
	}
	k, err := p.Vault.Update(r.Context(), c.Provider, version(c), request, c.By())
	return p.write(w, c, k, request.Policy, err)
}

// RotateKey answers POST /keys/{key}/rotate.
func (p *Plane) RotateKey(w http.ResponseWriter, r *http.Request, c *edge.Call) error {
	k, err := p.Vault.Rotate(r.Context(), c.Provider, name(c), c.By())
	return p.write(w, c, k, nil, err)
}

// DeleteKey answers DELETE /keys/{key}.
func (p *Plane) DeleteKey(w http.ResponseWriter, r *http.Request, c *edge.Call) error {
	k, err := p.Vault.Delete(r.Context(), c.Provider, name(c), c.By())
	return p.write(w, c, k, nil, err)
}

// GetDeletedKey answers GET /deletedkeys/{key}.
func (p *Plane) GetDeletedKey(w http.ResponseWriter, r *http.Request, c *edge.Call) error {
	k, err := p.Vault.Deleted(r.Context(), c.Provider, name(c))
	return p.write(w, c, k, nil, err)
}

// RecoverKey answers POST /deletedkeys/{key}/recover.
func (p *Plane) RecoverKey(w http.ResponseWriter, r *http.Request, c *edge.Call) error {
	k, err := p.Vault.Recover(r.Context(), c.Provider, name(c), c.By())
	return p.write(w, c, k, nil, err)
}

// PurgeKey answers DELETE /deletedkeys/{key}.
func (p *Plane) PurgeKey(w http.ResponseWriter, r *http.Request, c *edge.Call) error {
	if err := p.Vault.Purge(r.Context(), c.Provider, name(c), c.By()); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// ListKeys answers GET /keys.
func (p *Plane) ListKeys(w http.ResponseWriter, r *http.Request, c *edge.Call) error {
	return p.list(w, r, c, "/keys", false)
}

// ListDeletedKeys answers GET /deletedkeys.
func (p *Plane) ListDeletedKeys(w http.ResponseWriter, r *http.Request, c *edge.Call) error {
	return p.list(w, r, c, "/deletedkeys", true)
}

func (p *Plane) list(w http.ResponseWriter, r *http.Request, c *edge.Call, path string, deleted bool) error {
	after, size, err := pageOf(r)
	if err != nil {
		return err
	}
	page, err := p.Vault.List(r.Context(), c.Provider, after, deleted, size)
	if err != nil {
		return err
	}
	return p.page(w, r, c, path, page, false)
}

// ListVersions answers GET /keys/{key}/versions.
func (p *Plane) ListVersions(w http.ResponseWriter, r *http.Request, c *edge.Call) error {
	after, size, err := pageOf(r)
	if err != nil {
		return err
	}
	page, err := p.Vault.Versions(r.Context(), c.Provider, name(c), after, size)
	if err != nil {
		return err
	}
	return p.page(w, r, c, "/keys/"+name(c)+"/versions", page, true)
}

// skipToken is the parameter that says where a page begins; clients take it from nextLink.
const skipToken = "$skiptoken"

var afterForm = edge.Shaped(`[0-9A-Za-z-]{1,127}`, "the value of a nextLink")

func pageOf(r *http.Request) (after string, size int, err error) {
	n, err := edge.QueryNumber(r, "maxresults", vault.MaxPage, 1, vault.MaxPage)
	if err != nil {
		return "", 0, err
	}
	after, _, err = edge.QueryText(r, skipToken, afterForm)
	return after, int(n), err
}

func (p *Plane) page(
	w http.ResponseWriter, r *http.Request, c *edge.Call, path string, page vault.Page, versions bool,
) error {
	answer := struct {
		Value []*bundle `json:"value"`
		Next  *string   `json:"nextLink"`
	}{Value: []*bundle{}}
	for _, k := range page.Keys {
		answer.Value = append(answer.Value, p.item(c.Provider.URL, &k, versions))
	}
	if page.Next != "" {
		query := url.Values{"api-version": {r.URL.Query().Get("api-version")}, skipToken: {page.Next}}
		if size := r.URL.Query().Get("maxresults"); size != "" {
			query.Set("maxresults", size)
		}
		next := c.Provider.URL + path + "?" + query.Encode()
		answer.Next = &next
	}
	return edge.WriteJSON(w, answer)
}

// BackupKey answers POST /keys/{key}/backup.
func (p *Plane) BackupKey(w http.ResponseWriter, r *http.Request, c *edge.Call) error {
	blob, err := p.Vault.Backup(r.Context(), c.Provider, name(c), c.By())
	if err != nil {
		return err
	}
	return edge.WriteJSON(w, map[string]string{"value": base64.RawURLEncoding.EncodeToString(blob)})
}

// RestoreKey answers POST /keys/restore.
func (p *Plane) RestoreKey(w http.ResponseWriter, r *http.Request, c *edge.Call) error {
	var body struct {
		Value string `json:"value"`
	}
	if err := p.read(w, r, &body); err != nil {
		return err
	}
	blob, err := base64text.Decode([]byte(body.Value))
	if err != nil {
		return bad(vault.CheckBackup, "value as base64url", "other characters")
	}
	k, err := p.Vault.Restore(r.Context(), c.Provider, blob, c.By())
	return p.write(w, c, k, nil, err)
}

// GetRotationPolicy answers GET /keys/{key}/rotationpolicy.
func (p *Plane) GetRotationPolicy(w http.ResponseWriter, r *http.Request, c *edge.Call) error {
	policy, err := p.Vault.Rotation(r.Context(), c.Provider, name(c))
	return p.rotation(w, c, policy, err)
}

// PutRotationPolicy answers PUT /keys/{key}/rotationpolicy.
func (p *Plane) PutRotationPolicy(w http.ResponseWriter, r *http.Request, c *edge.Call) error {
	body, err := p.Bodies.Read(w, r)
	if err != nil {
		return err
	}
	policy, err := vault.ReadRotation(body)
	if err != nil {
		return err
	}
	policy, err = p.Vault.SetRotation(r.Context(), c.Provider, name(c), policy, c.By())
	return p.rotation(w, c, policy, err)
}

func (p *Plane) rotation(w http.ResponseWriter, c *edge.Call, policy *vault.RotationPolicy, err error) error {
	if err != nil {
		return err
	}
	policy.ID = c.Provider.URL + "/keys/" + name(c) + "/rotationpolicy"
	return edge.WriteJSON(w, policy)
}

// Challenge answers POST /keys:challenge: a nonce for an attestation, where the provider wants one.
func (p *Plane) Challenge(w http.ResponseWriter, _ *http.Request, c *edge.Call) error {
	nonce, expires, err := p.Vault.Challenge(c.Provider)
	if err != nil {
		return err
	}
	return edge.WriteJSON(w, map[string]any{"nonce": nonce, "expires": expires.Format(time.RFC3339)})
}

// ReleaseKey answers POST /keys/{key}/release and /keys/{key}/{keyversion}/release.
func (p *Plane) ReleaseKey(w http.ResponseWriter, r *http.Request, c *edge.Call) error {
	body, err := p.Bodies.Read(w, r)
	if err != nil {
		return err
	}
	var in struct {
		Target    string `json:"target"`
		Nonce     string `json:"nonce"`
		Algorithm string `json:"enc"`
	}
	if err := json.Unmarshal(body, &in, members); err != nil || in.Target == "" {
		return bad(edge.CheckBody, `{"target": TOKEN, "nonce": TEXT, "enc": ALGORITHM}, the last two if wanted`,
			"a body without target, or with members of other types")
	}
	asked := c.Provider.URL + "/keys/" + name(c)
	if version(c) != "" {
		asked += "/" + version(c)
	}
	out, err := p.Vault.Release(r.Context(), c.Provider, vault.ReleaseRequest{
		Name: name(c), Version: version(c), Target: in.Target, Nonce: in.Nonce, Algorithm: in.Algorithm,
		APIVersion: r.URL.Query().Get("api-version"), KeyURL: asked, Base: c.Provider.URL,
	}, c.By())
	if err != nil {
		return refusal(err, c.Provider.Settings.Vault.Explain)
	}
	if p.Withhold != nil {
		c.Undelivered = func(reason string) { p.Withhold(c.Provider.Identity(), out.Entry, reason) }
	}
	return edge.WriteJSON(w, map[string]string{"value": out.Answer})
}
