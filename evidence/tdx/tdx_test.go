package tdx_test

import (
	"context"
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/dcap"
	"github.com/probity-dev/probity/evidence/evidencetest"
	"github.com/probity-dev/probity/evidence/tdx"
	"github.com/probity-dev/probity/policy"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

type scene struct {
	td                *evidencetest.TD
	quote             evidencetest.QuoteConfig
	platform          evidencetest.PlatformConfig
	tcb               evidencetest.TCB
	edit              func(string) string // of the TCB info before it is signed
	raw               func([]byte)        // edits the finished quote
	runtime, initTime *evidence.Data
	challenge         []byte
	log               []byte
	accept            []string
}

func verify(edit func(*scene)) (*evidence.Result, string) {
	pki := evidencetest.NewIntel(evidencetest.IntelConfig{Now: now})
	s := scene{
		td:       evidencetest.HealthyTD(),
		platform: evidencetest.HealthyPlatform(),
		tcb:      evidencetest.HealthyTDXTCB(now),
	}
	edit(&s)
	m := pki.Platform(s.platform)
	s.quote.TD = s.td
	set := pki.Collateral(m, evidencetest.CollateralConfig{TCB: s.tcb, EditTCBInfo: s.edit})
	quote := m.Quote(s.quote)
	if s.raw != nil {
		s.raw(quote)
	}
	v := tdx.New(dcap.New(dcap.Config{Anchor: pki.Anchor()}))
	result, err := v.Verify(context.Background(),
		evidence.Evidence{Raw: quote, Collateral: collateral.Fixed(set), Time: now,
			Challenge: s.challenge, RuntimeData: s.runtime, InitTimeData: s.initTime, EventLog: s.log, Accept: s.accept})
	var r *evidence.Rejection
	if errors.As(err, &r) {
		return result, r.Check.ID
	}
	return result, ""
}

func TestTCBStatusOfATD(t *testing.T) {
	v15 := func(launch, current [16]byte) func(*scene) {
		return func(s *scene) { s.td.V15, s.td.TEETCBSVN, s.td.TEETCBSVN2 = true, launch, current }
	}
	good, old := [16]byte{5, 1, 8}, [16]byte{2, 1, 8}
	for name, tc := range map[string]struct {
		edit                    func(*scene)
		status, launch, current string
		advisories              []string
	}{
		"TD report 1.0": {func(*scene) {}, "UpToDate", "UpToDate", "", []string{}},
		"TD report 1.5": {v15(good, good), "UpToDate", "UpToDate", "UpToDate", []string{}},
		"TD report 1.5 extended": {
			func(s *scene) { s.td.Extended = true }, "UpToDate", "UpToDate", "UpToDate", []string{},
		},
		"version 5 with a TD report 1.0": {
			func(s *scene) { s.quote.Version = 5 }, "UpToDate", "UpToDate", "", []string{},
		},
		"version 4 with a TD report 1.0, padded": {
			func(s *scene) { s.quote.Trailer = make([]byte, 100) }, "UpToDate", "UpToDate", "",
			[]string{},
		},
		"TDX 1.0 module": {
			func(s *scene) { s.td.TEETCBSVN = [16]byte{5, 0, 8} }, "UpToDate", "UpToDate", "",
			[]string{},
		},
		"old TDX 1.0 module": {
			func(s *scene) { s.td.TEETCBSVN = [16]byte{4, 0, 8} }, "OutOfDate", "OutOfDate", "",
			[]string{"INTEL-SA-00001"},
		},
		"old loader": {
			func(s *scene) { s.td.TEETCBSVN[2] = 7 }, "OutOfDate", "OutOfDate", "",
			[]string{"INTEL-SA-00001"},
		},
		"03 old module on a new platform": {
			func(s *scene) { s.td.TEETCBSVN = old }, "OutOfDate", "OutOfDate", "",
			[]string{"INTEL-SA-00004"},
		},
		"launched on an old module, new now": {
			v15(old, good), "TDRelaunchAdvised", "OutOfDate", "UpToDate", []string{"INTEL-SA-00004"},
		},
		"old then and now": {
			v15(old, old), "OutOfDate", "OutOfDate", "OutOfDate", []string{"INTEL-SA-00004"},
		},
		"new then, old now": {v15(good, old), "UpToDate", "UpToDate", "OutOfDate", []string{}},
		"relaunch with a configuration to change": {func(s *scene) {
			v15(old, good)(s)
			s.tcb.Levels[0].Status = "ConfigurationNeeded"
		}, "TDRelaunchAdvisedConfigurationNeeded", "OutOfDateConfigurationNeeded", "ConfigurationNeeded",
			[]string{"INTEL-SA-00004"}},
	} {
		t.Run(name, func(t *testing.T) {
			result, refused := verify(tc.edit)
			if refused != "" {
				t.Fatalf("refused by %s: %+v", refused, result.Checks[len(result.Checks)-1])
			}
			tcb := result.TCB
			if tcb.Status != tc.status || tcb.LaunchStatus != tc.launch || tcb.CurrentStatus != tc.current {
				t.Errorf("status %s, launch %s, current %s; want %s, %s, %s", tcb.Status, tcb.LaunchStatus,
					tcb.CurrentStatus, tc.status, tc.launch, tc.current)
			}
			if diff := cmp.Diff(tc.advisories, tcb.Advisories); diff != "" {
				t.Errorf("advisories (-want +got):\n%s", diff)
			}
		})
	}
}

func TestMustRefuse(t *testing.T) {
	runtime := []byte(`{"a":1}`)
	for name, tc := range map[string]struct {
		check string
		edit  func(*scene)
	}{
		"03 foreign TDX module": {"dcap.tdx-module.identity", func(s *scene) {
			s.td.MRSignerSEAM[0] = 1
		}},
		"03 attributes of the module": {"dcap.tdx-module.identity", func(s *scene) {
			s.td.SEAMAttributes[0] = 1
		}},
		"03 attributes outside the mask": {
			"dcap.tdx-module.identity", func(s *scene) { s.td.SEAMAttributes[7] = 1; s.edit = mask },
		},
		"03 unknown module version": {"dcap.tdx-module.identity", func(s *scene) {
			s.td.TEETCBSVN[1] = 3
		}},
		"03 no module of version 1.0": {
			"dcap.tdx-module.identity",
			func(s *scene) { s.td.TEETCBSVN[1] = 0; s.tcb.Modules = s.tcb.Modules[1:] },
		},
		"03 unknown module now": {
			"dcap.tdx-module.identity", func(s *scene) { s.td.V15 = true; s.td.TEETCBSVN2[1] = 3 },
		},
		"03 module below every level": {"dcap.tdx-module.tcb", func(s *scene) { s.td.TEETCBSVN[0] = 0 }},
		"03 module revoked":           {"dcap.tcb.revoked", func(s *scene) { s.td.TEETCBSVN[0] = 1 }},
		"05 module revoked now": {
			"dcap.tcb.revoked", func(s *scene) { s.td.V15 = true; s.td.TEETCBSVN2[0] = 1 },
		},
		"03 module below every level now": {
			"dcap.tdx-module.tcb", func(s *scene) { s.td.V15 = true; s.td.TEETCBSVN2[0] = 0 },
		},
		"05 unknown status of a module": {"dcap.tcbinfo.format", func(s *scene) {
			s.tcb.Modules[1].Levels[0].Status = "Good"
		}},
		"07 module levels out of order": {"dcap.tcbinfo.format", func(s *scene) {
			slices.Reverse(s.tcb.Modules[1].Levels)
		}},
		"08 module twice": {"dcap.tcbinfo.format", func(s *scene) {
			s.tcb.Modules = append(s.tcb.Modules, s.tcb.Modules[1])
		}},
		"06 fifteen TDX components": {"dcap.tcbinfo.format", func(s *scene) {
			s.tcb.Levels[0].TDX = s.tcb.Levels[0].TDX[:15]
		}},
		"06 no TDX components": {"dcap.tcbinfo.format", func(s *scene) {
			s.tcb.Levels[0].TDX = nil
		}},
		"09 reserved bit beside DEBUG": {"tdx.attributes.reserved", func(s *scene) {
			s.td.Attributes |= 1 << 3
		}},
		"14 SGX TCB info": {"dcap.tcbinfo.tee", func(s *scene) { s.tcb.TEE = "SGX" }},
		"14 TCB info of version 2": {"dcap.tcbinfo.tee", func(s *scene) {
			s.tcb.Version, s.tcb.Modules = 2, nil
		}},
		"14 identity of the SGX QE": {"dcap.qe-identity.id", func(s *scene) { s.tcb.QEID = "QE" }},
		"01 SGX QE in the place of the TD QE": {"dcap.qe.identity", func(s *scene) {
			s.quote.QE = evidencetest.HealthyQE()
		}},
		"02 PCESVN below every level": {"dcap.tcb.level", func(s *scene) { s.platform.PCESVN = 4 }},
		"16 v5 with the size of another body": {"dcap.quote.format", func(s *scene) {
			s.quote.Version = 5
			s.raw = func(q []byte) { binary.LittleEndian.PutUint32(q[50:], 648) } // type 2 is 584 bytes
		}},
		"16 v5 with the type of another body": {"dcap.quote.format", func(s *scene) {
			s.quote.Version = 5
			s.raw = func(q []byte) { binary.LittleEndian.PutUint16(q[48:], 3) }
		}},
		"SGX quote": {"dcap.quote.tee", func(s *scene) { s.td = nil }},
		"20 other runtime data": {"tdx.report-data.runtime-data", func(s *scene) {
			s.runtime = &evidence.Data{Bytes: runtime}
		}},
		"20 runtime data bound by a prefix": {"tdx.report-data.runtime-data", func(s *scene) {
			s.td.ReportData = evidencetest.BindData(runtime)
			clear(s.td.ReportData[16:])
			s.runtime = &evidence.Data{Bytes: runtime}
		}},
		"another challenge": {"tdx.report-data.challenge", func(s *scene) {
			s.challenge = make([]byte, 48)
			s.td.ReportData[0] = 1
		}},
		"a challenge and more": {"tdx.report-data.challenge", func(s *scene) {
			s.challenge = []byte{1, 2, 3}
			copy(s.td.ReportData[:], s.challenge)
			s.td.ReportData[63] = 1
		}},
		"no challenge where one is asked for": {"tdx.report-data.challenge", func(s *scene) {
			s.challenge = []byte{}
		}},
		"init-time data that MRCONFIGID lacks": {"tdx.mrconfigid.init-time-data", func(s *scene) {
			s.initTime = &evidence.Data{Bytes: runtime}
		}},
		"init-time data bound by a prefix": {"tdx.mrconfigid.init-time-data", func(s *scene) {
			s.td.MRConfigID = sha512.Sum384(runtime)
			s.td.MRConfigID[47] ^= 1
			s.initTime = &evidence.Data{Bytes: runtime}
		}},
		"runtime data that are not JSON": {"tdx.runtime-data.json", func(s *scene) {
			s.td.ReportData = evidencetest.BindData([]byte("x"))
			s.runtime = &evidence.Data{Bytes: []byte("x"), Type: evidence.JSON}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			result, got := verify(tc.edit)
			if got != tc.check {
				t.Fatalf("refused by %q, want %q: %+v", got, tc.check, result.Checks[len(result.Checks)-1])
			}
			if c := result.Checks[len(result.Checks)-1]; c.OK || c.Expected == "" || c.Found == "" || c.Remedy == "" {
				t.Errorf("the check does not explain itself: %+v", c)
			}
		})
	}
}

func TestTheChallengeIsBound(t *testing.T) {
	if _, refused := verify(func(s *scene) {
		s.challenge = []byte("made for this")
		copy(s.td.ReportData[:], s.challenge)
	}); refused != "" {
		t.Errorf("refused by %q", refused)
	}
}

// mask makes the module's attributes mask look at nothing.
func mask(info string) string {
	return strings.ReplaceAll(info, "FFFFFFFFFFFFFFFF", "0000000000000000")
}

func TestClaimsOfTheProfile(t *testing.T) {
	runtime, initTime := []byte(`{"b":1,"a":2}`), []byte(`{"c":3}`)
	edit := func(s *scene) {
		s.td.V15 = true
		s.td.Attributes |= 1 | 1<<63
		s.td.ReportData = evidencetest.BindData(runtime)
		s.td.MRConfigID = sha512.Sum384(initTime)
		s.td.MRServiceTD[0] = 0xab
		s.runtime = &evidence.Data{Bytes: runtime, Type: evidence.JSON}
		s.initTime = &evidence.Data{Bytes: initTime, Type: evidence.JSON}
	}
	for accepted, want := range map[string]string{
		"":                      "tdx.service-td",
		evidence.BoundServiceTD: "tdx.attributes.debug",
		evidence.DebugGuest:     "tdx.service-td",
	} {
		if _, refused := verify(func(s *scene) { edit(s); s.accept = []string{accepted} }); refused != want {
			t.Errorf("%q accepted: refused by %q, want %s", accepted, refused, want)
		}
	}
	result, refused := verify(func(s *scene) {
		edit(s)
		s.accept = []string{evidence.BoundServiceTD, evidence.DebugGuest}
	})
	if refused != "" {
		t.Fatalf("refused by %s, but both reservations are accepted", refused)
	}
	var words []string
	for _, r := range result.Reservations {
		words = append(words, r.Accept)
	}
	if !slices.Equal(words, []string{evidence.BoundServiceTD, evidence.DebugGuest}) {
		t.Errorf("reservations = %v", words)
	}
	members := result.Claims.Members()
	for name, want := range map[string]any{
		"x-ms-attestation-type": "tdxvm", "attester_tcb_status": "UpToDate", "dbgstat": "enabled",
		"intuse":      "generic",
		"eat_profile": "https://aka.ms/maa-eat-profile-tdxvm",
		"tdx_seamsvn": int64(5), "tdx_tee_tcb_svn": "05010800000000000000000000000000",
		"tdx_xfam": "e718060000000000", "tdx_td_attributes": "0100001000000080",
		"tdx_td_attributes_debug": true, "tdx_td_attributes_septve_disable": true,
		"tdx_td_attributes_perfmon": true, "tdx_td_attributes_key_locker": false,
		"tdx_td_attributes_protection_keys": false,
	} {
		if members[name] != want {
			t.Errorf("%s = %v, want %v", name, members[name], want)
		}
	}
	known := result.Claims.Clone()
	for _, c := range result.Aliases.All() {
		known.Add(c)
	}
	var names []string
	for _, term := range policy.Vocabulary("TdxVm") {
		names = append(names, term.Name)
	}
	for _, c := range known.All() {
		if !slices.Contains(names, c.Type) {
			t.Errorf("claim %s is not in the vocabulary of policies", c.Type)
		}
	}
}

func FuzzParseTDReport(f *testing.F) {
	pki := evidencetest.NewIntel(evidencetest.IntelConfig{Now: now})
	td := evidencetest.HealthyTD()
	td.Extended = true
	q, err := dcap.ParseQuote(
		pki.Platform(evidencetest.HealthyPlatform()).Quote(evidencetest.QuoteConfig{TD: td}),
	)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(q.Body)
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := dcap.ParseTDReport(b)
		if err == nil && r.V15 != (len(b) > 584) {
			t.Errorf("%d bytes, 1.5: %t", len(b), r.V15)
		}
	})
}

