package main

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"unicode"
)

// area is what a reason speaks of, with patterns of the checks that look after it.
type area struct {
	words  []string
	checks []string
}

// areas are in order: the first one with a word of the reason decides, so that a
// "CRL signature" is not any signature. Words match the beginnings of words.
var areas = []area{
	{[]string{"debug"}, []string{"*.debug"}},
	{[]string{"all zero pcr"}, []string{"nitro.pcrs.debug"}}, // Nitro zeroes the PCRs of debug enclaves
	{[]string{"revoked", "revocation"}, []string{"*.revocation", "*.revoked"}},

	{[]string{"crl signature", "crl issuer"}, []string{"*-crl.signature"}},
	{[]string{"crl freshness", "crl nextupdate", "crl expired"}, []string{"*-crl.freshness", "snp.crl"}},
	{[]string{"crl"}, []string{"*-crl.*", "snp.crl", "dcap.collateral"}},
	{[]string{"nomatchingtcblevel", "tcb level"}, []string{"dcap.tcb.level"}},
	{[]string{"tcb info chain"}, []string{"dcap.tcbinfo.chain"}},
	{[]string{"tcb info signature"}, []string{"dcap.tcbinfo.signature"}},
	{[]string{"qe identity chain"}, []string{"dcap.qe-identity.chain"}},
	{[]string{"qe identity signature"}, []string{"dcap.qe-identity.signature"}},
	{[]string{"qe identity id"}, []string{"dcap.qe-identity.id"}},
	{[]string{"fmspc"}, []string{"dcap.tcbinfo.fmspc"}},
	{[]string{"qe report signature"}, []string{"dcap.qe-report.signature"}},
	{[]string{"qe report data binding"}, []string{"dcap.qe-report.binding"}},
	{[]string{"certification data"}, []string{"dcap.pck.certificates"}},

	{[]string{"quote signature", "quote not signed"}, []string{"*.quote.signature"}},
	{[]string{"vcek not signed"}, []string{"snp.vcek.signature"}},
	{[]string{"report signature"}, []string{"snp.report.signature"}},
	{[]string{"cose signature"}, []string{"nitro.signature", "cca.*.signature", "uvm.signature"}},
	// A flipped bit in a reserved field is read, and refused, before the signature is.
	{[]string{"signed range"}, []string{"snp.report.signature", "snp.report.reserved"}},
	{[]string{"as zero", "must be zero", "reserved"}, []string{"*.reserved"}},
	{[]string{"signature", "not signed"}, []string{"*.signature"}},
	{[]string{"did not issue"}, []string{"*.ask.signature", "*.vcek.signature", "*.chain"}},

	{[]string{"expired", "freshness", "not yet valid", "certificate lives"},
		[]string{"*.validity", "*.freshness"}},
	{[]string{"chain root", "root"}, []string{"*.root"}},
	{[]string{"chain link"}, []string{"*.chain"}},
	{[]string{"chain"}, []string{"*.chain", "*.root"}},
	{[]string{"certificate"}, []string{"*.certificate", "*.certificates", "*.validity"}},

	{[]string{"custom claims"}, []string{"openenclave.custom-claims.binding"}},
	{[]string{"runtime data"}, []string{"*.runtime-data"}},
	{[]string{"h rak"}, []string{"cca.realm.binding"}},
	{[]string{"nonce", "challenge"}, []string{"*.nonce", "*.challenge"}},
	{[]string{"pcr digest"}, []string{"*.pcrs"}},
	{[]string{"pcr", "event", "log"}, []string{"*.pcrs", "*.event-log"}},
	{[]string{"measurement", "launch measurement"}, []string{"uvm.measurement"}},

	{[]string{"header"}, []string{"*.header"}},
	{[]string{"report type"}, []string{"*.format"}},
	{[]string{"parse", "malformed", "truncated", "length", "trailing bytes"}, []string{"*.format"}},
}

// checksOf returns the patterns of the checks that a reason names. A reason may name
// alternatives: "header or signature", "header/parse".
func checksOf(why string) ([]string, error) {
	if why == "" {
		return nil, fmt.Errorf("the manifest does not say why the case is refused")
	}
	var patterns []string
	for part := range strings.SplitSeq(strings.ReplaceAll(why, "/", " or "), " or ") {
		text := " " + plain(part)
		at := slices.IndexFunc(areas, func(a area) bool {
			return slices.ContainsFunc(a.words, func(word string) bool { return strings.Contains(text, " "+word) })
		})
		if at < 0 {
			return nil, fmt.Errorf("the reason %q names no area that the runner knows", part)
		}
		patterns = append(patterns, areas[at].checks...)
	}
	return patterns, nil
}

// plain turns a reason into small letters and digits between single spaces.
func plain(text string) string {
	separator := func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }
	return strings.Join(strings.FieldsFunc(strings.ToLower(text), separator), " ")
}

// covers reports whether one of the patterns fits the id of a check.
func covers(patterns []string, id string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		fits, err := path.Match(pattern, id)
		return err == nil && fits
	})
}

// refusal says what is wrong with the check that refused a case, or returns nil.
func (e expectation) refusal(id string) error {
	if covers(e.checks, id) {
		return nil
	}
	return fmt.Errorf("refused by %s, which is not of the area named: %s", id, strings.Join(e.checks, ", "))
}
