package uvm_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/evidencetest"
	"github.com/probity-dev/probity/evidence/uvm"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

var publisher = sync.OnceValue(func() *evidencetest.UVM {
	return evidencetest.NewUVM(evidencetest.UVMConfig{Now: now})
})

func trust(p *evidencetest.UVM) []uvm.Trust {
	return []uvm.Trust{
		{Issuer: p.DID(), Feed: "ContainerPlat-AMD-UVM", MinSVN: 100, Status: "azure-compliant-uvm"},
	}
}

// verify returns the endorsement and the id of the check that refused.
func verify(t *testing.T, v *uvm.Verifier, b, measurement []byte) (*uvm.Endorsement, string) {
	t.Helper()
	result := &evidence.Result{}
	e, err := v.Verify(result, b, measurement)
	if err == nil {
		return e, ""
	}
	var r *evidence.Rejection
	if !errors.As(err, &r) || r.Check.Remedy == "" || r.Check.Found == "" {
		t.Fatalf("error = %v", err)
	}
	return e, r.Check.ID
}

func TestBothForms(t *testing.T) {
	measurement := bytes.Repeat([]byte{7}, 48)
	for name, tc := range map[string]struct {
		cfg    evidencetest.EndorsementConfig
		status string
	}{
		"JSON": {evidencetest.EndorsementConfig{}, "azure-compliant-uvm"},
		"JSON, svn as a number": {
			evidencetest.EndorsementConfig{
				Payload: []byte(`{"x-ms-sevsnpvm-guestsvn":104,"x-ms-sevsnpvm-launchmeasurement":"` +
					strings.Repeat("07", 48) + `","x-ms-sevsnpvm-guestsvn-int":104}`),
			},
			"azure-compliant-uvm",
		},
		"envelope": {evidencetest.EndorsementConfig{Envelope: true}, "azure-compliant-uvm"},
		"envelope, svn a number": {
			evidencetest.EndorsementConfig{Envelope: true, EditHeader: func(h map[any]any) {
				h[int64(15)].(map[any]any)["svn"] = 200
			}}, "azure-compliant-uvm",
		},
		"at the minimum":    {evidencetest.EndorsementConfig{SVN: "100"}, "azure-compliant-uvm"},
		"below the minimum": {evidencetest.EndorsementConfig{SVN: "22"}, ""},
		"another feed":      {evidencetest.EndorsementConfig{Feed: "ConfAKS-AMD-UVM"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			v := uvm.New(trust(publisher()))
			b := publisher().Endorse(measurement, tc.cfg)
			for range 2 { // the second time from memory
				e, refused := verify(t, v, b, measurement)
				if refused != "" || e.Status != tc.status || !e.Signed.Equal(now) {
					t.Errorf("endorsement = %+v, refused by %q", e, refused)
				}
			}
			if _, refused := verify(t, v, b, make([]byte, 48)); refused != "uvm.measurement" {
				t.Errorf("another measurement: refused by %q", refused)
			}
		})
	}
}

