package collateral_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/evidence/evidencetest"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func set(edit func(*evidencetest.TCB)) *collateral.Intel {
	pki := evidencetest.NewIntel(evidencetest.IntelConfig{Now: now})
	tcb := evidencetest.HealthyTCB(now)
	if edit != nil {
		edit(&tcb)
	}
	return pki.Collateral(pki.Platform(evidencetest.HealthyPlatform()), evidencetest.CollateralConfig{TCB: tcb})
}

func TestASetComesBackFromItsFile(t *testing.T) {
	c := set(nil)
	b, err := c.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	got, err := collateral.ParseSet(b)
	if err != nil {
		t.Fatal(err)
	}
	diff := cmp.Diff(c, got, cmpopts.IgnoreUnexported(collateral.Intel{}), cmpopts.EquateEmpty())
	if diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestParseSetRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"unknown member": `{"tcb_inf":""}`, "duplicate member": `{"tcb_info":"","tcb_info":""}`,
		"trailing data":     `{} {}`,
		"signature not hex": `{"tcb_info_signature":"xyz"}`, "CRL neither hex nor base64": `{"pck_crl":"!"}`,
		"PEM that is no CRL": `{"pck_crl":"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"}`,
		"no object":          `[]`, "empty": ``,
	} {
		if _, err := collateral.ParseSet([]byte(text)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestCRLsComeInEveryWrapping(t *testing.T) {
	der := set(nil).PCKCRL
	for name, b := range map[string][]byte{
		"DER":               der,
		"hex":               []byte(hex.EncodeToString(der)),
		"upper-case hex":    []byte(strings.ToUpper(hex.EncodeToString(der)) + "\n"),
		"base64":            []byte(base64.StdEncoding.EncodeToString(der)),
		"PEM":               pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}),
		"PEM as a C string": append(pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}), 0),
	} {
		if got, err := collateral.DecodeCRL(b); err != nil || !bytes.Equal(got, der) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTheNewestSetIsChosen(t *testing.T) {
	old := set(func(tcb *evidencetest.TCB) { tcb.Number = 19; tcb.Issued = tcb.Issued.Add(time.Hour) })
	current := set(nil)
	reissued := set(func(tcb *evidencetest.TCB) { tcb.Issued = tcb.Issued.Add(time.Minute) })
	other := set(func(tcb *evidencetest.TCB) { tcb.FMSPC[5] = 9; tcb.Number = 30 })
	tdx := set(func(tcb *evidencetest.TCB) { tcb.TEE = "TDX"; tcb.Number = 40 })
	s, err := collateral.NewStatic(&collateral.Bundle{
		Intel: []*collateral.Intel{old, current, reissued, other, tdx},
	})
	if err != nil {
		t.Fatal(err)
	}
	q := collateral.Query{TEE: collateral.SGX, FMSPC: evidencetest.HealthyPlatform().FMSPC, CA: "platform"}
	for name, tc := range map[string]struct {
		edit func(*collateral.Query)
		want *collateral.Intel
	}{
		"23 an older number never wins over a newer": {func(*collateral.Query) {}, reissued},
		"the number asked for":                       {func(q *collateral.Query) { q.EvaluationNumber = 19 }, old},
		"a number that is not stored":                {func(q *collateral.Query) { q.EvaluationNumber = 21 }, nil},
		"23 another TEE of the same FMSPC":           {func(q *collateral.Query) { q.TEE = collateral.TDX }, tdx},
		"another FMSPC":                              {func(q *collateral.Query) { q.FMSPC[0] = 1 }, nil},
		"the other CA":                               {func(q *collateral.Query) { q.CA = "processor" }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			q := q
			tc.edit(&q)
			got, err := s.Intel(t.Context(), q)
			if got != tc.want || (got == nil) != errors.Is(err, collateral.ErrNotFound) {
				t.Errorf("Intel = %p, %v; want %p", got, err, tc.want)
			}
		})
	}
}

