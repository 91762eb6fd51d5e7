package worst

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/probity-dev/probity/appraisal"
	"github.com/probity-dev/probity/claims"
	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/azureguest"
	"github.com/probity-dev/probity/evidence/cca"
	"github.com/probity-dev/probity/evidence/dcap"
	"github.com/probity-dev/probity/evidence/eventlog"
	"github.com/probity-dev/probity/evidence/forms"
	"github.com/probity-dev/probity/evidence/nitro"
	"github.com/probity-dev/probity/evidence/openenclave"
	"github.com/probity-dev/probity/evidence/ratls"
	"github.com/probity-dev/probity/evidence/snp"
	"github.com/probity-dev/probity/evidence/uvm"
	"github.com/probity-dev/probity/internal/api/data/wire"
	"github.com/probity-dev/probity/policy/policyjws"
	"github.com/probity-dev/probity/token"
)

// fill repeats a text up to the size of the largest input.
func fill(text string) []byte { return []byte(strings.Repeat(text, maxInput/len(text))) }

func within(before, text, after string) []byte {
	return []byte(before + strings.Repeat(text, (maxInput-len(before)-len(after))/len(text)) + after)
}

// blobs are inputs of a megabyte that are expensive for some form.
func blobs() map[string][]byte {
	random := make([]byte, maxInput)
	source := rand.NewChaCha8([32]byte{1})
	_, _ = source.Read(random)
	utf := make([]byte, 0, maxInput)
	for _, unit := range utf16.Encode([]rune(hex.EncodeToString(random[:maxInput/4]))) {
		utf = append(utf, byte(unit), byte(unit>>8))
	}
	nested := random[:maxInput/10]
	for range 8 {
		nested = []byte(base64.StdEncoding.EncodeToString(nested))
	}
	bytesJSON, err := json.Marshal(asNumbers(random[:maxInput/4]))
	if err != nil {
		panic(err)
	}
	block := "-----BEGIN CERTIFICATE-----\nMAMCAQA=\n-----END CERTIFICATE-----\n"
	return map[string][]byte{
		"zeros": fill("\x00"), "ones": fill("\xff"), "random": random, "spaces": fill(" "),
		"open brackets": fill("["), "open braces": fill(`{"a":`),
		"a JSON text": within(`{"quote":"`, `\u0041`, `"}`), "a JSON list": within("[0", ",0", "]"),
		"JSON names":            []byte("{" + numbered(`"%d":0`, 90_000) + "}"),
		"a list without an end": within("[0", ",0", "0"), "a JSON list of lists": within("[[]", ",[]", "]"),
		"JSON objects": within(`{"a":[{}`, `,{"":0}`, "]}"), "JSON numbers": bytesJSON,
		"a long number":     fill("1"),
		"members of a body": []byte(`{"runtimeData":{` + numbered(`"%d":0`, 80_000) + "}}"),
		"a body in base64":  within(`{"quote":"`, "AAAA", `"}`),
		"hex":               []byte(hex.EncodeToString(random[:maxInput/2])),
		"base64":            []byte(base64.StdEncoding.EncodeToString(random[:maxInput*3/4])),
		"base64 of base64":  nested,
		"hex dump":          hexDump(1), "hex dump that breaks off": hexDump(2),
		"hex dump of one line": within("0000:", " 00", ""),
		"asterisks":            within("00000000  00 00 00 00\n", "*\n00010000  00\n", ""),
		"escapes":              fill(`\x41`), "a quoted string": within(`q = b'`, `\n`, "'"),
		"Latin-1": fill("\u00fc"), "lost bytes": fill("\ufffd"), "decimals": fill("1 "),
		"UTF-16": utf, "certificates": fill(block),
		"certificates without an end": fill("-----BEGIN CERTIFICATE-----\n"),
		"lines":                       fill("\n"), "equal signs": fill("="),
		"dots": fill("."), "minus signs": fill("-"), "ASN.1 sequences": fill("\x30\x80"),
		"nested ASN.1":   fill("\x30\x83\x0f\xff\x00"),
		"ASN.1 integers": within("\x30\x83\x0f\xff\xfb", "\x02\x01\x00", ""),
		"CBOR lists":     fill("\x81"), "CBOR lists without length": fill("\x9f"),
		"CBOR maps": fill("\xa1\x00"),
		"CBOR tags": fill("\xc6"), "CBOR chunks": within("\x5f", "\x41\x00", "\xff"),
		"a COSE message": within("\xd2\x84\x40\xa0\x5a\x00\x0f\xff\xf0", "\x81", "\x40"),
		"a COSE payload of maps": within("\xd2\x84\x40\xa0\x5a\x00\x0f\xff\xf0\xb9\x01\x00",
			"\x00\x81", "\x40"),
		"a COSE message without a tag": within("\x84\x43\xa1\x01\x26\xa0\x5a\x00\x0f\xff\xf0", "\xa1\x60", "\x40"),
		"a list of chunks in COSE":     within("\xd2\x84\x40\xa0\x5f", "\x41\xa0", "\xff\x40"),
		"events":                       fill(legacyEvent(8, 1, "")),
		"events of new form":           newLog(legacyEvent2(8, 1, "")),
		"tags":                         windowsLog(legacyEvent2(12, 6, tags(60_000))),
		"nested tags":                  windowsLog(legacyEvent2(12, 6, aggregations(7, tags(50_000)))),
		"a GRUB text":                  newLog(legacyEvent2(8, 0xd, strings.Repeat("a", 500_000))),
		"a UKI text":                   newLog(legacyEvent2(11, 0xd, strings.Repeat("a\x00", 250_000))),
		"a UEFI variable": newLog(legacyEvent2(7, 0x80000001,
			variable(strings.Repeat("\x00", 480_000)))),
		"IMA": imaList("ima", 20+4+1), "IMA of new form": imaList("ima-ng", 0),
		"IMA buffers": imaList("ima-buf", 0),
		"an IMA text": fill("10 " + strings.Repeat("0", 40) + " ima " + strings.Repeat("0", 40) + " a\n"),
		"a JWS": []byte(base64.RawURLEncoding.EncodeToString(within(`{"alg":"none","x":[0`, ",0",
			"]}")[:maxInput/2]) + "." + strings.Repeat("A", maxInput/4) + "."),
	}
}

