package appraisal_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"

	"github.com/probity-dev/probity/appraisal"
	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/dcap"
	"github.com/probity-dev/probity/evidence/evidencetest"
	"github.com/probity-dev/probity/policy"
	"github.com/probity-dev/probity/token"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

type lab struct {
	m *evidencetest.Platform
	a *appraisal.Appraiser
}

func newLab(t *testing.T, edit func(*evidencetest.TCB)) *lab {
	t.Helper()
	pki := evidencetest.NewIntel(evidencetest.IntelConfig{Now: now})
	m := pki.Platform(evidencetest.HealthyPlatform())
	tcb := evidencetest.HealthyTCB(now)
	if edit != nil {
		edit(&tcb)
	}
	source, err := collateral.NewStatic(&collateral.Bundle{
		Intel: []*collateral.Intel{pki.Collateral(m, evidencetest.CollateralConfig{TCB: tcb})},
	})
	if err != nil {
		t.Fatal(err)
	}
	return &lab{m, &appraisal.Appraiser{
		Verifiers:  appraisal.Verifiers(appraisal.Trust{Intel: dcap.Config{Anchor: pki.Anchor()}}),
		Collateral: source,
		Random:     rand.Reader,
	}}
}

func (l *lab) request() appraisal.Request {
	return appraisal.Request{
		Kind:     evidence.SGXEnclave,
		Evidence: l.m.Quote(evidencetest.QuoteConfig{Enclave: evidencetest.DemoEnclave()}),
		Time:     now,
	}
}

func parse(t *testing.T, text string) *policy.Policy {
	t.Helper()
	p, err := policy.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// refusal returns the id of the failed check, or "".
func refusal(v *appraisal.Verdict) string {
	if v.Rejection == nil {
		return ""
	}
	return v.Rejection.Check.ID
}

func TestWhichTCBStatusesPass(t *testing.T) {
	for _, tc := range []struct {
		status        string
		byDefault     bool
		any, outdated bool
	}{
		{"UpToDate", true, true, false},
		{"SWHardeningNeeded", true, true, false},
		{"ConfigurationNeeded", true, true, false},
		{"ConfigurationAndSWHardeningNeeded", true, true, false},
		{"OutOfDate", false, true, true},
		{"OutOfDateConfigurationNeeded", false, true, false},
		{"Revoked", false, false, false},
	} {
		l := newLab(t, func(tcb *evidencetest.TCB) { tcb.Levels[0].Status = tc.status })
		for name, p := range map[string]struct {
			tcb  appraisal.TCBPolicy
			want bool
		}{
			"default":           {appraisal.TCBPolicy{}, tc.byDefault},
			"any":               {appraisal.TCBPolicy{Any: true}, tc.any},
			"OutOfDate alone":   {appraisal.TCBPolicy{Accept: []string{"OutOfDate"}}, tc.outdated},
			"Revoked asked for": {appraisal.TCBPolicy{Accept: []string{"Revoked"}}, false},
		} {
			t.Run(tc.status+" by "+name, func(t *testing.T) {
				v, err := l.a.Appraise(t.Context(), l.request(), appraisal.Provider{TCB: p.tcb})
				if err != nil {
					t.Fatal(err)
				}
				if v.Accepted != p.want {
					t.Errorf("accepted = %t (%s), want %t", v.Accepted, refusal(v), p.want)
				}
				if v.Accepted == (v.Rejection != nil) || v.Accepted != (v.Err() == nil) {
					t.Error("verdict and rejection contradict each other")
				}
			})
		}
	}
}

// A service TD can move its TD to another platform: it is not accepted
// unknowingly.
func TestABoundServiceTDMustBeAskedFor(t *testing.T) {
	pki := evidencetest.NewIntel(evidencetest.IntelConfig{Now: now})
	m := pki.Platform(evidencetest.HealthyPlatform())
	source, err := collateral.NewStatic(&collateral.Bundle{Intel: []*collateral.Intel{pki.Collateral(m,
		evidencetest.CollateralConfig{TCB: evidencetest.HealthyTDXTCB(now)})}})
	if err != nil {
		t.Fatal(err)
	}
	a := &appraisal.Appraiser{
		Verifiers:  appraisal.Verifiers(appraisal.Trust{Intel: dcap.Config{Anchor: pki.Anchor()}}),
		Collateral: source,
		Random:     rand.Reader,
	}
	td := evidencetest.HealthyTD()
	td.V15 = true
	plain := m.Quote(evidencetest.QuoteConfig{TD: td})
	td.MRServiceTD[47] = 1
	bound := m.Quote(evidencetest.QuoteConfig{TD: td})
	td.TEETCBSVN[0] = 2
	stale := m.Quote(evidencetest.QuoteConfig{TD: td})
	asked := `version=1.0;authorizationrules{[type=="x-probity-tdx-mrservicetd"] => permit();};`
	for name, tc := range map[string]struct {
		quote []byte
		tcb   string
		want  string
	}{
		"none bound":                            {plain, "", ""},
		"bound, default statuses":               {bound, "", "tdx.service-td"},
		"bound, all statuses named":             {bound, "UpToDate,OutOfDate", "tdx.service-td"},
		"bound, accepted":                       {bound, "BoundServiceTD", ""},
		"bound, accepted beside a status":       {bound, "UpToDate,BoundServiceTD", ""},
		"bound, accepted beside another status": {bound, "OutOfDate,BoundServiceTD", "dcap.tcb.status"},
		"bound, any status":                     {bound, "any", "tdx.service-td"},
		"bound, any status and another one":     {bound, "any,DebugGuest", "tdx.service-td"},
		"bound, any status and the reservation": {bound, "any,BoundServiceTD", ""},
		"bound on a stale module, any status":   {stale, "any,BoundServiceTD", ""},
		"bound on a stale module, accepted":     {stale, "BoundServiceTD", "dcap.tcb.status"},
	} {
		t.Run(name, func(t *testing.T) {
			accept, err := appraisal.ParseTCBPolicy(tc.tcb)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range []*policy.Policy{nil, parse(t, asked)} {
				v, err := a.Appraise(t.Context(),
					appraisal.Request{Kind: evidence.TDXVM, Evidence: tc.quote, Time: now},
					appraisal.Provider{TCB: accept, Policy: p})
				if err != nil {
					t.Fatal(err)
				}
				if refusal(v) != tc.want {
					t.Errorf("refused by %q, want %q", refusal(v), tc.want)
				}
			}
		})
	}
}

func TestParseTCBPolicy(t *testing.T) {
	for text, want := range map[string]appraisal.TCBPolicy{
		"": {}, "default": {},
		"any": {Any: true}, "uptodate, OutOfDate": {Accept: []string{"UpToDate", "OutOfDate"}},
		"any,DebugGuest":       {Any: true, Accept: []string{"DebugGuest"}},
		"BoundServiceTD , any": {Any: true, Accept: []string{"BoundServiceTD"}},
	} {
		got, err := appraisal.ParseTCBPolicy(text)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%q: %v\n%s", text, err, diff)
		}
	}
	for text, want := range map[string]string{
		"Revoked": "cannot be accepted", "OutOfDat": "did you mean OutOfDate?", "UpToDate,": "unknown",
		"any,UpToDate": "beside it name only reservations", "OutOfDate,any": "beside it",
		"any,Revoked": "cannot be accepted", "any,": "unknown", "Any": "unknown",
		"any DebugGuest": "unknown",
	} {
		if _, err := appraisal.ParseTCBPolicy(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error = %v, want %q", text, err, want)
		}
	}
}

