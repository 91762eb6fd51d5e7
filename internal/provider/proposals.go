package provider

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/internal/auth"
	"github.com/probity-dev/probity/internal/ledger"
	"github.com/probity-dev/probity/internal/provider/settings"
	"github.com/probity-dev/probity/internal/store"
	"github.com/probity-dev/probity/policy/policyjws"
)

// proposalLife is how long a proposal waits for approvals.
const proposalLife = 7 * 24 * time.Hour

// maxProposals bounds how many wait at one provider: each may be as large as a
// policy.
const maxProposals = 32

// approvals is how many callers must agree to a change at a provider. It is read by
// itself: settings that a later version bounds otherwise must not lower it.
func approvals(p store.Provider) int {
	var s struct {
		Approvals int `json:"approvals"`
	}
	if len(p.Settings) > 0 && json.Unmarshal(p.Settings, &s) != nil {
		return 0 // not settings at all: they chose nothing
	}
	return s.Approvals
}

// needed is the role that a caller must have to propose a change or to agree to it.
func needed(x store.Proposal) auth.Role {
	if x.Action == store.ProviderSettings || x.Action == store.ProviderDelete {
		return auth.Owner
	}
	return auth.Contributor
}

// propose keeps a change until others agree.
func (r *Registry) propose(tx store.Tx, p store.Provider, x store.Proposal, by By) (*Refusal, error) {
	waiting, err := tx.Proposals(p.Name)
	if err != nil {
		return nil, err
	}
	tokens, err := tx.Tokens()
	if err != nil {
		return nil, err
	}
	live := 0
	for _, other := range waiting {
		switch {
		case !r.cfg.Now().Before(other.Expires):
			if err := tx.DeleteProposal(p.Name, other.ID); err != nil {
				return nil, err
			}
		case same(other, x) && other.Approvals[0] == by.Caller:
			// Sent again, by a client that tries again for instance.
			callers, lost := r.live(tokens, other)
			return awaiting(other, approvals(p), len(callers), lost), nil
		default:
			live++
		}
	}
	if live >= maxProposals {
		return nil, refuse(Conflict, CheckApproval,
			fmt.Sprintf("fewer than %d changes that wait", maxProposals), strconv.Itoa(live),
			"approve or reject some: probity policy proposals")
	}
	x.ID, x.Provider, x.Created, x.Expires = rand.Text()[:12], p.Name, r.now(), r.now().Add(proposalLife)
	x.Approvals, x.Credentials = []string{by.Caller}, []string{credential(tokens, by.Caller)}
	if err := tx.PutProposal(x); err != nil {
		return nil, err
	}
	details := map[string]string{"proposal": x.ID, "action": x.Action}
	if len(x.Change) > 0 {
		details["change"] = string(x.Change)
	}
	if err := ledger.Append(tx, p.Identity(), r.entry(by, "policy.propose", subject(x), details)); err != nil {
		return nil, err
	}
	return awaiting(x, approvals(p), 1, nil), nil
}

// same reports whether two proposals ask for the same change of the same state.
func same(a, b store.Proposal) bool {
	return a.Kind == b.Kind && a.Action == b.Action && a.JWS == b.JWS && a.From == b.From &&
		a.Base == b.Base && bytes.Equal(a.Change, b.Change) && len(a.Approvals) > 0
}

// subject is what a proposal is about, in the ledger.
func subject(x store.Proposal) string {
	if x.Kind == "" {
		return x.Provider
	}
	return x.Kind
}

// awaiting says that a proposal waits. lost are approvals that are no longer valid.
func awaiting(x store.Proposal, needed, live int, lost []string) *Refusal {
	found := fmt.Sprintf("proposal %s, with %d", x.ID, live)
	if len(lost) > 0 {
		found += "; not counted: " + strings.Join(lost, ", ")
	}
	return refuse(Pending, CheckApproval, fmt.Sprintf("approval by %d callers", needed), found,
		"let others approve it before "+x.Expires.Format(time.RFC3339)+": probity policy approve "+x.ID)
}