func asNumbers(b []byte) []int {
	list := make([]int, len(b))
	for i, c := range b {
		list[i] = int(c)
	}
	return list
}

// hexDump is one of a megabyte. Its last line is wrong unless step is 1.
func hexDump(step int) (b []byte) {
	at := 0
	for ; len(b) < maxInput-100; at += 16 {
		b = fmt.Appendf(b, "%08x: 0300 0200 0000 0000 0000 0000 939a 7233  ..........\n", at)
	}
	return fmt.Appendf(b, "%08x: 03\n", at+step-1)
}

func parsers() map[string]func([]byte) {
	kinds := evidence.Kinds()
	verifiers := appraisal.Verifiers(appraisal.Trust{})
	list := map[string]func([]byte){
		"claims.ParseSet":      func(b []byte) { _, _ = claims.ParseSet(b, claims.CustomClaim) },
		"wire.Decode":          func(b []byte) { _, _ = wire.Decode(b) },
		"evidence.Object":      func(b []byte) { _, _ = (&evidence.Data{Bytes: b}).Object() },
		"forms.Explain":        func(b []byte) { forms.Explain(kinds[0], b) },
		"forms.Decode":         func(b []byte) { _, _, _ = forms.Decode("", b) },
		"azureguest.ParseInfo": func(b []byte) { _, _ = azureguest.ParseInfo(b) },
		"azureguest.ParseHCL":  func(b []byte) { _, _ = azureguest.ParseHCL(b) },
		"cca.Parse":            func(b []byte) { _, _ = cca.Parse(b) }, "nitro.Parse": func(b []byte) {
			_, _ = nitro.Parse(b)
		}, "uvm.Inspect": func(b []byte) { _, _ = uvm.Inspect(b) },
		"openenclave.Parse":             func(b []byte) { _, _ = openenclave.Parse(b) },
		"openenclave.ParseCustomClaims": func(b []byte) { _, _ = openenclave.ParseCustomClaims(b) },
		"openenclave.ParseEndorsements": func(b []byte) { _, _ = openenclave.ParseEndorsements(b) },
		"ratls.Parse":                   func(b []byte) { _, _ = ratls.Parse(b) },
		"snp.ParseCertificates":         func(b []byte) { _, _ = snp.ParseCertificates(b) },
		"dcap.ParseTCBInfo":             func(b []byte) { _, _ = dcap.ParseTCBInfo(b) },
		"collateral.ParseSet":           func(b []byte) { _, _ = collateral.ParseSet(b) },
		"token.Decode":                  func(b []byte) { _, _, _ = token.Decode(string(b)) },
		"policyjws.Parse":               func(b []byte) { _, _ = policyjws.Parse(string(b)) },
		"eventlog.Recognize":            func(b []byte) { _, _ = eventlog.Recognize(b) },
		"eventlog.RecognizeIMA":         func(b []byte) { _, _ = eventlog.RecognizeIMA(b) },
		"eventlog.Prove":                func(b []byte) { proveLog(b) },
		"eventlog.Prove of IMA":         func(b []byte) { proveIMA(b) },
	}
	for _, v := range verifiers {
		list["Verify "+string(v.Kind())] = func(b []byte) {
			_, _ = v.Verify(context.Background(), evidence.Evidence{
				Raw:         b,
				Time:        time.Unix(1_700_000_000, 0),
				TPM:         evidence.TPMDemands{AnyKey: true},
				RuntimeData: &evidence.Data{Bytes: b, Type: evidence.JSON},
				EventLog:    b,
			})
		}
	}
	return list
}

