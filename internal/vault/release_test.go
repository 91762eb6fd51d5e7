package vault_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/probity-dev/probity/internal/issuer"
	"github.com/probity-dev/probity/internal/ledger"
	"github.com/probity-dev/probity/internal/provider/settings"
	"github.com/probity-dev/probity/internal/vault"
	"github.com/probity-dev/probity/release/document"
	"github.com/probity-dev/probity/release/keywrap"
	"github.com/probity-dev/probity/token"
)

func TestAKeyIsReleasedToAMachineThatProvedItself(t *testing.T) {
	r := newReleases(t)
	rsaJWK, ecJWK, _ := jwks(t)
	for name, jwk := range map[string]*vault.JWK{
		"oct": {Type: "oct", K: b64([]byte("secret"))}, "RSA": &rsaJWK, "EC": &ecJWK,
	} {
		k := r.key(func(q *vault.Request) { q.Import = jwk })
		for _, algorithm := range append(keywrap.Algorithms(), "") {
			req := r.request(r.sign(r.claims()))
			req.Algorithm, req.Nonce = string(algorithm), "echo"
			out := must[*vault.Released](t)(r.Release(t.Context(), r.p, req, by))
			m := r.open(out.Answer, document.Expectation{Nonce: "echo", Algorithm: algorithm, APIVersion: "7.4"})
			if !isKind(m, name) {
				t.Errorf("%s, %s: %+v", name, algorithm, m)
			}
		}
		e := r.last()
		if e.Type != ledger.Release || e.Outcome != ledger.Accepted || e.Token != "token-1" || e.By != by.Caller ||
			e.Subject != "key:disk/"+k.Version.ID || e.Details["issuer"] != r.issuer ||
			e.Details["wrappingKey"] == "" ||
			e.Details["measurement"] != "x-ms-sevsnpvm-launchmeasurement=abcd" || e.Details["releasePolicy"] == "" {
			t.Errorf("%+v", e)
		}
		text := must[[]byte](t)(json.Marshal(r.entries))
		if bytes.Contains(text, []byte("secret")) || bytes.Contains(text, []byte("eyJ")) {
			t.Errorf("the ledger has a key or a token: %s", text)
		}
		must[*vault.Key](t)(r.Delete(t.Context(), r.p, "disk", by))
		if err := r.Purge(t.Context(), r.p, "disk", by); err != nil {
			t.Fatal(err)
		}
	}
}

// isKind reports whether what was released is the key of a kind.
func isKind(m *document.Material, family string) bool {
	switch family {
	case "oct":
		return string(m.Octets) == "secret"
	case "RSA":
		return m.RSA != nil
	}
	return m.EC != nil
}

func TestEarlierVersionsAreReleasedByTheKeysPolicy(t *testing.T) {
	r := newReleases(t)
	first := r.key()
	r.key(func(q *vault.Request) { q.Import.K = b64([]byte("newer")) })
	req := r.request(r.sign(r.claims()))
	req.Version, req.KeyURL = first.Version.ID, "https://vault.example/keys/disk"
	out := must[*vault.Released](t)(r.Release(t.Context(), r.p, req, by))
	if m := r.open(out.Answer, document.Expectation{}); string(m.Octets) != "the passphrase" {
		t.Errorf("%s", m.Octets)
	}
}

func TestAReleaseThatIsNotRecordedIsNotMade(t *testing.T) {
	r := newReleases(t)
	r.key()
	r.broken = ledger.ErrNotWriting
	out, err := r.Release(t.Context(), r.p, r.request(r.sign(r.claims())), by)
	refused(t, "without a ledger", err, vault.CodeUnavailable, vault.CheckRecorded)
	if out.Answer != "" || !errors.Is(err, ledger.ErrNotWriting) {
		t.Errorf("%q, %v", out.Answer, err)
	}
}

