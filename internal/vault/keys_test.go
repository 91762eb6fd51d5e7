package vault_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/probity-dev/probity/internal/store"
	"github.com/probity-dev/probity/internal/vault"
)

func TestEveryKindOfKeyIsMade(t *testing.T) {
	l := newLab(t)
	for i, tc := range []struct {
		kind vault.Kind
		want vault.Kind
	}{
		{vault.Kind{Type: "RSA"}, vault.Kind{Type: "RSA", Size: 2048}},
		{vault.Kind{Type: "RSA-HSM", Size: 3072}, vault.Kind{Type: "RSA-HSM", Size: 3072}},
		{vault.Kind{Type: "EC"}, vault.Kind{Type: "EC", Curve: "P-256"}},
		{vault.Kind{Type: "EC-HSM", Curve: "P-384"}, vault.Kind{Type: "EC-HSM", Curve: "P-384"}},
		{vault.Kind{Type: "EC", Curve: "P-521"}, vault.Kind{Type: "EC", Curve: "P-521"}},
		{vault.Kind{Type: "oct"}, vault.Kind{Type: "oct", Size: 256}},
		{vault.Kind{Type: "oct-HSM", Size: 128}, vault.Kind{Type: "oct-HSM", Size: 128}},
	} {
		k := l.create(vault.Request{Name: fmt.Sprint("key-", i), Kind: tc.kind})
		got := vault.Kind{Type: k.Version.Type, Size: k.Version.Size, Curve: k.Version.Curve}
		if got != tc.want || len(k.Version.ID) != 32 || len(k.Version.Sealed) == 0 {
			t.Errorf("%+v: %+v", tc.kind, k)
		}
		if public := k.Version.Public; (public == nil) != (got.Family() == vault.Oct) {
			t.Errorf("%+v: public part of %d bytes", tc.kind, len(public))
		} else if public != nil {
			must[any](t)(x509.ParsePKIXPublicKey(public))
		}
	}
}

func TestKindsThatTheVaultDoesNotKeepAreRefused(t *testing.T) {
	l := newLab(t)
	for name, kind := range map[string]vault.Kind{
		"no type": {}, "an unknown type": {Type: "DSA"}, "lower case": {Type: "rsa"},
		"a small RSA key": {Type: "RSA", Size: 1024}, "an odd RSA size": {Type: "RSA", Size: 2049},
		"a huge RSA key": {Type: "RSA", Size: 16384}, "a negative size": {Type: "RSA", Size: -2048},
		"RSA with a curve": {Type: "RSA", Curve: "P-256"}, "an unknown curve": {Type: "EC", Curve: "P-192"},
		"EC with a size": {Type: "EC", Size: 256}, "an odd oct size": {Type: "oct", Size: 257},
		"oct with a curve": {Type: "oct", Curve: "P-256"},
	} {
		_, err := l.Create(t.Context(), l.p, vault.Request{Name: "k", Kind: kind}, by)
		refused(t, name, err, vault.CodeBadParameter, vault.CheckKeyType)
	}
	for _, name := range []string{"", "a/b", "a b", "ä", "a_b", strings.Repeat("a", 128), "../a", "a\x00"} {
		_, err := l.Create(t.Context(), l.p, vault.Request{Name: name, Kind: vault.Kind{Type: "oct"}}, by)
		refused(t, fmt.Sprintf("name %q", name), err, vault.CodeBadParameter, vault.CheckKeyName)
	}
}

func TestAttributesOutOfBoundsAreRefused(t *testing.T) {
	l := newLab(t)
	many := map[string]string{}
	for i := range 16 {
		many[fmt.Sprint(i)] = ""
	}
	for name, a := range map[string]vault.Attributes{
		"an unknown operation":       {Operations: []string{"release"}},
		"an operation of other keys": {Operations: []string{"sign"}},
		"an operation twice":         {Operations: []string{"encrypt", "encrypt"}},
		"16 tags":                    {Tags: many},
		"a long tag":                 {Tags: map[string]string{"a": strings.Repeat("a", 257)}},
		"a tag without a name":       {Tags: map[string]string{"": "a"}},
		"a time before 1970":         {Expires: ptr(time.Unix(-1, 0))},
		"a time after 9999":          {NotBefore: ptr(time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC))},
		"an end before the start":    {NotBefore: ptr(start), Expires: ptr(start)},
	} {
		r := vault.Request{Name: "k", Kind: vault.Kind{Type: "oct"}, Attributes: a}
		_, err := l.Create(t.Context(), l.p, r, by)
		refused(t, name, err, vault.CodeBadParameter, vault.CheckAttributes)
	}
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// jwks are private keys of each family, as clients import them.
func jwks(t *testing.T) (rsaJWK, ecJWK, octJWK vault.JWK) {
	t.Helper()
	r := must[*rsa.PrivateKey](t)(rsa.GenerateKey(rand.Reader, 2048))
	e := must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	point, d := must[[]byte](t)(e.PublicKey.Bytes()), must[[]byte](t)(e.Bytes())
	return vault.JWK{
			Type: "RSA-HSM",
			N:    b64(r.N.Bytes()),
			E:    "AQAB",
			D:    b64(r.D.Bytes()),
			P:    b64(r.Primes[0].Bytes()),
			Q:    b64(r.Primes[1].Bytes()),
		},
		vault.JWK{Type: "EC", Curve: "P-384", X: b64(point[1:49]), Y: b64(point[49:]), D: b64(d)},
		vault.JWK{Type: "oct-HSM", K: b64([]byte("a passphrase"))}
}

