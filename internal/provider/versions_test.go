package provider_test

import (
	"testing"

	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/internal/provider"
)

// TestAnAlteredVersionIsNotPutInForce: anyone who can write the database and has no key can
// neither change an earlier version of a policy, nor put another in its place.
func TestAnAlteredVersionIsNotPutInForce(t *testing.T) {
	engines(t, func(t *testing.T, open func(t *testing.T) database) {
		db := open(t)
		n := newNode(t, db)
		n.put("acme", `{}`)
		n.put("other", `{}`)
		n.must(n.policy("acme", strict))
		n.must(n.policy("other", lax))
		n.must(n.policy("acme", lax))
		n.must(n.policy("acme", strict))
		ctx, by := t.Context(), provider.By{Caller: "test"}
		rollback := func(version int64) error {
			_, err := n.Rollback(ctx, "acme", evidence.SGXEnclave, version, nil, by)
			return err
		}
		n.must(rollback(1))
		n.exec(`CREATE TABLE saved AS SELECT * FROM policy_versions`)
		defer n.exec(`DROP TABLE saved`)
		const first = ` WHERE provider = 'acme' AND version = 1`
		for name, statement := range map[string]string{
			"another text": `UPDATE policy_versions SET jws = (SELECT jws FROM saved ` +
				`WHERE provider = 'acme' AND version = 2)` + first,
			"another text and seal": `UPDATE policy_versions SET jws = (SELECT jws FROM saved ` +
				`WHERE provider = 'acme' AND version = 2), seal = (SELECT seal FROM saved ` +
				`WHERE provider = 'acme' AND version = 2)` + first,
			"that of another provider": `UPDATE policy_versions SET jws = (SELECT jws FROM saved ` +
				`WHERE provider = 'other'), seal = (SELECT seal FROM saved WHERE provider = 'other')` + first,
			"another submitter": `UPDATE policy_versions SET submitter = 'someone'` + first,
			"another action":    `UPDATE policy_versions SET action = 'reset'` + first,
			"no seal":           `UPDATE policy_versions SET seal = NULL` + first,
		} {
			n.exec(statement)
			refusedBy(t, name, rollback(1), provider.CheckVersion)
			history, err := n.sealed.PolicyHistory(ctx, "acme", string(evidence.SGXEnclave))
			n.must(err)
			for _, v := range history {
				if altered := v.Version == 1 && name != "another text"; v.Altered != altered {
					t.Errorf("%s: version %d altered: %v", name, v.Version, v.Altered)
				}
			}
			n.exec(`UPDATE policy_versions SET jws = (SELECT jws FROM saved` + first +
				`), seal = (SELECT seal FROM saved` + first + `), submitter = 'test', action = 'set'` + first)
		}
		n.must(rollback(1))
	})
}

// TestVersionsOfEarlierProgramsAreSealedOnce: at the first start; from then on a missing seal
// is an alteration, whatever the database says.
func TestVersionsOfEarlierProgramsAreSealedOnce(t *testing.T) {
	engines(t, func(t *testing.T, open func(t *testing.T) database) {
		db := open(t)
		n := newNode(t, db)
		n.put("acme", `{}`)
		n.must(n.policy("acme", strict))
		n.must(n.policy("acme", lax))
		n.exec(`UPDATE policy_versions SET seal = NULL`)
		n.exec(`DELETE FROM seals WHERE scope = 'versions'`)
		if err := n.start(); err == nil {
			t.Fatal("the mark that all versions are sealed was removed, and they were sealed again")
		}
		m := newNode(t, db) // a node that has not seen the mark
		_, err := m.Rollback(t.Context(), "acme", evidence.SGXEnclave, 1, nil, provider.By{Caller: "test"})
		if err != nil {
			t.Error(err)
		}
	})
}
