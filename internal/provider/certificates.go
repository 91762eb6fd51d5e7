package provider

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/internal/ledger"
	"github.com/probity-dev/probity/internal/store"
	"github.com/probity-dev/probity/policy/policyjws"
)

// maxUsed is how many used requests about certificates are known again.
const maxUsed = 256

// maxSigners bounds the policy signing certificates of a provider.
const maxSigners = 32

// ChangeCertificate adds or removes a certificate that may sign policies, as the
// signed request asks. Adding one that is there, and removing one that is not,
// changes nothing. It returns the certificate's thumbprint.
func (r *Registry) ChangeCertificate(
	ctx context.Context, providerName, jws string, add bool, by By,
) (thumbprint string, err error) {
	in, err := policyjws.ParseCertificate(jws)
	if err != nil {
		return "", err
	}
	var pending *Refusal
	err = r.cfg.Store.Update(ctx, store.TopicProvider, providerName, func(tx store.Tx) error {
		pending = nil
		p, err := provider(tx, providerName)
		if err != nil {
			return err
		}
		c := certificateChange{jws, add, by, nil}
		changes, err := r.judge(p, in, c)
		if err != nil || !changes {
			return err
		}
		if approvals(p) > 1 {
			action := store.CertificateRemove
			if add {
				action = store.CertificateAdd
			}
			pending, err = r.propose(tx, p, store.Proposal{Action: action, JWS: jws, Base: p.Revision}, by)
			return err
		}
		return r.changeCertificate(tx, p, in, c)
	})
	if err != nil {
		return "", err
	}
	r.changed(ctx, providerName)
	if pending != nil {
		return "", pending
	}
	return policyjws.Thumbprint(in.Certificate), nil
}

// certificateChange is a request about a certificate that may sign policies.
type certificateChange struct {
	jws    string
	add    bool
	by     By
	agreed []string
}

func registered(p store.Provider, in *policyjws.CertificateSubmission) int {
	return slices.IndexFunc(p.Signers, func(jwk jsontext.Value) bool {
		cert, err := policyjws.Certificate(jwk)
		return err == nil && cert.Equal(in.Certificate)
	})
}

// judge checks a request about a certificate, and reports whether it changes anything.
func (r *Registry) judge(
	p store.Provider, in *policyjws.CertificateSubmission, c certificateChange,
) (changes bool, err error) {
	if !p.Isolated {
		return false, refuse(InvalidOperation, CheckTrustModel, "a provider of the trust model Isolated",
			"a provider of the trust model AAD, which has no certificates",
			"create a provider with policy signing certificates")
	}
	use := policyjws.Binding{Purpose: policyjws.PurposeRemoveCertificate}
	if c.add {
		use.Purpose = policyjws.PurposeAddCertificate
	}
	if err := errors.Join(r.signed(p, &in.Submission), r.bound(p, &in.Submission, use)); err != nil {
		return false, err
	}
	at := registered(p, in)
	switch {
	case c.add == (at >= 0):
		return false, nil
	case c.add && len(p.Signers) >= maxSigners:
		return false, refuse(Invalid, CheckCertificate, fmt.Sprintf("at most %d certificates", maxSigners),
			fmt.Sprint(len(p.Signers)),
			"remove one first, or register a CA instead of each of its certificates")
	case !c.add && len(p.Signers) == 1:
		return false, refuse(InvalidOperation, CheckLast, "at least one certificate left after the removal",
			"the provider's last certificate", "add another certificate first")
	}
	// Azure's clients sign the same words to add a certificate and to remove it. Where
	// each signature is new, the same one again is another's copy, in whatever form.
	if in.Randomised() && slices.Contains(p.Used, in.Identity()) {
		return false, refuse(InvalidOperation, CheckPurpose,
			"a request about certificates that was not used before", "a request that was used before",
			remedyPurpose)
	}
	return true, nil
}

// changeCertificate makes the change, and records it.
func (r *Registry) changeCertificate(
	tx store.Tx, p store.Provider, in *policyjws.CertificateSubmission, c certificateChange,
) error {
	changes, err := r.judge(p, in, c)
	if err != nil || !changes {
		return err
	}
	action := "certificate.add"
	if c.add {
		p.Signers = append(p.Signers, in.Key)
	} else {
		action = "certificate.remove"
		at := registered(p, in)
		p.Signers = slices.Delete(p.Signers, at, at+1)
	}
	if in.Randomised() {
		if p.Used = append(p.Used, in.Identity()); len(p.Used) > maxUsed {
			p.Used = p.Used[len(p.Used)-maxUsed:]
		}
	}
	p.Updated, p.UpdatedBy = r.now(), c.by.Caller
	if _, err := tx.PutProvider(p); err != nil {
		return err
	}
	details := map[string]string{}
	approvedBy(details, c.agreed)
	return ledger.Append(tx, p.Identity(), r.entry(c.by, action, policyjws.Thumbprint(in.Certificate), details))
}

// checkSigners reads the certificates that a provider is created with.
func checkSigners(keys []jsontext.Value) error {
	if len(keys) > maxSigners {
		return refuse(Invalid, CheckCertificate, fmt.Sprintf("at most %d certificates", maxSigners),
			fmt.Sprint(len(keys)), "register a CA instead of each of its certificates")
	}
	for i, jwk := range keys {
		if _, err := policyjws.Certificate(jwk); err != nil {
			return refuse(Invalid, CheckCertificate, "JSON Web Keys with a certificate (x5c)",
				fmt.Sprintf("key %d: %v", i+1, err), "register RSA keys of 2048 bits or more, P-256 or P-384")
		}
	}
	return nil
}
