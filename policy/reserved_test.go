package policy_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/probity-dev/probity/claims"
	"github.com/probity-dev/probity/policy"
)

var attestationTypes = []string{
	"SgxEnclave", "OpenEnclave", "SevSnpVm", "TdxVm", "NitroEnclave", "ArmCca", "AzureGuest", "Tpm",
	"VbsEnclave",
}

// spellings are names that a reader may take for the same as the given one.
func spellings(name string) []string {
	title := strings.ToUpper(name[:1]) + name[1:]
	return []string{name, strings.ToLower(name), strings.ToUpper(name), title,
		strings.NewReplacer("k", "\u212a", "s", "\u017f").Replace(name),
		strings.NewReplacer("K", "\u212a", "S", "\u017f").Replace(strings.ToUpper(name))}
}

// issuedBy returns what a policy issues, and nothing if it does not parse.
func issuedBy(t *testing.T, issuance string, known ...claims.Claim) claims.Set {
	t.Helper()
	p, err := policy.Parse("version= 1.2;authorizationrules{=> permit();};issuancerules{" + issuance + "};")
	if err != nil {
		return claims.Set{}
	}
	out, err := p.Evaluate(claims.NewSet(known...))
	if err != nil || !out.Permitted {
		t.Fatalf("%s: %+v, %v", issuance, out, err)
	}
	return out.Issued
}

func of(issuer claims.Issuer, name string, value claims.Value) claims.Claim {
	return claims.Claim{Type: name, Value: value, Issuer: issuer}
}

func TestNoPolicyMakesUpWhatAVerifierStates(t *testing.T) {
	seen := 0
	for _, typ := range attestationTypes {
		for _, term := range policy.Vocabulary(typ) {
			for _, name := range spellings(term.Name) {
				seen++
				if !policy.Reserved(name) {
					t.Errorf("%s: %q is not reserved", typ, name)
				}
				source := of(claims.AttestationService, "source", claims.StringValue(name))
				for _, value := range []string{`"forged"`, "true", "7"} {
					for _, rule := range []string{fmt.Sprintf(`=> issue(type="%s", value=%s);`, name, value),
						fmt.Sprintf(`c:[type=="source"] => issue(type=c.value, value=%s);`, value),
						fmt.Sprintf(`c:[type=="source"] => add(type=c.value, value=%s); `+
							`d:[type=="%s"] => issue(claim=d);`,
							value, name)} {
						if got := issuedBy(t, rule, source); got.Len() > 0 {
							t.Fatalf("%s: %s issues %v", typ, rule, got.All())
						}
					}
				}
			}
		}
	}
	if seen < 1000 {
		t.Errorf("only %d names", seen)
	}
}

func TestMembersOfTokensAndFamiliesOfNamesAreReserved(t *testing.T) {
	for _, name := range []string{
		"iss", "ISS", "aud", "Aud", "sub", "exp", "nbf", "iat", "jti", "nonce", "NONCE", "cnf", "Cnf",
		"ver", "rp_data", "RP_Data", "eat_nonce",
		"eat_profile", "submods", "intuse", "dbgstat",
		"DbgStat", "attester_tcb_status", "x-ms-ver", "X-MS-Policy", "x-ms-policy-hash",
		"x-ms-policy-signer", "x-ms-policy-new",
		"tdx_mrtd", "TDX_mrtd", "tdx_new", "nitro_pcr77",
		"NITRO_user_data", "cca-new", "CCA-realm-initial-measurement", "psa-new", "PSA-boot-seed",
		"x-ms-ehd", "x-ms-anything",
		"X-Ms-TPM-Request-Key", "x-ms-isolation-tee", "x-ms-runtime",
		"x-ms-inittime", "x-ms-compliance-status", "secureboot", "SecureBoot", "x-probity-new",
		"X-Probity-TCB-Status",
		"maa-ehd", "aas-ehd", "maa-attestationcollateral", "\u017fub",
		"ps\u0061-x", "p\u017fa-x", "x-m\u017f-y",
	} {
		if !policy.Reserved(name) {
			t.Errorf("%q is not reserved", name)
		}
		if got := issuedBy(t, fmt.Sprintf(`=> issue(type="%s", value="forged");`, name)); got.Len() > 0 {
			t.Errorf("issued %v", got.All())
		}
	}
}

func TestOtherNamesAreThePolicys(t *testing.T) {
	for _, name := range []string{
		"tee", "svn", "product-id", "sgx-mrenclave", "sgx-mrsigner", "is-debuggable", "is-windows",
		"PlatformAttested", "version", "vm-id", "nitro", "cca", "psa",
		"tdx", "x-ms",
		"my-x-ms-sgx-svn", "ncnf", "subject", "x-other-svn", strings.Repeat("x", 300), "ünïcode",
	} {
		if policy.Reserved(name) {
			t.Errorf("%q is reserved", name)
		}
		if got := issuedBy(t, fmt.Sprintf(`=> issue(type="%s", value="mine");`, name)); !got.Has(name) {
			t.Errorf("%q is not issued", name)
		}
	}
	for _, name := range []string{
		"x-ms-" + strings.Repeat("x", 3000), "X-PROBITY-" + strings.Repeat("\u017f", 3000),
	} {
		if !policy.Reserved(name) {
			t.Errorf("%.20q is not reserved", name)
		}
	}
}

