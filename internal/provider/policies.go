package provider

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"

	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/internal/ledger"
	"github.com/probity-dev/probity/internal/provider/settings"
	"github.com/probity-dev/probity/internal/store"
	"github.com/probity-dev/probity/policy/policyjws"
)

// PolicyChange is a change of a policy that a caller asks for.
type PolicyChange struct {
	Provider string
	Kind     evidence.Kind
	// Action is store.PolicySet or store.PolicyReset, JWS what was submitted.
	Action, JWS string
	// Match, if not nil, is the version that must be in force.
	Match *int64
	By    By
}

// policyChange is a change on its way: what a caller asks for, and what the registry knows
// of it.
type policyChange struct {
	PolicyChange
	// submitted is what JWS contains.
	submitted *policyjws.Submission
	// base is the version in force when the change was first looked at, from the version that
	// is rolled back to, or 0.
	base, from int64
	// agreed are the callers who agreed besides By.
	agreed []string
}

// Change makes a change of a policy, or says why not. Malformed policies give an error that wraps
// policyjws.ErrFormat or is a *policy.ParseError.
func (r *Registry) Change(ctx context.Context, c PolicyChange) (*Done, error) {
	return r.change(ctx, c, 0)
}

// version is the version in force in the store: this node may not have heard of
// it yet.
func (r *Registry) version(ctx context.Context, provider, kind string) (int64, error) {
	list, err := r.cfg.Store.Policies(ctx, provider)
	if err != nil {
		return 0, err
	}
	for _, p := range list {
		if p.Kind == kind {
			return p.Version, nil
		}
	}
	return 0, nil
}

// change makes a change, or proposes it where the provider wants approvals; from is the
// version that is rolled back to, or 0.
func (r *Registry) change(ctx context.Context, asked PolicyChange, from int64) (*Done, error) {
	base, err := r.version(ctx, asked.Provider, string(asked.Kind))
	if err != nil {
		return nil, err
	}
	submitted, err := r.read(asked)
	if err != nil {
		return nil, err
	}
	c := policyChange{PolicyChange: asked, submitted: submitted, base: base, from: from}
	var done *Done
	var pending *Refusal
	err = r.cfg.Store.Update(ctx, store.TopicPolicy, c.Provider, func(tx store.Tx) error {
		p, err := provider(tx, c.Provider)
		if err != nil {
			return err
		}
		if err := r.admissible(tx, p, c); err != nil {
			return err
		}
		if approvals(p) > 1 {
			pending, err = r.propose(tx, p, store.Proposal{
				Kind: string(c.Kind), Action: c.Action, JWS: c.JWS, From: c.from, Base: c.base,
			}, c.By)
			return err
		}
		done, err = r.put(tx, p, c)
		return err
	})
	if err != nil {
		return nil, err
	}
	r.changed(ctx, c.Provider)
	if pending != nil {
		return nil, pending
	}
	return done, nil
}

// Done is what a change did.
type Done struct {
	// Action is that of the proposal. Kind, Version, the new one, and Submitted are those of
	// a policy.
	Action    string
	Kind      evidence.Kind
	Version   int64
	Submitted *policyjws.Submission
}

// admissible checks a change of a policy against what is in force.
func (r *Registry) admissible(tx store.Tx, p store.Provider, c policyChange) error {
	if err := errors.Join(r.signed(p, c.submitted), r.bound(p, c.submitted, c.use())); err != nil {
		return err
	}
	return inOrder(tx, c)
}

// read checks what was submitted, by itself.
func (r *Registry) read(c PolicyChange) (*policyjws.Submission, error) {
	if c.Action == store.PolicyReset {
		in, err := policyjws.Parse(c.JWS)
		// Security: readers see the JWS of the policy in force. Its signature says "set
		// this policy", not "remove it".
		if err == nil && !in.Empty {
			return nil, refuse(InvalidOperation, CheckPurpose, "a JWS with an empty payload",
				"a JWS that contains a policy, signed to set it", remedyPurpose)
		}
		return in, err
	}
	in, err := ReadPolicy(c.JWS)
	if err != nil {
		return nil, err
	}
	if err := r.baselineHeld(in); err != nil {
		return nil, err
	}
	return in.Submitted, nil
}

// signed checks the signature of a change at an Isolated provider.
func (r *Registry) signed(p store.Provider, submitted *policyjws.Submission) error {
	if !p.Isolated {
		return nil
	}
	if len(submitted.Signer) == 0 {
		return refuse(InvalidOperation, CheckSigner, "a JWS signed by a registered policy signing certificate",
			"an unsigned JWS, although the provider has signing certificates", remedySigner)
	}
	var registered []*x509.Certificate
	for _, jwk := range p.Signers {
		cert, err := policyjws.Certificate(jwk)
		if err != nil {
			return fmt.Errorf("provider: %s: %w", p.Name, err)
		}
		registered = append(registered, cert)
	}
	if !submitted.SignedBy(registered, r.cfg.Now()) {
		return refuse(InvalidOperation, CheckSigner, "a JWS signed by a registered policy signing certificate",
			"a JWS signed by "+submitted.Signer[0].Subject.String()+", which is not registered", remedySigner)
	}
	return nil
}