func TestThePolicyDecides(t *testing.T) {
	l := newLab(t, nil)
	for name, tc := range map[string]struct{ text, want string }{
		"permits":                  {policy.Default("SgxEnclave"), ""},
		"denies":                   {"version=1.0;authorizationrules{=> deny();};", "policy"},
		"has no rule that permits": {"version=1.0;authorizationrules{};", "policy"},
		"reads the token's claims": {
			`version=1.0;authorizationrules{[type=="x-ms-sgx-svn", value>=3] => permit();};`, "",
		},
		"reads the old names": {
			`version=1.0;authorizationrules{[type=="$svn", value>=4] => permit();};`, "policy",
		},
		"reads the TCB": {
			`version=1.0;authorizationrules{[type=="x-probity-tcb-status", value=="UpToDate"] => permit();};`,
			"",
		},
		"refuses debug": {`version=1.0;authorizationrules{[type=="x-ms-sgx-is-debuggable", ` +
			`value==true] => deny(); => permit();};`, ""},
		"ends in an error": {`version=1.2;authorizationrules{=> permit(); ` +
			`c:[type=="$svn"] => add(type="x", value=NegateBool(c.value));};`, "policy"},
		"pins the baseline available": {baseline("20"), ""},
		"pins another baseline":       {baseline("21"), "dcap.collateral"},
		"pins the default baseline":   {baseline("azuredefault"), ""},
		"pins what is no baseline":    {baseline("latest"), "policy.tcb-identifier"},
		"pins a baseline beyond all":  {baseline("4294967296"), "policy.tcb-identifier"},
		"pins baseline zero":          {baseline("0"), "policy.tcb-identifier"},
	} {
		t.Run(name, func(t *testing.T) {
			v, err := l.a.Appraise(t.Context(), l.request(), appraisal.Provider{Policy: parse(t, tc.text)})
			if err != nil {
				t.Fatal(err)
			}
			if got := refusal(v); got != tc.want {
				t.Errorf("refused by %q, want %q", got, tc.want)
			}
			c := v.Checks[len(v.Checks)-1]
			if c.OK != v.Accepted || !c.OK && (c.Expected == "" || c.Found == "" || c.Remedy == "") {
				t.Errorf("the last check does not explain itself: %+v", c)
			}
		})
	}
}

