package tenant

import (
	"context"
	"strconv"
	"time"

	"github.com/probity-dev/probity/internal/ledger"
	"github.com/probity-dev/probity/internal/store"
)

// forgetMax is how many entries lose their text in one step, so that nobody waits
// long for the rows.
const forgetMax = 10_000

// Retention is for how many days the text of a provider's entries is kept: what it
// asks for, and no less than the operator's minimum. Zero means for ever.
func (r *Registry) Retention(t *Tenant) int {
	if t.Settings.Retention == 0 {
		return 0
	}
	return max(t.Settings.Retention, r.cfg.MinRetention)
}

// Forget removes the text of a provider's entries that are older than its
// retention. Each removal is an entry itself, so that the text of the newest part of
// the ledger always says which retention was applied. The cut is at a midnight: there
// is one such entry a day.
func (r *Registry) Forget(ctx context.Context, t *Tenant) error {
	days := r.Retention(t)
	if days == 0 {
		return nil
	}
	now := r.cfg.Now().UTC()
	cut := now.Truncate(24*time.Hour).AddDate(0, 0, -days)
	total := int64(0)
	for forgotten := int64(forgetMax); forgotten == forgetMax; {
		var err error
		if forgotten, err = r.cfg.Store.ForgetLedger(ctx, t.Identity(), cut, forgetMax); err != nil {
			return err
		}
		total += forgotten
	}
	if total == 0 {
		return nil
	}
	entry := r.entry(By{Caller: "retention"}, "ledger.forget", t.Name, map[string]string{
		"ledgerRetentionDays": strconv.Itoa(days), "before": cut.Format(time.RFC3339), "entries": strconv.FormatInt(total, 10)})
	err := r.cfg.Store.Update(ctx, store.TopicProvider, t.Name, func(tx store.Tx) error { return ledger.Append(tx, t.Identity(), entry) })
	if err == nil {
		r.changed(ctx, t.Name)
	}
	return err
}
