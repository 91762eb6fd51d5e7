package cca_test

import (
	"testing"

	"github.com/probity-dev/probity/claims"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/evidencetest"
)

func TestTokensOfTheFirstPSAProfile(t *testing.T) {
	a, other := evidencetest.NewArm(), evidencetest.NewArm()
	f := bound()
	short := [32]byte(f[:32])
	set := func(label int64, value any) func(map[int64]any) {
		return func(c map[int64]any) { c[label] = value }
	}
	without := func(label int64) func(map[int64]any) {
		return func(c map[int64]any) { delete(c, label) }
	}
	unmeasured := func(c map[int64]any) {
		delete(c, -75006)
		c[-75007] = 1
	}
	for name, tc := range map[string]struct {
		ev   evidence.Evidence
		want string
	}{
		"as it is": {evidence.Evidence{Raw: a.PSA1([32]byte{1}, nil)}, ""},
		"with runtime data": {
			evidence.Evidence{Raw: a.PSA1(short, nil), RuntimeData: data}, "",
		},
		"without its name, which is optional": {evidence.Evidence{Raw: a.PSA1(short, without(-75000))}, ""},
		"without hardware version":            {evidence.Evidence{Raw: a.PSA1(short, without(-75005))}, ""},
		"without verification service":        {evidence.Evidence{Raw: a.PSA1(short, without(-75010))}, ""},
		"software not measured":               {evidence.Evidence{Raw: a.PSA1(short, unmeasured)}, ""},
		"with another claim":                  {evidence.Evidence{Raw: a.PSA1(short, set(-75100, "x"))}, ""},
		"signed by another key": {
			evidence.Evidence{Raw: other.PSA1(short, nil)}, "cca.platform.signature",
		},
		"another challenge": {
			evidence.Evidence{Raw: a.PSA1([32]byte{1}, nil), RuntimeData: data},
			"cca.challenge.runtime-data",
		},
		"init-time data": {
			evidence.Evidence{Raw: a.PSA1(short, nil), InitTimeData: data},
			"cca.personalization.init-time-data",
		},
		"another profile's name": {
			evidence.Evidence{Raw: a.PSA1(short, set(-75000, "PSA_IOT_PROFILE_2"))}, "cca.format",
		},
		"an open device": {
			evidence.Evidence{Raw: a.PSA1(short, set(-75002, 0x1000))}, "cca.platform.lifecycle",
		},
		"without nonce": {
			evidence.Evidence{Raw: a.PSA1(short, without(-75008))}, "cca.format",
		},
		"without client id": {
			evidence.Evidence{Raw: a.PSA1(short, without(-75001))}, "cca.format",
		},
		"without lifecycle": {
			evidence.Evidence{Raw: a.PSA1(short, without(-75002))}, "cca.format",
		},
		"without implementation id": {
			evidence.Evidence{Raw: a.PSA1(short, without(-75003))}, "cca.format",
		},
		"without instance id": {
			evidence.Evidence{Raw: a.PSA1(short, without(-75009))}, "cca.format",
		},
		"without boot seed": {
			evidence.Evidence{Raw: a.PSA1(short, without(-75004))}, "cca.format",
		},
		"without software components": {
			evidence.Evidence{Raw: a.PSA1(short, without(-75006))}, "cca.format",
		},
		"measured and not measured": {
			evidence.Evidence{Raw: a.PSA1(short, set(-75007, 1))}, "cca.format",
		},
		"not measured, with another value": {
			evidence.Evidence{Raw: a.PSA1(short, func(c map[int64]any) { unmeasured(c); c[-75007] = 0 })},
			"cca.format",
		},
		"a short boot seed": {
			evidence.Evidence{Raw: a.PSA1(short, set(-75004, make([]byte, 8)))}, "cca.format",
		},
		"a short nonce": {
			evidence.Evidence{Raw: a.PSA1(short, set(-75008, make([]byte, 16)))}, "cca.format",
		},
		"an instance id of another kind": {
			evidence.Evidence{Raw: a.PSA1(short, set(-75009, make([]byte, 33)))}, "cca.format",
		},
		"a claim of another type": {
			evidence.Evidence{Raw: a.PSA1(short, set(-75002, "secured"))}, "cca.format",
		},
		"a nonce of the later profile beside it": {
			evidence.Evidence{Raw: a.PSA1(short, set(10, f[:32]))}, "cca.format",
		},
		"the later profile's name beside it": {
			evidence.Evidence{Raw: a.PSA1(short, set(265, "tag:psacertified.org,2023:psa#tfm"))},
			"cca.format",
		},
		"one of its claims in the later profile": {
			evidence.Evidence{Raw: a.PSA(short, set(-75002, 0x3000))}, "cca.format",
		},
	} {
		t.Run(name, func(t *testing.T) {
			result, got := run(t, a.CPAK, tc.ev)
			if got != tc.want {
				t.Fatalf("refused by %q, expected %q", got, tc.want)
			}
			if got != "" {
				return
			}
			for _, claim := range []string{
				"psa-profile", "psa-challenge", "psa-client-id", "psa-boot-seed", "psa-lifecycle",
			} {
				if !result.Claims.Has(claim) {
					t.Errorf("claim %s is missing", claim)
				}
			}
			if text, _ := value(result, "psa-profile").Text(); text != "PSA_IOT_PROFILE_1" {
				t.Errorf("profile %q", text)
			}
			if _, ok := value(result, "psa-no-sw-measurement").Bool(); ok != (name == "software not measured") {
				t.Errorf("psa-no-sw-measurement: %v", ok)
			}
		})
	}
}

func value(result *evidence.Result, name string) claims.Value {
	v, _ := result.Claims.Get(name)
	return v
}