func TestKeysAreImported(t *testing.T) {
	l := newLab(t)
	rsaJWK, ecJWK, octJWK := jwks(t)
	for _, tc := range []struct {
		jwk  vault.JWK
		want vault.Kind
	}{
		{rsaJWK, vault.Kind{Type: "RSA-HSM", Size: 2048}},
		{ecJWK, vault.Kind{Type: "EC", Curve: "P-384"}},
		{octJWK, vault.Kind{Type: "oct-HSM", Size: 96}},
		{vault.JWK{Type: "oct", K: b64([]byte{1})}, vault.Kind{Type: "oct", Size: 8}},
		{
			vault.JWK{Type: "oct", K: b64(make([]byte, vault.MaxOct))},
			vault.Kind{Type: "oct", Size: 8 * vault.MaxOct},
		},
		{
			vault.JWK{Type: "oct", K: base64.URLEncoding.EncodeToString([]byte("padded"))},
			vault.Kind{Type: "oct", Size: 48},
		},
	} {
		k := l.create(vault.Request{Name: "k", Import: &tc.jwk})
		if got := (vault.Kind{Type: k.Version.Type, Size: k.Version.Size, Curve: k.Version.Curve}); got != tc.want {
			t.Errorf("%+v, want %+v", got, tc.want)
		}
	}
}

func TestKeysThatAreNotWholeAreNotImported(t *testing.T) {
	l := newLab(t)
	rsaJWK, ecJWK, octJWK := jwks(t)
	otherRSA, otherEC, _ := jwks(t)
	with := func(j vault.JWK, edit func(*vault.JWK)) vault.JWK { edit(&j); return j }
	for name, jwk := range map[string]vault.JWK{
		"RSA without d":              with(rsaJWK, func(j *vault.JWK) { j.D = "" }),
		"RSA without p":              with(rsaJWK, func(j *vault.JWK) { j.P = "" }),
		"RSA with the d of another":  with(rsaJWK, func(j *vault.JWK) { j.D = otherRSA.D }),
		"RSA with the n of another":  with(rsaJWK, func(j *vault.JWK) { j.N = otherRSA.N }),
		"RSA with p twice":           with(rsaJWK, func(j *vault.JWK) { j.Q = j.P }),
		"RSA with an even exponent":  with(rsaJWK, func(j *vault.JWK) { j.E = b64([]byte{1, 0, 0}) }),
		"RSA with the exponent 1":    with(rsaJWK, func(j *vault.JWK) { j.E = b64([]byte{1}) }),
		"RSA with a huge exponent":   with(rsaJWK, func(j *vault.JWK) { j.E = b64(bytes.Repeat([]byte{255}, 9)) }),
		"RSA with k":                 with(rsaJWK, func(j *vault.JWK) { j.K = "AQAB" }),
		"RSA that is not base64":     with(rsaJWK, func(j *vault.JWK) { j.D = "!" }),
		"RSA with endless d":         with(rsaJWK, func(j *vault.JWK) { j.D = b64(make([]byte, 100_000)) }),
		"EC with the point of other": with(ecJWK, func(j *vault.JWK) { j.X, j.Y = otherEC.X, otherEC.Y }),
		"EC without y":               with(ecJWK, func(j *vault.JWK) { j.Y = "" }),
		"EC with d zero":             with(ecJWK, func(j *vault.JWK) { j.D = b64(make([]byte, 48)) }),
		"EC with d over the order":   with(ecJWK, func(j *vault.JWK) { j.D = b64(bytes.Repeat([]byte{255}, 48)) }),
		"EC on a smaller curve":      with(ecJWK, func(j *vault.JWK) { j.Curve = "P-256" }),
		"oct without k":              with(octJWK, func(j *vault.JWK) { j.K = "" }),
		"oct over its bound":         with(octJWK, func(j *vault.JWK) { j.K = b64(make([]byte, vault.MaxOct+1)) }),
		"oct with n":                 with(octJWK, func(j *vault.JWK) { j.N = "AQAB" }),
	} {
		_, err := l.Create(t.Context(), l.p, vault.Request{Name: "k", Import: &jwk}, by)
		refused(t, name, err, vault.CodeBadParameter, vault.CheckMaterial)
	}
	small := must[*rsa.PrivateKey](t)(rsa.GenerateKey(rand.Reader, 2056))
	odd := vault.JWK{Type: "RSA", N: b64(small.N.Bytes()), E: "AQAB", D: b64(small.D.Bytes()),
		P: b64(small.Primes[0].Bytes()), Q: b64(small.Primes[1].Bytes())}
	_, err := l.Create(t.Context(), l.p, vault.Request{Name: "k", Import: &odd}, by)
	refused(t, "RSA of 2056 bits", err, vault.CodeBadParameter, vault.CheckKeyType)
}