func TestAnOutageOfAnIssuer(t *testing.T) {
	r := newReleases(t)
	r.key()
	r.down = true
	_, err := r.Release(t.Context(), r.p, r.request(r.sign(r.claims())), by)
	if !errors.Is(err, issuer.ErrUnavailable) {
		t.Errorf("an issuer that was never reached: %v", err)
	}
	r.down = false
	r.now = start.Add(10 * time.Second)
	long := r.claims()
	long["exp"] = start.AddDate(0, 0, 3).Unix()
	must[*vault.Released](t)(r.Release(t.Context(), r.p, r.request(r.sign(long)), by))
	r.down = true
	r.now = start.Add(23 * time.Hour)
	must[*vault.Released](t)(r.Release(t.Context(), r.p, r.request(r.sign(long)), by))
	r.now = start.Add(25 * time.Hour)
	_, err = r.Release(t.Context(), r.p, r.request(r.sign(long)), by)
	if !errors.Is(err, issuer.ErrUnavailable) {
		t.Errorf("after the configured time: %v", err)
	}
	if n := len(r.entries); n != 2 {
		t.Errorf("%d entries: an outage is no decision", n)
	}
}

func TestAnIssuerRotatesItsKey(t *testing.T) {
	r := newReleases(t)
	r.key()
	must[*vault.Released](t)(r.Release(t.Context(), r.p, r.request(r.sign(r.claims())), by))
	r.signer = r.newSigner(t, testKeys()[ofStranger])
	r.now = start.Add(time.Minute)
	must[*vault.Released](t)(r.Release(t.Context(), r.p, r.request(r.sign(r.claims())), by))
}

// mutation is one wrong thing in a request that is right otherwise.
type mutation struct {
	r        *releases
	claims   map[string]any
	settings settings.Vault
	key      []func(*vault.Request)
	req      vault.ReleaseRequest
	// token replaces the signed claims.
	token func(m *mutation) string
	// before is done when key and token are made.
	before func(m *mutation)
}

func (m *mutation) condition(text string) {
	m.key = append(m.key, func(q *vault.Request) {
		q.Policy.Data = []byte(strings.Replace(string(q.Policy.Data), goodConditions, text, 1))
	})
}

func (m *mutation) runtime(edit func(map[string]any)) {
	m.claims["x-ms-runtime"] = map[string]any{"keys": []any{machineJWK(edit)}}
}

func (m *mutation) run(t *testing.T) error {
	t.Helper()
	m.r.key(m.key...)
	compact := m.req.Target
	if m.token != nil {
		compact = m.token(m)
	} else if compact == "" {
		compact = m.r.sign(m.claims)
	}
	m.req.Target = compact
	if m.before != nil {
		m.before(m)
	}
	m.r.p.Settings.Vault = m.settings
	n := len(m.r.entries)
	out, err := m.r.Release(t.Context(), m.r.p, m.req, by)
	if err != nil && out.Answer != "" {
		t.Error("a refusal with an answer")
	}
	if len(m.r.entries) != n+1 {
		t.Error("the decision is not in the ledger")
	} else if e := m.r.last(); err != nil &&
		(e.Outcome != ledger.Refused || e.Check == "" || e.Details["reason"] == "") {
		t.Errorf("%+v", e)
	}
	return err
}

// resigned signs other bytes than the claims that a token shows.
func (m *mutation) parts() []string { return strings.Split(m.r.sign(m.claims), ".") }

func claim(name string, value any) func(*mutation) {
	return func(m *mutation) { m.claims[name] = value }
}

func without(name string) func(*mutation) {
	return func(m *mutation) { delete(m.claims, name) }
}

func conditions(text string) func(*mutation) {
	return func(m *mutation) { m.condition(text) }
}

func attributes(edit func(*vault.Attributes)) func(*mutation) {
	return func(m *mutation) { m.key = append(m.key, func(q *vault.Request) { edit(&q.Attributes) }) }
}

func jwk(name string, value any) func(*mutation) {
	return func(m *mutation) {
		m.runtime(func(k map[string]any) {
			if k[name] = value; value == nil {
				delete(k, name)
			}
		})
	}
}

func one(claim, rest string) func(*mutation) {
	return conditions(fmt.Sprintf(`"allOf":[{"claim":%q,%s}]`, claim, rest))
}

// TestReleaseMutations: each wrong thing alone is refused, by its own check.
func TestReleaseMutations(t *testing.T) {
	far := start.AddDate(0, 1, 0).Unix()
	for _, area := range []mutations{
		mutationsOfTokens(), mutationsOfIssuers(), mutationsOfTimes(far), mutationsOfPolicies(),
		mutationsOfKeys(), mutationsOfWrappingKeys(), mutationsOfNonces(),
	} {
		for name, tc := range area {
			t.Run(name, func(t *testing.T) {
				r := newReleases(t)
				m := &mutation{r: r, claims: r.claims(), req: r.request("")}
				tc.edit(m)
				refused(t, name, m.run(t), tc.code, tc.by)
			})
		}
	}
}

