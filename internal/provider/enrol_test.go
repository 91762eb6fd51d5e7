package provider_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/probity-dev/probity/internal/provider"
	"github.com/probity-dev/probity/internal/store"
)

func TestAProviderEnrolsABoundedNumberOfKeys(t *testing.T) {
	cfg := config(t, open(t))
	cfg.Defaults.MaxTPMKeys = 3
	r, err := provider.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	enrol := func(i int) error {
		n := fmt.Sprintf("%064d", i)
		return r.Enrol(t.Context(),
			store.TPMKey{Provider: "default", Key: n, EndorsementKey: n, Name: "host" + n, Created: now},
			"default", provider.By{})
	}
	for i := range 3 {
		if err := enrol(i); err != nil {
			t.Fatal(err)
		}
	}
	err = enrol(3)
	if !errors.Is(err, provider.ErrTooManyKeys) || !strings.Contains(err.Error(), "tpm.maxKeys") {
		t.Errorf("one more: %v", err)
	}
	if err := enrol(2); err != nil {
		t.Errorf("a key that is enrolled again takes no more room: %v", err)
	}
}
