package paravisor

import (
	"encoding/json"
	"strings"
	"testing"
)

func digest(c byte) Digest { return []byte(strings.Repeat(string(rune(c)), digestSize)) }

func TestListsThatSayNothingAreRefused(t *testing.T) {
	hex := strings.Repeat("ab", digestSize)
	for text, want := range map[string]string{
		`[{"name":"a","measurement":"` + hex + `"}]`:                 "",
		`[{"name":"a","idKeyDigest":"` + hex + `","minSvn":3}]`:      "",
		`[{"name":"a","mrtd":"` + hex + `","mrseam":"` + hex + `"}]`: "",
		`[{"name":"a"}]`:                                                                      "no digest",
		`[{"name":"a","minSvn":3}]`:                                                           "no digest",
		`[{"measurement":"` + hex + `"}]`:                                                     "name",
		`[{"name":"a","mrseam":"` + hex + `"}]`:                                               "mrtd is missing",
		`[{"name":"a","mrtd":"` + hex + `","measurement":"` + hex + `"}]`:                     "two entries",
		`[{"name":"a","mrtd":"` + hex + `","minSvn":1}]`:                                      "two entries",
		`[{"name":"a","measurement":"` + strings.Repeat("00", digestSize) + `"}]`:             "zeros",
		`[{"name":"a","measurement":"` + hex[2:] + `"}]`:                                      "48 bytes",
		`[{"name":"a","measurement":"` + hex + `00"}]`:                                        "48 bytes",
		`[{"name":"a","idKeyDigest":"` + strings.Repeat("0", 2*digestSize) + `","mrtd":"x"}]`: "",
	} {
		var l List
		err := json.Unmarshal([]byte(text), &l)
		if err == nil {
			err = l.Check()
		}
		switch {
		case want == "" && strings.Contains(text, `"x"`):
			if err == nil {
				t.Errorf("%s: accepted", text)
			}
		case want == "" && err != nil, want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func TestWhichParavisorsAreTrusted(t *testing.T) {
	l := List{
		{Name: "by measurement", Measurement: digest(1)},
		{Name: "by its signer", IDKeyDigest: digest(2), AuthorKeyDigest: digest(3), MinSVN: 5},
		{Name: "a trust domain", MRTD: digest(4), MRSEAM: digest(5)},
		{Name: "of any module", MRTD: digest(6)},
	}
	zero := make([]byte, digestSize)
	for name, tc := range map[string]struct {
		report SNP
		want   string
	}{
		"the measurement": {
			SNP{Measurement: digest(1), IDKeyDigest: zero, AuthorKeyDigest: zero}, "by measurement",
		},
		"a lower privilege": {
			SNP{VMPL: 2, Measurement: digest(1), IDKeyDigest: zero, AuthorKeyDigest: zero}, "",
		},
		"the signer": {
			SNP{SVN: 5, Measurement: digest(9), IDKeyDigest: digest(2), AuthorKeyDigest: digest(3)},
			"by its signer",
		},
		"an old one of the signer": {
			SNP{SVN: 4, Measurement: digest(9), IDKeyDigest: digest(2), AuthorKeyDigest: digest(3)},
			"",
		},
		"half of the signer": {
			SNP{SVN: 5, Measurement: digest(9), IDKeyDigest: digest(2), AuthorKeyDigest: zero}, "",
		},
		"nothing": {
			SNP{SVN: 9, Measurement: zero, IDKeyDigest: zero, AuthorKeyDigest: zero}, "",
		},
		"MRTD as a measurement": {SNP{Measurement: digest(4), IDKeyDigest: zero, AuthorKeyDigest: zero}, ""},
	} {
		if got := l.SNP(tc.report); got != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
	for _, tc := range []struct {
		mrtd, mrseam byte
		want         string
	}{{4, 5, "a trust domain"}, {4, 6, ""}, {6, 7, "of any module"}, {1, 5, ""}, {0, 0, ""}} {
		if got := l.TDX(digest(tc.mrtd), digest(tc.mrseam)); got != tc.want {
			t.Errorf("MRTD %d, MRSEAM %d: %q, want %q", tc.mrtd, tc.mrseam, got, tc.want)
		}
	}
	if List(nil).SNP(SNP{Measurement: digest(1)}) != "" || List(nil).TDX(digest(4), digest(5)) != "" {
		t.Error("an empty list trusts a paravisor")
	}
}