type mutations = map[string]struct {
	edit func(*mutation)
	code string
	by   error
}

// replaced gives a token of other parts.
func replaced(f func(m *mutation, part []string)) func(*mutation) {
	return func(m *mutation) {
		m.token = func(m *mutation) string {
			part := m.parts()
			f(m, part)
			return strings.Join(part, ".")
		}
	}
}

func text(s string) func(*mutation) {
	return func(m *mutation) { m.token = func(*mutation) string { return s } }
}

func header(s string) func(*mutation) {
	return replaced(func(_ *mutation, part []string) { part[0] = b64([]byte(s)) })
}

func mutationsOfTokens() mutations {
	signature := vault.CheckTokenSignature
	return mutations{
		"token: empty":            {text(" "), vault.CodeForbidden, signature},
		"token: not a JWS":        {text("token"), vault.CodeForbidden, signature},
		"token: two parts":        {text("e30.e30"), vault.CodeForbidden, signature},
		"token: four parts":       {text("e30.e30.e30.e30"), vault.CodeForbidden, signature},
		"token: JSON form of JWS": {text(`{"payload":"e30"}`), vault.CodeForbidden, signature},
		"token: over its bound": {
			text(strings.Repeat("a", token.MaxSize+1)), vault.CodeForbidden, signature,
		},
		"token: payload not JSON": {text("e30." + b64([]byte("x")) + ".AA"), vault.CodeForbidden, signature},
		"token: payload an array": {text("e30." + b64([]byte("[]")) + ".AA"), vault.CodeForbidden, signature},
		"token: algorithm none":   {header(`{"alg":"none"}`), vault.CodeForbidden, signature},
		"token: algorithm NONE":   {header(`{"alg":"NONE"}`), vault.CodeForbidden, signature},
		"token: shared secret":    {header(`{"alg":"HS256"}`), vault.CodeForbidden, signature},
		"token: encrypted": {
			header(`{"alg":"RSA-OAEP","enc":"A256GCM"}`), vault.CodeForbidden, signature,
		},
		"token: no kid":         {header(`{"alg":"RS256"}`), vault.CodeForbidden, signature},
		"token: an unknown kid": {header(`{"alg":"RS256","kid":"x"}`), vault.CodeForbidden, signature},
		"token: a key of its own": {
			header(`{"alg":"RS256","jwk":{"kty":"RSA","n":"AQAB","e":"AQAB"}}`),
			vault.CodeForbidden,
			signature,
		},
		"token: crit":              {replaced(crit), vault.CodeForbidden, signature},
		"token: another algorithm": {replaced(otherAlgorithm), vault.CodeForbidden, signature},
		"token: a draft policy's": {func(m *mutation) {
			m.token = func(m *mutation) string { b, _ := json.Marshal(m.claims); return token.Unsecured(b) }
		}, vault.CodeForbidden, signature},
		"token: signature cut": {replaced(func(_ *mutation, p []string) {
			p[2] = p[2][:len(p[2])-4]
		}), vault.CodeForbidden, signature},
		"token: signature empty": {
			replaced(func(_ *mutation, p []string) { p[2] = "" }), vault.CodeForbidden, signature,
		},
		"token: signature of other": {replaced(func(m *mutation, p []string) {
			m.claims["jti"] = "other"
			p[2] = m.parts()[2]
		}), vault.CodeForbidden, signature},
		"token: claims changed": {replaced(func(m *mutation, p []string) {
			m.claims["x"] = "y"
			p[1] = m.parts()[1]
		}), vault.CodeForbidden, signature},
		"token: signed by a stranger": {func(m *mutation) {
			m.token = func(m *mutation) string {
				b, _ := json.Marshal(m.claims)
				s, _ := m.r.newSigner(m.r.t, testKeys()[ofStranger]).Sign(b)
				return s
			}
		}, vault.CodeForbidden, signature},
		"token: padded base64": {replaced(func(_ *mutation, p []string) {
			p[2] += "=="
		}), vault.CodeForbidden, signature},
		"token: white space": {replaced(func(_ *mutation, p []string) {
			p[2] += "\n"
		}), vault.CodeForbidden, signature},
		"token: of a policy":     {without("x-ms-attestation-type"), vault.CodeForbidden, vault.CheckTokenKind},
		"token: type not a text": {claim("x-ms-attestation-type", 1), vault.CodeForbidden, signature},
		"token: a claim twice": {func(m *mutation) {
			m.token = func(m *mutation) string {
				b, _ := json.Marshal(m.claims)
				s, _ := m.r.signer.Sign(append(bytes.TrimSuffix(b, []byte("}")), `,"jti":"two"}`...))
				return s
			}
		}, vault.CodeForbidden, signature},
	}
}

