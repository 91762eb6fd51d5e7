package evidence_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/probity-dev/probity/evidence"
)

func TestAReservationIsARefusalUnlessItIsAccepted(t *testing.T) {
	debug := &evidence.Definition{ID: "x.debug", Meaning: "no debugger", Remedy: "turn the debugger off"}
	for name, tc := range map[string]struct {
		ev       evidence.Evidence
		byPolicy bool
		refused  bool
	}{
		"nothing accepted":                {evidence.Evidence{}, false, true},
		"another fact accepted":           {evidence.Evidence{Accept: []string{"ServiceTD"}}, false, true},
		"a word that begins like it":      {evidence.Evidence{Accept: []string{"DebugGuests"}}, false, true},
		"left to a policy, not this kind": {evidence.Evidence{DebugByPolicy: true}, false, true},
		"a policy may judge, not asked":   {evidence.Evidence{}, true, true},
		"left to a policy":                {evidence.Evidence{DebugByPolicy: true}, true, false},
		"accepted":                        {evidence.Evidence{Accept: []string{"DebugGuest"}}, false, false},
	} {
		r := &evidence.Result{}
		r.Reserve("DebugGuest", debug, "not debuggable", "debuggable")
		r.Reservations[0].ByPolicy = tc.byPolicy
		unaccepted := r.Unaccepted(tc.ev)
		err := r.Conclude(tc.ev, nil)
		if (err != nil) != tc.refused || (unaccepted != nil) != tc.refused {
			t.Errorf("%s: %v, %v", name, err, unaccepted)
			continue
		}
		if tc.refused && (!errors.Is(err, debug) || !strings.Contains(unaccepted.Check.Remedy, "accept it by name: DebugGuest")) {
			t.Errorf("%s: %v, %+v", name, err, unaccepted.Check)
		}
		if last := r.Checks; len(tc.ev.Accept) > 0 && !tc.refused &&
			(!last[0].OK || !strings.Contains(last[0].Expected, "DebugGuest accepted")) {
			t.Errorf("%s: the acceptance is not recorded: %+v", name, last)
		}
	}
	first := errors.New("the signature")
	r := &evidence.Result{}
	r.Reserve("DebugGuest", debug, "not debuggable", "debuggable")
	if err := r.Conclude(evidence.Evidence{}, first); !errors.Is(err, first) {
		t.Errorf("the first fault is not the one that is returned: %v", err)
	}
}

func TestDataTypesAreReadWithoutCase(t *testing.T) {
	for name, want := range map[string]evidence.DataType{
		"": evidence.Binary, "binary": evidence.Binary, "BINARY": evidence.Binary, "Json": evidence.JSON,
	} {
		if got, err := evidence.ParseDataType(name); err != nil || got != want {
			t.Errorf("%q: %q, %v", name, got, err)
		}
	}
	for _, name := range []string{"text", " JSON", "JSON\x00", "ＪＳＯＮ"} {
		if got, err := evidence.ParseDataType(name); err == nil {
			t.Errorf("%q: %q", name, got)
		}
	}
}

func TestEachKindHasTheMemberOfItsRequests(t *testing.T) {
	members := map[string]string{}
	for _, kind := range evidence.Kinds() {
		members[string(kind)] = kind.Member()
	}
	for kind, want := range map[evidence.Kind]string{
		evidence.SGXEnclave: "quote", evidence.TDXVM: "quote", evidence.OpenEnclave: "report",
		evidence.SEVSNPVM: "report", evidence.AzureGuest: "AttestationInfo", evidence.TPM: "data",
		evidence.VBSEnclave: "data", evidence.NitroEnclave: "document", evidence.ArmCCA: "token",
	} {
		if members[string(kind)] != want {
			t.Errorf("%s: %q", kind, members[string(kind)])
		}
	}
}

func TestOutdatedComponentsSayHowTheyAreUpdated(t *testing.T) {
	all := evidence.Components{
		{Type: "Early Microcode Update"}, {Type: "Early Microcode Update"}, {Type: "TDX Module"},
		{Type: "x", Category: "BIOS"}, {Type: "x", Category: "OS/VMM"}, {Type: "x"},
	}
	remedy := all.Remedy()
	for _, want := range []string{"which contains the microcode", "update the TDX module", "update the BIOS",
		"that the OS or VMM loads", "update the BIOS and microcode"} {
		if !strings.Contains(remedy, want) {
			t.Errorf("%q is missing in %q", want, remedy)
		}
	}
	if strings.Count(remedy, "which contains the microcode") != 1 {
		t.Errorf("a way is given twice: %s", remedy)
	}
	tcb := &evidence.TCB{Status: "OutOfDate", Date: time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)}
	if got := tcb.Summary(); got != "OutOfDate (level of 2026-01-02)" {
		t.Error(got)
	}
	if tcb.EvaluationDataNumber = 17; !strings.Contains(tcb.Summary(), "evaluation 17") {
		t.Error(tcb.Summary())
	}
}