func TestEventLogs(t *testing.T) {
	firmware, kernel := []byte("firmware"), []byte("kernel")
	log := evidencetest.EventLog(evidencetest.LogEvent{Register: 1, Type: 8, Data: firmware},
		evidencetest.LogEvent{Register: 2, Type: 8, Data: kernel})
	for name, tc := range map[string]struct {
		registers [4][48]byte
		log       []byte
		want      string
		explained []string
	}{
		"none": {[4][48]byte{{1}}, nil, "", nil},
		"all explained": {
			[4][48]byte{evidencetest.Extend(firmware), evidencetest.Extend(kernel)}, log, "",
			[]string{"RTMR0", "RTMR1", "RTMR2", "RTMR3"},
		},
		"one that the log leaves out": {
			[4][48]byte{evidencetest.Extend(firmware), evidencetest.Extend(kernel), {}, {9}}, log, "",
			[]string{"RTMR0", "RTMR1", "RTMR2"},
		},
		"padded": {
			[4][48]byte{evidencetest.Extend(firmware), evidencetest.Extend(kernel)},
			append(slices.Clone(log), 0xff, 0xff), "", []string{"RTMR0", "RTMR1", "RTMR2", "RTMR3"},
		},
		"another value": {
			[4][48]byte{evidencetest.Extend(firmware), evidencetest.Extend(firmware)}, log,
			"tdx.event-log", nil,
		},
		"one event more": {
			[4][48]byte{evidencetest.Extend(firmware), evidencetest.Extend(kernel, kernel)}, log,
			"tdx.event-log", nil,
		},
		"registers exchanged": {
			[4][48]byte{evidencetest.Extend(kernel), evidencetest.Extend(firmware)}, log,
			"tdx.event-log", nil,
		},
		"a log for other registers": {[4][48]byte{{1}, {2}, {3}, {4}},
			evidencetest.EventLog(evidencetest.LogEvent{Register: 7, Data: kernel}), "tdx.event-log", nil},
		"an empty log": {[4][48]byte{}, evidencetest.EventLog(), "tdx.event-log", nil},
		"not a log":    {[4][48]byte{}, []byte("log"), "tdx.event-log", nil},
	} {
		t.Run(name, func(t *testing.T) {
			result, refused := verify(func(s *scene) { s.td.RTMR, s.log = tc.registers, tc.log })
			if refused != tc.want {
				t.Fatalf("refused by %q, want %q", refused, tc.want)
			}
			var explained []string
			for _, c := range result.Aliases.All() {
				if c.Type == "x-probity-tdx-event-log" {
					text, _ := c.Value.Text()
					explained = append(explained, text)
				}
			}
			if !slices.Equal(explained, tc.explained) {
				t.Errorf("explained = %v, want %v", explained, tc.explained)
			}
		})
	}
}