func crit(_ *mutation, part []string) {
	part[0] = b64([]byte(`{"alg":"RS256","kid":"x","crit":["exp"],"exp":1}`))
}

func otherAlgorithm(m *mutation, part []string) {
	part[0] = b64(fmt.Appendf(nil, `{"alg":"PS256","kid":%q}`, m.r.signer.KeyID))
}

func mutationsOfIssuers() mutations {
	return mutations{
		"issuer: missing": {without("iss"), vault.CodeForbidden, vault.CheckIssuer},
		"issuer: empty":   {claim("iss", ""), vault.CodeForbidden, vault.CheckIssuer},
		"issuer: unknown": {
			claim("iss", "https://unknown.example"), vault.CodeForbidden, vault.CheckIssuer,
		},
		"issuer: known, not allowed": {
			claim("iss", "https://known.example"), vault.CodeForbidden, vault.CheckIssuer,
		},
		"issuer: a path below": {func(m *mutation) { m.claims["iss"] = m.r.issuer + "/p/other" },
			vault.CodeForbidden, vault.CheckIssuer},
		"issuer: http": {func(m *mutation) { m.claims["iss"] = strings.Replace(m.r.issuer, "https", "http", 1) },
			vault.CodeForbidden, vault.CheckIssuer},
		"issuer: with a slash": {func(m *mutation) { m.claims["iss"] = m.r.issuer + "/" },
			vault.CodeForbidden, vault.CheckIssuer},
		"issuer: allowed, not known": {func(m *mutation) {
			m.claims["iss"] = "https://unknown.example"
			m.key = append(m.key, func(q *vault.Request) {
				q.Policy.Data = bytes.ReplaceAll(q.Policy.Data, []byte(m.r.issuer), []byte("https://unknown.example"))
			})
		}, vault.CodeForbidden, vault.CheckIssuer},
		"issuer: keys of another issuer": {func(m *mutation) {
			m.token = func(m *mutation) string {
				s := m.r.newSigner(m.r.t, testKeys()[ofStranger])
				m.r.extra = nil
				b, _ := json.Marshal(m.claims)
				out, _ := s.Sign(b)
				return out
			}
		}, vault.CodeForbidden, vault.CheckTokenSignature},
	}
}

func mutationsOfTimes(far int64) mutations {
	times := vault.CheckTokenTimes
	later := func(d time.Duration) func(*mutation) {
		return func(m *mutation) { m.before = func(m *mutation) { m.r.now = start.Add(d) } }
	}
	return mutations{
		"time: at exp":            {later(time.Hour), vault.CodeForbidden, times},
		"time: after exp":         {later(25 * time.Hour), vault.CodeForbidden, times},
		"time: 61 s before nbf":   {later(-61 * time.Second), vault.CodeForbidden, times},
		"time: no exp":            {without("exp"), vault.CodeForbidden, vault.CheckTokenSignature},
		"time: no nbf":            {without("nbf"), vault.CodeForbidden, vault.CheckTokenSignature},
		"time: exp a text":        {claim("exp", "tomorrow"), vault.CodeForbidden, vault.CheckTokenSignature},
		"time: exp zero":          {claim("exp", 0), vault.CodeForbidden, times},
		"time: exp negative":      {claim("exp", -1), vault.CodeForbidden, times},
		"time: nbf in the future": {claim("nbf", far), vault.CodeForbidden, times},
		"time: exp over int64": {
			claim("exp", json.Number("1e30")), vault.CodeForbidden, vault.CheckTokenSignature,
		},
		"time: before the key's nbf": {attributes(func(a *vault.Attributes) {
			a.NotBefore = ptr(start.Add(time.Minute))
		}),
			vault.CodeForbidden, vault.CheckEnabled},
		"time: at the key's exp": {attributes(func(a *vault.Attributes) { a.Expires = ptr(start) }),
			vault.CodeForbidden, vault.CheckEnabled},
	}
}

