package dcap_test

import (
	"runtime"
	"testing"

	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/evidence/dcap"
	"github.com/probity-dev/probity/evidence/evidencetest"
)

// samples are healthy inputs for each parser.
type samples struct {
	m                  *evidencetest.Platform
	set, setV2, setTDX *collateral.Intel
}

func newSamples() samples {
	l := newLab()
	m := l.pki.Platform(evidencetest.HealthyPlatform())
	v2 := evidencetest.HealthyTCB(now)
	v2.Version = 2
	return samples{m, l.pki.Collateral(m, evidencetest.CollateralConfig{TCB: evidencetest.HealthyTCB(now)}),
		l.pki.Collateral(m, evidencetest.CollateralConfig{TCB: v2}),
		l.pki.Collateral(m, evidencetest.CollateralConfig{TCB: evidencetest.HealthyTDXTCB(now)})}
}

func (s samples) quote(version uint16) []byte {
	return s.m.Quote(evidencetest.QuoteConfig{Version: version, Enclave: evidencetest.DemoEnclave()})
}

func (s samples) extension() []byte {
	return s.m.PCK.Cert.Extensions[len(s.m.PCK.Cert.Extensions)-1].Value
}

func FuzzParseQuote(f *testing.F) {
	s := newSamples()
	for _, version := range []uint16{3, 4, 5} {
		f.Add(s.quote(version))
	}
	td := evidencetest.HealthyTD()
	f.Add(s.m.Quote(evidencetest.QuoteConfig{TD: td}))
	td.Extended = true
	f.Add(s.m.Quote(evidencetest.QuoteConfig{TD: td}))
	f.Fuzz(func(t *testing.T, b []byte) {
		q, err := dcap.ParseQuote(b)
		if err != nil {
			return
		}
		if len(q.Raw) > len(b) || len(q.Signed) > len(q.Raw) || len(q.Body) != bodySizes[q.BodyType] {
			t.Errorf("parts larger than the whole: %d, %d, %d", len(q.Raw), len(q.Signed), len(q.Body))
		}
		again, err := dcap.ParseQuote(q.Raw)
		if err != nil || string(again.Raw) != string(q.Raw) {
			t.Errorf("the trimmed quote does not parse to itself: %v", err)
		}
	})
}

var bodySizes = map[dcap.BodyType]int{
	dcap.BodySGX: 384, dcap.BodyTDX10: 584, dcap.BodyTDX15: 648, dcap.BodyTDX15Extra: 885,
}

func FuzzParsePEM(f *testing.F) {
	f.Add(newSamples().m.Chain)
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if certs, err := dcap.ParsePEM(b, nil); err == nil && len(certs) == 0 {
			t.Error("no certificates and no error")
		}
	})
}

func FuzzSGXExtension(f *testing.F) {
	f.Add(newSamples().extension(), true)
	f.Fuzz(func(t *testing.T, b []byte, platform bool) {
		caType := "processor"
		if platform {
			caType = "platform"
		}
		p, err := dcap.ParseSGXExtension(b, caType)
		if err == nil && p.Platform != nil && !platform {
			t.Error("platform items under the Processor CA")
		}
	})
}

func FuzzParseTCBInfo(f *testing.F) {
	s := newSamples()
	f.Add(s.set.TCBInfo)
	f.Add(s.setV2.TCBInfo)
	f.Add(s.setTDX.TCBInfo)
	f.Fuzz(func(t *testing.T, b []byte) {
		info, err := dcap.ParseTCBInfo(b)
		if err != nil {
			return
		}
		if len(info.Levels) == 0 || info.NextUpdate.IsZero() {
			t.Error("accepted without levels or dates")
		}
	})
}

func FuzzParseIdentity(f *testing.F) {
	f.Add(newSamples().set.QEIdentity)
	f.Fuzz(func(t *testing.T, b []byte) {
		if id, err := dcap.ParseIdentity(b); err == nil && len(id.Levels) == 0 {
			t.Error("accepted without levels")
		}
	})
}

// TestParsersAllocateLittle: what a parser allocates is bounded by
// its input: four times its size, and a fixed amount for the result.
func TestParsersAllocateLittle(t *testing.T) {
	const fixed = 2 << 10
	s := newSamples()
	sample := struct{ Quote, TCBInfo, QEIdentity []byte }{s.quote(3), s.set.TCBInfo, s.set.QEIdentity}
	huge := append([]byte(nil), sample.Quote...)
	copy(huge[432:], "\xff\xff\xff\xff")
	for name, tc := range map[string]struct {
		input []byte
		parse func([]byte)
	}{
		"quote":                       {sample.Quote, func(b []byte) { dcap.ParseQuote(b) }},
		"quote with a length of 4 GB": {huge, func(b []byte) { dcap.ParseQuote(b) }},
		"TCB info":                    {sample.TCBInfo, func(b []byte) { dcap.ParseTCBInfo(b) }},
		"QE identity":                 {sample.QEIdentity, func(b []byte) { dcap.ParseIdentity(b) }},
	} {
		t.Run(name, func(t *testing.T) {
			tc.parse(tc.input) // what is cached for the type, not for the input
			if got, most := allocated(func() { tc.parse(tc.input) }), uint64(4*len(tc.input)+fixed); got > most {
				t.Errorf("%d bytes of input allocate %d, at most %d are allowed", len(tc.input), got, most)
			}
		})
	}
}

// allocated returns the bytes that one call of f allocates.
func allocated(f func()) uint64 {
	const runs = 20
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range runs {
		f()
	}
	runtime.ReadMemStats(&after)
	return (after.TotalAlloc - before.TotalAlloc) / runs
}
