package nitro_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"testing"
	"time"

	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/evidencetest"
	"github.com/probity-dev/probity/evidence/nitro"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func run(t testing.TB, n *evidencetest.Nitro, ev evidence.Evidence) (*evidence.Result, string) {
	t.Helper()
	if ev.Time.IsZero() {
		ev.Time = now
	}
	result, err := nitro.New(nitro.Config{Root: n.Root()}).Verify(t.Context(), ev)
	if err == nil {
		return result, ""
	}
	var r *evidence.Rejection
	if !errors.As(err, &r) || r.Check.Remedy == "" || r.Check.Found == "" || r.Check.Expected == "" {
		t.Fatalf("error = %v", err)
	}
	if result.Claims.Len() > 0 && !errors.Is(err, nitro.CheckDebug) {
		t.Error("a refused document gave claims")
	}
	return result, r.Check.ID
}

func TestAccepted(t *testing.T) {
	n := evidencetest.NewNitro(evidencetest.NitroConfig{Now: now})
	data := []byte("a key")
	sum := sha256.Sum256(data)
	for name, ev := range map[string]evidence.Evidence{
		"plain":  {Raw: n.Document(evidencetest.DocumentConfig{})},
		"tagged": {Raw: n.Document(evidencetest.DocumentConfig{Tagged: true})},
		"with data": {
			Raw:         n.Document(evidencetest.DocumentConfig{UserData: sum[:]}),
			RuntimeData: &evidence.Data{Bytes: data},
		},
		"with data and zeros": {
			Raw: n.Document(evidencetest.DocumentConfig{UserData: append(sum[:],
				make([]byte, 32)...)}),
			RuntimeData: &evidence.Data{Bytes: data},
		},
		"1024 bytes of user data": {
			Raw: n.Document(evidencetest.DocumentConfig{UserData: make([]byte, 1024)}),
		},
		"optional members left out": {
			Raw: n.Document(evidencetest.DocumentConfig{Edit: func(p map[string]any) {
				delete(p, "nonce")
				delete(p, "public_key")
				delete(p, "user_data")
			}}),
		},
		"three PCRs": {Raw: n.Document(evidencetest.DocumentConfig{Edit: func(p map[string]any) {
			for i := 3; i < 16; i++ {
				delete(p["pcrs"].(map[int][]byte), i)
			}
		}})},
		"to the end of its certificate": {
			Raw:  n.Document(evidencetest.DocumentConfig{}),
			Time: now.Add(3 * time.Hour),
		},
	} {
		t.Run(name, func(t *testing.T) {
			result, refused := run(t, n, ev)
			if refused != "" || len(result.Reservations) > 0 {
				t.Fatalf("refused by %q, reservations %v", refused, result.Reservations)
			}
			debug, _ := result.Claims.Get("nitro_debug")
			pcr0, _ := result.Claims.Get("nitro_pcr0")
			if text, _ := pcr0.Text(); debug.String() != "false" || len(text) != 96 {
				t.Errorf("nitro_debug = %v, nitro_pcr0 = %v", debug, pcr0)
			}
		})
	}
}

func TestDebugModeIsAReservation(t *testing.T) {
	n := evidencetest.NewNitro(evidencetest.NitroConfig{Now: now})
	ev := evidence.Evidence{Raw: n.Document(evidencetest.DocumentConfig{Debug: true})}
	if _, refused := run(t, n, ev); refused != "nitro.pcrs.debug" {
		t.Errorf("refused by %q", refused)
	}
	ev.Accept = []string{evidence.DebugGuest}
	result, refused := run(t, n, ev)
	if refused != "" || len(result.Reservations) != 1 || result.Reservations[0].Accept != evidence.DebugGuest {
		t.Errorf("refused by %q, reservations = %v", refused, result.Reservations)
	}
}