// tokenPrefix begins the names of callers with static tokens.
const tokenPrefix = "token:"

// credential identifies the static token of a caller: a token that is revoked and made
// again under its name is another one. It is empty for other callers.
func credential(tokens []store.Token, caller string) string {
	name, ok := strings.CutPrefix(caller, tokenPrefix)
	at := slices.IndexFunc(tokens, func(t store.Token) bool { return t.Name == name })
	if !ok || at < 0 || len(tokens[at].Hash) < 16 {
		return ""
	}
	return tokens[at].Hash[:16]
}

// live sorts the approvals of a proposal: those of callers who could still give them, and
// the others with the reason. Callers with static tokens are looked up. The administrator
// of the configuration is always there; callers of OpenID issuers and of client
// certificates are not known here, their approvals end with the proposal.
func (r *Registry) live(tokens []store.Token, x store.Proposal) (callers, lost []string) {
	for i, caller := range x.Approvals {
		name, static := strings.CutPrefix(caller, tokenPrefix)
		if !static || name == auth.Administrator {
			callers = append(callers, caller)
			continue
		}
		at := slices.IndexFunc(tokens, func(t store.Token) bool { return t.Name == name })
		reason := ""
		switch {
		case at < 0:
			reason = "was revoked"
		case i >= len(x.Credentials) || credential(tokens, caller) != x.Credentials[i]:
			reason = "was made again after it approved"
		case !tokens[at].Expires.IsZero() && !r.cfg.Now().Before(tokens[at].Expires):
			reason = "expired"
		case !may(tokens[at], needed(x), x.Provider):
			reason = "no longer has the role " + needed(x).String()
		}
		if reason == "" {
			callers = append(callers, caller)
		} else {
			lost = append(lost, caller+", which "+reason)
		}
	}
	return apart(tokens, callers, lost)
}

// apart leaves one caller of each origin: the caller who makes a token has its secret.
func apart(tokens []store.Token, all, lost []string) (callers, _ []string) {
	for _, caller := range all {
		if other := kin(tokens, callers, caller); other != "" {
			lost = append(lost, caller+", which is of the same origin as "+other)
		} else {
			callers = append(callers, caller)
		}
	}
	return callers, lost
}

// kin returns the one of the callers that is of the same origin as a caller, or "".
func kin(tokens []store.Token, callers []string, caller string) string {
	for _, other := range callers {
		if origin(tokens, other) == origin(tokens, caller) {
			return other
		}
	}
	return ""
}

// origin is the caller who made the token of a caller, or the token with which that one was
// made, and so on. The administrator of the configuration makes tokens for others, so that
// those are of their own origin.
func origin(tokens []store.Token, caller string) string {
	for range len(tokens) + 1 { // each token at most once
		name, static := strings.CutPrefix(caller, tokenPrefix)
		at := slices.IndexFunc(tokens, func(t store.Token) bool { return t.Name == name })
		if !static || at < 0 || !auth.IsCaller(tokens[at].CreatedBy) ||
			tokens[at].CreatedBy == tokenPrefix+auth.Administrator {
			break
		}
		caller = tokens[at].CreatedBy
	}
	return caller
}

func may(t store.Token, role auth.Role, provider string) bool {
	has, err := auth.ParseRole(t.Role)
	caller := auth.Caller{Grants: []auth.Grant{{Role: has, Providers: t.Providers}}}
	return err == nil && caller.May(role, provider)
}

