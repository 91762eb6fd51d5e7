package provider

import (
	"context"
	"errors"
	"fmt"

	"github.com/probity-dev/probity/internal/ledger"
	"github.com/probity-dev/probity/internal/store"
)

// maxKeysOfTPM is how many attestation keys one TPM enrols at a provider: a machine
// needs one, and a new one when it is set up again.
const maxKeysOfTPM = 8

// defaultMaxTPMKeys is how many keys a provider enrols by default.
const defaultMaxTPMKeys = 10_000

// ErrTooManyKeys is returned where a provider or a TPM has as many enrolled keys as
// it may have.
var ErrTooManyKeys = errors.New("too many enrolled keys")

// Enrol binds an attestation key to a TPM. The error wraps store.ErrConflict if
// name or key belong to another TPM, and [ErrTooManyKeys]. identity is the provider's that
// the TPM was challenged for.
func (r *Registry) Enrol(ctx context.Context, k store.TPMKey, identity string, by By) error {
	err := r.cfg.Store.Update(ctx, store.TopicTPM, k.Provider, func(tx store.Tx) error {
		p, err := provider(tx, k.Provider)
		if err != nil {
			return err
		}
		if p.Identity() != identity {
			return refuse(Conflict, CheckProvider, "the provider for which the TPM was challenged",
				"a new provider of the same name", "enrol again")
		}
		all, same, err := tx.CountTPMKeys(k)
		if err != nil {
			return err
		}
		limit := r.defaults.Load().MaxTPMKeys
		if limit == 0 {
			limit = defaultMaxTPMKeys
		}
		switch {
		case same >= maxKeysOfTPM:
			return fmt.Errorf("%w: this TPM has %d at the provider, the most allowed", ErrTooManyKeys, same)
		case all >= limit:
			return fmt.Errorf("%w: the provider has %d, the most allowed (tpm.maxKeys)", ErrTooManyKeys, all)
		}
		if err := tx.PutTPMKey(k); err != nil {
			return err
		}
		return ledger.Append(tx, identity, r.entry(by, "tpm.enrol", k.Name,
			map[string]string{"attestationKey": k.Key, "endorsementKey": k.EndorsementKey}))
	})
	if err == nil {
		r.changed(ctx, k.Provider)
	}
	return err
}

// RemoveTPM removes the keys of a machine.
func RemoveTPM(ctx context.Context, db store.Store, provider, name string, entry *ledger.Entry) error {
	return db.Update(ctx, store.TopicTPM, provider, func(tx store.Tx) error {
		p, err := tx.Provider(provider)
		if err != nil {
			return err
		}
		return errors.Join(tx.DeleteTPMKeys(provider, name), ledger.Append(tx, p.Identity(), entry))
	})
}
