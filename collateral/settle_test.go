package collateral_test

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/evidence/evidencetest"
)

// twins are two sets for one platform, of one date, that differ.
func twins(s *site) (a, b *collateral.Intel) {
	return s.set(nil), s.set(func(tcb *evidencetest.TCB) { tcb.PCEID[0]++ })
}

func TestTwoTCBInfosThatContradictEachOtherAreRefusedByName(t *testing.T) {
	s := newSite()
	a, b := twins(s)
	marshal := func(c *collateral.Intel) []byte {
		text, err := c.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	loose := pieces(a)
	loose["tcb_info_of_yesterday.json"] = tcbResponse(b)
	apart := pieces(a)
	apart["rack-2/other.json"] = tcbResponse(b)
	mixed := pieces(a)
	mixed["other.json"] = marshal(b)
	bundle, err := (&collateral.Bundle{Intel: []*collateral.Intel{b}}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		folder map[string][]byte
		files  [2]string
	}{
		"two responses":            {loose, [2]string{"tcb_info.json", "tcb_info_of_yesterday.json"}},
		"responses in two folders": {apart, [2]string{"tcb_info.json", "rack-2/other.json"}},
		"a response and a set":     {mixed, [2]string{"tcb_info.json", "other.json"}},
		"two sets": {
			map[string][]byte{"a.json": marshal(a), "b.json": marshal(b)},
			[2]string{"a.json", "b.json"},
		},
		"a set and a bundle": {
			map[string][]byte{"a.json": marshal(a), "b.json": bundle}, [2]string{"a.json", "b.json"},
		},
		"a list of two sets in a file": {
			map[string][]byte{"a.json": []byte("[" + string(marshal(a)) + "," + string(marshal(b)) + "]")},
			[2]string{"two pieces", "a.json"},
		},
	} {
		_, err := load(write(t, test.folder))
		if err == nil || !strings.Contains(err.Error(), test.files[0]) ||
			!strings.Contains(err.Error(), test.files[1]) ||
			!strings.Contains(err.Error(), "TDX TCB info of FMSPC") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := collateral.NewStatic(&collateral.Bundle{Intel: []*collateral.Intel{a, b}}); err == nil {
		t.Error("a source over sets that contradict each other is made")
	}
}

func TestTheNewerOfTwoSetsIsUsedWhateverTheFilesAreCalled(t *testing.T) {
	s := newSite()
	today, yesterday := s.set(nil),
		s.set(func(tcb *evidencetest.TCB) { tcb.Issued = tcb.Issued.AddDate(0, 0, -1); tcb.PCEID[0]++ })
	for _, names := range [][2]string{{"a.json", "b.json"}, {"b.json", "a.json"}} {
		loose := pieces(today)
		delete(loose, "tcb_info.json")
		loose[names[0]], loose[names[1]] = tcbResponse(today), tcbResponse(yesterday)
		b, err := load(write(t, loose))
		if err != nil || len(b.Intel) != 1 || !bytes.Equal(b.Intel[0].TCBInfo, today.TCBInfo) ||
			filepath.Base(b.Intel[0].File) != names[0] {
			t.Fatalf("%v: %v, %+v", names, err, b)
		}
		if len(b.Notes) != 1 || !strings.Contains(b.Notes[0], names[1]+": not used") ||
			!strings.Contains(b.Notes[0], names[0]) {
			t.Errorf("%v: notes %q", names, b.Notes)
		}
	}
}

func TestAContradictionIsIgnoredIfANewerSetExists(t *testing.T) {
	s := newSite()
	a, b := twins(s)
	newer := s.set(func(tcb *evidencetest.TCB) { tcb.Issued = tcb.Issued.AddDate(0, 0, 1) })
	folder := pieces(newer)
	folder["a.json"], folder["b.json"] = tcbResponse(a), tcbResponse(b)
	got, err := load(write(t, folder))
	if err != nil || len(got.Intel) != 1 || !bytes.Equal(got.Intel[0].TCBInfo, newer.TCBInfo) ||
		len(got.Notes) != 2 {
		t.Errorf("%v, %+v", err, got)
	}
}

func TestAMDsPiecesThatContradictEachOtherAreRefusedByName(t *testing.T) {
	a := evidencetest.NewAMD(evidencetest.AMDConfig{Now: now})
	b := evidencetest.NewAMD(evidencetest.AMDConfig{Now: now})
	crl := a.CRL(evidencetest.CRLConfig{})
	for name, test := range map[string]struct {
		folder map[string][]byte
		want   []string
	}{
		"lists": {
			map[string][]byte{"x.crl": crl, "y.crl": b.CRL(evidencetest.CRLConfig{})},
			[]string{"x.crl", "y.crl"},
		},
		"intermediates": {
			map[string][]byte{"x.pem": a.ASK.PEM(), "y.pem": b.ASK.PEM(), "crl": crl},
			[]string{"x.pem", "y.pem", "SEV-Milan"},
		},
	} {
		_, err := load(write(t, test.folder))
		for _, want := range test.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: no %q in %v", name, want, err)
			}
		}
	}
	two := &collateral.Bundle{AMD: []*collateral.AMD{a.Collateral(false), b.Collateral(false)}}
	two.AMD[0].File, two.AMD[1].File = "a.json", "b.json"
	if err := two.Settle(); err == nil || !strings.Contains(err.Error(), "a.json and b.json") {
		t.Error(err)
	}
	chip := &collateral.Bundle{VCEK: []*collateral.VCEK{
		{Path: "vcek/v1/Milan/00", Certificate: a.ASK.Cert.Raw, File: "a"},
		{Path: "vcek/v1/Milan/00", Certificate: b.ASK.Cert.Raw, File: "b"},
	}}
	if err := chip.Settle(); err == nil || !strings.Contains(err.Error(), "a and b") {
		t.Error(err)
	}
}

func TestADamagedBlockAmongPEMIsNamed(t *testing.T) {
	s := newSite()
	c := s.set(nil)
	folder := pieces(c)
	folder["extra.pem"] = append(bytes.Replace(s.pki.Root.PEM(), []byte("MI"), []byte("!!"), 1),
		s.pki.Root.PEM()...)
	b, err := load(write(t, folder))
	if err != nil || len(b.Notes) != 1 ||
		!strings.Contains(b.Notes[0], "extra.pem: not used: 2 PEM blocks begin, and 1 decode") {
		t.Errorf("%v, %q", err, b.Notes)
	}
}
