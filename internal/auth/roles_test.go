package auth

import "testing"

func TestWhatEachRoleIncludes(t *testing.T) {
	for role, want := range map[Role]string{
		Nobody: "n", Reader: "nr", Contributor: "nrc", Owner: "nrcoOR", Officer: "nrO", Releaser: "nR",
	} {
		got := ""
		for i, need := range []Role{Nobody, Reader, Contributor, Owner, Officer, Releaser} {
			if role.Includes(need) {
				got += "nrcoOR"[i : i+1]
			}
		}
		if got != want {
			t.Errorf("%s includes %s, want %s", role, got, want)
		}
	}
	if Role(99).Includes(Reader) {
		t.Error("an unknown role includes something")
	}
}

func TestRolesOfKeysAreNoRolesOfPolicies(t *testing.T) {
	c := &Caller{Grants: []Grant{{Officer, []string{"acme"}}, {Releaser, []string{"other"}}}}
	for _, tc := range []struct {
		provider string
		role     Role
		may      bool
	}{
		{"acme", Officer, true}, {"acme", Reader, true}, {"acme", Contributor, false}, {"acme", Owner, false},
		{"acme", Releaser, false}, {"other", Releaser, true}, {"other", Reader, false}, {"other", Officer, false},
		{"third", Officer, false},
	} {
		if got := c.May(tc.role, tc.provider); got != tc.may {
			t.Errorf("%s at %s: %v", tc.role, tc.provider, got)
		}
	}
	if c.RoleAt("acme") != Reader || c.RoleAt("other") != Nobody {
		t.Errorf("%s, %s", c.RoleAt("acme"), c.RoleAt("other"))
	}
	for _, name := range []string{"officer", "Key Vault Crypto Officer", "14B46E9E-C2B7-41B4-B07B-48A6EBF60603"} {
		if role, err := ParseRole(name); err != nil || role != Officer {
			t.Errorf("%s: %s, %v", name, role, err)
		}
	}
	for _, name := range []string{"releaser", "Managed HSM Crypto Service Release User"} {
		if role, err := ParseRole(name); err != nil || role != Releaser {
			t.Errorf("%s: %s, %v", name, role, err)
		}
	}
}
