package cca_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"testing"
	"time"

	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/cca"
	"github.com/probity-dev/probity/evidence/evidencetest"
)

var data = &evidence.Data{Bytes: []byte(`{"a":1}`), Type: evidence.JSON}

func bound() (field [64]byte) {
	sum := sha256.Sum256(data.Bytes)
	copy(field[:], sum[:])
	return field
}

func run(t testing.TB, key *ecdsa.PrivateKey, ev evidence.Evidence) (*evidence.Result, string) {
	t.Helper()
	ev.Time = time.Unix(0, 0)
	result, err := cca.New(cca.Config{Anchors: []cca.Anchor{{Key: &key.PublicKey}}}).Verify(t.Context(), ev)
	if err == nil {
		return result, ""
	}
	var r *evidence.Rejection
	if !errors.As(err, &r) || r.Check.Remedy == "" || r.Check.Found == "" || r.Check.Expected == "" {
		t.Fatalf("error = %v", err)
	}
	if result.Claims.Len() > 0 && !errors.Is(err, cca.CheckDebug) {
		t.Error("a refused token gave claims")
	}
	return result, r.Check.ID
}

func TestAccepted(t *testing.T) {
	a := evidencetest.NewArm()
	short := [32]byte(append([]byte(nil), func() []byte { f := bound(); return f[:32] }()...))
	for name, tc := range map[string]struct {
		ev    evidence.Evidence
		claim string
	}{
		"the draft's profile": {
			evidence.Evidence{Raw: a.CCA(evidencetest.CCAConfig{})}, "cca-realm-initial-measurement",
		},
		"the legacy form": {
			evidence.Evidence{Raw: a.CCA(evidencetest.CCAConfig{Legacy: true})},
			"cca-realm-public-key",
		},
		"with runtime data": {
			evidence.Evidence{Raw: a.CCA(evidencetest.CCAConfig{Challenge: bound()}), RuntimeData: data},
			"x-ms-runtime",
		},
		"with init-time data": {
			evidence.Evidence{
				Raw:          a.CCA(evidencetest.CCAConfig{Personalization: bound()}),
				InitTimeData: data,
			},
			"x-ms-inittime",
		},
		"PSA": {evidence.Evidence{Raw: a.PSA([32]byte{1}, nil)}, "psa-implementation-id"},
		"PSA with runtime data": {
			evidence.Evidence{Raw: a.PSA(short, nil), RuntimeData: data}, "psa-challenge",
		},
		"other claims are allowed": {
			evidence.Evidence{Raw: a.CCA(evidencetest.CCAConfig{EditRealm: func(c map[int64]any) {
				c[99999] = "x"
			}})},
			"cca-platform-sw-components",
		},
	} {
		t.Run(name, func(t *testing.T) {
			result, refused := run(t, a.CPAK, tc.ev)
			if refused != "" || len(result.Reservations) > 0 || !result.Claims.Has(tc.claim) {
				t.Errorf("refused by %q, reservations %v, claims %v", refused, result.Reservations, result.Claims)
			}
		})
	}
}

func TestDebugIsAReservation(t *testing.T) {
	a := evidencetest.NewArm()
	for _, state := range []int{0x4000, 0x50ff} {
		ev := evidence.Evidence{Raw: a.CCA(evidencetest.CCAConfig{Lifecycle: state})}
		if _, refused := run(t, a.CPAK, ev); refused != "cca.platform.debug" {
			t.Errorf("%#x: refused by %q", state, refused)
		}
		ev.Accept = []string{evidence.DebugGuest}
		result, refused := run(t, a.CPAK, ev)
		if refused != "" || len(result.Reservations) != 1 || result.Reservations[0].Accept != evidence.DebugGuest {
			t.Errorf("%#x: refused by %q, reservations %v", state, refused, result.Reservations)
		}
		if claim, _ := result.Claims.Get("dbgstat"); claim.String() != `"enabled"` {
			t.Errorf("dbgstat = %v", claim)
		}
	}
}