func baseline(id string) string {
	return `version=1.1;configurationrules{=> issueproperty(type="x-ms-sgx-tcbidentifier", value="` + id +
		`");};authorizationrules{=> permit();};`
}

func TestTokens(t *testing.T) {
	l := newLab(t, nil)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	signer := instanceSigner(t, key)
	today := now.AddDate(5, 0, 0)
	provider := appraisal.Provider{
		Policy:    parse(t, policy.Default("SgxEnclave")),
		Signer:    signer,
		TokenTime: today,
	}
	ids := map[string]bool{}
	for range 3 {
		req := l.request()
		req.Nonce = []byte(`"n"`)
		v, err := l.a.Appraise(t.Context(), req, provider)
		if err != nil {
			t.Fatal(err)
		}
		verified, err := token.Verify(v.Token, token.Keys(signer), "https://x", today)
		if err != nil {
			t.Fatalf("a token of old evidence is not of today: %v", err)
		}
		var c struct {
			ID    string `json:"jti"`
			Nonce string `json:"nonce"`
			Hash  string `json:"x-ms-policy-hash"`
			SVN   int    `json:"svn"`
		}
		if err := json.Unmarshal(verified.Payload, &c); err != nil {
			t.Fatal(err)
		}
		if len(c.ID) != 64 || ids[c.ID] || c.Nonce != "n" ||
			c.Hash != policy.Hash(policy.Default("SgxEnclave")) || c.SVN != 3 {
			t.Errorf("claims = %+v", c)
		}
		ids[c.ID] = true
	}
	t.Run("a draft policy gives an unsecured token", func(t *testing.T) {
		req := l.request()
		req.DraftPolicy = "version=1.0;authorizationrules{=> permit();};"
		v, err := l.a.Appraise(t.Context(), req, provider)
		if err != nil || !strings.HasSuffix(v.Token, ".") {
			t.Fatalf("token = %s, %v", v.Token, err)
		}
		_, err = token.Verify(v.Token, token.Keys(signer), "https://x", today)
		if !errors.Is(err, token.ErrUnsecured) {
			t.Errorf("error = %v", err)
		}
	})
	t.Run("refused evidence gets none", func(t *testing.T) {
		req := l.request()
		req.Evidence[200] ^= 1
		v, err := l.a.Appraise(t.Context(), req, provider)
		if err != nil || v.Accepted || v.Token != "" {
			t.Errorf("verdict = %+v, %v", v, err)
		}
	})
	t.Run("without randomness there is none", func(t *testing.T) {
		for _, random := range []io.Reader{nil, strings.NewReader("short")} {
			broken := *l.a
			broken.Random = random
			if v, err := broken.Appraise(t.Context(), l.request(), provider); err == nil {
				t.Errorf("token = %s", v.Token)
			}
		}
	})
}

func TestNoVerdict(t *testing.T) {
	l := newLab(t, nil)
	req := l.request()
	req.Kind = "Other"
	if _, err := l.a.Appraise(t.Context(), req, appraisal.Provider{}); !errors.Is(err, appraisal.ErrKind) {
		t.Errorf("error = %v", err)
	}
	req = l.request()
	req.DraftPolicy = "nonsense"
	var parse *policy.ParseError
	if _, err := l.a.Appraise(t.Context(), req, appraisal.Provider{}); !errors.As(err, &parse) {
		t.Errorf("error = %v", err)
	}
	l.a.Collateral = broken{}
	if v, err := l.a.Appraise(t.Context(), l.request(), appraisal.Provider{}); err == nil {
		t.Errorf("a source that fails gave a verdict: %+v", v)
	}
}

type broken struct{}

func (broken) Intel(context.Context, collateral.Query) (*collateral.Intel, error) {
	return nil, errors.New("disk on fire")
}

func (broken) AMD(context.Context, collateral.AMDQuery) (*collateral.AMD, error) {
	return nil, errors.New("disk on fire")
}

func (broken) PCKs(context.Context) ([][]byte, error) { return nil, errors.New("disk on fire") }

func (broken) VCEK(context.Context, collateral.VCEKQuery) (*collateral.VCEK, error) {
	return nil, errors.New("disk on fire")
}

func TestAVerdictCanBeReplayed(t *testing.T) {
	l := newLab(t, nil)
	req := l.request()
	first, err := l.a.Appraise(t.Context(), req, appraisal.Provider{})
	if err != nil {
		t.Fatal(err)
	}
	second, err := l.a.Appraise(t.Context(), req, appraisal.Provider{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first.Checks, second.Checks); diff != "" {
		t.Error(diff)
	}
}

func TestEveryCheckIsDocumentedOnce(t *testing.T) {
	seen := map[string]bool{}
	for _, d := range appraisal.Checks() {
		if seen[d.ID] || d.Meaning == "" || d.Remedy == "" {
			t.Errorf("check %q is repeated or lacks its meaning or remedy", d.ID)
		}
		seen[d.ID] = true
	}
}
