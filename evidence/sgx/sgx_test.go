package sgx_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/dcap"
	"github.com/probity-dev/probity/evidence/evidencetest"
	"github.com/probity-dev/probity/evidence/sgx"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

type lab struct {
	m      *evidencetest.Platform
	source collateral.Source
	v      *sgx.Verifier

	debugByPolicy bool
}

func newLab() *lab {
	pki := evidencetest.NewIntel(evidencetest.IntelConfig{Now: now})
	m := pki.Platform(evidencetest.HealthyPlatform())
	return &lab{
		m,
		collateral.Fixed(pki.Collateral(m, evidencetest.CollateralConfig{TCB: evidencetest.HealthyTCB(now)})),
		sgx.New(dcap.New(dcap.Config{Anchor: pki.Anchor()})),
		false,
	}
}

func (l *lab) verify(e evidencetest.Enclave, runtime, initTime *evidence.Data) (*evidence.Result, string) {
	result, err := l.v.Verify(context.Background(), evidence.Evidence{
		Raw:           l.m.Quote(evidencetest.QuoteConfig{Enclave: e}),
		RuntimeData:   runtime,
		InitTimeData:  initTime,
		Collateral:    l.source,
		DebugByPolicy: l.debugByPolicy,
		Time:          now,
	})
	var r *evidence.Rejection
	if errors.As(err, &r) {
		return result, r.Check.ID
	}
	return result, ""
}

func types(r *evidence.Result) []string {
	var list []string
	for _, c := range r.Claims.All() {
		list = append(list, c.Type)
	}
	slices.Sort(list)
	return list
}

var always = []string{
	"maa-attestationcollateral", "x-ms-attestation-type", "x-ms-sgx-collateral",
	"x-ms-sgx-is-debuggable", "x-ms-sgx-mrenclave",
	"x-ms-sgx-mrsigner", "x-ms-sgx-product-id",
	"x-ms-sgx-report-data", "x-ms-sgx-svn",
}

func TestWhichClaimsAreStated(t *testing.T) {
	l := newLab()
	text := []byte(`{"b":1,"a":"x"}`)
	plain := evidencetest.DemoEnclave()
	bound := plain
	bound.ReportData = evidencetest.BindData(text)
	kss := bound
	kss.KSS, kss.ConfigID, kss.ConfigSVN = true, evidencetest.BindData([]byte(`{}`)), 5
	for name, tc := range map[string]struct {
		enclave           evidencetest.Enclave
		runtime, initTime *evidence.Data
		more              []string
	}{
		"without data": {plain, nil, nil, nil},
		"Binary data": {
			bound, &evidence.Data{Bytes: text, Type: evidence.Binary}, nil,
			[]string{"x-ms-sgx-ehd", "maa-ehd", "aas-ehd"},
		},
		"JSON data": {bound, &evidence.Data{Bytes: text, Type: evidence.JSON}, nil, []string{"x-ms-runtime"}},
		"KSS": {kss, nil, nil, []string{"x-ms-sgx-config-id", "x-ms-sgx-config-svn",
			"x-ms-sgx-isv-extended-product-id", "x-ms-sgx-isv-family-id"}},
		"KSS and init-time": {kss, nil, &evidence.Data{
			Bytes: []byte(`{}`),
			Type:  evidence.JSON,
		}, []string{"x-ms-inittime", "x-ms-sgx-config-id", "x-ms-sgx-config-svn",
			"x-ms-sgx-isv-extended-product-id", "x-ms-sgx-isv-family-id"}},
		"KSS and Binary init-time": {kss, nil, &evidence.Data{
			Bytes: []byte(`{}`),
			Type:  evidence.Binary,
		}, []string{"x-ms-sgx-config-id", "x-ms-sgx-config-svn",
			"x-ms-sgx-isv-extended-product-id", "x-ms-sgx-isv-family-id"}},
	} {
		t.Run(name, func(t *testing.T) {
			result, refused := l.verify(tc.enclave, tc.runtime, tc.initTime)
			if refused != "" {
				t.Fatalf("refused by %s", refused)
			}
			diff := cmp.Diff(slices.Sorted(slices.Values(slices.Concat(always, tc.more))), types(result))
			if diff != "" {
				t.Errorf("claims (-want +got):\n%s", diff)
			}
		})
	}
}