func TestAnchorsAreOfTheirPlatforms(t *testing.T) {
	a, other := evidencetest.NewArm(), evidencetest.NewArm()
	implementation := sha256.Sum256([]byte("implementation"))
	instance := append([]byte{1}, func() []byte { s := sha256.Sum256([]byte("instance")); return s[:] }()...)
	token := a.CCA(evidencetest.CCAConfig{})
	for name, tc := range map[string]struct {
		anchors []cca.Anchor
		want    string
	}{
		"none": {nil, "cca.platform.key"},
		"by both ids": {
			[]cca.Anchor{{Implementation: implementation[:], Instance: instance, Key: &a.CPAK.PublicKey}},
			"",
		},
		"of another instance": {[]cca.Anchor{{
			Implementation: implementation[:],
			Instance:       make([]byte, 33),
			Key:            &a.CPAK.PublicKey,
		}}, "cca.platform.key"},
		"of another make": {
			[]cca.Anchor{{Implementation: make([]byte, 32), Instance: instance, Key: &a.CPAK.PublicKey}},
			"cca.platform.key",
		},
		"another key for this one": {
			[]cca.Anchor{{Implementation: implementation[:], Instance: instance, Key: &other.CPAK.PublicKey}},
			"cca.platform.signature",
		},
	} {
		_, err := cca.New(cca.Config{Anchors: tc.anchors}).Verify(t.Context(), evidence.Evidence{Raw: token})
		var r *evidence.Rejection
		got := ""
		if errors.As(err, &r) {
			got = r.Check.ID
		}
		if got != tc.want {
			t.Errorf("%s: refused by %q, want %q", name, got, tc.want)
		}
	}
}

