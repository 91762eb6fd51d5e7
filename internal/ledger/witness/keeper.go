package witness

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Log is the ledgers whose checkpoints are shown.
type Log interface {
	// ConsistencyProof shows that a tree of one size extends that of an older one.
	ConsistencyProof(ctx context.Context, provider string, old, size int64) (tlog.TreeProof, error)
	// Size is how many entries the database has now.
	Size(ctx context.Context, provider string) (int64, error)
	// Cosigned returns the newest cosigned checkpoint and its size, or "".
	Cosigned(provider string) (string, int64)
	KeepCosigned(provider, text string) error
	// Alarm stops a ledger: the witness saw more entries than there are.
	Alarm(provider, reason string)
}

// Keeper offers checkpoints to a witness in the background. Its methods are safe
// for concurrent use.
type Keeper struct {
	client *Client
	key    note.Verifier
	log    *slog.Logger

	mu      sync.Mutex
	waiting map[string]offer // the newest of each provider
	wake    chan struct{}

	cosigned, failed atomic.Int64
}

type offer struct {
	text string
	size int64
}

// NewKeeper returns a keeper. key verifies the ledgers' own signatures.
func NewKeeper(client *Client, key note.Verifier, log *slog.Logger) *Keeper {
	return &Keeper{client: client, key: key, log: log, waiting: map[string]offer{}, wake: make(chan struct{}, 1)}
}

// Offer hands a checkpoint over. It does not block; a newer one replaces it.
func (k *Keeper) Offer(provider, text string, size int64) {
	k.mu.Lock()
	if k.waiting[provider].size <= size {
		k.waiting[provider] = offer{text, size}
	}
	k.mu.Unlock()
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// Stats counts checkpoints that were cosigned, and attempts that failed.
func (k *Keeper) Stats() (cosigned, failed int64) { return k.cosigned.Load(), k.failed.Load() }

// requestTime bounds one request, pauseTime follows one that failed.
const (
	requestTime = 10 * time.Second
	pauseTime   = 10 * time.Second
)

// Run shows checkpoints until ctx ends.
func (k *Keeper) Run(ctx context.Context, l Log) {
	for {
		k.mu.Lock()
		batch := k.waiting
		k.waiting = map[string]offer{}
		k.mu.Unlock()
		failing := false
		for provider, o := range batch {
			if err := k.show(ctx, l, provider, o); err != nil && ctx.Err() == nil {
				failing = true
				k.failed.Add(1)
				k.log.Warn("a checkpoint was not cosigned; it is offered again", "provider", provider, "size",
					o.size, "err", err.Error())
				k.Offer(provider, o.text, o.size)
			}
		}
		var again <-chan time.Time
		wake := k.wake
		if failing {
			again, wake = time.After(pauseTime), nil
		}
		select {
		case <-ctx.Done():
			return
		case <-wake:
		case <-again:
		}
	}
}

// show shows one checkpoint. The witness says from which size on it wants the proof
// if it is not the one that was cosigned last.
func (k *Keeper) show(ctx context.Context, l Log, provider string, o offer) error {
	_, old := l.Cosigned(provider)
	for attempt := range 2 {
		if old > o.size {
			return k.behind(ctx, l, provider, o, old)
		}
		text, err := k.add(ctx, l, provider, o, old)
		if c := (*Conflict)(nil); errors.As(err, &c) && attempt == 0 && c.Size != old {
			old = c.Size
			continue
		}
		if err != nil {
			return err
		}
		k.cosigned.Add(1)
		return l.KeepCosigned(provider, text)
	}
	return errors.New("witness: its size changed meanwhile")
}

// behind is where the witness has more entries: another node showed them, or they
// are gone.
func (k *Keeper) behind(ctx context.Context, l Log, provider string, o offer, size int64) error {
	now, err := l.Size(ctx, provider)
	if err != nil {
		return err
	}
	if now < size {
		l.Alarm(provider, fmt.Sprintf("the witness %s saw %d entries, the database has %d: "+
			"entries were removed, or the database is an older copy", k.client.Key.name, size, now))
	}
	return nil
}

func (k *Keeper) add(ctx context.Context, l Log, provider string, o offer, old int64) (string, error) {
	var proof tlog.TreeProof
	var err error
	if old > 0 && old < o.size {
		if proof, err = l.ConsistencyProof(ctx, provider, old, o.size); err != nil {
			return "", err
		}
	}
	short, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	return k.client.Add(short, k.key, old, proof, o.text)
}