// waits reads a proposal that waits, and checks that the caller may judge it.
func (r *Registry) waits(tx store.Tx, providerName, id string, by By) (store.Proposal, error) {
	x, err := tx.Proposal(providerName, id)
	if errors.Is(err, store.ErrNotFound) || err == nil && !r.cfg.Now().Before(x.Expires) {
		return x, refuse(NotFound, CheckApproval, "a proposal that waits",
			"no proposal with this id, or an expired one", "list them: probity policy proposals")
	}
	if err == nil && by.Role < needed(x) {
		return x, refuse(Forbidden, CheckApproval,
			"a caller with the role "+needed(x).String()+", as for the change itself",
			by.Caller+", with the role "+by.Role.String(), "let an owner of the provider decide")
	}
	return x, err
}

// Approve adds a caller's agreement to a proposal, and makes the change once enough
// callers agree who could make it themselves now.
func (r *Registry) Approve(ctx context.Context, providerName, id string, by By) (done *Done, err error) {
	ready, err := r.readyFor(ctx, providerName, id)
	if err != nil {
		return nil, err
	}
	used := false
	defer func() {
		if !used || err != nil {
			r.discard(ready)
		}
	}()
	var pending *Refusal
	err = r.cfg.Store.Update(ctx, store.TopicProvider, providerName, func(tx store.Tx) error {
		pending, done, used = nil, nil, false
		x, err := r.waits(tx, providerName, id, by)
		if err != nil {
			return err
		}
		p, err := provider(tx, providerName)
		if err != nil {
			return err
		}
		tokens, err := tx.Tokens()
		if err != nil {
			return err
		}
		callers, lost := r.live(tokens, x)
		if slices.Contains(callers, by.Caller) {
			return refuse(Conflict, CheckApproval, "a caller who has not approved it yet",
				by.Caller+" approved it already", "let another caller approve it")
		}
		if other := kin(tokens, callers, by.Caller); other != "" {
			return refuse(Conflict, CheckApproval, "a caller independent of those who approved it",
				fmt.Sprintf("%s, whose token was made by %s, as %s was or is", by.Caller,
					origin(tokens, by.Caller), other),
				"let a caller approve it whose token the administrator or someone else made")
		}
		agree(&x, by.Caller, credential(tokens, by.Caller))
		callers = append(callers, by.Caller)
		err = ledger.Append(tx, p.Identity(),
			r.entry(by, "policy.approve", subject(x), map[string]string{"proposal": x.ID}))
		if err != nil {
			return err
		}
		if len(callers) < approvals(p) {
			pending = awaiting(x, approvals(p), len(callers), lost)
			return tx.PutProposal(x)
		}
		if err := tx.DeleteProposal(providerName, id); err != nil {
			return err
		}
		done, used, err = r.carryOut(tx, p, x, callers[:len(callers)-1], by, ready)
		return err
	})
	if err != nil {
		return nil, err
	}
	r.changed(ctx, providerName)
	if pending != nil {
		return nil, pending
	}
	return done, nil
}

// agree adds an approval. One that the same caller gave with an earlier token is replaced.
func agree(x *store.Proposal, caller, credential string) {
	for len(x.Credentials) < len(x.Approvals) {
		x.Credentials = append(x.Credentials, "")
	}
	if at := slices.Index(x.Approvals, caller); at >= 0 {
		x.Credentials[at] = credential
		return
	}
	x.Approvals, x.Credentials = append(x.Approvals, caller), append(x.Credentials, credential)
}