func mutationsOfPolicies() mutations {
	policy := vault.CheckConditions
	return mutations{
		"policy: another measurement": {
			claim("x-ms-sevsnpvm-launchmeasurement", "abce"), vault.CodeForbidden, policy,
		},
		"policy: measurement in upper": {
			claim("x-ms-sevsnpvm-launchmeasurement", "ABCD"), vault.CodeForbidden, policy,
		},
		"policy: longer measurement": {
			claim("x-ms-sevsnpvm-launchmeasurement", "abcd00"), vault.CodeForbidden, policy,
		},
		"policy: no measurement": {without("x-ms-sevsnpvm-launchmeasurement"), vault.CodeForbidden, policy},
		"policy: null measurement": {
			claim("x-ms-sevsnpvm-launchmeasurement", nil), vault.CodeForbidden, policy,
		},
		"policy: measurement inside": {func(m *mutation) {
			delete(m.claims, "x-ms-sevsnpvm-launchmeasurement")
			m.claims["x-ms-isolation-tee"] = map[string]any{"x-ms-sevsnpvm-launchmeasurement": "abcd"}
		}, vault.CodeForbidden, policy},
		"policy: debuggable": {
			claim("x-ms-sevsnpvm-is-debuggable", true), vault.CodeForbidden, policy,
		},
		"policy: VMPL 1":       {claim("x-ms-sevsnpvm-vmpl", 1), vault.CodeForbidden, policy},
		"policy: VMPL 0.5":     {claim("x-ms-sevsnpvm-vmpl", 0.5), vault.CodeForbidden, policy},
		"policy: another type": {claim("x-ms-attestation-type", "tdxvm"), vault.CodeForbidden, policy},
		"policy: type with a blank": {
			claim("x-ms-attestation-type", "sevsnpvm "), vault.CodeForbidden, policy,
		},
		"policy: equals of an object": {one("x-ms-runtime", `"equals":"x"`), vault.CodeForbidden, policy},
		"policy: notEquals": {
			one("x-ms-attestation-type", `"notEquals":"sevsnpvm"`), vault.CodeForbidden, policy,
		},
		"policy: notEquals of missing": {one("x-ms-nothing", `"notEquals":"a"`), vault.CodeForbidden, policy},
		"policy: less":                 {one("x-ms-sevsnpvm-vmpl", `"less":0`), vault.CodeForbidden, policy},
		"policy: lessOrEquals": {
			one("x-ms-sevsnpvm-vmpl", `"lessOrEquals":-1`), vault.CodeForbidden, policy,
		},
		"policy: greater": {one("x-ms-sevsnpvm-vmpl", `"greater":0`), vault.CodeForbidden, policy},
		"policy: greaterOrEquals": {
			one("x-ms-sevsnpvm-vmpl", `"greaterOrEquals":1`), vault.CodeForbidden, policy,
		},
		"policy: order of a text": {one("x-ms-attestation-type", `"greater":0`), vault.CodeForbidden, policy},
		"policy: exists":          {one("x-ms-nothing", `"exists":true`), vault.CodeForbidden, policy},
		"policy: exists false":    {one("x-ms-runtime", `"exists":false`), vault.CodeForbidden, policy},
		"policy: anyOf without a match": {
			conditions(`"anyOf":[{"claim":"a","equals":"b"},{"claim":"c","equals":"d"}]`),
			vault.CodeForbidden, policy,
		},
		"policy: nested allOf": {
			conditions(`"anyOf":[{"allOf":[{"claim":"x-ms-attestation-type","equals":"sevsnpvm"},` +
				`{"claim":"a","equals":"b"}]}]`), vault.CodeForbidden, policy,
		},
		"policy: a claim of the policy's author": {func(m *mutation) {
			m.condition(`"allOf":[{"claim":"x-ms-policy.approved","equals":"true"}]`)
			m.claims["approved"] = true
		}, vault.CodeForbidden, policy},
	}
}

