package provider_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/internal/auth"
	"github.com/probity-dev/probity/internal/provider"
	"github.com/probity-dev/probity/internal/store"
)

// careful is a node with a provider at which two callers must agree, and three owners
// and two contributors of it with static tokens.
type careful struct{ *node }

func newCareful(t *testing.T, db database) careful {
	c := careful{newNode(t, db)}
	c.put("acme", `{"approvals":2,"tcb":"UpToDate"}`)
	for _, name := range []string{"ann", "bob", "cyd"} {
		c.token(name, "owner")
	}
	c.token("con", "contributor")
	c.token("cat", "contributor")
	return c
}

func (c careful) token(name, role string) {
	c.t.Helper()
	_, err := c.NewToken(c.t.Context(), name, role, []string{"acme"}, now.Add(time.Hour),
		provider.By{Caller: "test"})
	c.must(err)
}

func (c careful) revoke(name string) {
	c.t.Helper()
	c.must(c.RevokeToken(c.t.Context(), name, provider.By{Caller: "test"}))
}

// as is a caller with a static token; those whose names begin with c are contributors,
// but for cyd.
func as(name string) provider.By {
	role := auth.Owner
	if strings.HasPrefix(name, "c") && name != "cyd" {
		role = auth.Contributor
	}
	return provider.By{Caller: "token:" + name, Role: role}
}

func (c careful) settings(by, text string) error {
	_, _, err := c.PutProvider(c.t.Context(), provider.ProviderChange{
		Name: "acme", Subscription: "s", Group: "g", Settings: jsontext.Value(text), By: as(by),
	}, false)
	return err
}

func (c careful) setPolicy(by, text string) error {
	_, err := c.Change(c.t.Context(), provider.PolicyChange{
		Provider: "acme",
		Kind:     evidence.SGXEnclave,
		Action:   store.PolicySet,
		JWS:      wrapped(c.t, text),
		By:       as(by),
	})
	return err
}

// pending returns the only proposal that waits.
func (c careful) pending(err error) store.Proposal {
	c.t.Helper()
	var refusal *provider.Refusal
	if !errors.As(err, &refusal) || refusal.Reason != provider.Pending {
		c.t.Fatalf("%v, expected a change that waits", err)
	}
	list, err := c.db.Proposals(c.t.Context(), "acme")
	c.must(err)
	if len(list) != 1 {
		c.t.Fatalf("%d proposals", len(list))
	}
	return list[0]
}

func (c careful) approve(x store.Proposal, by string) error {
	_, err := c.Approve(c.t.Context(), "acme", x.ID, as(by))
	return err
}

func (c careful) refused(err error, reason provider.Reason, words string) {
	c.t.Helper()
	var refusal *provider.Refusal
	if !errors.As(err, &refusal) || refusal.Reason != reason || !strings.Contains(refusal.Check.Found, words) {
		c.t.Fatalf("%+v, expected reason %d with %q", err, reason, words)
	}
}

func (c careful) provider() *provider.Provider {
	c.t.Helper()
	p, ok := c.Get("acme")
	if !ok {
		c.t.Fatal("the provider is not there")
	}
	return p
}

