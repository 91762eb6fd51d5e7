//go:build !pkcs11

package hsm_test

import (
	"errors"
	"testing"

	"github.com/probity-dev/probity/internal/keys/hsm"
)

func TestAProgramWithoutPKCS11SaysSo(t *testing.T) {
	if _, err := hsm.Open("module", "token", "pin"); !errors.Is(err, hsm.ErrNotBuilt) || hsm.Built {
		t.Errorf("error = %v", err)
	}
}
