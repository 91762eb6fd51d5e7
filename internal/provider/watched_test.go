package provider_test

import (
	"context"
	"crypto"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/probity-dev/probity/internal/store"
)

// watched is a store that knows whether a transaction is open.
type watched struct {
	store.Store
	open atomic.Int32
}

func (w *watched) Update(ctx context.Context, topic, name string, f func(store.Tx) error) error {
	return w.Store.Update(ctx, topic, name, func(tx store.Tx) error {
		w.open.Add(1)
		defer w.open.Add(-1)
		return f(tx)
	})
}

// hardware is a token that fails to make keys, and that must not be asked for them
// while a transaction is open.
type hardware struct {
	*watched
	t     *testing.T
	asked int
}

func (h *hardware) Generate(_, _ string) (crypto.Signer, error) {
	h.asked++
	if h.open.Load() != 0 {
		h.t.Error("a key is made while a transaction is open")
	}
	return nil, errors.New("the token is full")
}
func (h *hardware) Find(string) (crypto.Signer, error) { return nil, errors.New("not found") }
func (h *hardware) Remove(string) error                { return nil }
