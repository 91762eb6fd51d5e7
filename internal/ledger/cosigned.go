package ledger

import (
	"context"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

// cosignedPrefix begins the names of files with checkpoints that a witness
// cosigned.
const cosignedPrefix = "cosigned:"

// ConsistencyProof shows that the tree of one size extends that of an older one
// (RFC 6962, section 2.1.2).
func (w *Writer) ConsistencyProof(
	ctx context.Context, provider string, old, size int64,
) (tlog.TreeProof, error) {
	proof, err := tlog.ProveTree(size, old, inStore{ctx, w.cfg.Store, provider})
	if err != nil {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	return proof, nil
}

// Size is how many entries the database has now.
func (w *Writer) Size(ctx context.Context, provider string) (int64, error) {
	head, err := w.cfg.Store.LedgerHead(ctx, provider)
	return head.Size, err
}

// Cosigned returns the newest checkpoint that a witness cosigned, and its size; ""
// if there is none that can be read.
func (w *Writer) Cosigned(provider string) (text string, size int64) {
	b, err := w.cfg.Outside.Read(cosignedPrefix + provider)
	if err != nil {
		return "", 0
	}
	c, err := w.cfg.Keys.open(provider, string(b))
	if err != nil {
		return "", 0
	}
	return string(b), c.Size
}

// KeepCosigned keeps a checkpoint that a witness cosigned.
func (w *Writer) KeepCosigned(provider, text string) error {
	w.cfg.Log.Info("ledger checkpoint cosigned", "provider", provider, "checkpoint", text)
	return w.cfg.Outside.Write(cosignedPrefix+provider, []byte(text))
}

// Alarm stops a ledger because of what someone else saw of it.
func (w *Writer) Alarm(provider, reason string) { _ = w.stop(provider, reason) }
