package vault_test

import (
	"crypto/rand"
	"testing"

	"github.com/probity-dev/probity/internal/vault"
	"github.com/probity-dev/probity/test/kit/vaulttest"
)

func TestTheMasterKeyProtectsKeys(t *testing.T) {
	vaulttest.Run(t, vaulttest.Subject{Opens: true, New: func(t *testing.T, subkey []byte) vault.Protection {
		return must[vault.Protection](t)(vault.NewSoftware(subkey, rand.Reader))
	}})
}