// carryOut makes a change that enough callers agree to: what was proposed is checked as if
// it were submitted now. used tells whether ready was needed.
func (r *Registry) carryOut(
	tx store.Tx, p store.Provider, x store.Proposal, agreed []string, by By, ready *store.SigningKey,
) (done *Done, used bool, err error) {
	done = &Done{Action: x.Action}
	switch x.Action {
	case store.PolicySet, store.PolicyReset:
		asked := PolicyChange{Provider: p.Name, Kind: evidence.Kind(x.Kind), Action: x.Action, JWS: x.JWS, By: by}
		submitted, err := r.read(asked)
		if err != nil {
			return nil, false, err
		}
		c := policyChange{PolicyChange: asked, submitted: submitted, base: x.Base, from: x.From, agreed: agreed}
		if err := r.admissible(tx, p, c); err != nil {
			return nil, false, err
		}
		done, err := r.put(tx, p, c)
		return done, false, err
	case store.CertificateAdd, store.CertificateRemove:
		if err := unchanged(p, x); err != nil {
			return nil, false, err
		}
		in, err := policyjws.ParseCertificate(x.JWS)
		if err != nil {
			return nil, false, err
		}
		return done, false, r.changeCertificate(tx, p, in,
			certificateChange{x.JWS, x.Action == store.CertificateAdd, by, agreed})
	case store.ProviderDelete:
		if err := unchanged(p, x); err != nil {
			return nil, false, err
		}
		return done, false, r.deleteProvider(tx, p, by, agreed)
	case store.ProviderSettings:
		if err := unchanged(p, x); err != nil {
			return nil, false, err
		}
		c := ProviderChange{Name: p.Name, By: by, agreed: agreed}
		if err := c.read(x.Change); err != nil {
			return nil, false, err
		}
		if err := c.check(r.cfg.MinRetention); err != nil {
			return nil, false, err
		}
		used, err = r.putProvider(tx, p, c, false, ready)
		return done, used, err
	}
	return nil, false, refuse(Invalid, CheckApproval, "a change that this version knows",
		fmt.Sprintf("%q", x.Action), "reject the proposal, or let a node of a newer version make the change")
}

// unchanged refuses a change of a provider that another change came before.
func unchanged(p store.Provider, x store.Proposal) error {
	if p.Revision == x.Base {
		return nil
	}
	return refuse(
		Conflict, CheckConcurrent,
		fmt.Sprintf("revision %d of the provider in force, as when the change was proposed", x.Base),
		fmt.Sprintf("revision %d of %s", p.Revision, p.UpdatedBy),
		"reject the proposal, and propose the change again if it is still wanted",
	)
}

// approvedBy writes down who agreed.
func approvedBy(details map[string]string, agreed []string) {
	for i, by := range agreed {
		details["approved"+strconv.Itoa(i+1)] = by
	}
}

// Reject removes a proposal.
func (r *Registry) Reject(ctx context.Context, providerName, id string, by By) error {
	err := r.cfg.Store.Update(ctx, store.TopicPolicy, providerName, func(tx store.Tx) error {
		x, err := r.waits(tx, providerName, id, by)
		if err != nil {
			return err
		}
		p, err := provider(tx, providerName)
		if err != nil {
			return err
		}
		return errors.Join(tx.DeleteProposal(providerName, id), ledger.Append(tx, p.Identity(),
			r.entry(by, "policy.reject", subject(x), map[string]string{"proposal": id})))
	})
	if err == nil {
		r.changed(ctx, providerName)
	}
	return err
}

// proposed is a change of a provider as a proposal keeps it.
type proposed struct {
	Location            *string           `json:"location,omitzero"`
	Tags                map[string]string `json:"tags,omitzero"`
	PublicNetworkAccess *string           `json:"publicNetworkAccess,omitzero"`
	TPMAuthentication   *string           `json:"tpmAttestationAuthentication,omitzero"`
	Settings            jsontext.Value    `json:"probity,omitzero"`
}

func (c *ProviderChange) read(text jsontext.Value) error {
	var in proposed
	if err := json.Unmarshal(text, &in, json.RejectUnknownMembers(true)); err != nil {
		return refuse(Invalid, CheckApproval, "a change that this version knows", err.Error(),
			"reject the proposal")
	}
	c.Location, c.Tags, c.PublicNetworkAccess, c.TPMAuthentication, c.Settings = in.Location, in.Tags,
		in.PublicNetworkAccess, in.TPMAuthentication, in.Settings
	return nil
}