func TestMustRefuse(t *testing.T) {
	n := evidencetest.NewNitro(evidencetest.NitroConfig{Now: now})
	other, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := n.Document(evidencetest.DocumentConfig{})
	edit := func(f func(map[string]any)) []byte { return n.Document(evidencetest.DocumentConfig{Edit: f}) }
	data := []byte("a key")
	sum := sha256.Sum256(data)
	certs := func(p map[string]any) [][]byte { return p["cabundle"].([][]byte) }
	pcrs := func(p map[string]any) map[int][]byte { return p["pcrs"].(map[int][]byte) }
	for name, tc := range map[string]struct {
		ev   evidence.Evidence
		want string
	}{
		"nothing": {evidence.Evidence{}, "nitro.format"},
		"trailing bytes": {
			evidence.Evidence{Raw: append(bytes.Clone(good), make([]byte, 16)...)}, "nitro.format",
		},
		"cut short":       {evidence.Evidence{Raw: good[:len(good)-1]}, "nitro.format"},
		"larger than any": {evidence.Evidence{Raw: make([]byte, 65<<10)}, "nitro.format"},
		"signature altered": {
			evidence.Evidence{Raw: append(bytes.Clone(good[:len(good)-1]), good[len(good)-1]^1)},
			"nitro.signature",
		},
		"signed by another key": {
			evidence.Evidence{Raw: n.Document(evidencetest.DocumentConfig{Key: other})},
			"nitro.signature",
		},
		"another algorithm": {evidence.Evidence{Raw: n.Document(evidencetest.DocumentConfig{
			EditHeader: func(h map[any]any) { h[int64(1)] = int64(-7) },
		})}, "nitro.format"},
		"more in the header": {evidence.Evidence{Raw: n.Document(evidencetest.DocumentConfig{
			EditHeader: func(h map[any]any) { h[int64(4)] = []byte{1} },
		})}, "nitro.format"},
		"an unprotected header": {
			evidence.Evidence{
				Raw: n.Document(evidencetest.DocumentConfig{Unprotected: map[any]any{int64(4): []byte{1}}}),
			},
			"nitro.format",
		},
		"an unknown member": {
			evidence.Evidence{Raw: edit(func(p map[string]any) { p["future"] = 1 })}, "nitro.format",
		},
		"a document of NitroTPM": {evidence.Evidence{Raw: edit(func(p map[string]any) {
			p["nitrotpm_pcrs"] = p["pcrs"]
			delete(p, "pcrs")
		})}, "nitro.format"},
		"no module id": {
			evidence.Evidence{Raw: edit(func(p map[string]any) { p["module_id"] = "" })},
			"nitro.format",
		},
		"no digest": {
			evidence.Evidence{Raw: edit(func(p map[string]any) { delete(p, "digest") })},
			"nitro.format",
		},
		"another digest": {
			evidence.Evidence{Raw: edit(func(p map[string]any) { p["digest"] = "SHA256" })},
			"nitro.format",
		},
		"no timestamp": {
			evidence.Evidence{Raw: edit(func(p map[string]any) { p["timestamp"] = 0 })},
			"nitro.format",
		},
		"no PCRs": {
			evidence.Evidence{Raw: edit(func(p map[string]any) { p["pcrs"] = map[int][]byte{} })},
			"nitro.format",
		},
		"PCR 1 left out": {
			evidence.Evidence{Raw: edit(func(p map[string]any) { delete(pcrs(p), 1) })},
			"nitro.format",
		},
		"PCR 32": {
			evidence.Evidence{Raw: edit(func(p map[string]any) { pcrs(p)[32] = make([]byte, 48) })},
			"nitro.format",
		},
		"a PCR of 47 bytes": {
			evidence.Evidence{Raw: edit(func(p map[string]any) { pcrs(p)[4] = make([]byte, 47) })},
			"nitro.format",
		},
		"user data too large": {
			evidence.Evidence{Raw: n.Document(evidencetest.DocumentConfig{UserData: make([]byte, 1025)})},
			"nitro.format",
		},
		"no CA": {
			evidence.Evidence{Raw: edit(func(p map[string]any) { p["cabundle"] = [][]byte{} })},
			"nitro.format",
		},
		"no certificate": {
			evidence.Evidence{Raw: edit(func(p map[string]any) { p["certificate"] = []byte{} })},
			"nitro.format",
		},
		"the root missing": {
			evidence.Evidence{Raw: edit(func(p map[string]any) { p["cabundle"] = certs(p)[1:] })},
			"nitro.root",
		},
		"the root last": {evidence.Evidence{Raw: edit(func(p map[string]any) {
			c := certs(p)
			p["cabundle"] = [][]byte{c[3], c[2], c[1], c[0]}
		})}, "nitro.root"},
		"a CA missing": {evidence.Evidence{Raw: edit(func(p map[string]any) {
			c := certs(p)
			p["cabundle"] = [][]byte{c[0], c[1], c[3]}
		})}, "nitro.chain"},
		"a CA twice": {evidence.Evidence{Raw: edit(func(p map[string]any) {
			c := certs(p)
			p["cabundle"] = [][]byte{c[0], c[1], c[1], c[2], c[3]}
		})}, "nitro.chain"},
		"a CA as the signer": {evidence.Evidence{Raw: n.Document(evidencetest.DocumentConfig{
			Key: n.Chain[3].Key.(*ecdsa.PrivateKey),
			Edit: func(p map[string]any) {
				p["certificate"] = n.Chain[3].Cert.Raw
				p["cabundle"] = certs(p)[:3]
			},
		})}, "nitro.chain"},
		"garbage for a CA": {
			evidence.Evidence{Raw: edit(func(p map[string]any) { certs(p)[2] = []byte{1, 2} })},
			"nitro.chain",
		},
		"a day later": {evidence.Evidence{Raw: good, Time: now.AddDate(0, 0, 1)}, "nitro.validity"},
		"before it was made": {
			evidence.Evidence{Raw: good, Time: now.Add(-30 * time.Minute)}, "nitro.validity",
		},
		"a timestamp in the future": {evidence.Evidence{Raw: edit(func(p map[string]any) {
			p["timestamp"] = uint64(now.Add(time.Hour).UnixMilli())
		})}, "nitro.timestamp"},
		"a timestamp of yesterday": {evidence.Evidence{Raw: edit(func(p map[string]any) {
			p["timestamp"] = uint64(now.AddDate(0, 0, -1).UnixMilli())
		})}, "nitro.timestamp"},
		"a timestamp beyond all": {
			evidence.Evidence{Raw: edit(func(p map[string]any) { p["timestamp"] = uint64(1<<64 - 1) })},
			"nitro.timestamp",
		},
		"other runtime data": {evidence.Evidence{
			Raw:         n.Document(evidencetest.DocumentConfig{UserData: sum[:]}),
			RuntimeData: &evidence.Data{Bytes: []byte("b")},
		}, "nitro.user-data.runtime-data"},
		"no user data to bind": {
			evidence.Evidence{Raw: good, RuntimeData: &evidence.Data{Bytes: data}},
			"nitro.user-data.runtime-data",
		},
		"a prefix of the hash": {evidence.Evidence{
			Raw:         n.Document(evidencetest.DocumentConfig{UserData: sum[:31]}),
			RuntimeData: &evidence.Data{Bytes: data},
		}, "nitro.user-data.runtime-data"},
		"something after the hash": {evidence.Evidence{
			Raw:         n.Document(evidencetest.DocumentConfig{UserData: append(sum[:], 1)}),
			RuntimeData: &evidence.Data{Bytes: data},
		}, "nitro.user-data.runtime-data"},
		"init-time data": {
			evidence.Evidence{Raw: good, InitTimeData: &evidence.Data{Bytes: data}},
			"nitro.init-time-data",
		},
		"JSON that is none": {evidence.Evidence{
			Raw:         n.Document(evidencetest.DocumentConfig{UserData: sum[:]}),
			RuntimeData: &evidence.Data{Bytes: data, Type: evidence.JSON},
		}, "nitro.runtime-data.json"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, got := run(t, n, tc.ev); got != tc.want {
				t.Errorf("refused by %q, want %q", got, tc.want)
			}
		})
	}
}

