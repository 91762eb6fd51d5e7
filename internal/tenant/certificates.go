package tenant

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/internal/ledger"
	"github.com/probity-dev/probity/internal/store"
	"github.com/probity-dev/probity/token"
)

// maxUsed is how many used requests about certificates are known again.
const maxUsed = 256

func usedName(jws string) string {
	sum := sha256.Sum256([]byte(jws))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// maxSigners bounds the policy signing certificates of a provider.
const maxSigners = 32

// ChangeCertificate adds or removes a certificate that may sign policies, as the
// signed request asks. Adding one that is there, and removing one that is not,
// changes nothing. It returns the certificate's thumbprint.
func (r *Registry) ChangeCertificate(ctx context.Context, providerName, jws string, add bool, by By) (thumbprint string, err error) {
	in, err := token.ParseCertificate(jws)
	if err != nil {
		return "", err
	}
	thumbprint = token.Thumbprint(in.Certificate)
	changed := false
	err = r.cfg.Store.Update(ctx, store.TopicProvider, providerName, func(tx store.Tx) error {
		changed = false
		p, err := provider(tx, providerName)
		if err != nil {
			return err
		}
		if !p.Isolated {
			return refuse(InvalidOperation, CheckTrustModel, "a provider of the trust model Isolated", "one of the model AAD, which has no certificates", "create a provider with policy signing certificates")
		}
		use := token.Binding{Purpose: token.PurposeRemoveCertificate}
		if add {
			use.Purpose = token.PurposeAddCertificate
		}
		if err := errors.Join(r.signed(p, &in.SubmittedPolicy), r.bound(p, &in.SubmittedPolicy, use)); err != nil {
			return err
		}
		at := slices.IndexFunc(p.Signers, func(jwk jsontext.Value) bool {
			cert, err := token.PolicyCertificate(jwk)
			return err == nil && cert.Equal(in.Certificate)
		})
		action := "certificate.remove"
		switch {
		case add == (at >= 0):
			return nil
		case add && len(p.Signers) >= maxSigners:
			return refuse(Invalid, CheckCertificate, fmt.Sprintf("at most %d certificates", maxSigners), fmt.Sprint(len(p.Signers)), "remove one first, or register a CA instead of each of its certificates")
		case add:
			action = "certificate.add"
			p.Signers = append(p.Signers, in.Key)
		case len(p.Signers) == 1:
			return refuse(InvalidOperation, CheckLast, "a certificate besides the one removed", "none", "add another certificate first")
		default:
			p.Signers = slices.Delete(p.Signers, at, at+1)
		}
		// Azure's clients sign the same words to add a certificate and to remove it. Where
		// each signature is new, the same JWS again is another's copy.
		if in.Randomised() {
			used := usedName(jws)
			if slices.Contains(p.Used, used) {
				return refuse(InvalidOperation, CheckPurpose, "a request about certificates that was not used before", "a copy of one that was", remedyPurpose)
			}
			if p.Used = append(p.Used, used); len(p.Used) > maxUsed {
				p.Used = p.Used[len(p.Used)-maxUsed:]
			}
		}
		changed = true
		p.Updated, p.UpdatedBy = r.now(), by.Caller
		if _, err := tx.PutProvider(p); err != nil {
			return err
		}
		return ledger.Append(tx, providerName, r.entry(by, action, thumbprint, nil))
	})
	if err == nil && changed {
		r.changed(ctx, providerName)
	}
	return thumbprint, err
}

// checkSigners reads the certificates that a provider is created with.
func checkSigners(keys []jsontext.Value) error {
	if len(keys) > maxSigners {
		return refuse(Invalid, CheckCertificate, fmt.Sprintf("at most %d certificates", maxSigners), fmt.Sprint(len(keys)), "register a CA instead of each of its certificates")
	}
	for i, jwk := range keys {
		if _, err := token.PolicyCertificate(jwk); err != nil {
			return refuse(Invalid, CheckCertificate, "JSON Web Keys with a certificate (x5c)", fmt.Sprintf("key %d: %v", i+1, err), "register RSA keys of 2048 bits or more, P-256 or P-384")
		}
	}
	return nil
}