// protected reports whether a change of an existing provider touches what its approvals
// protect: everything but its place and its tags.
func (c *ProviderChange) protected(p store.Provider) bool {
	differs := func(new *string, old string) bool { return new != nil && *new != old }
	return differs(c.PublicNetworkAccess, p.PublicNetworkAccess) ||
		differs(c.TPMAuthentication, p.TPMAuthentication) ||
		len(c.Settings) > 0 && !bytes.Equal(canonical(c.Settings), canonical(p.Settings))
}

// proposeSettings keeps the change of a provider that needs approvals; it returns nil if this one
// does not.
func (r *Registry) proposeSettings(tx store.Tx, p store.Provider, c ProviderChange) (*Refusal, error) {
	if approvals(p) <= 1 || !c.protected(p) {
		return nil, nil
	}
	text, err := json.Marshal(proposed{
		c.Location, c.Tags, c.PublicNetworkAccess, c.TPMAuthentication, c.Settings,
	}, json.Deterministic(true))
	if err != nil {
		return nil, err
	}
	return r.propose(tx, p, store.Proposal{Action: store.ProviderSettings, Change: text, Base: p.Revision}, c.By)
}

// readyFor makes the signing key that a proposal needs, outside the transaction.
func (r *Registry) readyFor(ctx context.Context, providerName, id string) (*store.SigningKey, error) {
	list, err := r.cfg.Store.Proposals(ctx, providerName)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(list, func(x store.Proposal) bool { return x.ID == id })
	if at < 0 || list[at].Action != store.ProviderSettings {
		return nil, nil
	}
	var c ProviderChange
	if err := c.read(list[at].Change); err != nil || len(c.Settings) == 0 {
		return nil, err
	}
	wanted, err := settings.Read(c.Settings)
	if err != nil {
		return nil, nil // refused in the transaction, with its reason
	}
	known, _ := r.Get(providerName)
	own, err := r.ownKeys(ctx, providerName, known, wanted)
	if err != nil {
		return nil, err
	}
	return r.readyKey(ctx, providerName, wanted.SigningAlgorithm(), own)
}

// Difference is what a proposal changes: a member of the provider's settings or of the
// provider itself. A value that is not set is nil.
type Difference struct {
	Name string         `json:"name"`
	From jsontext.Value `json:"from,omitzero"`
	To   jsontext.Value `json:"to,omitzero"`
}

// Differences tells what a proposal changes at a provider, by name. Changes of policies
// and certificates have none.
func Differences(p store.Provider, x store.Proposal) []Difference {
	var c ProviderChange
	if x.Action != store.ProviderSettings || c.read(x.Change) != nil {
		return nil
	}
	var list []Difference
	text := func(s string) jsontext.Value {
		if s == "" {
			return nil
		}
		v, err := json.Marshal(s)
		if err != nil {
			return nil
		}
		return v
	}
	for _, m := range []struct {
		name string
		to   *string
		from string
	}{
		{"location", c.Location, p.Location},
		{"publicNetworkAccess", c.PublicNetworkAccess, p.PublicNetworkAccess},
		{"tpmAttestationAuthentication", c.TPMAuthentication, p.TPMAuthentication},
	} {
		if m.to != nil && *m.to != m.from {
			list = append(list, Difference{m.name, text(m.from), text(*m.to)})
		}
	}
	if len(c.Settings) > 0 {
		var from, to map[string]jsontext.Value
		if len(p.Settings) > 0 && json.Unmarshal(p.Settings, &from) != nil ||
			json.Unmarshal(c.Settings, &to) != nil {
			return append(list, Difference{"probity", p.Settings, c.Settings})
		}
		names := slices.AppendSeq(slices.Collect(maps.Keys(from)), maps.Keys(to))
		slices.Sort(names)
		for _, name := range slices.Compact(names) {
			if !bytes.Equal(canonical(from[name]), canonical(to[name])) {
				list = append(list, Difference{name, from[name], to[name]})
			}
		}
	}
	return list
}