// TestEveryChangeThatWeakensAProviderNeedsItsApprovals: one owner alone could otherwise
// lower the approvals first, and then change the policy.
func TestEveryChangeThatWeakensAProviderNeedsItsApprovals(t *testing.T) {
	engines(t, func(t *testing.T, open func(t *testing.T) database) {
		disabled := "Disabled"
		change := func(edit func(*provider.ProviderChange)) func(c careful) error {
			return func(c careful) error {
				x := provider.ProviderChange{Name: "acme", Subscription: "s", Group: "g", By: as("ann")}
				edit(&x)
				_, _, err := c.PutProvider(c.t.Context(), x, false)
				return err
			}
		}
		for name, tc := range map[string]struct {
			change func(c careful) error
			done   func(c careful) bool
		}{
			"lower the approvals": {
				func(c careful) error { return c.settings("ann", `{"approvals":1,"tcb":"UpToDate"}`) },
				func(c careful) bool { return c.provider().Settings.Approvals == 1 },
			},
			"remove all settings": {
				func(c careful) error { return c.settings("ann", `{}`) },
				func(c careful) bool { return c.provider().Settings.Approvals == 0 },
			},
			"raise the approvals": {
				func(c careful) error { return c.settings("ann", `{"approvals":3}`) },
				func(c careful) bool { return c.provider().Settings.Approvals == 3 },
			},
			"accept more statuses": {
				func(c careful) error { return c.settings("ann", `{"approvals":2,"tcb":"any"}`) },
				func(c careful) bool { return c.provider().Settings.TCB == "any" },
			},
			"another algorithm": {func(c careful) error {
				return c.settings("ann", `{"approvals":2,"signingAlgorithm":"ES256","ownKeys":true}`)
			}, func(c careful) bool { return c.provider().Settings.OwnKeys }},
			"network": {change(func(x *provider.ProviderChange) {
				x.PublicNetworkAccess = &disabled
			}), func(c careful) bool { return c.provider().PublicNetworkAccess == disabled }},
			"TPMs without callers": {change(func(x *provider.ProviderChange) {
				x.TPMAuthentication = &disabled
			}), func(c careful) bool { return !c.provider().TPMNeedsCaller() }},
			"settings with tags": {change(func(x *provider.ProviderChange) {
				x.Settings, x.Tags = jsontext.Value(`{}`), map[string]string{"a": "b"}
			}), func(c careful) bool { return c.provider().Tags["a"] == "b" && c.provider().Settings.Approvals == 0 }},
			"deletion": {
				func(c careful) error { return c.DeleteProvider(c.t.Context(), "acme", as("ann")) },
				func(c careful) bool { _, there := c.Get("acme"); return !there },
			},
			"a policy": {func(c careful) error { return c.setPolicy("ann", lax) }, func(c careful) bool {
				return c.provider().Policy(evidence.SGXEnclave).Version == 1
			}},
		} {
			t.Run(name, func(t *testing.T) {
				c := newCareful(t, open(t))
				x := c.pending(tc.change(c))
				if tc.done(c) {
					t.Fatal("one caller made the change")
				}
				c.refused(c.approve(x, "ann"), provider.Conflict, "token:ann")
				c.must(c.approve(x, "bob"))
				if !tc.done(c) {
					t.Error("two callers agreed, and the change is not made")
				}
				c.refused(c.approve(x, "cyd"), provider.NotFound, "no proposal")
			})
		}
	})
}

