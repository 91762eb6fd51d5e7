package provider

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/probity-dev/probity/internal/auth"
	"github.com/probity-dev/probity/internal/ledger"
	"github.com/probity-dev/probity/internal/store"
	"github.com/probity-dev/probity/strict/ascii"
	"github.com/probity-dev/probity/strict/bounds"
)

var tokenName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// maxTokenLife is how far ahead a static token may expire.
const maxTokenLife = 10 * 366 * 24 * time.Hour

// NewToken makes a static token and returns its secret, which is kept nowhere.
func (r *Registry) NewToken(
	ctx context.Context, name, role string, providers []string, expires time.Time, by By,
) (string, error) {
	bad := func(expected, found string) error {
		return refuse(Invalid, CheckToken, expected, found, "compare with: probity token create --help")
	}
	if !tokenName.MatchString(name) {
		return "", bad("a name of 1 to 64 letters, digits, dots, dashes and underscores", fmt.Sprintf("%q", name))
	}
	if ascii.EqualFold(name, auth.Administrator) {
		return "", bad("a name other than that of the administrator's token", fmt.Sprintf("%q", name))
	}
	parsed, err := auth.ParseRole(role)
	if err != nil {
		return "", bad("a role", err.Error())
	}
	if len(providers) == 0 || len(providers) > 100 {
		return "", bad("1 to 100 providers, or *", fmt.Sprint(len(providers)))
	}
	for _, p := range providers {
		if _, ok := r.Get(p); !ok && p != auth.Everywhere {
			return "", noProvider(p)
		}
	}
	if !expires.IsZero() {
		if err := bounds.Time("expires", expires, r.now().Add(time.Second), r.now().Add(maxTokenLife)); err != nil {
			return "", bad("an expiry in the future, within ten years, or none", err.Error())
		}
		// As the store can write it: in UTC, in whole seconds.
		expires = expires.UTC().Truncate(time.Second)
	}
	secret := "prb_" + rand.Text() // 130 bits
	sum := sha256.Sum256([]byte(secret))
	err = r.cfg.Store.Update(ctx, store.TopicTokens, name, func(tx store.Tx) error {
		err := tx.PutToken(store.Token{
			Name: name, Hash: hex.EncodeToString(sum[:]), Role: parsed.String(), Providers: providers,
			Created: r.now(), CreatedBy: by.Caller, Expires: expires,
		})
		if errors.Is(err, store.ErrConflict) {
			return refuse(Conflict, CheckToken, "a name that is free",
				fmt.Sprintf("%q, which another token has", name),
				"choose another name, or revoke the token first")
		}
		if err != nil {
			return err
		}
		return ledger.Append(tx, store.DefaultProvider, r.entry(by, "caller.create", "token:"+name,
			map[string]string{"role": parsed.String(), "providers": strings.Join(providers, ",")}))
	})
	if err != nil {
		return "", err
	}
	r.changed(ctx, store.DefaultProvider)
	return secret, nil
}

// RevokeToken removes a static token.
func (r *Registry) RevokeToken(ctx context.Context, name string, by By) error {
	err := r.cfg.Store.Update(ctx, store.TopicTokens, name, func(tx store.Tx) error {
		err := tx.DeleteToken(name)
		if errors.Is(err, store.ErrNotFound) {
			return refuse(NotFound, CheckToken, "an existing token", fmt.Sprintf("no token named %q", name),
				"list them: probity token list")
		}
		if err != nil {
			return err
		}
		return ledger.Append(tx, store.DefaultProvider, r.entry(by, "caller.revoke", "token:"+name, nil))
	})
	if err == nil {
		r.changed(ctx, store.DefaultProvider)
	}
	return err
}