func TestASecondCreateIsANewVersion(t *testing.T) {
	l := newLab(t)
	first := l.create(exportable("Disk"))
	l.now = start.Add(time.Hour)
	second := l.create(vault.Request{Name: "dISK", Kind: vault.Kind{Type: "oct", Size: 128}})
	if second.Version.ID == first.Version.ID || second.Spelling != "Disk" || !second.Exportable ||
		second.Policy == nil {
		t.Errorf("%+v", second)
	}
	newest := must[*vault.Key](t)(l.Get(t.Context(), l.p, "disk", ""))
	if newest.Version.ID != second.Version.ID {
		t.Errorf("newest is %s", newest.Version.ID)
	}
	earlier := must[*vault.Key](t)(l.Get(t.Context(), l.p, "DISK", strings.ToUpper(first.Version.ID)))
	if earlier.Version.Size != 256 {
		t.Errorf("%+v", earlier.Version)
	}
	list := must[vault.Page](t)(l.Versions(t.Context(), l.p, "disk", "", 25))
	if len(list.Keys) != 2 || list.Next != "" {
		t.Errorf("%+v", list)
	}
	for name, id := range map[string]string{
		"another version": hex.EncodeToString(make([]byte, 16)), "no version": "x",
	} {
		_, err := l.Get(t.Context(), l.p, "disk", id)
		refused(t, name, err, vault.CodeNotFound, vault.CheckExists)
	}
	_, err := l.Get(t.Context(), l.provider("other"), "disk", "")
	refused(t, "another provider", err, vault.CodeNotFound, vault.CheckExists)
}

func TestKeysAreListedPageByPage(t *testing.T) {
	l := newLab(t)
	for i := range 7 {
		l.create(vault.Request{Name: fmt.Sprint("key-", i), Kind: vault.Kind{Type: "oct"}})
	}
	var names []string
	pages := 0
	for after := ""; ; pages++ {
		page := must[vault.Page](t)(l.List(t.Context(), l.p, after, false, 3))
		for _, k := range page.Keys {
			names = append(names, k.Name)
		}
		if after = page.Next; after == "" {
			break
		}
	}
	if strings.Join(names, " ") != "key-0 key-1 key-2 key-3 key-4 key-5 key-6" || pages != 2 {
		t.Error(names, pages)
	}
	for i := range 3 {
		must[*vault.Key](t)(l.Delete(t.Context(), l.p, fmt.Sprint("key-", 2*i), by))
	}
	if page := must[vault.Page](t)(l.List(t.Context(), l.p, "", true, 25)); len(page.Keys) != 3 {
		t.Errorf("%d deleted keys", len(page.Keys))
	}
	page := must[vault.Page](t)(l.List(t.Context(), l.provider("other"), "", false, 25))
	if len(page.Keys) != 0 {
		t.Error("keys of another provider")
	}
}

func TestABoundOfKeysIsKept(t *testing.T) {
	l := newLab(t, func(c *vault.Config) { c.MaxKeys = 2 })
	l.create(exportable("a"))
	l.create(exportable("b"))
	must[*vault.Key](t)(l.Delete(t.Context(), l.p, "b", by))
	_, err := l.Create(t.Context(), l.p, exportable("c"), by)
	refused(t, "a third key", err, vault.CodeForbidden, vault.CheckLimit)
	l.create(exportable("a")) // a version is not a key
}

func TestAlteredRowsAreNotReadAsKeys(t *testing.T) {
	l := newLab(t)
	l.create(exportable("a"))
	if _, err := l.db.ExecContext(t.Context(), `UPDATE vault_versions SET sealed = $1`,
		[]byte{0}); err != nil {
		t.Fatal(err)
	}
	_, err := l.Get(t.Context(), l.p, "a", "")
	var r *vault.Refusal
	if err == nil || errors.As(err, &r) || errors.Is(err, store.ErrNotFound) {
		t.Errorf("%v", err)
	}
}