func TestChangesThatApprovalsDoNotProtect(t *testing.T) {
	c := newCareful(t, open(t))
	for name, x := range map[string]provider.ProviderChange{
		"tags":              {Tags: map[string]string{"a": "b"}},
		"the same settings": {Settings: jsontext.Value(` { "tcb": "UpToDate", "approvals": 2 } `)},
		"nothing":           {},
	} {
		x.Name, x.Subscription, x.Group, x.By = "acme", "s", "g", as("ann")
		if _, _, err := c.PutProvider(t.Context(), x, false); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A change that no one could make is refused at once, and does not wait.
	c.refused(c.settings("ann", `{"approvals":99}`), provider.Invalid, "approvals")
	list, err := c.db.Proposals(t.Context(), "acme")
	if err != nil || len(list) != 0 {
		t.Errorf("%d proposals, %v", len(list), err)
	}
}

// TestApprovalsAreThoseOfLiveCallers: an approval is valid if its caller could still give it.
func TestApprovalsAreThoseOfLiveCallers(t *testing.T) {
	engines(t, func(t *testing.T, open func(t *testing.T) database) {
		for name, tc := range map[string]struct {
			lose func(c careful)
			want string
		}{
			"revoked": {func(c careful) { c.revoke("bob") }, "token:bob, which was revoked"},
			"made again": {
				func(c careful) { c.revoke("bob"); c.token("bob", "owner") },
				"token:bob, which was made again",
			},
			"made again as contributor": {
				func(c careful) { c.revoke("bob"); c.token("bob", "contributor") },
				"token:bob, which was made again",
			},
		} {
			t.Run(name, func(t *testing.T) {
				c := newCareful(t, open(t))
				x := c.pending(c.settings("bob", `{}`))
				tc.lose(c)
				c.refused(c.approve(x, "ann"), provider.Pending, tc.want)
				if c.provider().Settings.Approvals != 2 {
					t.Fatal("the change was made")
				}
				c.must(c.approve(x, "cyd"))
				if c.provider().Settings.Approvals != 0 {
					t.Error("two live callers agree, and the change is not made")
				}
			})
		}
	})
}

// TestApproversAreIndependent: the caller who makes a token has its secret, and could approve
// twice.
func TestApproversAreIndependent(t *testing.T) {
	for name, tc := range map[string]struct {
		made               [][2]string // token, by whom, in this order
		proposer, approver string
		ok                 bool
	}{
		"a token of the proposer's": {[][2]string{{"x", "token:ann"}}, "ann", "x", false},
		"a token that a token of the proposer's made": {
			[][2]string{{"x", "token:ann"}, {"y", "token:x"}}, "ann", "y", false,
		},
		"two tokens of one maker": {
			[][2]string{{"x", "token:ann"}, {"y", "token:ann"}}, "x", "y", false,
		},
		"the maker of the proposer's token": {[][2]string{{"x", "token:ann"}}, "x", "ann", false},
		"two tokens of a maker who left": {
			[][2]string{{"x", "token:gone"}, {"y", "token:gone"}}, "x", "y", false,
		},
		"two tokens of an issuer's caller": {
			[][2]string{{"x", "oidc:issuer#ann"}, {"y", "oidc:issuer#ann"}}, "x", "y", false,
		},
		"two tokens of a certificate's holder": {
			[][2]string{{"x", "cert:CN=ann"}, {"y", "cert:CN=ann"}}, "x", "y", false,
		},
		"tokens of two makers": {
			[][2]string{{"x", "token:ann"}, {"y", "token:bob"}}, "x", "y", true,
		},
		"two tokens of the administrator": {
			[][2]string{{"x", "token:administrator"}, {"y", "token:administrator"}}, "x", "y", true,
		},
		"a token of someone else": {[][2]string{{"x", "token:bob"}}, "ann", "x", true},
	} {
		c := newCareful(t, open(t))
		for _, m := range tc.made {
			_, err := c.NewToken(t.Context(), m[0], "owner", []string{"acme"}, now.Add(time.Hour),
				provider.By{Caller: m[1]})
			c.must(err)
		}
		x := c.pending(c.settings(tc.proposer, `{"approvals":1}`))
		err := c.approve(x, tc.approver)
		if tc.ok && err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !tc.ok {
			refusedBy(t, name, err, provider.CheckApproval)
			if p, _ := c.Get("acme"); p.Settings.Approvals != 2 {
				t.Errorf("%s: the change was made", name)
			}
		}
	}
}

// TestTheApprovalOfARevokedProposerIsNotCounted is the attack: propose, and be revoked.
func TestTheApprovalOfARevokedProposerIsNotCounted(t *testing.T) {
	c := newCareful(t, open(t))
	x := c.pending(c.setPolicy("con", lax))
	c.revoke("con")
	c.refused(c.approve(x, "cat"), provider.Pending, "token:con, which was revoked")
	// The same name in the hands of someone else agrees again, as itself.
	c.token("con", "contributor")
	c.must(c.approve(x, "con"))
	if c.provider().Policy(evidence.SGXEnclave).Version != 1 {
		t.Error("two live callers agree, and the policy is not in force")
	}
}

func TestTheApprovalOfAnExpiredTokenIsNotCounted(t *testing.T) {
	c := newCareful(t, open(t))
	at := now
	db := c.db
	cfg := config(t, db)
	cfg.Now = func() time.Time { return at }
	r, err := provider.New(t.Context(), cfg)
	c.must(err)
	c.Registry = r
	x := c.pending(c.settings("ann", `{}`))
	at = at.Add(2 * time.Hour)
	c.refused(c.approve(x, "bob"), provider.Pending, "token:ann, which expired")
}

// TestTheRoleOfAChangeIsNeededToApproveIt: a contributor may not lower the settings with
// an owner's help.
func TestTheRoleOfAChangeIsNeededToApproveIt(t *testing.T) {
	c := newCareful(t, open(t))
	x := c.pending(c.settings("ann", `{}`))
	c.refused(c.approve(x, "con"), provider.Forbidden, "contributor")
	c.refused(c.Reject(t.Context(), "acme", x.ID, as("con")), provider.Forbidden, "contributor")
	c.must(c.Reject(t.Context(), "acme", x.ID, as("bob")))
	x = c.pending(c.DeleteProvider(t.Context(), "acme", as("ann")))
	c.refused(c.approve(x, "con"), provider.Forbidden, "contributor")
	c.must(c.Reject(t.Context(), "acme", x.ID, as("ann")))
	x = c.pending(c.setPolicy("ann", lax))
	c.must(c.approve(x, "con"))
}

// TestAProposalIsMadeOverWhatWasInForce: what came between is not overwritten.
func TestAProposalIsMadeOverWhatWasInForce(t *testing.T) {
	c := newCareful(t, open(t))
	x := c.pending(c.settings("ann", `{}`))
	_, _, err := c.PutProvider(t.Context(), provider.ProviderChange{
		Name: "acme", Subscription: "s", Group: "g", Tags: map[string]string{"a": "b"}, By: as("cyd"),
	}, false)
	c.must(err)
	c.refused(c.approve(x, "bob"), provider.Conflict, "revision")
	if c.provider().Settings.Approvals != 2 {
		t.Error("the change was made")
	}
	c.must(c.Reject(t.Context(), "acme", x.ID, as("bob")))
}

// TestTheApprovalsInForceAreNeeded: those when the change is made, not when it was proposed.
func TestTheApprovalsInForceAreNeeded(t *testing.T) {
	c := newCareful(t, open(t))
	raise := c.pending(c.settings("ann", `{"approvals":3}`))
	c.must(c.approve(raise, "bob"))
	x := c.pending(c.settings("ann", `{}`))
	c.refused(c.approve(x, "bob"), provider.Pending, "with 2")
	c.must(c.approve(x, "cyd"))
}

func TestCallersOfTheConfigurationAndOfIssuersCanApprove(t *testing.T) {
	for _, name := range []string{"token:administrator", "oidc:https://login.example.org#7", "cert:ops"} {
		c := newCareful(t, open(t))
		_, _, err := c.PutProvider(t.Context(), provider.ProviderChange{
			Name: "acme", Subscription: "s", Group: "g", Settings: jsontext.Value(`{}`),
			By: provider.By{Caller: name, Role: auth.Owner},
		}, false)
		x := c.pending(err)
		c.must(c.approve(x, "bob"))
	}
}

func TestNoTokenIsNamedAsTheAdministrator(t *testing.T) {
	c := newCareful(t, open(t))
	for _, name := range []string{"administrator", "Administrator", "ADMINISTRATOR"} {
		_, err := c.NewToken(t.Context(), name, "owner", []string{"*"}, time.Time{}, provider.By{Caller: "test"})
		c.refused(err, provider.Invalid, name)
	}
}

// TestWhatAProposalChanges: those who approve see each member.
func TestWhatAProposalChanges(t *testing.T) {
	c := newCareful(t, open(t))
	disabled := "Disabled"
	_, _, err := c.PutProvider(t.Context(), provider.ProviderChange{
		Name: "acme", Subscription: "s", Group: "g",
		Settings: jsontext.Value(`{"tcb":"any","concurrent":4}`), PublicNetworkAccess: &disabled,
		By: as("ann"),
	}, false)
	x := c.pending(err)
	got := ""
	for _, d := range provider.Differences(c.provider().Provider, x) {
		got += fmt.Sprintf("%s: %s to %s; ", d.Name, d.From, d.To)
	}
	want := `publicNetworkAccess: null to "Disabled"; approvals: 2 to null; concurrent: null to 4; tcb: ` +
		`"UpToDate" to "any"; `
	if got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	c.must(c.Reject(t.Context(), "acme", x.ID, as("ann")))
	if d := provider.Differences(c.provider().Provider, c.pending(c.setPolicy("ann", lax))); d != nil {
		t.Errorf("%v", d)
	}
}

// TestAProposalThatWasWrittenIntoTheDatabase: neither one with approvals nor one that was
// edited is made.
func TestAProposalThatWasWrittenIntoTheDatabase(t *testing.T) {
	engines(t, func(t *testing.T, open func(t *testing.T) database) {
		for name, edit := range map[string]string{
			"an approval": `UPDATE proposals SET data = replace(data, '"approvals":["token:ann"]', ` +
				`'"approvals":["token:ann","token:bob"]')`,
			"another change": `UPDATE proposals SET data = replace(data, '"tcb":"default"', '"tcb":"any"')`,
			"deletion instead": `UPDATE proposals ` +
				`SET data = replace(data, '"action":"settings"', '"action":"delete"')`,
		} {
			t.Run(name, func(t *testing.T) {
				c := newCareful(t, open(t))
				x := c.pending(c.settings("ann", `{"tcb":"default"}`))
				c.exec(edit)
				if err := c.approve(x, "cyd"); !errors.Is(err, provider.ErrAltered) {
					t.Errorf("%v", err)
				}
				if p := c.provider(); p.Settings.Approvals != 2 || p.Settings.TCB != "UpToDate" {
					t.Errorf("%+v", p.Settings)
				}
			})
		}
	})
}
