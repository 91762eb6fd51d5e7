package transit

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// When a token is renewed: at half of its life, and within these bounds. A renewal that was refused is tried again
// after the shortest time.
const (
	soonest = 10 * time.Second
	latest  = time.Hour
)

func asAnswer(err error, no **answerError) bool { return errors.As(err, no) }

// Renew renews the client's token, and returns for how long it is valid now; zero stands for permanently. It is false for tokens that
// cannot be renewed, which others replace in the file.
func (c *Client) Renew(ctx context.Context) (valid time.Duration, renewable bool, err error) {
	m, err := c.post(ctx, "auth/token/renew-self", map[string]string{})
	var no *answerError
	if asAnswer(err, &no) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	if m.Auth.Duration < 0 || m.Auth.Duration > int64(maxLease/time.Second) {
		m.Auth.Duration = int64(maxLease / time.Second)
	}
	return time.Duration(m.Auth.Duration) * time.Second, m.Auth.Renewable, nil
}

// maxLease bounds the life of a token in an answer.
const maxLease = 366 * 24 * time.Hour

// Run renews the token until ctx ends, and logs what goes wrong. A token that cannot be renewed is read again from
// its file every hour.
func (c *Client) Run(ctx context.Context, log *slog.Logger) {
	failed := false
	for {
		valid, renewable, err := c.Renew(ctx)
		wait := soonest
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			if !failed {
				log.Warn("the token of vault.transit was not renewed; keys under transit need it", "err", err.Error())
			}
		case !renewable || valid == 0:
			wait = latest
			if _, _, err := c.read(true, ""); err != nil {
				log.Warn("the token of vault.transit cannot be read again", "err", err.Error())
			}
		default:
			wait = min(max(valid/2, soonest), latest)
		}
		if failed && err == nil {
			log.Info("vault.transit answers again")
		}
		failed = err != nil
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}
