package provider

import (
	"context"
	"strconv"
	"time"

	"github.com/probity-dev/probity/internal/ledger"
	"github.com/probity-dev/probity/internal/store"
)

// Retention is for how many days the text of a provider's entries is kept: what it
// asks for, and no less than the operator's minimum. Zero means forever.
func (r *Registry) Retention(t *Provider) int {
	if t.Settings.Retention == 0 {
		return 0
	}
	return max(t.Settings.Retention, r.cfg.MinRetention)
}

// Forget removes the text of a provider's entries that are older than its
// retention. Each removal is an entry itself, made before it, so that a text that is missing
// without one was removed by someone else. The cut is at a midnight: there is one such entry
// a day.
func (r *Registry) Forget(ctx context.Context, t *Provider) error {
	days := r.Retention(t)
	if days == 0 {
		return nil
	}
	now := r.cfg.Now().UTC()
	cut := now.Truncate(24*time.Hour).AddDate(0, 0, -days)
	due, gone, err := ledger.Due(ctx, r.cfg.Store, t.Identity(), cut)
	if err != nil || due == gone {
		return err
	}
	entry := r.entry(By{Caller: "retention"}, ledger.ActionForget, t.Name, ledger.Forgets(due, map[string]string{
		"ledgerRetentionDays": strconv.Itoa(days), "before": cut.Format(time.RFC3339),
		"entries": strconv.FormatInt(due-gone, 10)}))
	if err := r.cfg.Store.Update(ctx, store.TopicProvider, t.Name, func(tx store.Tx) error {
		return ledger.Append(tx, t.Identity(), entry)
	}); err != nil {
		return err
	}
	r.changed(ctx, t.Name)
	_, err = ledger.Forget(ctx, r.cfg.Store, t.Identity(), due)
	return err
}