// TestTheLogsAreProven makes sure that the work which is measured is done.
func TestTheLogsAreProven(t *testing.T) {
	inputs := blobs()
	for _, name := range []string{
		"events of new form", "tags", "nested tags", "a GRUB text", "a UKI text", "a UEFI variable",
	} {
		if proveLog(inputs[name]) < 100_000 {
			t.Errorf("%s are not proven", name)
		}
	}
	for _, name := range []string{"IMA", "IMA of new form", "IMA buffers"} {
		if proveIMA(inputs[name]) < 100_000 {
			t.Errorf("%s: not proven", name)
		}
	}
}

// proveLog does all that is done with a log that a quote vouches for, and returns how long
// the JSON of its events is.
func proveLog(b []byte) int {
	l, err := eventlog.Parse(b)
	if err != nil {
		return 0
	}
	bank := eventlog.Bank{Algorithm: eventlog.SHA256}
	r, err := l.Replay(bank.Algorithm)
	if err != nil {
		return 0
	}
	for i := range uint32(eventlog.Registers) {
		if value, _, ok := r.Register(i); ok {
			bank.Values[i] = value
		}
	}
	p, err := eventlog.Prove([]eventlog.Sent{{Data: b}}, bank)
	if err != nil {
		return 0
	}
	_, _ = p.Facts()
	p.Linux()
	return len(p.JSON())
}

func proveIMA(b []byte) int {
	list, err := eventlog.ParseIMA(b)
	if err != nil || len(list) == 0 || list[0].Register >= eventlog.Registers {
		return 0
	}
	bank := eventlog.Bank{Algorithm: eventlog.SHA256}
	bank.Values[list[0].Register] = eventlog.IMARegister(list, list[0].Register, bank.Algorithm, true)
	if bank.Values[list[0].Register] == nil {
		bank.Values[list[0].Register] = make([]byte, 32)
		bank.Values[list[0].Register][0] = 1
	}
	p, err := eventlog.Prove([]eventlog.Sent{{IMA: true, Data: b}}, bank)
	if err != nil {
		return 0
	}
	_, _ = p.Facts()
	return len(p.JSON())
}

func TestParsersStayWithinTheBounds(t *testing.T) {
	inputs := blobs()
	for name, parse := range parsers() {
		t.Run(name, func(t *testing.T) {
			for blob, b := range inputs {
				t.Run(blob, func(t *testing.T) { hold(t, len(b), func() { parse(b) }) })
			}
		})
	}
}
