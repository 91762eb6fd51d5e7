package vault

import (
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"time"

	"github.com/probity-dev/probity/internal/provider"
)

// Authenticator makes the MACs of challenges under a subkey of the master key, so that any node
// takes back what another one gave.
type Authenticator interface {
	Authenticate(use string, fields ...[]byte) []byte
}

const (
	useChallenge = "challenges of key releases"
	// DefaultChallengeLifetime is how long a challenge can be answered.
	DefaultChallengeLifetime = 5 * time.Minute

	challengeRandom = 16
	challengeHead   = 8 + challengeRandom // its end, and random bytes
	challengeSize   = challengeHead + 32
)

// Challenge returns a nonce for an attestation, and when it ends. It is base64url, for one provider, and accepted
// once.
func (v *Vault) Challenge(p *provider.Provider) (nonce string, expires time.Time, err error) {
	expires = v.now().Add(v.cfg.ChallengeLifetime)
	b := binary.BigEndian.AppendUint64(make([]byte, 0, challengeSize), uint64(expires.Unix()))
	b = b[:challengeHead]
	if _, err := io.ReadFull(v.cfg.Random, b[8:]); err != nil {
		return "", expires, fmt.Errorf("vault: random: %w", err)
	}
	b = append(b, v.cfg.Challenges.Authenticate(useChallenge, []byte(p.Identity()), b)...)
	return base64.RawURLEncoding.EncodeToString(b), expires, nil
}

// challenged checks that a nonce is a challenge of this provider that can still be answered. It
// does not use it up.
func (v *Vault) challenged(p *provider.Provider, nonce string) (expires time.Time, err error) {
	refuse := func(found string) error {
		return unverified(CheckChallenge,
			"a nonce of POST /keys:challenge at this provider, not used before", found)
	}
	if nonce == "" {
		return expires, refuse("no nonce")
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(nonce)
	if err != nil || len(b) != challengeSize {
		return expires, refuse("a nonce of another form")
	}
	mac := v.cfg.Challenges.Authenticate(useChallenge, []byte(p.Identity()), b[:challengeHead])
	if subtle.ConstantTimeCompare(mac, b[challengeHead:]) != 1 {
		return expires, refuse("a nonce that this provider did not issue")
	}
	expires = time.Unix(int64(binary.BigEndian.Uint64(b)), 0).UTC()
	if !v.now().Before(expires) {
		return expires, refuse("a nonce that ended at " + expires.Format(time.RFC3339))
	}
	return expires, nil
}
