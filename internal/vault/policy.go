package vault

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/probity-dev/probity/internal/store"
	"github.com/probity-dev/probity/release"
)

// contentType is that of release policies.
const contentType = "application/json; charset=utf-8"

// checkPolicy checks a release policy that was submitted, and fills in its content type.
func checkPolicy(p *store.ReleasePolicy) error {
	if p == nil {
		return nil
	}
	if p.ContentType == "" {
		p.ContentType = contentType
	}
	if !strings.HasPrefix(strings.ToLower(p.ContentType), "application/json") || len(p.ContentType) > 100 {
		return bad(CheckPolicy, "contentType "+contentType, fmt.Sprintf("%.100q", p.ContentType))
	}
	if len(p.Data) > maxPolicy {
		return bad(CheckPolicy, fmt.Sprintf("a release policy of at most %d bytes", maxPolicy),
			fmt.Sprintf("%d bytes", len(p.Data)))
	}
	if _, err := release.Parse(p.Data); err != nil {
		return bad(CheckPolicy, "a release policy of the grammar 1.0.0", err.Error())
	}
	return nil
}

// setPolicy changes the policy of a key; nil leaves it.
func setPolicy(k *store.VaultKey, p *store.ReleasePolicy) error {
	switch {
	case p == nil:
		return nil
	case !k.Exportable:
		return skr(1005, "Non-exportable keys must not have release policy.", CheckExportable,
			"no release policy", "a release policy for a key that is not exportable")
	case k.Policy.Immutable && !(p.Immutable && bytes.Equal(p.Data, k.Policy.Data)):
		return skr(1020, "Immutable Key Release Policy cannot be modified.", CheckImmutable,
			"the release policy as it is", "another one")
	}
	k.Policy = p
	return nil
}

// PolicyHash is the hash of a release policy as the ledger has it: SHA-256, base64url.
func PolicyHash(p *store.ReleasePolicy) string {
	sum := sha256.Sum256(p.Data)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