func TestWhatAVerifierStatedIsPassedOn(t *testing.T) {
	service := func(name string, v claims.Value) claims.Claim { return of(claims.AttestationService, name, v) }
	text, yes, no := claims.StringValue, claims.BooleanValue(true), claims.BooleanValue(false)
	events := service("events", text(`{"Events":[]}`))
	for name, tc := range map[string]struct {
		rule  string
		known []claims.Claim
		want  []string
	}{
		"a copy": {
			`c:[type=="aikValidated"] => issue(claim=c);`,
			[]claims.Claim{service("aikValidated", yes)},
			[]string{"aikValidated"},
		},
		"its value": {
			`c:[type=="aikValidated"] => issue(type="aikValidated", value=c.value);`,
			[]claims.Claim{service("aikValidated", yes)},
			[]string{"aikValidated"},
		},
		"its value in another spelling": {
			`c:[type=="aikValidated"] => issue(type="AikValidated", value=c.value);`,
			[]claims.Claim{service("aikValidated", yes)},
			[]string{"AikValidated"},
		},
		"the same value as a constant": {
			`[type=="aikValidated", value==true] => issue(type="aikValidated", value=true);`,
			[]claims.Claim{service("aikValidated", yes)},
			[]string{"aikValidated"},
		},
		"another value": {
			`=> issue(type="aikValidated", value=true);`,
			[]claims.Claim{service("aikValidated", no)},
			nil,
		},
		"the value of another claim": {
			`c:[type=="x-probity-tcb-date"] => issue(type="x-probity-tcb-status", value=c.value);`,
			[]claims.Claim{
				service("x-probity-tcb-date", text("2026-01-01")),
				service("x-probity-tcb-status", text("OutOfDate")),
			},
			nil,
		},
		"one of several values": {
			`=> issue(type="x-probity-tcb-advisory", value="B");`,
			[]claims.Claim{
				service("x-probity-tcb-advisory", text("A")),
				service("x-probity-tcb-advisory", text("B")),
			},
			[]string{"x-probity-tcb-advisory"},
		},
		"all of several values": {
			`c:[type=="x-probity-tcb-advisory"] => issue(claim=c);`,
			[]claims.Claim{
				service("x-probity-tcb-advisory", text("A")),
				service("x-probity-tcb-advisory", text("B")),
			},
			[]string{"x-probity-tcb-advisory", "x-probity-tcb-advisory"},
		},
		"the policy's own claim": {
			`=> add(type="aikValidated", value=true); c:[type=="aikValidated", ` +
				`issuer=="AttestationPolicy"] => issue(claim=c);`,
			[]claims.Claim{service("aikValidated", no)}, nil,
		},
		"a client's claim": {
			`c:[type=="aikValidated"] => issue(claim=c);`,
			[]claims.Claim{of(claims.CustomClaim, "aikValidated", yes)}, nil,
		},
		"a client's claim under its prefix": {
			`c:[type=="x-probity-custom-team"] => issue(claim=c);`,
			[]claims.Claim{of(claims.CustomClaim, "x-probity-custom-team", text("a"))},
			[]string{"x-probity-custom-team"},
		},
		"another value than the client's": {
			`=> issue(type="x-probity-custom-team", value="b");`,
			[]claims.Claim{of(claims.CustomClaim, "x-probity-custom-team", text("a"))}, nil,
		},
		"a former name of evidence": {
			`c:[type=="maa-ehd"] => issue(type="aas-ehd", value=c.value);`,
			[]claims.Claim{service("maa-ehd", text("A")), service("aas-ehd", text("A"))},
			[]string{"aas-ehd"},
		},
		"another text under a former name": {
			`=> issue(type="aas-ehd", value="B");`, []claims.Claim{service("aas-ehd", text("A"))}, nil,
		},
		"a claim of the hardware": {
			`c:[type=="x-ms-sevsnpvm-vmpl"] => issue(claim=c);`,
			[]claims.Claim{service("x-ms-sevsnpvm-vmpl", claims.IntegerValue(0))}, nil,
		},
		"a fact computed from events": {
			`=> issue(type="notSafeMode", value=true);`,
			[]claims.Claim{events},
			[]string{"notSafeMode"},
		},
		"and in another spelling": {
			`=> issue(type="SecureBootEnabled", value=true);`,
			[]claims.Claim{events},
			[]string{"SecureBootEnabled"},
		},
		"a fact without events": {`=> issue(type="notSafeMode", value=true);`, nil, nil},
		"a fact that a verifier denies": {
			`=> issue(type="SECUREBOOTENABLED", value=true);`,
			[]claims.Claim{events, service("secureBootEnabled", no)}, nil,
		},
		"a fact that the policy denies": {
			`=> issue(type="secureBootEnabled", value=false);`,
			[]claims.Claim{events, service("secureBootEnabled", yes)},
			[]string{"secureBootEnabled"},
		},
		"a fact that is no truth value": {
			`=> issue(type="secureBootEnabled", value="true");`, []claims.Claim{events}, nil,
		},
		"events of the policy": {
			`=> add(type="events", value="{}"); => issue(type="vbsEnabled", value=true);`, nil, nil,
		},
	} {
		var got []string
		for _, c := range issuedBy(t, tc.rule, tc.known...).All() {
			got = append(got, c.Type)
		}
		if !slices.Equal(got, tc.want) {
			t.Errorf("%s: issued %v, want %v", name, got, tc.want)
		}
	}
}

func TestATraceNamesWhatWasNotIssued(t *testing.T) {
	p, err := policy.Parse(`version= 1.0;authorizationrules{=> permit();};issuancerules{c:[type=="a"] => ` +
		`issue(type=c.value, value=1);};`)
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.Evaluate(claims.NewSet(of(claims.AttestationService, "a", claims.StringValue("nitro_pcr0"))))
	if err != nil || len(out.Trace.Rules) != 2 ||
		!slices.Equal(out.Trace.Rules[1].Skipped(), []string{"nitro_pcr0"}) {
		t.Errorf("%+v, %v", out, err)
	}
}