func TestValues(t *testing.T) {
	l := newLab()
	e := evidencetest.DemoEnclave()
	e.Debug = true
	text := []byte(`{"b":1,"a":"x"}`)
	e.ReportData = evidencetest.BindData(text)
	data := &evidence.Data{Bytes: text, Type: evidence.JSON}
	if _, refused := l.verify(e, data, nil); refused != sgx.CheckDebug.ID {
		t.Errorf("a debug enclave that is not accepted by name: refused by %q", refused)
	}
	l.debugByPolicy = true
	result, refused := l.verify(e, data, nil)
	if refused != "" {
		t.Fatalf("refused by %s: the debug flag is left to a policy", refused)
	}
	members := result.Claims.Members()
	for name, want := range map[string]any{
		"x-ms-attestation-type":  "sgx",
		"x-ms-sgx-is-debuggable": true,
		"x-ms-sgx-product-id":    int64(7),
		"x-ms-sgx-svn":           int64(3),
	} {
		if members[name] != want {
			t.Errorf("%s = %v, want %v", name, members[name], want)
		}
	}
	runtime, _ := result.Claims.Get("x-ms-runtime")
	if got, _ := runtime.Text(); got != `{"a":"x","b":1}` {
		t.Errorf("x-ms-runtime = %s", got)
	}
	for alias, name := range map[string]string{
		"$is-debuggable": "x-ms-sgx-is-debuggable", "$product-id": "x-ms-sgx-product-id",
		"$sgx-mrsigner":  "x-ms-sgx-mrsigner",
		"$sgx-mrenclave": "x-ms-sgx-mrenclave",
		"$svn":           "x-ms-sgx-svn", "$tee": "x-ms-attestation-type",
		"$maa-attestationcollateral": "x-ms-sgx-collateral",
	} {
		a, ok := result.Aliases.Get(alias)
		if c, _ := result.Claims.Get(name); !ok || a != c {
			t.Errorf("%s = %v, want %v", alias, a, c)
		}
	}
}

func TestMustRefuse(t *testing.T) {
	l := newLab()
	text := []byte(`{"a":1}`)
	bound := evidencetest.DemoEnclave()
	bound.ReportData = evidencetest.BindData(text)
	half := bound
	clear(half.ReportData[16:32])
	kss := bound
	kss.KSS = true
	list := evidencetest.DemoEnclave()
	list.ReportData = evidencetest.BindData([]byte(`[1]`))
	for name, tc := range map[string]struct {
		enclave           evidencetest.Enclave
		runtime, initTime *evidence.Data
		want              string
	}{
		"20 other runtime data": {
			bound, &evidence.Data{Bytes: []byte(`{"a":2}`)}, nil, "sgx.report-data.runtime-data",
		},
		"20 runtime data with a NUL more": {
			bound, &evidence.Data{Bytes: append(slices.Clone(text), 0)}, nil,
			"sgx.report-data.runtime-data",
		},
		"20 runtime data bound by a prefix": {
			half, &evidence.Data{Bytes: text}, nil, "sgx.report-data.runtime-data",
		},
		"20 empty runtime data": {
			evidencetest.DemoEnclave(), &evidence.Data{Bytes: []byte{}}, nil,
			"sgx.report-data.runtime-data",
		},
		"JSON runtime data that are not JSON": {
			list, &evidence.Data{Bytes: []byte(`[1]`), Type: evidence.JSON}, nil,
			"sgx.runtime-data.json",
		},
		"init-time data without KSS": {bound, nil, &evidence.Data{Bytes: text}, "sgx.config-id.kss"},
		"init-time data that CONFIGID lacks": {
			kss, nil, &evidence.Data{Bytes: text}, "sgx.config-id.init-time-data",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if _, got := l.verify(tc.enclave, tc.runtime, tc.initTime); got != tc.want {
				t.Errorf("refused by %q, want %q", got, tc.want)
			}
		})
	}
}
