package tenant

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/probity-dev/probity/internal/auth"
	"github.com/probity-dev/probity/internal/bounds"
	"github.com/probity-dev/probity/internal/ledger"
	"github.com/probity-dev/probity/internal/signing"
	"github.com/probity-dev/probity/internal/spelling"
	"github.com/probity-dev/probity/internal/store"
	"github.com/probity-dev/probity/token"
)

var tokenName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// maxTokenLife is how far ahead a static token may expire.
const maxTokenLife = 10 * 366 * 24 * time.Hour

// NewToken makes a static token and returns its secret, which is kept nowhere.
func (r *Registry) NewToken(ctx context.Context, name, role string, providers []string, expires time.Time, by By) (string, error) {
	bad := func(expected, found string) error {
		return refuse(Invalid, CheckToken, expected, found, "compare with: probity token create --help")
	}
	if !tokenName.MatchString(name) {
		return "", bad("a name of 1 to 64 letters, digits, dots, dashes and underscores", fmt.Sprintf("%q", name))
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
		err := tx.PutToken(store.Token{Name: name, Hash: hex.EncodeToString(sum[:]), Role: parsed.String(), Providers: providers, Created: r.now(), CreatedBy: by.Caller, Expires: expires})
		if errors.Is(err, store.ErrConflict) {
			return refuse(Conflict, CheckToken, "a name that is free", fmt.Sprintf("%q, which is taken", name), "choose another name, or revoke the token first")
		}
		if err != nil {
			return err
		}
		return ledger.Append(tx, store.DefaultProvider, r.entry(by, "caller.create", "token:"+name, map[string]string{"role": parsed.String(), "providers": strings.Join(providers, ",")}))
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
			return refuse(NotFound, CheckToken, "a token that is there", fmt.Sprintf("none of the name %q", name), "list them: probity token list")
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

// RotateKey makes the next signing key of a provider's own keys, or of the shared
// ones if provider is empty.
func (r *Registry) RotateKey(ctx context.Context, provider, algorithm string, rotation signing.Rotation, by By) (store.SigningKey, error) {
	var next store.SigningKey
	if known := token.Algorithms(); !slices.Contains(known, algorithm) {
		return next, refuse(Invalid, CheckKey, "one of "+strings.Join(known, ", "), fmt.Sprintf("the algorithm %.40q", algorithm), "did you mean "+spelling.Nearest(algorithm, known)+"?")
	}
	err := r.cfg.Store.Update(ctx, store.TopicKeys, provider, func(tx store.Tx) (err error) {
		next, err = signing.Rotate(tx, r.cfg.Signing, provider, algorithm, rotation, by.Caller, r.cfg.Now())
		return err
	})
	return next, r.keyChange(ctx, err)
}

// RetireKey ends a signing key at once. With a provider it must be that one's.
func (r *Registry) RetireKey(ctx context.Context, id string, by By) (store.SigningKey, error) {
	var retired store.SigningKey
	err := r.cfg.Store.Update(ctx, store.TopicKeys, "", func(tx store.Tx) (err error) {
		retired, err = signing.Retire(tx, r.cfg.Signing, id, by.Caller, r.cfg.Now())
		return err
	})
	return retired, r.keyChange(ctx, err)
}

func (r *Registry) keyChange(ctx context.Context, err error) error {
	switch {
	case err == nil:
		r.changed(ctx, store.DefaultProvider)
		return nil
	case errors.Is(err, store.ErrNotFound), errors.Is(err, signing.ErrNoKey):
		return refuse(NotFound, CheckKey, "a signing key", err.Error(), "list them: probity keys list")
	case errors.Is(err, signing.ErrPending), errors.Is(err, signing.ErrLastKey):
		return refuse(Conflict, CheckKey, "a key that can be replaced now", err.Error(), "list them: probity keys list")
	}
	return err
}

// Tend rotates keys that are due and removes those that have left the key sets:
// background work, of one node.
func (r *Registry) Tend(ctx context.Context, every time.Duration, rotation signing.Rotation) error {
	records, err := r.cfg.Store.SigningKeys(ctx)
	if err != nil {
		return err
	}
	if every > 0 {
		for _, k := range signing.Due(records, every, rotation, r.cfg.Now()) {
			algorithm := k.Algorithm
			if algorithm == "" {
				algorithm = signing.DefaultAlgorithm
			}
			if _, err := r.RotateKey(ctx, k.Provider, algorithm, rotation, By{Caller: "rotation"}); err != nil {
				return err
			}
		}
	}
	if !signing.Expired(records, r.cfg.Now()) {
		return nil
	}
	var removed []store.SigningKey
	err = r.cfg.Store.Update(ctx, store.TopicKeys, "", func(tx store.Tx) (err error) {
		removed, err = signing.Prune(tx, r.cfg.Signing, r.cfg.Now())
		return err
	})
	if err != nil {
		return r.keyChange(ctx, err)
	}
	if err := r.cfg.Signing.Destroy(removed); err != nil {
		r.cfg.Log.Warn("a key that signs no more is left in the PKCS#11 token", "err", err.Error())
	}
	return r.keyChange(ctx, nil)
}