func TestMustRefuse(t *testing.T) {
	measurement := make([]byte, 48)
	p := publisher()
	foreign := evidencetest.NewUVM(evidencetest.UVMConfig{Now: now})
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	header := func(edit func(map[any]any)) []byte {
		return p.Endorse(measurement, evidencetest.EndorsementConfig{EditHeader: edit})
	}
	envelope := func(edit func(map[any]any)) []byte {
		return p.Endorse(measurement, evidencetest.EndorsementConfig{Envelope: true, EditHeader: edit})
	}
	payload := func(text string) []byte {
		return p.Endorse(measurement, evidencetest.EndorsementConfig{Payload: []byte(text)})
	}
	variant := func(edit func(*x509.Certificate)) []byte {
		return evidencetest.NewUVM(evidencetest.UVMConfig{Now: now, Edit: edit}).Endorse(measurement,
			evidencetest.EndorsementConfig{})
	}
	good := p.Endorse(measurement, evidencetest.EndorsementConfig{})
	hexZero := strings.Repeat("00", 48)
	for name, tc := range map[string]struct {
		b    []byte
		want string
	}{
		"nothing":                {nil, "uvm.format"},
		"more than anyone needs": {make([]byte, uvm.MaxSize+1), "uvm.format"},
		"trailing bytes":         {append(bytes.Clone(good), 0), "uvm.format"},
		"cut short":              {good[:len(good)-1], "uvm.format"},
		"altered signature": {
			append(bytes.Clone(good[:len(good)-1]), good[len(good)-1]^1), "uvm.signature",
		},
		"signed by another key": {
			p.Endorse(measurement, evidencetest.EndorsementConfig{Key: other}), "uvm.signature",
		},
		"another publisher with its own issuer": {
			foreign.Endorse(measurement, evidencetest.EndorsementConfig{}), "uvm.issuer",
		},
		"another publisher with our issuer": {
			foreign.Endorse(measurement, evidencetest.EndorsementConfig{DID: p.DID()}), "uvm.issuer",
		},
		"the right root put after a foreign chain": {foreign.Endorse(measurement,
			evidencetest.EndorsementConfig{DID: p.DID(), EditHeader: func(h map[any]any) {
				h[int64(33)] = [][]byte{
					foreign.Leaf.Cert.Raw, foreign.CA.Cert.Raw, foreign.Root.Cert.Raw, p.Root.Cert.Raw,
				}
			}}), "uvm.chain"},
		"an issuer that asks for another usage": {p.Endorse(measurement,
			evidencetest.EndorsementConfig{DID: strings.TrimSuffix(p.DID(), "2") + "5"}), "uvm.issuer"},
		"an issuer that is none": {
			p.Endorse(measurement, evidencetest.EndorsementConfig{DID: "did:web:example.org"}),
			"uvm.issuer",
		},
		"no issuer": {header(func(h map[any]any) {
			delete(h, "iss")
		}), "uvm.format"},
		"no feed": {header(func(h map[any]any) {
			delete(h, "feed")
		}), "uvm.format"},
		"no signing time": {header(func(h map[any]any) {
			delete(h, "signingtime")
		}), "uvm.format"},
		"another content type": {header(func(h map[any]any) {
			h[int64(3)] = "text/plain"
		}), "uvm.format"},
		"no algorithm": {header(func(h map[any]any) {
			delete(h, int64(1))
		}), "uvm.format"},
		"an algorithm for another key": {header(func(h map[any]any) {
			h[int64(1)] = int64(-35)
		}), "uvm.signature"},
		"an unknown algorithm": {header(func(h map[any]any) {
			h[int64(1)] = int64(-257)
		}), "uvm.signature"},
		"critical parameters": {header(func(h map[any]any) {
			h[int64(2)] = []any{"x"}
		}), "uvm.format"},
		"no chain": {header(func(h map[any]any) {
			delete(h, int64(33))
		}), "uvm.format"},
		"a chain of one": {header(func(h map[any]any) {
			h[int64(33)] = [][]byte{p.Leaf.Cert.Raw}
		}), "uvm.format"},
		"a chain with a gap": {header(func(h map[any]any) {
			h[int64(33)] = [][]byte{p.Leaf.Cert.Raw, p.Root.Cert.Raw}
		}), "uvm.chain"},
		"a chain of garbage": {header(func(h map[any]any) {
			h[int64(33)] = [][]byte{{1}, {2}}
		}), "uvm.format"},
		"the CA as the signer": {p.Endorse(measurement, evidencetest.EndorsementConfig{
			Key:        p.CA.Key,
			EditHeader: func(h map[any]any) { h[int64(33)] = [][]byte{p.CA.Cert.Raw, p.Root.Cert.Raw} },
		}), "uvm.chain"},
		"a leaf expired at the signing time": {variant(func(c *x509.Certificate) {
			setLeaf(c, func() { c.NotAfter = now.AddDate(0, 0, -1) })
		}), "uvm.chain"},
		"a CA that is none": {variant(func(c *x509.Certificate) {
			setCA(c, func() { c.IsCA, c.KeyUsage = false, x509.KeyUsageDigitalSignature })
		}), "uvm.chain"},
		"a CA that allows no CA below": {variant(func(c *x509.Certificate) {
			setRoot(c, func() { c.MaxPathLen, c.MaxPathLenZero = 0, true })
		}), "uvm.chain"},
		"no measurement": {payload(`{"x-ms-sevsnpvm-guestsvn":"101"}`), "uvm.format"},
		"a measurement too short": {
			payload(`{"x-ms-sevsnpvm-guestsvn":"101","x-ms-sevsnpvm-launchmeasurement":"00"}`),
			"uvm.format",
		},
		"no svn": {
			payload(`{"x-ms-sevsnpvm-launchmeasurement":"` + hexZero + `"}`), "uvm.format",
		},
		"a negative svn": {
			payload(`{"x-ms-sevsnpvm-guestsvn":-1,"x-ms-sevsnpvm-launchmeasurement":"` + hexZero + `"}`),
			"uvm.format",
		},
		"an svn that is text": {
			payload(`{"x-ms-sevsnpvm-guestsvn":"high","x-ms-sevsnpvm-launchmeasurement":"` + hexZero + `"}`),
			"uvm.format",
		},
		"a member twice": {
			payload(`{"x-ms-sevsnpvm-guestsvn":"1","x-ms-sevsnpvm-guestsvn":"101",` +
				`"x-ms-sevsnpvm-launchmeasurement":"` + hexZero + `"}`),
			"uvm.format",
		},
		"envelope with another hash": {envelope(func(h map[any]any) {
			h[int64(258)] = int64(-16)
		}), "uvm.format"},
		"envelope with another content": {envelope(func(h map[any]any) {
			h[int64(259)] = "application/json"
		}), "uvm.format"},
		"envelope without an issuer": {envelope(func(h map[any]any) {
			delete(h[int64(15)].(map[any]any), int64(1))
		}), "uvm.format"},
		"envelope without svn": {envelope(func(h map[any]any) {
			delete(h[int64(15)].(map[any]any), "svn")
		}), "uvm.format"},
		"envelope around something longer": {
			p.Endorse(measurement, evidencetest.EndorsementConfig{Envelope: true, Payload: make([]byte, 49)}),
			"uvm.format",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if _, got := verify(t, uvm.New(trust(p)), tc.b, measurement); got != tc.want {
				t.Errorf("refused by %q, want %q", got, tc.want)
			}
		})
	}
}

