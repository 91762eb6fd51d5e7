package kbs_test

import (
	"bytes"
	"crypto/elliptic"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/probity-dev/probity/evidence/evidencetest"
	"github.com/probity-dev/probity/evidence/snp"
	"github.com/probity-dev/probity/internal/kbs"
	"github.com/probity-dev/probity/test/kit/kbstest"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const nonce = "the nonce of the session"

func refused(t *testing.T, what string, err, check error) {
	t.Helper()
	var r *kbs.Refused
	switch {
	case !errors.As(err, &r):
		t.Errorf("%s: %v", what, err)
	case !errors.Is(err, check):
		t.Errorf("%s: %v, want %v", what, err, check)
	case r.Expected == "" || r.Found == "" || r.Remedy == "":
		t.Errorf("%s: a refusal that does not explain itself: %+v", what, r.Check)
	}
}

func TestRequests(t *testing.T) {
	for body, want := range map[string]kbs.Request{
		`{"version":"0.4.0","tee":"snp","extra-params":{"supported-hash-algorithms":["sha384"]}}`: {Version: 4, TEE: kbs.SNP},
		`{"version":"0.2.0","tee":"tdx","extra-params":""}`:                                       {Version: 2, TEE: kbs.TDX},
		`{"version":"0.4.17","tee":"azsnpvtpm"}`:                                                  {Version: 4, TEE: kbs.AzSNPvTPM},
		`{"version":"0.4.0","tee":"az-tdx-vtpm","more":1}`:                                        {Version: 4, TEE: kbs.AzTDXvTPM},
	} {
		got, err := kbs.ParseRequest([]byte(body))
		if err != nil || *got != want {
			t.Errorf("%s: %v %v", body, got, err)
		}
	}
	for body, check := range map[string]error{
		"": kbs.CheckRequest, "[]": kbs.CheckRequest, `"snp"`: kbs.CheckRequest, "{": kbs.CheckRequest,
		`{"version":1,"tee":"snp"}`:                   kbs.CheckRequest,
		`{"version":"0.4.0","tee":["snp"]}`:           kbs.CheckRequest,
		`{"version":"0.4.0","tee":"snp","tee":"tdx"}`: kbs.CheckRequest,
		strings.Repeat(`{"a":`, 100):                  kbs.CheckRequest,
		`{"a":"` + strings.Repeat("x", 20<<10) + `"}`: kbs.CheckRequest,
		`{"tee":"snp"}`:                               kbs.CheckVersion,
		`{"version":"","tee":"snp"}`:                  kbs.CheckVersion,
		`{"version":"0.1.0","tee":"snp"}`:             kbs.CheckVersion,
		`{"version":"0.1.1","tee":"snp"}`:             kbs.CheckVersion,
		`{"version":"0.3.0","tee":"snp"}`:             kbs.CheckVersion,
		`{"version":"0.5.0","tee":"snp"}`:             kbs.CheckVersion,
		`{"version":"1.4.0","tee":"snp"}`:             kbs.CheckVersion,
		`{"version":"0.4","tee":"snp"}`:               kbs.CheckVersion,
		`{"version":"0.4.0-rc1","tee":"snp"}`:         kbs.CheckVersion,
		`{"version":"0.4.0"}`:                         kbs.CheckTEE,
		`{"version":"0.4.0","tee":"SNP"}`:             kbs.CheckTEE,
		`{"version":"0.4.0","tee":"sample"}`:          kbs.CheckTEE,
		`{"version":"0.4.0","tee":"sampledevice"}`:    kbs.CheckTEE,
		`{"version":"0.4.0","tee":"sgx"}`:             kbs.CheckTEE,
		`{"version":"0.4.0","tee":"csv"}`:             kbs.CheckTEE,
	} {
		_, err := kbs.ParseRequest([]byte(body))
		refused(t, fmt.Sprintf("%.60s", body), err, check)
	}
}

func TestMessagesAreReadByTheirVersion(t *testing.T) {
	g := kbstest.NewEC(elliptic.P256())
	good := map[string]any{"quote": "AA=="}
	for version, minor := range map[string]int{"0.2.0": 2, "0.4.0": 4} {
		a, err := kbs.ParseAttestation(kbs.Request{Version: minor, TEE: kbs.TDX}, g.Attest(version, nonce,
			good, nil), nonce)
		if err != nil {
			t.Fatal(version, err)
		}
		data, err := a.ReportData()
		if want := g.ReportData(version, nonce); err != nil || !bytes.Equal(data, want) {
			t.Errorf("%s: %x %v, want %x", version, data, err, want)
		}
	}
	message := func(edit func(m, runtime, evidence map[string]any)) []byte {
		var m map[string]any
		if err := json.Unmarshal(g.Attest("0.4.0", nonce, good, nil), &m); err != nil {
			t.Fatal(err)
		}
		edit(m, m["runtime-data"].(map[string]any), m["tee-evidence"].(map[string]any))
		b, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	key := func(edit func(map[string]any)) []byte {
		return message(func(_, r, _ map[string]any) { edit(r["tee-pubkey"].(map[string]any)) })
	}
	type object = map[string]any
	for name, tc := range map[string]struct {
		body  []byte
		check error
	}{
		"nothing":       {nil, kbs.CheckMessage},
		"no object":     {[]byte(`[1]`), kbs.CheckMessage},
		"text after it": {append(message(func(_, _, _ object) {}), "x"...), kbs.CheckMessage},
		"no runtime data": {message(func(m, _, _ object) { delete(m, "runtime-data") }),
			kbs.CheckMessage},
		"the key of older versions": {message(func(m, _, _ object) { m["tee-pubkey"] = g.JWK }),
			kbs.CheckMessage},
		"evidence that is no object": {message(func(m, _, _ object) { m["tee-evidence"] = "x" }),
			kbs.CheckMessage},
		"no evidence": {message(func(m, _, _ object) { delete(m, "tee-evidence") }),
			kbs.CheckMessage},
		"devices that are no text": {message(func(_, _,
			e object) {
			e["additional_evidence"] = object{}
		}), kbs.CheckMessage},
		"an older message": {g.Attest("0.2.0", nonce, good, nil), kbs.CheckMessage},
		"another nonce": {message(func(_, r, _ object) { r["nonce"] = "other" }),
			kbs.CheckNonce},
		"no nonce": {message(func(_, r, _ object) { delete(r, "nonce") }), kbs.CheckNonce},
		"evidence of a device": {message(func(_, _,
			e object) {
			e["additional_evidence"] = `{"nvidia":{}}`
		}), kbs.CheckDevices},
		"devices that are not JSON": {message(func(_, _,
			e object) {
			e["additional_evidence"] = "nvidia"
		}), kbs.CheckDevices},
		"init data without a format": {message(func(m, _,
			_ object) {
			m["init-data"] = object{"body": "x"}
		}), kbs.CheckInitData},
		"init data without a body": {message(func(m, _,
			_ object) {
			m["init-data"] = object{"format": "toml"}
		}), kbs.CheckInitData},
		"init data in another format": {message(func(m, _,
			_ object) {
			m["init-data"] = object{"format": "yaml", "body": ""}
		}), kbs.CheckInitData},
		"init data that are a text": {message(func(m, _, _ object) { m["init-data"] = "x" }),
			kbs.CheckInitData},
		"no key": {message(func(_, r, _ object) { delete(r, "tee-pubkey") }),
			kbs.CheckKey},
		"a key that is a text":  {message(func(_, r, _ object) { r["tee-pubkey"] = "x" }), kbs.CheckKey},
		"a key of another type": {key(func(k object) { k["kty"] = "OKP" }), kbs.CheckKey},
		"a symmetric key": {key(func(k object) { clear(k); k["kty"], k["k"] = "oct", "AAAA" }),
			kbs.CheckKey},
		"a private key":                {key(func(k object) { k["d"] = k["x"] }), kbs.CheckKey},
		"a key with a kid":             {key(func(k object) { k["kid"] = "k" }), kbs.CheckKey},
		"a point that is on no curve":  {key(func(k object) { k["x"] = k["y"] }), kbs.CheckKey},
		"a curve that is not accepted": {key(func(k object) { k["crv"] = "secp256k1" }), kbs.CheckKey},
		"no algorithm":                 {key(func(k object) { delete(k, "alg") }), kbs.CheckKey},
		"an algorithm of RSA for EC":   {key(func(k object) { k["alg"] = "RSA-OAEP-256" }), kbs.CheckKey},
		"a number in a key":            {key(func(k object) { k["x"] = 1 }), kbs.CheckKey},
		"a key that is long": {key(func(k object) { k["x"] = strings.Repeat("A", 5000) }),
			kbs.CheckKey},
		"RSA with PKCS#1 v1.5": {message(func(_, r, _ object) {
			r["tee-pubkey"] = kbstest.NewRSA("RSA1_5").JWK
		}), kbs.CheckKey},
		"an RSA key of 1024 bits": {message(func(_, r, _ object) {
			r["tee-pubkey"] = object{"kty": "RSA", "alg": "RSA-OAEP-256", "e": "AQAB",
				"n": strings.Repeat("_", 170)}
		}), kbs.CheckKey},
	} {
		_, err := kbs.ParseAttestation(kbs.Request{Version: 4, TEE: kbs.TDX}, tc.body, nonce)
		refused(t, name, err, tc.check)
	}
	_, err := kbs.ParseAttestation(kbs.Request{Version: 2, TEE: kbs.TDX}, g.Attest("0.4.0", nonce, good,
		nil), nonce)
	refused(t, "a newer message", err, kbs.CheckMessage)
}

func TestSecretsAreEncryptedAsStockGuestsOpenThem(t *testing.T) {
	for name, g := range map[string]*kbstest.Guest{
		"P-256": kbstest.NewEC(elliptic.P256()), "P-384": kbstest.NewEC(elliptic.P384()),
		"P-521": kbstest.NewEC(elliptic.P521()), "RSA-OAEP": kbstest.NewRSA(kbs.RSAOAEP),
		"RSA-OAEP-256": kbstest.NewRSA(kbs.RSAOAEP256),
	} {
		jwk, err := json.Marshal(g.JWK)
		if err != nil {
			t.Fatal(err)
		}
		to, err := kbs.ParseRecipient(jwk)
		if err != nil || to.Thumbprint == "" || to.Algorithm != g.JWK["alg"] {
			t.Fatal(name, err)
		}
		for _, secret := range [][]byte{{}, []byte("x"), bytes.Repeat([]byte{1}, 64<<10)} {
			message, err := to.Encrypt(secret)
			if err != nil {
				t.Fatal(name, err)
			}
			got, err := g.Open(message)
			if err != nil || !bytes.Equal(got, secret) {
				t.Errorf("%s: %d bytes, %v", name, len(got), err)
			}
			if _, err := kbstest.NewEC(elliptic.P256()).Open(message); err == nil {
				t.Errorf("%s: another guest opens it", name)
			}
		}
	}
}

// parsed is the message of a guest of a kind with evidence.
func parsed(t *testing.T, tee kbs.TEE, evidence any, initData *string) *kbs.Attestation {
	t.Helper()
	g := kbstest.NewEC(elliptic.P256())
	a, err := kbs.ParseAttestation(kbs.Request{Version: 4, TEE: tee}, g.Attest("0.4.0", nonce, evidence,
		initData), nonce)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestReportsArePutTogether to the byte, from both forms and on all lines.
func TestReportsArePutTogether(t *testing.T) {
	for _, line := range []snp.Line{snp.Milan, snp.Genoa, snp.Turin} {
		amd := evidencetest.NewAMD(evidencetest.AMDConfig{Now: now, Line: line})
		chip := amd.Chip(evidencetest.ChipConfig{TCB: snp.RawTCB{1, 2, 3, 4, 0, 0, 0, 8}})
		if line != snp.Turin {
			chip.TCB = snp.RawTCB{1, 2, 0, 0, 0, 0, 3, 4}
		}
		for _, version := range []uint32{2, 3, 5} {
			if line == snp.Turin && version == 2 {
				continue
			}
			report := chip.Report(evidencetest.ReportConfig{Version: version, Measurement: [48]byte{1, 2, 3},
				HostData: [32]byte{9}, Edit: func(b []byte) {
					if version == 5 {
						b[0x1f8], b[0x200] = 5, 6
					}
					b[0x1ec] = 42
				}})
			for _, old := range []bool{false, true} {
				if old && line == snp.Turin {
					continue // the older library does not know it
				}
				e, err := parsed(t, kbs.SNP, kbstest.SNP(report, append(chip.PEM(), amd.Chain(false)...),
					old), nil).Evidence()
				if err != nil {
					t.Fatal(line, version, old, err)
				}
				f, err := snp.Frame(e.Raw)
				if err != nil || !bytes.Equal(f.Report, report) || !bytes.Contains(f.Certificates, chip.PEM()) {
					t.Errorf("%s, version %d, old %v: another report, %v", line, version, old, err)
				}
			}
		}
	}
}

func TestEvidenceOfAnotherForm(t *testing.T) {
	amd := evidencetest.NewAMD(evidencetest.AMDConfig{Now: now})
	chip := amd.Chip(evidencetest.ChipConfig{})
	type object = map[string]any
	report := func(edit func(e, r object)) any {
		e := kbstest.SNP(chip.Report(evidencetest.ReportConfig{}), chip.PEM(), false)
		edit(e, e["attestation_report"].(object))
		return e
	}
	quote := func(edit func(e, q object)) any {
		tpm := evidencetest.NewTPM(evidencetest.TPMConfig{Now: now})
		e := kbstest.TPM(tpm, [24][32]byte{}, make([]byte, 48), tpm.AKCert.RawSubjectPublicKeyInfo)
		edit(e, e["tpm_quote"].(object))
		return e
	}
	for name, tc := range map[string]struct {
		tee kbs.TEE
		e   any
	}{
		"a text":                    {kbs.SNP, "x"},
		"null":                      {kbs.SNP, nil},
		"an array":                  {kbs.TDX, []int{1}},
		"SNP: nothing":              {kbs.SNP, object{}},
		"SNP: a quote":              {kbs.SNP, kbstest.TDX([]byte("q"), nil)},
		"SNP: the report in base64": {kbs.SNP, object{"attestation_report": "AAAA"}},
		"SNP: a field is missing":   {kbs.SNP, report(func(_, r object) { delete(r, "measurement") })},
		"SNP: a field is null":      {kbs.SNP, report(func(_, r object) { r["report_data"] = nil })},
		"SNP: a field is short":     {kbs.SNP, report(func(_, r object) { r["chip_id"] = []int{1} })},
		"SNP: a field is long": {kbs.SNP, report(func(_,
			r object) {
			r["host_data"] = make([]int, 33)
		})},
		"SNP: a byte of 256": {kbs.SNP, report(func(_,
			r object) {
			r["family_id"] = append(make([]int, 15), 256)
		})},
		"SNP: a negative byte": {kbs.SNP, report(func(_,
			r object) {
			r["family_id"] = append(make([]int, 15), -1)
		})},
		"SNP: a number of 33 bits": {kbs.SNP, report(func(_, r object) { r["guest_svn"] = 1 << 32 })},
		"SNP: a fraction":          {kbs.SNP, report(func(_, r object) { r["vmpl"] = 0.5 })},
		"SNP: a number as a text":  {kbs.SNP, report(func(_, r object) { r["policy"] = "1" })},
		"SNP: a level is missing": {kbs.SNP, report(func(_,
			r object) {
			r["launch_tcb"] = object{"snp": 1}
		})},
		"SNP: a level of 300": {kbs.SNP, report(func(_,
			r object) {
			r["current_tcb"].(object)["snp"] = 300
		})},
		"SNP: no signature": {kbs.SNP, report(func(_, r object) { delete(r, "signature") })},
		"SNP: half a signature": {kbs.SNP, report(func(_,
			r object) {
			delete(r["signature"].(object), "s")
		})},
		"SNP: a version without build": {kbs.SNP, report(func(_,
			r object) {
			r["current"] = object{"major": 1, "minor": 2}
		})},
		"SNP: an empty certificate": {kbs.SNP, report(func(e,
			_ object) {
			e["cert_chain"] = []object{{"cert_type": "ARK", "data": []int{}}}
		})},
		"SNP: a certificate of other bytes": {kbs.SNP, report(func(e,
			_ object) {
			e["cert_chain"] = []object{{"cert_type": "ARK", "data": []int{999}}}
		})},
		"SNP: many certificates": {kbs.SNP, report(func(e,
			_ object) {
			e["cert_chain"] = make([]object, 17)
		})},
		"TDX: nothing":                 {kbs.TDX, object{}},
		"TDX: no base64":               {kbs.TDX, object{"quote": "?"}},
		"TDX: no quote":                {kbs.TDX, kbstest.TDX([]byte("no quote"), nil)},
		"TDX: a log that is no base64": {kbs.TDX, object{"quote": "AAAA", "cc_eventlog": "?"}},
		"Azure: nothing":               {kbs.AzSNPvTPM, object{}},
		"Azure: version 3":             {kbs.AzSNPvTPM, object{"version": 3}},
		"Azure: no quote":              {kbs.AzSNPvTPM, object{"version": 2}},
		"Azure: evidence of a TPM":     {kbs.AzTDXvTPM, quote(func(e, _ object) { e["version"] = 1 })},
		"TPM: nothing":                 {kbs.TPM, object{}},
		"TPM: no key":                  {kbs.TPM, quote(func(e, _ object) { delete(e, "ak_public") })},
		"TPM: a key that is none":      {kbs.TPM, quote(func(e, _ object) { e["ak_public"] = "AAAA" })},
		"TPM: no message":              {kbs.TPM, quote(func(_, q object) { q["message"] = "" })},
		"TPM: no signature":            {kbs.TPM, quote(func(_, q object) { delete(q, "signature") })},
		"TPM: 23 registers": {kbs.TPM, quote(func(_,
			q object) {
			q["pcrs"] = q["pcrs"].([]string)[1:]
		})},
		"TPM: a register of SHA-1": {kbs.TPM, quote(func(_,
			q object) {
			q["pcrs"].([]string)[3] = strings.Repeat("00", 20)
		})},
		"TPM: a register that is no hex": {kbs.TPM, quote(func(_,
			q object) {
			q["pcrs"].([]string)[0] = "x"
		})},
	} {
		_, err := parsed(t, tc.tee, tc.e, nil).Evidence()
		refused(t, name, err, kbs.CheckEvidence)
	}
}

func TestNamesOfKeys(t *testing.T) {
	for _, tc := range [][5]string{
		{"default", "key", "disk", "default-key-disk", "default/key/disk"},
		{"Default", "my_type", "a.b", "Default-my-type-a-b", "Default/my_type/a.b"},
		{"a-b", "c", "é", "a-b-c--", "a-b/c/é"},
	} {
		if name, path := kbs.KeyName(tc[0], tc[1], tc[2]); name != tc[3] || path != tc[4] {
			t.Errorf("%v: %s %s", tc, name, path)
		}
	}
}

func FuzzParseRequest(f *testing.F) {
	f.Add(kbstest.Auth("0.4.0", "snp"))
	f.Fuzz(func(_ *testing.T, b []byte) { kbs.ParseRequest(b) })
}

// FuzzAttestation begins with messages around evidence without signatures: keys would take each worker its time.
func FuzzAttestation(f *testing.F) {
	g := kbstest.NewEC(elliptic.P256())
	report := make([]byte, snp.ReportSize)
	report[0], report[0x188] = 3, 0x19
	runtime := fmt.Appendf(nil, `{"keys":[{"kid":"HCLAkPub","kty":"RSA","e":"AQAB","n":"%s"}],"user-data":"%0128d"}`,
		strings.Repeat("_", 342), 0)
	azure := func(kind uint32, name string) map[string]any {
		return map[string]any{"version": 1, name: "AAAA", "tpm_quote": map[string]any{"signature": "01", "message": "02",
			"pcrs": slices.Repeat([]string{strings.Repeat("00", 32)}, 24)},
			"hcl_report": base64.URLEncoding.EncodeToString(evidencetest.HCL(kind, report[:1024], runtime))}
	}
	tpm := azure(2, "vcek")
	delete(tpm, "hcl_report")
	tpm["ak_public"] = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE"
	initData := "x"
	for i, e := range []any{kbstest.SNP(report, nil, false), kbstest.TDX([]byte("quote"), []byte("log")),
		azure(2, "vcek"), azure(4, "td_quote"), tpm, kbstest.SNP(report, nil, true)} {
		f.Add(i, true, g.Attest("0.4.0", nonce, e, &initData))
		f.Add(i, false, g.Attest("0.2.0", nonce, e, nil))
	}
	f.Fuzz(func(t *testing.T, kind int, newer bool, b []byte) {
		r := kbs.Request{Version: 2, TEE: kbs.TEEs()[uint(kind)%uint(len(kbs.TEEs()))]}
		if newer {
			r.Version = 4
		}
		a, err := kbs.ParseAttestation(r, b, nonce)
		if err != nil {
			return
		}
		if c, err := a.Challenge(); err != nil || len(c) == 0 {
			t.Errorf("no challenge: %v", err)
		}
		if e, err := a.Evidence(); err == nil && len(e.Raw) == 0 {
			t.Error("no evidence and no error")
		}
	})
}

func FuzzParseRecipient(f *testing.F) {
	for _, g := range []*kbstest.Guest{kbstest.NewEC(elliptic.P384()), kbstest.NewRSA(kbs.RSAOAEP256)} {
		b, err := json.Marshal(g.JWK)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		to, err := kbs.ParseRecipient(b)
		if err != nil {
			return
		}
		if _, err := to.Encrypt([]byte("x")); err != nil {
			t.Error(err)
		}
		again, err := kbs.ParseRecipient(to.JWK)
		if err != nil || again.Thumbprint != to.Thumbprint || string(again.JWK) != string(to.JWK) {
			t.Errorf("the canonical form is another key: %v", err)
		}
	})
}