// bound refuses a change that was signed for something else. What its header does not
// say binds nothing, unless the provider requires it.
func (r *Registry) bound(p store.Provider, in *policyjws.Submission, use policyjws.Binding) error {
	use.Provider = r.url(p.Name)
	chosen, err := settings.Read(p.Settings)
	if err != nil {
		return fmt.Errorf("provider: settings of %s: %w", p.Name, err)
	}
	err = in.Binding.Check(use, r.cfg.Now())
	if err == nil && chosen.BoundChanges && p.Isolated {
		err = in.Binding.Complete(use)
	}
	if err != nil {
		return refuse(InvalidOperation, CheckPurpose, "a change signed for "+use.Purpose+" at "+use.Provider,
			err.Error(), remedyPurpose)
	}
	return nil
}

// use is what a change of a policy is.
func (c policyChange) use() policyjws.Binding {
	purpose := policyjws.PurposeSet
	if c.Action == store.PolicyReset {
		purpose = policyjws.PurposeReset
	}
	return policyjws.Binding{Purpose: purpose, Kind: string(c.Kind), Version: &c.base}
}

// inOrder refuses a change that another one came before.
func inOrder(tx store.Tx, c policyChange) error {
	current, err := tx.Policy(c.Provider, string(c.Kind))
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	if c.Match != nil && *c.Match != current.Version {
		return refuse(Stale, CheckMatch, fmt.Sprintf("version %d in force", *c.Match),
			fmt.Sprintf("version %d", current.Version), remedyConcurrent)
	}
	if current.Version != c.base {
		return refuse(Conflict, CheckConcurrent,
			fmt.Sprintf("version %d in force, as when the change was sent", c.base),
			fmt.Sprintf("version %d of %s", current.Version, current.By), remedyConcurrent)
	}
	return nil
}

// put adds the version and records it.
func (r *Registry) put(tx store.Tx, p store.Provider, c policyChange) (*Done, error) {
	record := store.PolicyVersion{
		Provider: c.Provider, Kind: string(c.Kind), Action: c.Action, JWS: c.JWS, By: c.By.Caller,
		From: c.from, At: r.now(),
	}
	if len(c.submitted.Signer) > 0 {
		sum := sha256.Sum256(c.submitted.Signer[0].Raw)
		record.Signer = hex.EncodeToString(sum[:])
	}
	version, err := tx.PutPolicy(record)
	if err != nil {
		return nil, err
	}
	details := map[string]string{"version": strconv.FormatInt(version, 10), "jws": c.submitted.Hash()}
	if record.Signer != "" {
		details["signer"] = record.Signer
	}
	if c.from > 0 {
		details["from"] = strconv.FormatInt(c.from, 10)
	}
	approvedBy(details, c.agreed)
	err = ledger.Append(tx, p.Identity(), r.entry(c.By, "policy."+c.Action, string(c.Kind), details))
	return &Done{c.Action, c.Kind, version, c.submitted}, err
}

// Version returns a version of a policy as it was written.
func (r *Registry) Version(
	ctx context.Context, providerName string, kind evidence.Kind, version int64,
) (store.PolicyVersion, error) {
	p, err := r.cfg.Store.PolicyVersion(ctx, providerName, string(kind), version)
	switch {
	case errors.Is(err, store.ErrNotFound):
		err = refuse(NotFound, CheckVersion, "a version of the policy of "+string(kind),
			fmt.Sprintf("no version %d", version), "list the versions: probity policy history "+string(kind))
	case errors.Is(err, ErrAltered):
		r.cfg.Log.Error("a version of a policy was altered in the database", "provider", providerName, "type",
			string(kind), "version", version)
		err = refuse(Conflict, CheckVersion, "a version of the policy as it was written",
			fmt.Sprintf("version %d was altered in the database", version),
			"find out who changed the database, and restore it from a backup, or set the policy again")
	}
	return p, err
}

// Rollback puts an earlier version in force again, as a new version: what was
// submitted then is checked as if it were submitted now.
func (r *Registry) Rollback(
	ctx context.Context, providerName string, kind evidence.Kind, version int64, match *int64, by By,
) (*Done, error) {
	earlier, err := r.Version(ctx, providerName, kind, version)
	if err != nil {
		return nil, err
	}
	asked := PolicyChange{
		Provider: providerName,
		Kind:     kind,
		Action:   earlier.Action,
		JWS:      earlier.JWS,
		Match:    match,
		By:       by,
	}
	return r.change(ctx, asked, version)
}