func TestMustRefuse(t *testing.T) {
	a, b := evidencetest.NewArm(), evidencetest.NewArm()
	good := a.CCA(evidencetest.CCAConfig{})
	platform := func(edit func(map[int64]any)) evidence.Evidence {
		return evidence.Evidence{Raw: a.CCA(evidencetest.CCAConfig{EditPlatform: edit})}
	}
	realm := func(edit func(map[int64]any)) evidence.Evidence {
		return evidence.Evidence{Raw: a.CCA(evidencetest.CCAConfig{EditRealm: edit})}
	}
	beyond := bound()
	beyond[63] = 1
	point, err := b.RAK.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		ev   evidence.Evidence
		want string
	}{
		"nothing":         {evidence.Evidence{}, "cca.format"},
		"trailing bytes":  {evidence.Evidence{Raw: append(bytes.Clone(good), 0)}, "cca.format"},
		"cut short":       {evidence.Evidence{Raw: good[:len(good)-1]}, "cca.format"},
		"larger than any": {evidence.Evidence{Raw: make([]byte, 65<<10)}, "cca.format"},
		"another tag": {
			evidence.Evidence{Raw: append([]byte{0xd9, 0x01, 0x90}, good[3:]...)}, "cca.format",
		},
		"signed by another platform": {
			evidence.Evidence{Raw: a.CCA(evidencetest.CCAConfig{PlatformKey: b.CPAK})},
			"cca.platform.signature",
		},
		"signed by another realm": {
			evidence.Evidence{Raw: a.CCA(evidencetest.CCAConfig{RealmKey: b.RAK})},
			"cca.realm.signature",
		},
		"the realm's key not bound": {platform(func(c map[int64]any) {
			c[10] = make([]byte, 32)
		}), "cca.realm.binding"},
		"a prefix of the binding": {platform(func(c map[int64]any) {
			c[10] = append(c[10].([]byte)[:31:31], 0)
		}), "cca.realm.binding"},
		"an unknown hash of the key": {realm(func(c map[int64]any) {
			c[44240] = "md5"
		}), "cca.realm.binding"},
		"another hash of the key": {realm(func(c map[int64]any) {
			c[44240] = "sha-512"
		}), "cca.realm.binding"},
		"another key in the realm": {realm(func(c map[int64]any) {
			c[44237] = point
		}), "cca.realm.signature"},
		"a key off the curve": {realm(func(c map[int64]any) {
			c[44237] = append([]byte{4}, make([]byte, 96)...)
		}), "cca.format"},
		"no key in the realm": {realm(func(c map[int64]any) { delete(c, 44237) }), "cca.format"},
		"an unknown platform profile": {platform(func(c map[int64]any) {
			c[265] = "http://arm.com/CCA-SSD/9"
		}), "cca.format"},
		"an unknown realm profile": {realm(func(c map[int64]any) { c[265] = "tag:example" }), "cca.format"},
		"PSA's profile in CCA": {platform(func(c map[int64]any) {
			c[265] = "tag:psacertified.org,2023:psa#tfm"
		}), "cca.format"},
		"a short instance id": {platform(func(c map[int64]any) {
			c[256] = make([]byte, 32)
		}), "cca.format"},
		"an instance id of other type": {platform(func(c map[int64]any) {
			c[256] = make([]byte, 33)
		}), "cca.format"},
		"a short implementation id": {platform(func(c map[int64]any) {
			c[2396] = make([]byte, 31)
		}), "cca.format"},
		"no lifecycle": {platform(func(c map[int64]any) { delete(c, 2395) }), "cca.format"},
		"lifecycle unknown": {
			platform(func(c map[int64]any) { c[2395] = 0 }), "cca.platform.lifecycle",
		},
		"lifecycle provisioning": {platform(func(c map[int64]any) {
			c[2395] = 0x2000
		}), "cca.platform.lifecycle"},
		"lifecycle decommissioned": {platform(func(c map[int64]any) {
			c[2395] = 0x6000
		}), "cca.platform.lifecycle"},
		"lifecycle beyond 16 bits": {platform(func(c map[int64]any) {
			c[2395] = 0x13000
		}), "cca.platform.lifecycle"},
		"no components": {platform(func(c map[int64]any) { c[2399] = []any{} }), "cca.format"},
		"a component not measured": {platform(func(c map[int64]any) {
			c[2399] = []any{map[int64]any{5: []byte{1}}}
		}), "cca.format"},
		"three extensible measurements": {realm(func(c map[int64]any) {
			c[44239] = c[44239].([][]byte)[:3]
		}), "cca.format"},
		"a measurement of 31 bytes": {realm(func(c map[int64]any) {
			c[44238] = make([]byte, 31)
		}), "cca.format"},
		"a short challenge": {realm(func(c map[int64]any) { c[10] = make([]byte, 32) }), "cca.format"},
		"runtime data not bound": {
			evidence.Evidence{Raw: good, RuntimeData: data}, "cca.challenge.runtime-data",
		},
		"something after the hash": {
			evidence.Evidence{Raw: a.CCA(evidencetest.CCAConfig{Challenge: beyond}), RuntimeData: data},
			"cca.challenge.runtime-data",
		},
		"init-time data not bound": {
			evidence.Evidence{Raw: good, InitTimeData: data}, "cca.personalization.init-time-data",
		},
		"init-time data with PSA": {
			evidence.Evidence{Raw: a.PSA([32]byte{}, nil), InitTimeData: data},
			"cca.personalization.init-time-data",
		},
		"PSA with another profile": {
			evidence.Evidence{Raw: a.PSA([32]byte{}, func(c map[int64]any) { c[265] = "PSA_IOT_PROFILE_1" })},
			"cca.format",
		},
		"PSA of an open device": {
			evidence.Evidence{Raw: a.PSA([32]byte{}, func(c map[int64]any) { c[2395] = 0x1000 })},
			"cca.platform.lifecycle",
		},
		"JSON that is none": {evidence.Evidence{Raw: a.CCA(evidencetest.CCAConfig{Challenge: sha("x")}),
			RuntimeData: &evidence.Data{Bytes: []byte("x"), Type: evidence.JSON}}, "cca.runtime-data.json"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, got := run(t, a.CPAK, tc.ev); got != tc.want {
				t.Errorf("refused by %q, want %q", got, tc.want)
			}
		})
	}
}

func sha(text string) (field [64]byte) {
	sum := sha256.Sum256([]byte(text))
	copy(field[:], sum[:])
	return field
}

// TestMACsAreRefused: a PSA token with COSE_Mac0 proves nothing to those who do
// not share the key.
func TestMACsAreRefused(t *testing.T) {
	a := evidencetest.NewArm()
	mac := append([]byte{0xd1}, a.PSA([32]byte{}, nil)[1:]...) // tag 17
	if _, got := run(t, a.CPAK, evidence.Evidence{Raw: mac}); got != "cca.format" {
		t.Errorf("refused by %q (%s)", got, hex.EncodeToString(mac[:4]))
	}
}

func FuzzParse(f *testing.F) {
	a := evidencetest.NewArm()
	f.Add(a.CCA(evidencetest.CCAConfig{}))
	f.Add(a.CCA(evidencetest.CCAConfig{Legacy: true}))
	f.Add(a.PSA([32]byte{}, nil))
	f.Add(a.PSA1([32]byte{}, nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		token, err := cca.Parse(b)
		if err == nil && (token.Platform == nil || len(token.Platform.Instance) != 33) {
			t.Errorf("token = %+v", token)
		}
	})
}