func setLeaf(c *x509.Certificate, edit func()) { setNamed(c, "ContainerPlat", edit) }
func setCA(c *x509.Certificate, edit func())   { setNamed(c, "Test Products CA", edit) }
func setRoot(c *x509.Certificate, edit func()) { setNamed(c, "Test Supply Chain Root CA", edit) }

func setNamed(c *x509.Certificate, cn string, edit func()) {
	if c.Subject.CommonName == cn {
		edit()
	}
}

func TestTheDefaultTrustsNoTestPublisher(t *testing.T) {
	_, got := verify(t, uvm.New(nil), publisher().Endorse(make([]byte, 48), evidencetest.EndorsementConfig{}),
		make([]byte, 48))
	if got != "uvm.issuer" {
		t.Errorf("refused by %q", got)
	}
	for _, trust := range uvm.DefaultTrust() {
		if _, err := uvm.ParseDID(trust.Issuer); err != nil || trust.MinSVN == 0 || trust.Status == "" {
			t.Errorf("%+v: %v", trust, err)
		}
	}
}

func TestDID(t *testing.T) {
	p := publisher()
	chain := []*x509.Certificate{p.Leaf.Cert, p.CA.Cert, p.Root.Cert}
	base := strings.TrimSuffix(p.DID(), "::eku:1.3.6.1.4.1.311.76.59.1.2")
	for text, want := range map[string]string{
		p.DID():                             "",
		base + "::subject:CN:ContainerPlat": "", base + "::subject:CN:ContainerPlat:O:Test%20Corporation:C:US": "",
		base + "::subject:CN:ContainerPlat::eku:1.3.6.1.4.1.311.76.59.1.2": "",
		base + "::subject:2.5.4.3:ContainerPlat":                           "",
		base + "::subject:CN:Other":                                        "lacks subject", base +
			"::subject:CN:ContainerPlat:O:Other": "lacks subject", base + "::eku:1.2.3": "lacks eku",
		base + "::eku:1.3.6.1.4.1.311.76.59.1.2::eku:1.2.3": "lacks eku",
		base + "::san:dns:example.org":                      "lacks san",
		base + "::fulcio-issuer:example.org":                "lacks fulcio",
		base:                                                "no predicate", base + "::": "unknown predicate",
		base + "::subject": "with 0 values", base + "::subject:CN": "with 1 values",
		base + "::color:red":         "unknown predicate",
		base + "::subject:CN:a:CN:b": "twice", base + "::eku:": "empty", base + "::eku:1:2": "with 2 values",
		base + "::subject:CN:Test Corp": "percent-encoded", base + "::subject:CN:a~b": "percent-encoded",
		base + "::subject:CN:%zz": "encoded", "did:x509:1:sha256:x::eku:1": "not did", "did:web:x": "not did",
		strings.Replace(p.DID(), "sha256", "md5", 1):                                       "fingerprint",
		strings.Replace(p.DID(), "sha256", "sha384", 1):                                    "fingerprint",
		"did:x509:0:sha256:" + strings.Repeat("A", 43) + "::eku:1.3.6.1.4.1.311.76.59.1.2": "no CA",
		"did:x509:0:sha256:" + strings.Repeat("A", 3000):                                   "more than",
	} {
		d, err := uvm.ParseDID(text)
		if err == nil {
			err = d.Resolve(chain)
		}
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%.120s: %v, want %q", text, err, want)
		}
	}
	// The fingerprint of the leaf itself anchors nothing.
	self, err := uvm.ParseDID(p.DID())
	if err != nil {
		t.Fatal(err)
	}
	if self.Resolve(chain[:2]) == nil || self.Resolve([]*x509.Certificate{p.Root.Cert}) == nil {
		t.Error("a chain without the root was accepted")
	}
}

