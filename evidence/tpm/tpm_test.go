package tpm_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/probity-dev/probity/claims"
	"github.com/probity-dev/probity/collateral/tpmca"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/evidencetest"
	"github.com/probity-dev/probity/evidence/tpm"
	"github.com/probity-dev/probity/test/kit/jwstest"
)

var (
	now       = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	challenge = []byte("sixteen bytes...")
	machine   = evidencetest.NewTPM(evidencetest.TPMConfig{Now: now})
	boot      = evidencetest.HealthyBoot(evidencetest.BootConfig{})
)

func roots(t *testing.T, m *evidencetest.TPM) *tpmca.Roots {
	t.Helper()
	r, err := tpmca.Parse(m.Root.PEM())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func healthy() evidencetest.TPMEvidence {
	return evidencetest.TPMEvidence{Boot: boot, Challenge: challenge}
}

func verify(t *testing.T, raw []byte, edit func(*tpm.Config, *evidence.Evidence)) (*evidence.Result, error) {
	t.Helper()
	cfg := tpm.Config{Authorities: roots(t, machine)}
	ev := evidence.Evidence{Raw: raw, Challenge: challenge, Time: now}
	if edit != nil {
		edit(&cfg, &ev)
	}
	return tpm.New(cfg).Verify(t.Context(), ev)
}

func wantRejection(t *testing.T, name, id string, err error) {
	t.Helper()
	var r *evidence.Rejection
	if !errors.As(err, &r) || r.Check.ID != id {
		t.Errorf("%s: %v, want %s", name, err, id)
		return
	}
	if r.Check.Remedy == "" || r.Check.Expected == "" || r.Check.Found == "" {
		t.Errorf("%s: %+v does not say enough", name, r.Check)
	}
}

func TestVerify(t *testing.T) {
	certified := healthy()
	certified.Certified = true
	for name, raw := range map[string][]byte{
		"bound by the quote": machine.Evidence(healthy()), "certified": machine.Evidence(certified),
	} {
		result, err := verify(t, raw, nil)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for claim, want := range map[string]claims.Value{
			"aikValidated":                       claims.BooleanValue(true),
			"secureBootEnabled":                  claims.BooleanValue(true),
			"vbsEnabled":                         claims.BooleanValue(false),
			"tpmVersion":                         claims.IntegerValue(2),
			"x-probity-boot-kernel-command-line": claims.StringValue("/vmlinuz root=/dev/sda1 ro"),
		} {
			if got, _ := result.Aliases.Get(claim); !got.Equal(&want) {
				t.Errorf("%s: %s is %v", name, claim, got)
			}
		}
		if pcrs, ok := result.Aliases.Get("pcrs"); !ok || !pcrs.IsReadOnly() {
			t.Errorf("%s: pcrs %v", name, pcrs)
		}
		if key, ok := result.Claims.Get("cnf"); !ok || !key.IsJSON() {
			t.Errorf("%s: cnf %v", name, key)
		}
	}
}

func TestKeysOfAllKinds(t *testing.T) {
	ecc := evidencetest.NewTPM(evidencetest.TPMConfig{Now: now, ECC: true})
	if _, err := verify(t, ecc.Evidence(healthy()), func(c *tpm.Config, _ *evidence.Evidence) {
		c.Authorities = roots(t, ecc)
	}); err != nil {
		t.Error(err)
	}
}

// attestation edits the current attestation of an evidence object.
func attestation(f func(a map[string]any)) func(map[string]any) {
	return func(d map[string]any) {
		f(d["tpm_att_data"].(map[string]any)["current_attestation"].(map[string]any))
	}
}

func requestKey(f func(k map[string]any)) func(map[string]any) {
	return func(d map[string]any) { f(d["request_key"].(map[string]any)) }
}

// TestRefuses: each must be refused, by its own check.
func TestRefuses(t *testing.T) {
	b64 := base64.RawURLEncoding.EncodeToString
	other := evidencetest.NewTPM(evidencetest.TPMConfig{Now: now, Root: &machine.Root})
	decode := func(v any) []byte {
		b, err := base64.RawURLEncoding.DecodeString(v.(string))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	altered := *boot
	altered.PCRs[4][0] ^= 1
	lying := evidencetest.HealthyBoot(evidencetest.BootConfig{})
	lying.Add(evidencetest.BootEvent{PCR: 4, Type: 5, Data: []byte("not extended")})
	lying.PCRs = boot.PCRs
	for name, tc := range map[string]struct {
		id     string
		cfg    func(*evidencetest.TPMEvidence)
		edit   func(map[string]any)
		around func(*tpm.Config, *evidence.Evidence)
	}{
		"version 1": {
			"tpm.request.version", func(c *evidencetest.TPMEvidence) { c.Type = "attReq" }, nil, nil,
		},
		"another type": {
			"tpm.request.signature", func(c *evidencetest.TPMEvidence) { c.Type = "JWT" }, nil, nil,
		},
		"another request key": {"tpm.request.signature", nil, requestKey(func(k map[string]any) {
			k["jwk"] = evidencetest.JWK(other.Request.Public())
		}), nil},
		"a private key": {"tpm.request.signature", nil, requestKey(func(k map[string]any) {
			k["jwk"] = json.RawMessage(`{"kty":"RSA","d":"AQ"}`)
		}), nil},
		"another challenge": {
			"tpm.challenge",
			func(c *evidencetest.TPMEvidence) { c.Challenge = []byte("of another time.") }, nil, nil,
		},
		"a prefix of it": {
			"tpm.challenge", func(c *evidencetest.TPMEvidence) { c.Challenge = challenge[:8] }, nil,
			nil,
		},
		"no challenge": {"tpm.format", nil, func(d map[string]any) { delete(d, "challenge") }, nil},
		"runtime data": {"tpm.format", nil, nil, func(_ *tpm.Config, ev *evidence.Evidence) {
			ev.RuntimeData = &evidence.Data{}
		}},
		"no request key": {"tpm.format", nil, func(d map[string]any) { delete(d, "request_key") }, nil},
		"three other keys": {"tpm.format", nil, func(d map[string]any) {
			d["other_keys"] = []any{map[string]any{}, map[string]any{}, map[string]any{}}
		}, nil},
		"an enclave's": {"tpm.format",
			func(c *evidencetest.TPMEvidence) { c.Enclave = func([]byte) []byte { return nil } }, nil, nil},
		"a key of 65 levels": {"tpm.format", nil, requestKey(func(k map[string]any) {
			k["jwk"] = more(k["jwk"], nested(64))
		}), nil},
		"a key of 9,000 levels": {"tpm.format", nil, requestKey(func(k map[string]any) {
			k["jwk"] = more(k["jwk"], nested(9000))
		}), nil},
		"another key, nested": {"tpm.format", nil, func(d map[string]any) {
			d["other_keys"] = []any{map[string]any{"jwk": more(evidencetest.JWK(other.Request.Public()), nested(64))}}
		}, nil},
		"a key of 20,000 bytes": {"tpm.format", nil, requestKey(func(k map[string]any) {
			k["jwk"] = more(k["jwk"], `"`+strings.Repeat("x", 20000)+`"`)
		}), nil},
		"no binding": {"tpm.quote.nonce", nil, requestKey(func(k map[string]any) {
			k["info"] = map[string]any{}
		}), nil},
		"two bindings": {"tpm.quote.nonce", nil, requestKey(func(k map[string]any) {
			k["info"].(map[string]any)["tpm_certify"] = map[string]any{}
		}), nil},
		"another hash": {"tpm.quote.nonce", nil, requestKey(func(k map[string]any) {
			k["info"] = map[string]any{"tpm_quote": map[string]any{"hash_alg": "sha-512"}}
		}), nil},
		"an unknown hash": {"tpm.quote.nonce", nil, requestKey(func(k map[string]any) {
			k["info"] = map[string]any{"tpm_quote": map[string]any{"hash_alg": "md5"}}
		}), nil},
		"a weak AK": {"tpm.ak.key", nil, attestation(func(a map[string]any) {
			a["aik_pub"] = weakKey()
		}), nil},
		"no AK": {"tpm.ak.key", nil, attestation(func(a map[string]any) {
			delete(a, "aik_pub")
		}), nil},
		"no authority": {"tpm.ak.certificate", nil, nil, func(c *tpm.Config, _ *evidence.Evidence) {
			c.Authorities = nil
		}},
		"no certificate": {
			"tpm.ak.certificate", func(c *evidencetest.TPMEvidence) { c.Bare = true }, nil, nil,
		},
		"of another AK": {"tpm.ak.certificate", nil, attestation(func(a map[string]any) {
			a["aik_cert"] = b64(other.AKCert.Raw)
		}), func(_ *tpm.Config, ev *evidence.Evidence) { ev.TPM.AnyKey = true }},
		"expired": {"tpm.ak.certificate", nil, nil, func(_ *tpm.Config, ev *evidence.Evidence) {
			ev.Time = now.AddDate(2, 0, 0)
		}},
		"garbage for a cert": {"tpm.ak.certificate", nil, attestation(func(a map[string]any) {
			a["aik_cert"] = "AAAA"
		}), nil},
		"quote of another TPM": {"tpm.quote.signature", nil, attestation(func(a map[string]any) {
			a["signature"] = b64(other.Sign(decode(a["quote"])))
		}), nil},
		"altered quote": {"tpm.quote.signature", nil, attestation(func(a map[string]any) {
			q := decode(a["quote"])
			q[len(q)-1] ^= 1
			a["quote"] = b64(q)
		}), nil},
		"not a TPM's": {"tpm.quote.format", nil, attestation(func(a map[string]any) {
			q := decode(a["quote"])
			q[0] = 0
			a["quote"], a["signature"] = b64(q), b64(machine.Sign(q))
		}), nil},
		"a certification": {"tpm.quote.format", nil, attestation(func(a map[string]any) {
			q := machine.Certify([]byte("key"), challenge)
			a["quote"], a["signature"] = b64(q), b64(machine.Sign(q))
		}), nil},
		"trailing bytes": {"tpm.quote.format", nil, attestation(func(a map[string]any) {
			q := append(decode(a["quote"]), 0)
			a["quote"], a["signature"] = b64(q), b64(machine.Sign(q))
		}), nil},
		"a signature of another scheme": {"tpm.quote.format", nil, attestation(func(a map[string]any) {
			a["signature"] = b64([]byte{0, 0x22, 0, 0x0b, 0, 0})
		}), nil},
		"altered PCR 4": {"tpm.quote.pcrs", nil, attestation(func(a map[string]any) {
			a["pcrs"].([]any)[0].(map[string]any)["values"].([]any)[4] = map[string]any{
				"index": 4, "digest": b64(altered.PCRs[4][:]),
			}
		}), nil},
		"a PCR left out": {"tpm.quote.selection", nil, attestation(func(a map[string]any) {
			b := a["pcrs"].([]any)[0].(map[string]any)
			b["values"] = b["values"].([]any)[1:]
		}), nil},
		"a PCR added": {"tpm.quote.selection", func(c *evidencetest.TPMEvidence) {
			c.Mask = 0xff
		}, attestation(func(a map[string]any) {
			b := a["pcrs"].([]any)[0].(map[string]any)
			b["values"] = append(b["values"].([]any), map[string]any{"index": 9, "digest": b64(make([]byte, 32))})
		}), nil},
		"a bank twice": {"tpm.quote.selection", nil, attestation(func(a map[string]any) {
			a["pcrs"] = append(a["pcrs"].([]any), a["pcrs"].([]any)[0])
		}), nil},
		"another bank": {"tpm.quote.selection", nil, attestation(func(a map[string]any) {
			a["pcrs"].([]any)[0].(map[string]any)["algorithm"] = 12
		}), nil},
		"a PCR twice": {"tpm.quote.format", nil, attestation(func(a map[string]any) {
			b := a["pcrs"].([]any)[0].(map[string]any)
			b["values"] = append(b["values"].([]any), b["values"].([]any)[0])
		}), nil},
		"PCR 24": {"tpm.quote.format", nil, attestation(func(a map[string]any) {
			b := a["pcrs"].([]any)[0].(map[string]any)
			b["values"] = []any{map[string]any{"index": 24, "digest": "AA"}}
		}), nil},
		"too few PCRs": {
			"tpm.quote.coverage", func(c *evidencetest.TPMEvidence) { c.Mask = 0xff }, nil, nil,
		},
		"PCRs the policy reads": {
			"tpm.quote.coverage", func(c *evidencetest.TPMEvidence) { c.Mask = 0xff }, nil,
			func(_ *tpm.Config, ev *evidence.Evidence) { mask := uint32(0x100); ev.TPM.Mask = &mask },
		},
		"a log that lies": {"tpm.event-log", func(c *evidencetest.TPMEvidence) { c.Boot = lying }, nil, nil},
		"a log of no form": {"tpm.event-log", nil, attestation(func(a map[string]any) {
			a["logs"] = []any{map[string]any{"type": "TCG", "log": "AAAA"}}
		}), nil},
		"a log of no type": {"tpm.event-log", nil, attestation(func(a map[string]any) {
			a["logs"] = []any{map[string]any{"type": "tcg", "log": ""}}
		}), nil},
		"a certified key for another challenge": {"tpm.quote.nonce",
			func(c *evidencetest.TPMEvidence) { c.Certified = true }, attestation(func(a map[string]any) {
				q := machine.Quote(boot.PCRs, 0xffffff, []byte("another"))
				a["quote"], a["signature"] = b64(q), b64(machine.Sign(q))
			}), nil},
		"another key by quote": {"tpm.key.certified", nil, func(d map[string]any) {
			d["other_keys"] = []any{map[string]any{
				"jwk":  evidencetest.JWK(other.Request.Public()),
				"info": map[string]any{"tpm_quote": map[string]any{"hash_alg": "sha-256"}},
			}}
		}, nil},
		"a certification of another key": {"tpm.key.certified",
			func(c *evidencetest.TPMEvidence) { c.Certified = true }, func(d map[string]any) {
				d["other_keys"] = []any{map[string]any{
					"jwk":  evidencetest.JWK(other.Request.Public()),
					"info": d["request_key"].(map[string]any)["info"],
				}}
			}, nil},
		"a public area altered": {"tpm.key.certified", func(c *evidencetest.TPMEvidence) {
			c.Certified = true
		}, requestKey(func(k map[string]any) {
			certify := k["info"].(map[string]any)["tpm_certify"].(map[string]any)
			certify["public"] = b64(evidencetest.RSAPublicArea(&machine.Request.PublicKey, 0x40052, 0x0010, nil))
		}), nil},
		"a custom claim of no type": {"tpm.format", nil, func(d map[string]any) {
			d["custom_claims"] = []any{map[string]string{"name": "a", "value": "b", "value_type": "float"}}
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			c := healthy()
			if tc.cfg != nil {
				tc.cfg(&c)
			}
			c.Edit = tc.edit
			_, err := verify(t, machine.Evidence(c), tc.around)
			wantRejection(t, name, tc.id, err)
		})
	}
}

// nested is a JSON array of so many levels, and more adds one as a member to a key.
func nested(levels int) string { return strings.Repeat("[", levels) + strings.Repeat("]", levels) }

func more(jwk any, value string) json.RawMessage {
	return json.RawMessage(`{"note":` + value + "," + string(jwk.(json.RawMessage)[1:]))
}

func TestAKeyOf64LevelsIsEchoed(t *testing.T) {
	c := healthy()
	c.Edit = func(d map[string]any) {
		k := d["request_key"].(map[string]any)
		jwk := more(k["jwk"], nested(63))
		sum := sha256.Sum256(append(append([]byte(jwk), 0), challenge...))
		quote := machine.Quote(boot.PCRs, 0xffffff, sum[:])
		k["jwk"] = jwk
		attestation(func(a map[string]any) {
			a["quote"] = base64.RawURLEncoding.EncodeToString(quote)
			a["signature"] = base64.RawURLEncoding.EncodeToString(machine.Sign(quote))
		})(d)
	}
	result, err := verify(t, machine.Evidence(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	if v, _ := result.Claims.Get("cnf"); !strings.Contains(v.String(), nested(63)) {
		t.Errorf("cnf = %v", v)
	}
}

// weakKey is an RSA key of 1024 bits.
func weakKey() json.RawMessage {
	n := new(big.Int).Lsh(big.NewInt(1), 1023)
	return evidencetest.JWK(&rsa.PublicKey{N: n.Add(n, big.NewInt(1)), E: 65537})
}

// TestEmptySelection: CVE-2022-0317. A quote over no register proves nothing.
func TestEmptySelection(t *testing.T) {
	c := healthy()
	b64 := base64.RawURLEncoding.EncodeToString
	c.Edit = attestation(func(a map[string]any) {
		sum := sha256.Sum256(append(append([]byte(evidencetest.JWK(machine.Request.Public())), 0), challenge...))
		q := machine.Quote(boot.PCRs, 0, sum[:])
		a["quote"], a["signature"] = b64(q), b64(machine.Sign(q))
		a["pcrs"] = []any{map[string]any{"algorithm": 11, "values": []any{}}}
	})
	_, err := verify(t, machine.Evidence(c),
		func(_ *tpm.Config, ev *evidence.Evidence) { mask := uint32(0); ev.TPM.Mask = &mask })
	wantRejection(t, "no register", "tpm.quote.selection", err)
}

func TestPolicySwitches(t *testing.T) {
	bare := healthy()
	bare.Bare, bare.Mask = true, 0xff
	mask := uint32(0xf)
	result, err := verify(t, machine.Evidence(bare), func(_ *tpm.Config, ev *evidence.Evidence) {
		ev.TPM = evidence.TPMDemands{AnyKey: true, Mask: &mask}
	})
	if err != nil {
		t.Fatal(err)
	}
	if v, _ := result.Aliases.Get("aikValidated"); v != claims.BooleanValue(false) {
		t.Errorf("aikValidated %v", v)
	}
	enrolled := healthy()
	enrolled.Bare = true
	result, err = verify(t, machine.Evidence(enrolled), func(_ *tpm.Config, ev *evidence.Evidence) {
		ev.Enrolled = func([32]byte) (string, bool) { return "fingerprint", true }
	})
	if err != nil {
		t.Fatal(err)
	}
	if v, _ := result.Aliases.Get("x-probity-tpm-ek"); v != claims.StringValue("fingerprint") {
		t.Errorf("endorsement key %v", v)
	}
}

func TestCertificatesOfOtherKinds(t *testing.T) {
	for name, edit := range map[string]func(*x509.Certificate){
		"an endorsement key's": func(c *x509.Certificate) {
			c.UnknownExtKeyUsage = []asn1.ObjectIdentifier{{2, 23, 133, 8, 1}}
			c.KeyUsage = x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment
		},
		"for encryption": func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment },
		"an authority's": func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = true, true },
		"a server's": func(c *x509.Certificate) {
			c.UnknownExtKeyUsage, c.ExtKeyUsage = nil, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		},
		"not yet valid": func(c *x509.Certificate) { c.NotBefore = now.Add(time.Hour) },
	} {
		m := evidencetest.NewTPM(evidencetest.TPMConfig{Now: now, Root: &machine.Root, Edit: edit})
		_, err := verify(t, m.Evidence(healthy()), nil)
		wantRejection(t, name, "tpm.ak.certificate", err)
	}
}

// TestTimeIsNotRemembered: a chain that was verified is judged at each time again.
func TestTimeIsNotRemembered(t *testing.T) {
	v := tpm.New(tpm.Config{Authorities: roots(t, machine)})
	raw := machine.Evidence(healthy())
	for range 2 {
		if _, err := v.Verify(t.Context(),
			evidence.Evidence{Raw: raw, Challenge: challenge, Time: now}); err != nil {
			t.Fatal(err)
		}
		_, err := v.Verify(t.Context(),
			evidence.Evidence{Raw: raw, Challenge: challenge, Time: now.AddDate(5, 0, 0)})
		wantRejection(t, "later", "tpm.ak.certificate", err)
	}
}

// TestSHA1: banks and signatures of SHA-1 are accepted only if the operator says so.
func TestSHA1(t *testing.T) {
	if _, err := tpm.ParseSignature([]byte{0, 0x14, 0, 4, 0, 0}); err != nil {
		t.Fatal(err)
	}
	c := healthy()
	c.Edit = attestation(func(a map[string]any) {
		b := []byte{0, 0x14, 0, 4}
		a["signature"] = base64.RawURLEncoding.EncodeToString(append(b, 0, 0))
	})
	_, err := verify(t, machine.Evidence(c), nil)
	wantRejection(t, "a signature that failed verification", "tpm.quote.signature", err)
}

func TestIMABesideTheLog(t *testing.T) {
	measured := evidencetest.HealthyBoot(evidencetest.BootConfig{})
	list, pcr10 := evidencetest.IMA(evidencetest.IMAEntry{Path: "/bin/sh"})
	measured.PCRs[10] = pcr10
	c := healthy()
	c.Boot, c.IMA = measured, list
	result, err := verify(t, machine.Evidence(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	events, _ := result.Aliases.Get("events")
	text, _ := events.Text()
	if !strings.Contains(text, `"IMA_MEASUREMENT_EVENT"`) || !strings.Contains(text, `"Path":"/bin/sh"`) {
		t.Error("no IMA events")
	}
	other, _ := evidencetest.IMA(evidencetest.IMAEntry{Path: "/bin/other"})
	c.IMA = other
	_, err = verify(t, machine.Evidence(c), nil)
	wantRejection(t, "another list", "tpm.event-log", err)
}

func TestARequestHasOneText(t *testing.T) {
	var message struct {
		Payload struct {
			Request string `json:"request"`
		} `json:"payload"`
	}
	if err := json.Unmarshal(machine.Evidence(healthy()), &message); err != nil {
		t.Fatal(err)
	}
	good := message.Payload.Request
	judge := func(text string) error {
		raw, err := json.Marshal(map[string]string{"request": text})
		if err != nil {
			t.Fatal(err)
		}
		_, err = verify(t, raw, nil)
		return err
	}
	if err := judge(good); err != nil {
		t.Fatal(err)
	}
	for text := range jwstest.Neighbours(good) {
		if judge(text) == nil {
			t.Errorf("…%q is accepted", text[max(0, len(text)-40):])
		}
	}
}

func TestCustomClaims(t *testing.T) {
	c := healthy()
	c.Edit = func(d map[string]any) {
		d["custom_claims"] = []any{
			map[string]string{"name": "site", "value": "berlin", "value_type": "string"},
			map[string]string{"name": "rack", "value": "7", "value_type": "integer"},
		}
	}
	result, err := verify(t, machine.Evidence(c),
		func(c *tpm.Config, _ *evidence.Evidence) { c.CustomPrefix = "urn:site:" })
	if err != nil {
		t.Fatal(err)
	}
	for _, claim := range result.Aliases.All() {
		if claim.Type == "urn:site:rack" && claim.Issuer == claims.CustomClaim &&
			claim.Value == claims.IntegerValue(7) {
			return
		}
	}
	t.Error("no custom claim, or one that the service vouches for")
}

func TestEnrolmentKeys(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	const ak, ek = 0x50072, 0x300b2
	area := func(attributes uint32, scheme uint16) *tpm.Public {
		p, err := tpm.ParsePublic(evidencetest.RSAPublicArea(&key.PublicKey, attributes, scheme, nil))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	if err := tpm.ValidateAK(area(ak, 0x14)); err != nil {
		t.Error(err)
	}
	if err := tpm.CheckEK(area(ek, 0x10), key.Public()); err != nil {
		t.Error(err)
	}
	for name, p := range map[string]*tpm.Public{
		"not restricted": area(ak&^0x10000, 0x14), "not of the TPM": area(ak&^2, 0x14),
		"movable":    area(ak&^0x10, 0x14),
		"imported":   area(ak&^0x20, 0x14),
		"decrypting": area(ak|0x20000, 0x14), "not signing": area(ak&^0x40000, 0x14),
		"of no scheme": area(ak, 0x10),
	} {
		if tpm.ValidateAK(p) == nil {
			t.Errorf("an attestation key %s was taken", name)
		}
	}
	if tpm.CheckEK(area(ak, 0x14), nil) == nil || tpm.CheckEK(area(ek, 0x10), machine.AK.Public()) == nil {
		t.Error("another key was taken for an endorsement key")
	}
	credential, err := tpm.MakeCredential(rand.Reader,
		evidencetest.RSAPublicArea(&key.PublicKey, ek, 0x10, nil), area(ak, 0x14).Name(), make([]byte, 32))
	if err != nil || len(credential.Secret) != 256 ||
		!bytes.HasPrefix(credential.File(), []byte{0xba, 0xdc, 0xc0, 0xde}) {
		t.Errorf("%+v, %v", credential, err)
	}
	if _, err := tpm.MakeCredential(rand.Reader, []byte("nothing"), nil, nil); err == nil {
		t.Error("a credential for no key")
	}
	secret := bytes.Repeat([]byte{7}, tpm.CredentialSize)
	if !tpm.ActivatedBy(secret, bytes.Clone(secret)) || tpm.ActivatedBy(secret, secret[:31]) ||
		tpm.ActivatedBy(nil, nil) {
		t.Error("secrets are compared wrongly")
	}
}

func FuzzParseRequest(f *testing.F) {
	f.Add(machine.Evidence(healthy()))
	f.Add([]byte(`{"current_attestation":{"logs":[],"pcrs":[]}}`))
	v := tpm.New(tpm.Config{})
	f.Fuzz(func(t *testing.T, raw []byte) {
		v.Verify(t.Context(), evidence.Evidence{Raw: raw, Time: now, TPM: evidence.TPMDemands{AnyKey: true}})
	})
}

func FuzzParseAttestation(f *testing.F) {
	f.Add(machine.Quote(boot.PCRs, 0xff, challenge))
	f.Add(machine.Certify([]byte("x"), challenge))
	f.Add(machine.Sign([]byte("x")))
	f.Add(evidencetest.RSAPublicArea(&machine.Request.PublicKey, 0x50072, 0x14, nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		tpm.ParseAttestation(b)
		tpm.ParseSignature(b)
		tpm.ParsePublic(b)
		tpm.ParseSizedPublic(b)
		tpm.ParseCertificate(b)
	})
}
