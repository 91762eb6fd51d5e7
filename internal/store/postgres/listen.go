package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// channel is what changes are announced on.
const channel = "probity"

// listenAgain is how long it takes to listen again after the connection broke.
const listenAgain = time.Second

// listener hears of the changes of all nodes on a connection of its own.
type listener struct {
	pulse  chan struct{} // one place: a change that no one waits for yet is not lost
	cancel context.CancelFunc
	done   chan struct{}
}

func listen(cfg *pgx.ConnConfig) *listener {
	ctx, cancel := context.WithCancel(context.Background())
	l := &listener{pulse: make(chan struct{}, 1), cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(l.done)
		for ctx.Err() == nil {
			l.hear(ctx, cfg)
			select {
			case <-ctx.Done():
			case <-time.After(listenAgain):
			}
		}
	}()
	return l
}

// hear listens until the connection breaks. Anyone who listens again may have missed
// something.
func (l *listener) hear(ctx context.Context, cfg *pgx.ConnConfig) {
	conn, err := pgx.ConnectConfig(ctx, cfg.Copy())
	if err != nil {
		return
	}
	defer func() {
		end, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		conn.Close(end)
	}()
	if _, err := conn.Exec(ctx, "LISTEN "+channel); err != nil {
		return
	}
	for {
		select {
		case l.pulse <- struct{}{}:
		default:
		}
		if _, err := conn.WaitForNotification(ctx); err != nil {
			return
		}
	}
}

// wait is for one waiter at a time.
func (l *listener) wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-l.pulse:
		return nil
	}
}

func (l *listener) stop() {
	l.cancel()
	<-l.done
}
