package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/probity-dev/probity/appraisal"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/dcap"
	"github.com/probity-dev/probity/evidence/openenclave"
)

// refused checks an error of a verifier: there must be one, of an area that the case names.
func (e expectation) refused(err error) error {
	if err == nil {
		return errors.New("accepted")
	}
	var rejection *evidence.Rejection
	if !errors.As(err, &rejection) {
		return fmt.Errorf("not judged: %w", err)
	}
	return e.refusal(rejection.Check.ID)
}

// judge compares a verdict with what the manifest expects.
func judge(c caseJSON, e expectation, v *appraisal.Verdict) []string {
	switch {
	case e.demand == mustRefuse || e.demand == mustMiss:
		if v.Accepted {
			return []string{"accepted"}
		}
		if err := e.refusal(v.Rejection.Check.ID); err != nil {
			return []string{err.Error() + " (" + v.Rejection.Error() + ")"}
		}
		return nil
	case !v.Accepted:
		return []string{"refused: " + v.Rejection.Error()}
	case e.demand == mustReserve:
		// The run asks for the facts alone; what a provider must accept by name is a
		// reservation.
		named := func(r evidence.Reservation) bool { return covers(e.checks, r.Check.ID) }
		if !slices.ContainsFunc(v.Reservations, named) {
			return []string{"accepted without a reservation of " + strings.Join(e.checks, ", ")}
		}
		return nil
	}
	return factProblems(c.Expected, v)
}

func factProblems(e expectedJSON, v *appraisal.Verdict) []string {
	var problems []string
	differs := func(what string, want, got any) {
		problems = append(problems, fmt.Sprintf("%s: want %v, got %v", what, want, got))
	}
	tcb := v.TCB
	if tcb == nil {
		tcb = &evidence.TCB{} // what is stated of it is missed
	}
	for _, fact := range []struct{ what, want, got string }{
		{"tcb_status", e.Status, tcb.Status},
		{"platform_tcb_status", e.PlatformStatus, tcb.PlatformStatus},
		{"platform_tcb_date", e.PlatformDate, tcb.PlatformDate.UTC().Format(time.RFC3339)},
		{"qe_tcb_status", e.QEStatus, tcb.QEStatus},
		{"launch_status", e.LaunchStatus, tcb.LaunchStatus},
		{"current_status", e.CurrentStatus, tcb.CurrentStatus},
	} {
		if fact.want != "" && fact.want != fact.got {
			differs(fact.what, fact.want, fact.got)
		}
	}
	if e.Module != nil && e.Module.Status != tcb.ModuleStatus {
		differs("tdx_module.status", e.Module.Status, tcb.ModuleStatus)
	}
	if e.Module != nil {
		for _, id := range e.Module.Advisories {
			if !slices.Contains(tcb.Advisories, id) {
				differs("tdx_module.advisories", id, tcb.Advisories)
			}
		}
	}
	if e.Advisories != nil {
		want := slices.Sorted(slices.Values(e.Advisories))
		if !slices.Equal(want, tcb.Advisories) {
			differs("advisory_ids", want, tcb.Advisories)
		}
	}
	if e.Debug != nil {
		claim, ok := v.Claims.Get("x-ms-sgx-is-debuggable")
		if !ok {
			claim, _ = v.Claims.Get("tdx_td_attributes_debug")
		}
		if debug, ok := claim.Bool(); !ok || debug != *e.Debug {
			differs("debug", *e.Debug, claim)
		}
	}
	return problems
}

// fieldProblems compares fields of the quote, as hex in the order of the
// bytes.
func fieldProblems(f form, raw []byte, want map[string]any) []string {
	quote := raw
	if f == formOpenEnclave {
		framed, err := openenclave.Parse(raw)
		if err != nil {
			return []string{err.Error()}
		}
		quote = framed.Quote
	}
	got, err := quoteFields(quote)
	if err != nil {
		return []string{err.Error()}
	}
	return compareFields("", want, got)
}

