package tenant

import (
	"context"
	"errors"

	"github.com/probity-dev/probity/internal/ledger"
	"github.com/probity-dev/probity/internal/store"
)

// Enrol binds an attestation key to a TPM. The error wraps store.ErrConflict if
// name or key belong to another TPM.
func (r *Registry) Enrol(ctx context.Context, k store.TPMKey, by By) error {
	err := r.cfg.Store.Update(ctx, store.TopicTPM, k.Provider, func(tx store.Tx) error {
		if err := tx.PutTPMKey(k); err != nil {
			return err
		}
		return ledger.Append(tx, k.Provider, r.entry(by, "tpm.enrol", k.Name, map[string]string{"attestationKey": k.Key, "endorsementKey": k.EndorsementKey}))
	})
	if err == nil {
		r.changed(ctx, k.Provider)
	}
	return err
}

// RemoveTPM removes the keys of a machine.
func RemoveTPM(ctx context.Context, db store.Store, provider, name string, entry *ledger.Entry) error {
	return db.Update(ctx, store.TopicTPM, provider, func(tx store.Tx) error {
		return errors.Join(tx.DeleteTPMKeys(provider, name), ledger.Append(tx, provider, entry))
	})
}
