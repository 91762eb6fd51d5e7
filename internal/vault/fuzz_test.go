package vault_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"

	"github.com/probity-dev/probity/internal/vault"
)

// FuzzImport: what is imported is of its kind, and errors are refusals that contain nothing of the key.
func FuzzImport(f *testing.F) {
	for _, text := range []string{
		`{"Type":"oct","K":"c2VjcmV0"}`, `{"Type":"RSA","N":"AQAB","E":"AQAB","D":"AQAB","P":"AQAB","Q":"AQAB"}`,
		`{"Type":"EC","Curve":"P-256","X":"AA","Y":"AA","D":"AA"}`, `{"Type":"oct-HSM","K":"_-8="}`, `{}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var j vault.JWK
		if json.Unmarshal(b, &j) != nil {
			return
		}
		m, err := j.Import()
		var refused *vault.Refusal
		switch {
		case err != nil && !errors.As(err, &refused):
			t.Fatalf("%v", err)
		case err == nil && (len(m.Private) == 0 || m.Type != j.Type || (m.Public == nil) != (m.Family() == vault.Oct)):
			t.Fatalf("%+v", m)
		}
		if err != nil && len(j.D) > 12 && bytes.Contains([]byte(err.Error()), []byte(j.D)) {
			t.Fatal("the error has the key")
		}
	})
}

func FuzzReadRotation(f *testing.F) {
	f.Add([]byte(`{"lifetimeActions":[{"trigger":{"timeAfterCreate":"P30D"},"action":{"type":"Rotate"}}],` +
		`"attributes":{"expiryTime":"P1Y2M"}}`))
	f.Add([]byte(`{"lifetimeActions":null,"attributes":{}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := vault.ReadRotation(b)
		var refused *vault.Refusal
		if err != nil && !errors.As(err, &refused) {
			t.Fatalf("%v", err)
		}
		if err != nil {
			return
		}
		text, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := vault.ReadRotation(text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	})
}

// FuzzRestore: no bytes but the service's own are a backup.
func FuzzRestore(f *testing.F) {
	l := newLab(f)
	l.create(exportable("a"))
	blob, err := l.Backup(f.Context(), l.p, "a", by)
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte("probity-key-backup/1"))
	f.Add(blob[:len(blob)-1])
	f.Fuzz(func(t *testing.T, b []byte) {
		if k, err := l.Restore(t.Context(), l.p, b, by); err == nil && !bytes.Equal(b, blob) {
			t.Fatalf("%+v", k)
		}
	})
}

// FuzzRelease: no text but a token of the issuer releases a key, and each is refused with a reason.
func FuzzRelease(f *testing.F) {
	r := newReleases(f)
	r.key()
	good := r.sign(r.claims())
	f.Add(good, "", "")
	f.Add(good[:len(good)-3], "CKM_RSA_AES_KEY_WRAP", "nonce")
	f.Add("e30.e30.", "RSA_AES_KEY_WRAP_256", "")
	f.Fuzz(func(t *testing.T, target, algorithm, nonce string) {
		req := r.request(target)
		req.Algorithm, req.Nonce = algorithm, nonce
		out, err := r.Release(t.Context(), r.p, req, by)
		var refused *vault.Refusal
		if err == nil && target != good || err != nil && (!errors.As(err, &refused) || out.Answer != "") {
			t.Fatalf("%q: %v", target, err)
		}
		r.entries = nil
	})
}