func compareFields(prefix string, want, got map[string]any) []string {
	var problems []string
	for _, name := range slices.Sorted(maps.Keys(want)) {
		have, ok := got[name]
		if !ok {
			// Not a failure of what is tested, but nothing to hide either.
			fmt.Fprintf(os.Stderr, "note: field %s%s of a manifest is not compared\n", prefix, name)
			continue
		}
		if nested, ok := want[name].(map[string]any); ok {
			inner, _ := have.(map[string]any)
			problems = append(problems, compareFields(prefix+name+".", nested, inner)...)
			continue
		}
		if s, ok := want[name].(string); ok {
			if t, ok := have.(string); !ok || !strings.EqualFold(s, t) {
				problems = append(problems, fmt.Sprintf("field %s%s: want %v, got %v", prefix, name, s, have))
			}
			continue
		}
		if !reflect.DeepEqual(want[name], have) {
			problems = append(problems, fmt.Sprintf("field %s%s: want %v, got %v", prefix, name, want[name], have))
		}
	}
	return problems
}

func quoteFields(raw []byte) (map[string]any, error) {
	q, err := dcap.ParseQuote(raw)
	if err != nil {
		return nil, err
	}
	qe, err := dcap.ParseReport(q.QEReport)
	if err != nil {
		return nil, err
	}
	var fields map[string]any
	if q.TEEType == dcap.TEETypeTDX {
		td, err := dcap.ParseTDReport(q.Body)
		if err != nil {
			return nil, err
		}
		fields = tdFields(td)
	} else {
		body, err := dcap.ParseReport(q.Body)
		if err != nil {
			return nil, err
		}
		fields = reportFields(body)
		fields["tee"] = "SGX"
	}
	fields["quote_version"] = float64(q.Version)
	fields["body_type"] = float64(q.BodyType)
	fields["att_key_type"] = float64(2) // the parser takes no other
	fields["cert_data_type"] = float64(q.CertificationType)
	fields["qe"] = reportFields(qe)
	if pck, err := dcap.InspectPCK(q.CertificationData); err == nil {
		components := make([]any, len(pck.Components))
		for i, svn := range pck.Components {
			components[i] = float64(svn)
		}
		fields["pck"] = map[string]any{
			"fmspc": hex.EncodeToString(pck.FMSPC[:]), "pceid": hex.EncodeToString(pck.PCEID[:]),
			"ppid": hex.EncodeToString(pck.PPID[:]), "cpusvn": hex.EncodeToString(pck.CPUSVN[:]),
			"pcesvn": float64(pck.PCESVN), "tcb_components": components,
		}
	}
	return fields, nil
}

func tdFields(r *dcap.TDReport) map[string]any {
	fields := map[string]any{"tee": "TDX", "debug": r.Debug()}
	for name, b := range map[string][]byte{
		"tee_tcb_svn":     r.TEETCBSVN[:],
		"mrseam":          r.MRSEAM[:],
		"mrsignerseam":    r.MRSignerSEAM[:],
		"seam_attributes": r.SEAMAttributes[:],
		"td_attributes":   r.TDAttributes[:],
		"xfam":            r.XFAM[:],
		"mrtd":            r.MRTD[:],
		"mrconfigid":      r.MRConfigID[:],
		"mrowner":         r.MROwner[:],
		"mrownerconfig":   r.MROwnerConfig[:],
		"rtmr0":           r.RTMR[0][:],
		"rtmr1":           r.RTMR[1][:],
		"rtmr2":           r.RTMR[2][:],
		"rtmr3":           r.RTMR[3][:],
		"report_data":     r.ReportData[:],
		"tee_tcb_svn2":    r.TEETCBSVN2[:],
		"mrservicetd":     r.MRServiceTD[:],
	} {
		fields[name] = hex.EncodeToString(b)
	}
	return fields
}

func reportFields(r *dcap.Report) map[string]any {
	return map[string]any{
		"cpusvn": hex.EncodeToString(r.CPUSVN[:]), "miscselect": hex.EncodeToString(r.MiscSelect[:]),
		"isvextprodid": hex.EncodeToString(r.ISVExtProdID[:]),
		"attributes":   hex.EncodeToString(r.Attributes[:]),
		"mrenclave":    hex.EncodeToString(r.MREnclave[:]), "mrsigner": hex.EncodeToString(r.MRSigner[:]),
		"configid":  hex.EncodeToString(r.ConfigID[:]),
		"isvprodid": float64(r.ISVProdID), "isvsvn": float64(r.ISVSVN),
		"configsvn": float64(r.ConfigSVN), "isvfamilyid": hex.EncodeToString(r.ISVFamilyID[:]),
		"report_data": hex.EncodeToString(r.ReportData[:]), "debug": r.Debug(),
	}
}