// TestPredicates has what the publishers in use do not: other hashes, and other
// kinds of subject alternative names.
func TestPredicates(t *testing.T) {
	uri, err := url.Parse("https://example.org/build")
	if err != nil {
		t.Fatal(err)
	}
	p := evidencetest.NewUVM(evidencetest.UVMConfig{Now: now, Edit: func(c *x509.Certificate) {
		setLeaf(c, func() {
			c.DNSNames = []string{"build.example.org"}
			c.EmailAddresses = []string{"build@example.org"}
			c.URIs = []*url.URL{uri}
			c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{
				Id:    []int{1, 3, 6, 1, 4, 1, 57264, 1, 1},
				Value: []byte("https://issuer.example.org"),
			})
		})
	}})
	chain := []*x509.Certificate{p.Leaf.Cert, p.CA.Cert, p.Root.Cert}
	long, longer := sha512.Sum384(p.Root.Cert.Raw), sha512.Sum512(p.CA.Cert.Raw)
	for _, base := range []string{
		"did:x509:0:sha384:" + base64.RawURLEncoding.EncodeToString(long[:]),
		"did:x509:0:sha512:" + base64.RawURLEncoding.EncodeToString(longer[:]),
	} {
		for predicate, holds := range map[string]bool{
			"san:dns:build.example.org": true, "san:dns:example.org": false,
			"san:email:build%40example.org": true, "san:email:x%40example.org": false,
			"san:uri:https%3A%2F%2Fexample.org%2Fbuild": true, "san:uri:https%3A%2F%2Fexample.org": false,
			"san:ip:127.0.0.1":                 false,
			"fulcio-issuer:issuer.example.org": true, "fulcio-issuer:example.org": false,
		} {
			d, err := uvm.ParseDID(base + "::" + predicate)
			if err != nil {
				t.Fatal(err)
			}
			if err := d.Resolve(chain); (err == nil) != holds {
				t.Errorf("%s: %v", predicate, err)
			}
		}
	}
}

func FuzzInspect(f *testing.F) {
	f.Add(publisher().Endorse(make([]byte, 48), evidencetest.EndorsementConfig{}))
	f.Add(publisher().Endorse(make([]byte, 48), evidencetest.EndorsementConfig{Envelope: true}))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := uvm.Inspect(b)
		if err == nil && (len(e.Measurement) != 48 || e.Issuer == "" && e.Feed == "" && e.Signed.IsZero()) {
			t.Errorf("endorsement = %+v", e)
		}
	})
}

func FuzzParseDID(f *testing.F) {
	f.Add(publisher().DID())
	f.Add("did:x509:0:sha256:" + strings.Repeat("A", 43) + "::subject:CN:a:O:b%20c::san:dns:d")
	p := publisher()
	f.Fuzz(func(t *testing.T, text string) {
		if d, err := uvm.ParseDID(text); err == nil {
			d.Resolve([]*x509.Certificate{p.Leaf.Cert, p.CA.Cert, p.Root.Cert})
		}
	})
}