func mutationsOfKeys() mutations {
	return mutations{
		"key: disabled": {attributes(func(a *vault.Attributes) {
			a.Enabled = ptr(false)
		}), vault.CodeForbidden, vault.CheckEnabled},
		"key: not exportable": {func(m *mutation) {
			m.key = append(m.key, func(q *vault.Request) { q.Exportable, q.Policy = nil, nil })
		}, vault.CodeBadParameter, vault.CheckReleasable},
		"key: another name": {
			func(m *mutation) { m.req.Name = "disk2" }, vault.CodeNotFound, vault.CheckExists,
		},
		"key: a bad name": {
			func(m *mutation) { m.req.Name = "../disk" }, vault.CodeBadParameter, vault.CheckKeyName,
		},
		"key: another version": {
			func(m *mutation) { m.req.Version = strings.Repeat("0", 32) },
			vault.CodeNotFound,
			vault.CheckExists,
		},
		"key: another provider": {
			func(m *mutation) { m.before = func(m *mutation) { m.r.p = m.r.provider("other") } },
			vault.CodeNotFound,
			vault.CheckExists,
		},
		"key: deleted": {func(m *mutation) {
			m.before = func(m *mutation) { must[*vault.Key](m.r.t)(m.r.Delete(m.r.t.Context(), m.r.p, "disk", by)) }
		}, vault.CodeNotFound, vault.CheckExists},
		"key: disabled version, newest enabled": {func(m *mutation) {
			m.before = func(m *mutation) {
				k := must[*vault.Key](m.r.t)(m.r.Get(m.r.t.Context(), m.r.p, "disk", ""))
				m.r.key()
				must[*vault.Key](m.r.t)(m.r.Update(m.r.t.Context(), m.r.p, k.Version.ID,
					vault.Request{Name: "disk", Attributes: vault.Attributes{Enabled: ptr(false)}}, by))
				m.req.Version = k.Version.ID
			}
		}, vault.CodeForbidden, vault.CheckEnabled},
		"key: stricter policy since": {func(m *mutation) {
			m.before = func(m *mutation) {
				p := policy(false)
				p.Data = []byte(`{"version":"1.0.0","anyOf":[{"authority":"` + m.r.issuer +
					`","allOf":[{"claim":"a","equals":"b"}]}]}`)
				must[*vault.Key](m.r.t)(m.r.Update(m.r.t.Context(), m.r.p, "",
					vault.Request{Name: "disk", Policy: p}, by))
			}
		}, vault.CodeForbidden, vault.CheckConditions},
		"key: no certificate": {func(m *mutation) { m.r.noCert = true }, vault.CodeUnavailable, vault.CheckSigner},
	}
}

func mutationsOfWrappingKeys() mutations {
	wrapping := vault.CheckWrappingKey
	small := b64(append([]byte{0xc0}, bytes.Repeat([]byte{1}, 127)...))
	return mutations{
		"wrapping: no runtime data": {without("x-ms-runtime"), vault.CodeForbidden, wrapping},
		"wrapping: no keys":         {claim("x-ms-runtime", map[string]any{}), vault.CodeForbidden, wrapping},
		"wrapping: an empty list": {
			claim("x-ms-runtime", map[string]any{"keys": []any{}}), vault.CodeForbidden, wrapping,
		},
		"wrapping: keys not a list": {
			claim("x-ms-runtime", map[string]any{"keys": "x"}), vault.CodeForbidden, wrapping,
		},
		"wrapping: for signatures":   {jwk("key_ops", []string{"sign"}), vault.CodeForbidden, wrapping},
		"wrapping: without a use":    {jwk("key_ops", nil), vault.CodeForbidden, wrapping},
		"wrapping: an EC key":        {jwk("kty", "EC"), vault.CodeForbidden, wrapping},
		"wrapping: a shared secret":  {jwk("kty", "oct"), vault.CodeForbidden, wrapping},
		"wrapping: no kid":           {jwk("kid", nil), vault.CodeForbidden, wrapping},
		"wrapping: no n":             {jwk("n", nil), vault.CodeForbidden, wrapping},
		"wrapping: n not base64":     {jwk("n", "!"), vault.CodeForbidden, wrapping},
		"wrapping: RSA of 1024 bits": {jwk("n", small), vault.CodeForbidden, wrapping},
		"wrapping: RSA of 8192 bits": {
			jwk("n", b64(bytes.Repeat([]byte{0xc1}, 1024))), vault.CodeForbidden, wrapping,
		},
		"wrapping: an even modulus": {
			jwk("n", b64(append(bytes.Repeat([]byte{0xc1}, 255), 2))), vault.CodeForbidden, wrapping,
		},
		"wrapping: exponent 1":       {jwk("e", b64([]byte{1})), vault.CodeForbidden, wrapping},
		"wrapping: an even exponent": {jwk("e", b64([]byte{2})), vault.CodeForbidden, wrapping},
		"wrapping: only the vTPM's own": {func(m *mutation) {
			delete(m.claims, "x-ms-runtime")
			m.claims["x-ms-isolation-tee"] = map[string]any{
				"x-ms-runtime": map[string]any{"keys": []any{machineJWK()}},
			}
		}, vault.CodeForbidden, wrapping},
		"wrapping: unknown enc": {
			func(m *mutation) { m.req.Algorithm = "RSA1_5" },
			vault.CodeBadParameter,
			vault.CheckAlgorithm,
		},
		"wrapping: enc in lower": {
			func(m *mutation) { m.req.Algorithm = "rsa_aes_key_wrap_256" },
			vault.CodeBadParameter,
			vault.CheckAlgorithm,
		},
		"wrapping: SHA-1, where SHA-256 is wanted": {
			func(m *mutation) { m.settings.MinimumWrapping = "RSA_AES_KEY_WRAP_256" },
			vault.CodeBadParameter, vault.CheckAlgorithm,
		},
	}
}