func TestMustRefuseHierarchies(t *testing.T) {
	for name, tc := range map[string]struct {
		edit func(*x509.Certificate)
		want string
	}{
		"a zone that is no CA": {func(c *x509.Certificate) {
			named(c, "zone.region.aws.nitro-enclaves", func() {
				c.IsCA, c.MaxPathLen, c.MaxPathLenZero = false, 0, false
				c.KeyUsage = x509.KeyUsageDigitalSignature
			})
		}, "nitro.chain"},
		"a zone that may not sign": {func(c *x509.Certificate) {
			named(c, "zone.region.aws.nitro-enclaves", func() { c.KeyUsage = x509.KeyUsageCRLSign })
		}, "nitro.chain"},
		"a region that allows no zone": {func(c *x509.Certificate) {
			named(c, "region.aws.nitro-enclaves", func() { c.MaxPathLen, c.MaxPathLenZero = 0, true })
		}, "nitro.chain"},
		"an enclave that is a CA": {
			func(c *x509.Certificate) { named(c, "i-0123-enc0456.region.aws", func() { c.IsCA = true }) },
			"nitro.chain",
		},
		"an enclave that may not sign": {func(c *x509.Certificate) {
			named(c, "i-0123-enc0456.region.aws", func() { c.KeyUsage = x509.KeyUsageKeyEncipherment })
		}, "nitro.chain"},
		"an expired instance": {func(c *x509.Certificate) {
			named(c, "i-0123.region.aws.nitro-enclaves", func() { c.NotAfter = now.Add(-time.Second) })
		}, "nitro.validity"},
		"a root that is not valid yet": {func(c *x509.Certificate) {
			named(c, "aws.nitro-enclaves", func() { c.NotBefore = now.Add(time.Second) })
		}, "nitro.validity"},
	} {
		t.Run(name, func(t *testing.T) {
			n := evidencetest.NewNitro(evidencetest.NitroConfig{Now: now, Edit: tc.edit})
			if _, got := run(t, n, evidence.Evidence{Raw: n.Document(evidencetest.DocumentConfig{})}); got != tc.want {
				t.Errorf("refused by %q, want %q", got, tc.want)
			}
		})
	}
	t.Run("a test root, in a verifier for production", func(t *testing.T) {
		n := evidencetest.NewNitro(evidencetest.NitroConfig{Now: now})
		_, err := nitro.New(nitro.Config{}).Verify(t.Context(),
			evidence.Evidence{Raw: n.Document(evidencetest.DocumentConfig{}), Time: now})
		var r *evidence.Rejection
		if !errors.As(err, &r) || r.Check.ID != "nitro.root" {
			t.Errorf("error = %v", err)
		}
	})
}