func TestSetsThatDoNotSayWhatTheyAreForAreRefused(t *testing.T) {
	for name, info := range map[string]string{
		"no TCB info": "", "FMSPC too short": `{"fmspc":"00"}`, "no JSON": "x",
	} {
		_, err := collateral.NewStatic(&collateral.Bundle{
			Intel: []*collateral.Intel{{TCBInfo: []byte(info)}},
		})
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestDigestsTellSetsApart(t *testing.T) {
	a := (&collateral.Intel{TCBInfo: []byte("ab"), QEIdentity: []byte("c")}).Seal()
	b := (&collateral.Intel{TCBInfo: []byte("a"), QEIdentity: []byte("bc")}).Seal()
	if a.Digest() == b.Digest() || a.Digest() == [32]byte{} {
		t.Error("two sets with one digest")
	}
}

func TestAFolderOfPiecesIsOneSet(t *testing.T) {
	c, dir := set(nil), t.TempDir()
	response := func(member string, signed, signature []byte) []byte {
		return []byte(
			`{"` + member + `":` + string(signed) + `,"signature":"` + hex.EncodeToString(signature) + `"}`,
		)
	}
	for name, b := range map[string][]byte{
		"tcb.json": response("tcbInfo", c.TCBInfo, c.TCBInfoSignature),
		"qe.json":  response("enclaveIdentity", c.QEIdentity, c.QEIdentitySignature),
		"root.crl": c.RootCRL, "pck.crl": []byte(hex.EncodeToString(c.PCKCRL)),
		"signer.pem": c.TCBInfoIssuerChain, "notes.txt": []byte("notes"),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	sets, err := load(dir)
	if err != nil || sets.Len() != 1 {
		t.Fatalf("Load = %+v, %v", sets, err)
	}
	got := sets.Intel[0]
	if !bytes.Equal(got.TCBInfo, c.TCBInfo) || !bytes.Equal(got.QEIdentity, c.QEIdentity) ||
		!bytes.Equal(got.RootCRL, c.RootCRL) ||
		!bytes.Equal(got.PCKCRL, c.PCKCRL) || !bytes.Equal(got.TCBInfoSignature, c.TCBInfoSignature) {
		t.Error("pieces are missing or changed")
	}
	if _, err := load(t.TempDir()); err == nil {
		t.Error("an empty folder gave collateral")
	}
	if _, err := load(filepath.Join(dir, "absent")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error = %v", err)
	}
}

func FuzzParseSet(f *testing.F) {
	b, err := set(nil).Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := collateral.ParseSet(b)
		if err != nil {
			return
		}
		c.About()
		again, err := c.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := collateral.ParseSet(again); err != nil {
			t.Errorf("does not come back: %v", err)
		}
	})
}

func FuzzParseResponse(f *testing.F) {
	f.Add([]byte(`{"tcbInfo":{"a":1},"signature":"00ff"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		signed, _, err := collateral.ParseResponse(b, "tcbInfo")
		if err == nil && !bytes.Contains(b, signed) {
			t.Error("the signed bytes are not those received")
		}
	})
}

func TestABundleComesBack(t *testing.T) {
	a := evidencetest.NewAMD(evidencetest.AMDConfig{Now: now})
	chip := a.Chip(evidencetest.ChipConfig{})
	b := &collateral.Bundle{
		Created: now,
		Intel:   []*collateral.Intel{set(nil)},
		AMD:     []*collateral.AMD{a.Collateral(false), a.Collateral(true)},
		VCEK:    []*collateral.VCEK{chip.VCEK()},
	}
	text, err := b.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	got, err := collateral.ParseBundle(text)
	if err != nil {
		t.Fatal(err)
	}
	diff := cmp.Diff(b, got, cmpopts.IgnoreUnexported(collateral.Intel{}), cmpopts.EquateEmpty())
	if diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	path := filepath.Join(t.TempDir(), "bundle.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := load(path); err != nil || got.Len() != 4 {
		t.Errorf("Load: %v", err)
	}
}

func TestParseBundleRefuses(t *testing.T) {
	with := func(members string) string { return `{"format":"probity-collateral/1",` + members + `}` }
	for name, text := range map[string]string{
		"nothing": "", "no format": `{}`, "another format": `{"format":"probity-collateral/2"}`,
		"a member twice":      with(`"amd":[],"amd":[]`),
		"an unknown member":   with(`"extra":1`),
		"an unknown branch":   with(`"amd":[{"line":"Milan","branch":"x"}]`),
		"no line":             with(`"amd":[{"branch":"vcek"}]`),
		"a list that is none": with(`"amd":[{"line":"Milan","branch":"vcek","crl":"!"}]`),
		"a VCEK that is none": with(`"vcek":[{"path":"vcek/v1/x","certificate":"x"}]`),
		"a VCEK of no path": with(`"vcek":[{"path":"../x","certificate":"-----BEGIN ` +
			`CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"}]`),
		"a set that is none": with(`"intel":[{"pck_crl":"!"}]`), "more behind": with(`"amd":[]`) + "{}",
	} {
		if b, err := collateral.ParseBundle([]byte(text)); err == nil {
			t.Errorf("%s: %+v", name, b)
		}
	}
}

func TestParseVCEKQueryRefuses(t *testing.T) {
	for _, path := range []string{
		"", "vcek/v1/Milan", "vcek/v2/Milan/00?blSPL=01", "vlek/v1/Milan/00?blSPL=01",
		"vcek/v1/Milan/zz?blSPL=01",
		"vcek/v1/Milan/00?blSPL=256", "vcek/v1/Milan/00?blSPL=1",
		"vcek/v1/Milan/00", "vcek/v1/Milan/AA?blSPL=01", "vcek/v1/Milan/00?blSPL=01&",
	} {
		if q, err := collateral.ParseVCEKQuery(path); err == nil {
			t.Errorf("%q: %+v", path, q)
		}
	}
}

func FuzzParseBundle(f *testing.F) {
	a := evidencetest.NewAMD(evidencetest.AMDConfig{Now: now})
	b := &collateral.Bundle{
		Created: now,
		Intel:   []*collateral.Intel{set(nil)},
		AMD:     []*collateral.AMD{a.Collateral(false)},
		VCEK:    []*collateral.VCEK{a.Chip(evidencetest.ChipConfig{}).VCEK()},
	}
	text, err := b.Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"format":"probity-collateral/1"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		b, err := collateral.ParseBundle(text)
		if err != nil {
			return
		}
		again, err := b.Marshal()
		if err != nil {
			return // a date beyond what JSON can say
		}
		if _, err := collateral.ParseBundle(again); err != nil {
			t.Errorf("does not come back: %v", err)
		}
	})
}

func FuzzParseVCEKQuery(f *testing.F) {
	f.Add("vcek/v1/Milan/00ff?blSPL=01&teeSPL=00")
	f.Fuzz(func(t *testing.T, path string) {
		if q, err := collateral.ParseVCEKQuery(path); err == nil && q.String() != path {
			t.Errorf("%q comes back as %q", path, q)
		}
	})
}