func mutationsOfNonces() mutations {
	challenge := vault.CheckChallenge
	want := func(edit func(m *mutation)) func(*mutation) {
		return func(m *mutation) {
			m.settings.Challenge = settings.ChallengeToken
			edit(m)
		}
	}
	issued := func(m *mutation) string {
		nonce, _, err := m.r.Challenge(m.r.p)
		if err != nil {
			m.r.t.Fatal(err)
		}
		return nonce
	}
	return mutations{
		"nonce: missing":      {want(func(*mutation) {}), vault.CodeForbidden, challenge},
		"nonce: the client's": {want(claim("nonce", "1234")), vault.CodeForbidden, challenge},
		"nonce: a number":     {want(claim("nonce", 1234)), vault.CodeForbidden, challenge},
		"nonce: echoed only": {want(func(m *mutation) {
			m.req.Nonce = issued(m)
		}), vault.CodeForbidden, challenge},
		"nonce: forged": {want(claim("nonce", b64(make([]byte, 56)))), vault.CodeForbidden, challenge},
		"nonce: of another provider": {want(func(m *mutation) {
			m.claims["nonce"], _, _ = m.r.Challenge(m.r.provider("other"))
		}), vault.CodeForbidden, challenge},
		"nonce: changed": {want(func(m *mutation) {
			b := []byte(issued(m))
			b[3] ^= 1
			m.claims["nonce"] = string(b)
		}), vault.CodeForbidden, challenge},
		"nonce: ended": {want(func(m *mutation) {
			m.claims["nonce"] = issued(m)
			m.before = func(m *mutation) { m.r.now = start.Add(vault.DefaultChallengeLifetime) }
		}), vault.CodeForbidden, challenge},
		"nonce: used before": {want(func(m *mutation) {
			m.claims["nonce"] = issued(m)
			m.before = func(m *mutation) {
				m.r.p.Settings.Vault = m.settings
				must[*vault.Released](m.r.t)(m.r.Release(m.r.t.Context(), m.r.p, m.req, by))
			}
		}), vault.CodeForbidden, challenge},
		"nonce: not covered by the evidence": {func(m *mutation) {
			m.settings.Challenge = settings.ChallengeEvidence
			m.claims["nonce"] = issued(m)
		}, vault.CodeForbidden, challenge},
		"nonce: over its bound": {func(m *mutation) { m.req.Nonce = strings.Repeat("a", 1025) },
			vault.CodeBadParameter, vault.CheckAttributes},
		"nonce: the token again": {func(m *mutation) {
			m.settings.Once = true
			m.before = func(m *mutation) {
				m.r.p.Settings.Vault = m.settings
				must[*vault.Released](m.r.t)(m.r.Release(m.r.t.Context(), m.r.p, m.req, by))
			}
		}, vault.CodeForbidden, vault.CheckOnce},
		"nonce: a token without an id, once": {func(m *mutation) {
			m.settings.Once = true
			delete(m.claims, "jti")
		}, vault.CodeForbidden, vault.CheckOnce},
	}
}