func named(c *x509.Certificate, cn string, edit func()) {
	if c.Subject.CommonName == cn {
		edit()
	}
}

// TestTheMemoryChecksValidity verifies from memory at another time.
func TestTheMemoryChecksValidity(t *testing.T) {
	n := evidencetest.NewNitro(evidencetest.NitroConfig{Now: now})
	v := nitro.New(nitro.Config{Root: n.Root()})
	raw := n.Document(evidencetest.DocumentConfig{})
	for i, tc := range []struct {
		at time.Time
		ok bool
	}{{now, true}, {now.Add(time.Hour), true}, {now.Add(4 * time.Hour), false}, {now, true}} {
		if _, err := v.Verify(t.Context(), evidence.Evidence{Raw: raw, Time: tc.at}); (err == nil) != tc.ok {
			t.Errorf("step %d: %v", i, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	n := evidencetest.NewNitro(evidencetest.NitroConfig{Now: now})
	f.Add(n.Document(evidencetest.DocumentConfig{UserData: []byte("x")}))
	f.Add(n.Document(evidencetest.DocumentConfig{Tagged: true, Debug: true}))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := nitro.Parse(b)
		if err == nil && (len(d.PCRs) < 3 || len(d.Bundle) == 0 || d.ModuleID == "") {
			t.Errorf("document = %+v", d)
		}
	})
}
