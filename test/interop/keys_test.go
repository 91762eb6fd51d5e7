//go:build interop

package interop

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"crypto/rsa"

	"github.com/probity-dev/probity/release/document"
	"github.com/probity-dev/probity/release/keywrap"
)

// TestJavaScriptKeyVaultClient: Microsoft's client of Key Vault keeps keys at the service, and the machine
// opens what was released to it.
func TestJavaScriptKeyVaultClient(t *testing.T) {
	i := simulated(t)
	run(t, "js", env(i, "NODE_EXTRA_CA_CERTS"), "node", "--test", "--test-reporter=spec", "keys.test.mjs")
	var released map[string]struct {
		KeyID     string            `json:"kid"`
		Nonce     string            `json:"nonce"`
		Algorithm keywrap.Algorithm `json:"algorithm"`
		Value     string            `json:"value"`
	}
	if err := json.Unmarshal(read(t, filepath.Join(i.Folder, "released.json")), &released); err != nil {
		t.Fatal(err)
	}
	if len(released) != 8 {
		t.Errorf("%d keys were released, want 8", len(released))
	}
	var imported jose.JSONWebKey
	if err := json.Unmarshal(read(t, filepath.Join(i.Folder, "imported.jwk")), &imported); err != nil {
		t.Fatal(err)
	}
	for name, r := range released {
		d, m := i.OpenReleased(t, r.Value, document.Expectation{KeyID: r.KeyID, Nonce: r.Nonce,
			Algorithm: r.Algorithm, APIVersion: "2025-07-01", WrappingKeyID: "machine"})
		name, _, versioned := strings.Cut(name, "/")
		if versioned != (d.Key.KeyID == r.KeyID) {
			t.Errorf("%s: asked for %s, released %s", name, r.KeyID, d.Key.KeyID)
		}
		switch name {
		case "imported":
			if !imported.Key.(*rsa.PrivateKey).Equal(m.RSA) {
				t.Errorf("%s: another key came back", name)
			}
		case "oct":
			if len(m.Octets) != 32 || d.Key.Type != "oct-HSM" {
				t.Errorf("%s: %d bytes of type %s", name, len(m.Octets), d.Key.Type)
			}
		case "Disk-1":
			if m.RSA.N.BitLen() != 3072 || d.Tags["team"] != "storage" {
				t.Errorf("%s: %d bits, tags %v", name, m.RSA.N.BitLen(), d.Tags)
			}
		}
	}
}
