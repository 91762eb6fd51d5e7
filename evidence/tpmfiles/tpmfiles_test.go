package tpmfiles_test

import (
	"bytes"
	"compress/zlib"
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/probity-dev/probity/collateral/tpmca"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/eventlog"
	"github.com/probity-dev/probity/evidence/evidencetest"
	"github.com/probity-dev/probity/evidence/tpm"
	"github.com/probity-dev/probity/evidence/tpmfiles"
)

var now = time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)

// lab is a simulated TPM with the files of one quote.
type lab struct {
	m                        *evidencetest.TPM
	boot                     *evidencetest.Boot
	message, signature, pcrs []byte
	area, list               []byte
}

const mask = 0xff04ff

func newLab(ecc bool) *lab {
	l := &lab{
		m:    evidencetest.NewTPM(evidencetest.TPMConfig{Now: now, ECC: ecc}),
		boot: evidencetest.HealthyBoot(evidencetest.BootConfig{}),
	}
	l.list, l.boot.PCRs[10] = evidencetest.IMA(evidencetest.IMAEntry{Path: "/bin/sh"},
		evidencetest.IMAEntry{Path: "/bin/a name with spaces"})
	l.message = l.m.Quote(l.boot.PCRs, mask, []byte("nonce"))
	l.signature = l.m.Sign(l.message)
	l.pcrs = serialized(binary.LittleEndian, l.boot.PCRs, mask)
	if key, ok := l.m.AK.Public().(*rsa.PublicKey); ok {
		l.area = evidencetest.RSAPublicArea(key, 0x50072, 0x0014, nil)
	}
	return l
}

// serialized writes SHA-256 registers as tpm2_quote -o does.
func serialized(order binary.AppendByteOrder, pcrs [24][32]byte, mask uint32) []byte {
	b := order.AppendUint32(nil, 1)
	b = append(order.AppendUint16(b, 0x000b), 3, byte(mask), byte(mask>>8), byte(mask>>16), 0, 0)
	b = append(b, make([]byte, 15*8)...)
	var digests [][]byte
	for i := range pcrs {
		if mask&(1<<i) != 0 {
			digests = append(digests, pcrs[i][:])
		}
	}
	b = order.AppendUint32(b, uint32((len(digests)+7)/8))
	for list := range slices.Chunk(digests, 8) {
		one := order.AppendUint32(nil, uint32(len(list)))
		for _, d := range list {
			one = append(append(order.AppendUint16(one, uint16(len(d))), d...), make([]byte, 64-len(d))...)
		}
		b = append(b, append(one, make([]byte, 4+8*66-len(one))...)...)
	}
	return b
}

func printed(pcrs [24][32]byte) []byte {
	text := "  sha256:\n"
	for i := range pcrs {
		text += fmt.Sprintf("    %-2d: 0x%X\n", i, pcrs[i])
	}
	return []byte(text)
}

func imaText(t testing.TB, list []byte) []byte {
	entries, err := eventlog.ParseIMA(list)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, m := range entries {
		fmt.Fprintf(&text, "%d %x %s %s %s\n", m.Register, m.Digest, m.Template, m.FileDigest, m.Name)
	}
	return []byte(text.String())
}

func bare(pcrs [24][32]byte, mask uint32) (b []byte) {
	for i := range pcrs {
		if mask&(1<<i) != 0 {
			b = append(b, pcrs[i][:]...)
		}
	}
	return b
}

func spki(t testing.TB, l *lab) []byte {
	der, err := x509.MarshalPKIXPublicKey(l.m.AK.Public())
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func sized(b []byte) []byte { return append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...) }

func pemOf(typ string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: typ, Bytes: der})
}

func keylime(l *lab, squeeze bool) []byte {
	var parts []string
	for _, b := range [][]byte{l.message, l.signature, l.pcrs} {
		if squeeze {
			var out bytes.Buffer
			z := zlib.NewWriter(&out)
			z.Write(b)
			z.Close()
			b = out.Bytes()
		}
		parts = append(parts, base64.StdEncoding.EncodeToString(b))
	}
	return []byte("r" + strings.Join(parts, ":"))
}

func tss2(area []byte) []byte {
	der, err := asn1.Marshal(struct {
		Type       asn1.ObjectIdentifier
		EmptyAuth  bool `asn1:"explicit,tag:0"`
		Parent     int
		Pub, Priv_ []byte
	}{asn1.ObjectIdentifier{2, 23, 133, 10, 1, 3}, true, 0x40000001, sized(area), make([]byte, 40)})
	if err != nil {
		panic(err)
	}
	return der
}

func goAttestation(l *lab) []byte {
	type quote struct{ Quote, Signature []byte }
	type pcr struct {
		Index     int
		Digest    []byte
		DigestAlg int
	}
	out := struct {
		Public   []byte
		Quotes   []quote
		PCRs     []pcr
		EventLog []byte
	}{Public: l.area, Quotes: []quote{{l.message, l.signature}}, EventLog: l.boot.Log}
	for i := range l.boot.PCRs {
		out.PCRs = append(out.PCRs, pcr{i, l.boot.PCRs[i][:], 5})
	}
	b, _ := json.Marshal(out)
	return b
}

// verify assembles the files and verifies the evidence, with the key trusted.
func verify(t testing.TB, key *tpmfiles.Key, raw ...[]byte) (*tpmfiles.Recorded, *evidence.Result, error) {
	t.Helper()
	var files []tpmfiles.File
	for i, b := range raw {
		f, _ := tpmfiles.Identify(b)
		f.Path = fmt.Sprint("file", i+1)
		files = append(files, f)
	}
	r, err := tpmfiles.Assemble(files, key)
	if err != nil {
		return nil, nil, err
	}
	ev, err := r.Evidence()
	if err != nil {
		t.Fatal(err)
	}
	covered := r.Mask()
	result, err := tpm.New(tpm.Config{}).Verify(context.Background(),
		evidence.Evidence{Raw: ev, Time: now, Challenge: []byte("nonce"),
			TPM: evidence.TPMDemands{Mask: &covered, AnyKey: true}})
	return r, result, err
}

func TestEveryFormOfEachFileIsVerified(t *testing.T) {
	l, e := newLab(false), newLab(true)
	der := spki(t, l)
	padded := append(slices.Clone(l.m.AKCert.Raw), make([]byte, 300)...)
	text := imaText(t, l.list)
	for name, files := range map[string][][]byte{
		"bare structures":              {l.message, l.signature, l.pcrs, l.area},
		"in another order":             {l.area, l.pcrs, l.signature, l.message},
		"a sized message and key":      {sized(l.message), l.signature, l.pcrs, sized(l.area)},
		"a plain RSA signature":        {l.message, l.m.RawSign(l.message), l.pcrs, der},
		"a plain ECDSA signature":      {e.message, e.m.RawSign(e.message), e.pcrs, spki(t, e)},
		"a structured ECDSA signature": {e.message, e.signature, e.pcrs, spki(t, e)},
		"a PCR file of a big-endian machine": {
			l.message, l.signature, serialized(binary.BigEndian, l.boot.PCRs, mask), der,
		},
		"printed PCR values, more than quoted": {l.message, l.signature, printed(l.boot.PCRs), der},
		"bare values of the quoted registers":  {l.message, l.signature, bare(l.boot.PCRs, mask), der},
		"bare values of all registers":         {bare(l.boot.PCRs, 0xffffff), l.message, l.signature, der},
		"a key in PEM":                         {l.message, l.signature, l.pcrs, pemOf("PUBLIC KEY", der)},
		"a key in PKCS 1 PEM": {l.message, l.signature, l.pcrs, pemOf("RSA PUBLIC KEY",
			x509.MarshalPKCS1PublicKey(l.m.AK.Public().(*rsa.PublicKey)))},
		"a TSS2 key file": {
			l.message, l.signature, l.pcrs, pemOf("TSS2 PRIVATE KEY", tss2(l.area)),
		},
		"a certificate":                       {l.message, l.signature, l.pcrs, l.m.AKCert.Raw},
		"a certificate as an NV index has it": {l.message, l.signature, l.pcrs, padded},
		"a padded certificate in PEM":         {l.message, l.signature, l.pcrs, pemOf("CERTIFICATE", padded)},
		"key and certificate":                 {l.message, l.signature, l.pcrs, l.m.AKCert.Raw, l.area},
		"hex and base64": {
			[]byte(hex.EncodeToString(l.message) + "\n"),
			[]byte(base64.StdEncoding.EncodeToString(l.signature)), l.pcrs,
			[]byte(base64.StdEncoding.EncodeToString(sized(l.area))),
		},
		"a quote of Keylime":            {keylime(l, false), sized(l.area)},
		"a compressed quote of Keylime": {keylime(l, true), sized(l.area)},
		"Keylime's JSON": {
			[]byte(`{"code":200,"results":{"quote":"` + string(keylime(l, false)) +
				`","hash_alg":"sha256"}}`),
			[]byte(`{"results":{"aik_tpm":"` + base64.StdEncoding.EncodeToString(sized(l.area)) + `"}}`),
		},
		"go-attestation":               {goAttestation(l)},
		"with the log":                 {l.message, l.signature, l.pcrs, l.area, l.boot.Log},
		"with the log and an IMA list": {l.message, l.signature, l.pcrs, l.area, l.boot.Log, l.list},
		"with the IMA list as text":    {l.message, l.signature, l.pcrs, l.area, l.boot.Log, text},
		"with the logs in Keylime's JSON": {
			[]byte(`{"results":{"quote":"` + string(keylime(l, false)) + `","ima_measurement_list":` +
				strconv.Quote(string(text)) + `,"mb_measurement_list":"` +
				base64.StdEncoding.EncodeToString(l.boot.Log) + `"}}`),
			l.area,
		},
	} {
		if _, _, err := verify(t, nil, files...); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestEachFileIsNamed(t *testing.T) {
	l := newLab(false)
	for want, b := range map[string][]byte{
		"a TPM quote message (TPMS_ATTEST)":                             l.message,
		"a TPM signature (TPMT_SIGNATURE, RSASSA with SHA256)":          l.signature,
		"a PCR file of tpm2_quote (SHA256: 0–7, 10, 16–23)":             l.pcrs,
		"PCR values as tpm2_pcrread prints them (SHA256: 0–23)":         printed(l.boot.PCRs),
		"the public area of an attestation key (TPMT_PUBLIC, RSA 2048)": l.area,
		"a quote of Keylime, compressed":                                keylime(l, true),
		"platform parameters of go-attestation":                         goAttestation(l),
		"a TPM's certification of a key (TPMS_ATTEST)":                  l.m.Certify(l.area, nil),
		"a log of measured boot, 21 events":                             l.boot.Log,
		`a certificate of an attestation key (issued by "Simulated TPM CA"), with 9 bytes after it that are not part of it`: append(slices.Clone(
			l.m.AKCert.Raw,
		),
			make([]byte, 9)...),
		"a certificate of an authority (CN=Simulated TPM CA)": l.m.Root.Cert.Raw,
		"a saved key context of tpm2-tools, which only its own TPM can load": append([]byte{
			0xba, 0xdc, 0xc0, 0xde, 0, 0, 0, 1,
		}, make([]byte, 100)...),
	} {
		if f, ok := tpmfiles.Identify(b); !ok || f.Name != want {
			t.Errorf("%q (%v), want %q", f.Name, ok, want)
		}
	}
	f, ok := tpmfiles.Identify(l.message[:60])
	if !ok || !strings.Contains(f.Name, "cannot be read") || f.Hint == "" {
		t.Errorf("a message that was cut: %+v", f)
	}
}

func TestFilesThatDoNotFitAreRefused(t *testing.T) {
	l, other := newLab(false), newLab(false)
	der := spki(t, l)
	unrestricted := evidencetest.RSAPublicArea(l.m.AK.Public().(*rsa.PublicKey), 0x40072, 0x0014, nil)
	otherList, _ := evidencetest.IMA(evidencetest.IMAEntry{Path: "/bin/false"})
	ek := evidencetest.EndorsementArea(l.m.AK.Public().(*rsa.PublicKey))
	for name, tc := range map[string]struct {
		files [][]byte
		want  string
	}{
		"nothing": {nil, "no file"},
		"no key": {
			[][]byte{l.message, l.signature, l.pcrs}, "the attestation key is missing",
		},
		"no message": {[][]byte{l.signature, l.pcrs, der}, "the quote message is missing"},
		"no signature": {
			[][]byte{l.message, l.pcrs, der}, "the signature of the quote is missing",
		},
		"no PCR values": {[][]byte{l.message, l.signature, der}, "the PCR values are missing"},
		"two messages": {
			[][]byte{l.message, other.message, l.signature, l.pcrs, der},
			"file1 and file2: two files of the same type (quote message)",
		},
		"two quotes of Keylime": {
			[][]byte{keylime(l, false), keylime(other, false), der}, "two files of the same type",
		},
		"two keys": {
			[][]byte{l.message, l.signature, l.pcrs, der, spki(t, other)}, "file5: a key other than",
		},
		"an endorsement key": {[][]byte{l.message, l.signature, l.pcrs, ek}, "cannot sign quotes"},
		"a key that signs anything": {
			[][]byte{l.message, l.signature, l.pcrs, unrestricted}, "not an attestation key",
		},
		"an authority": {
			[][]byte{l.message, l.signature, l.pcrs, der, l.m.Root.Cert.Raw}, "--root",
		},
		"random bytes": {
			[][]byte{l.message, l.signature, l.pcrs, der, []byte("just some text")},
			"file5: 14 bytes that are not recognised",
		},
		"a certification": {
			[][]byte{l.m.Certify(l.area, nil), l.signature, l.pcrs, der}, "give the quote",
		},
		"signatures of another message": {
			[][]byte{l.message, other.signature, l.pcrs, der}, "tpm.quote.signature",
		},
		"a plain one of another": {
			[][]byte{l.message, other.m.RawSign(l.message), l.pcrs, der}, "tpm.quote.signature",
		},
		"other values": {
			[][]byte{l.message, l.signature, serialized(binary.LittleEndian, [24][32]byte{}, mask), der},
			"tpm.quote.pcrs",
		},
		"fewer values": {
			[][]byte{l.message, l.signature, serialized(binary.LittleEndian, l.boot.PCRs, 0xff), der},
			"tpm.quote.selection",
		},
		"bare values of another boot": {
			[][]byte{l.message, l.signature, bare([24][32]byte{}, mask), der}, "tpm.quote.pcrs",
		},
		"an IMA list that was shortened": {
			[][]byte{l.message, l.signature, l.pcrs, der, l.boot.Log, l.list[:len(l.list)/2]},
			"not recognised",
		},
		"an IMA list of other files": {
			[][]byte{l.message, l.signature, l.pcrs, der, l.boot.Log, otherList}, "tpm.event-log",
		},
		"a log of another boot": {[][]byte{l.message, l.signature, l.pcrs, der,
			evidencetest.HealthyBoot(evidencetest.BootConfig{SecureBootOff: true}).Log}, "tpm.event-log"},
		"a certificate of another key": {
			[][]byte{l.message, l.signature, l.pcrs, der, other.m.AKCert.Raw}, "a key other than",
		},
	} {
		if _, _, err := verify(t, nil, tc.files...); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
}

// TestASignatureAsLongAsThePCRValues: eight SHA-256 registers have the 256 bytes of an
// RSA 2048 signature.
func TestASignatureAsLongAsThePCRValues(t *testing.T) {
	l := newLab(false)
	l.message = l.m.Quote(l.boot.PCRs, 0xff, []byte("nonce"))
	signature, values, der := l.m.RawSign(l.message), bare(l.boot.PCRs, 0xff), spki(t, l)
	for _, files := range [][][]byte{
		{l.message, signature, values, der},
		{values, signature, l.message, der},
		{signature, l.message, der, values},
	} {
		if _, _, err := verify(t, nil, files...); err != nil {
			t.Error(err)
		}
	}
	wrong := slices.Clone(values)
	wrong[0]++
	_, _, err := verify(t, nil, l.message, signature, wrong, der)
	if err == nil || !strings.Contains(err.Error(), "tpm.quote.pcrs") {
		t.Errorf("altered values: %v", err)
	}
	forged := slices.Clone(signature)
	forged[0]++
	_, _, err = verify(t, nil, l.message, forged, values, der)
	if err == nil || !strings.Contains(err.Error(), "tpm.quote.signature") {
		t.Errorf("an altered signature: %v", err)
	}
	_, _, err = verify(t, nil, l.message, forged, wrong, der)
	if err == nil || !strings.Contains(err.Error(), "may be the signature or the PCR values") {
		t.Errorf("both altered: %v", err)
	}
}

func TestTheKeyOfTheCallerIsUsedWhereNoFileHasOne(t *testing.T) {
	l, other := newLab(false), newLab(false)
	key := func(l *lab) *tpmfiles.Key {
		f, _ := tpmfiles.Identify(spki(t, l))
		return f.Key
	}
	if r, _, err := verify(t, key(l), l.message, l.signature, l.pcrs); err != nil || !r.Key.Same(key(l)) {
		t.Error(err)
	}
	r, _, err := verify(t, key(other), l.message, l.signature, l.pcrs, l.area)
	if err != nil || !r.Key.Same(key(l)) {
		t.Errorf("the key among the files: %v", err)
	}
}

func TestEndorsementCertificatesAreNamed(t *testing.T) {
	l := newLab(false)
	ca := evidencetest.NewTPMCA(now)
	ek := ca.CertifyEK(l.m.AK.Public(), now)
	f, ok := tpmfiles.Identify(append(slices.Clone(ek), make([]byte, 50)...))
	if !ok || f.Type != tpmfiles.EKCertificate {
		t.Fatalf("%+v", f)
	}
	r, _, err := verify(t, nil, l.message, l.signature, l.pcrs, l.area, ek)
	if err != nil || !bytes.Equal(r.EKCertificate, ek) || r.Key.Certificate != nil {
		t.Errorf("%v", err)
	}
	if _, err := tpmca.Parse(pemOf("CERTIFICATE", ca.Cert.Raw)); err != nil {
		t.Error(err)
	}
}

// TestNothingIsRecognisedInJunk: structureless bytes have no name.
func TestNothingIsRecognisedInJunk(t *testing.T) {
	l := newLab(false)
	for name, b := range map[string][]byte{
		"nothing": nil, "zeros": make([]byte, 1732), "ones": bytes.Repeat([]byte{0xff}, 1732),
		"text":        []byte("hello: world\n1 : 2\n"),
		"bare values": bare(l.boot.PCRs, mask),
		"a JPEG":      append([]byte("\xff\xd8\xff\xe0\x00\x10JFIF\x00"), make([]byte, 2000)...),
		"an ELF file": append([]byte("\x7fELF\x02\x01\x01"), make([]byte, 2000)...),
		"JSON":        []byte(`{"Quote":"AAAA"}`), "an array": []byte(`[1,2,3]`), "r": []byte("r"),
		"rows": []byte("raaaa:bbbb:cccc"),
	} {
		if f, ok := tpmfiles.Identify(b); ok {
			t.Errorf("%s: %s", name, f.Name)
		}
	}
}

func FuzzIdentify(f *testing.F) {
	l, e := newLab(false), newLab(true)
	for _, b := range [][]byte{
		l.message, l.signature, l.pcrs, l.area, sized(l.area), spki(f, l), l.m.AKCert.Raw,
		keylime(l, false), keylime(l, true), goAttestation(l), printed(l.boot.PCRs),
		e.signature,
		e.m.RawSign(e.message), l.boot.Log, pemOf("TSS2 PRIVATE KEY", tss2(l.area)),
		[]byte(hex.EncodeToString(l.message)), serialized(binary.BigEndian, l.boot.PCRs, mask),
	} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		file, ok := tpmfiles.Identify(b)
		if ok != (file.Type != tpmfiles.Unknown) || ok && file.Name == "" {
			t.Fatalf("%+v", file)
		}
		again, _ := tpmfiles.Identify(b)
		if again.Name != file.Name {
			t.Fatalf("%q, then %q", file.Name, again.Name)
		}
	})
}

func FuzzAssemble(f *testing.F) {
	l := newLab(false)
	f.Add(l.message, l.signature, l.pcrs)
	f.Add(l.message, l.m.RawSign(l.message), bare(l.boot.PCRs, mask))
	f.Add(keylime(l, true), []byte(nil), goAttestation(l))
	key, _ := tpmfiles.Identify(spki(f, l))
	f.Fuzz(func(t *testing.T, a, b, c []byte) {
		var files []tpmfiles.File
		for _, raw := range [][]byte{a, b, c} {
			if len(raw) > 0 {
				file, _ := tpmfiles.Identify(raw)
				files = append(files, file)
			}
		}
		r, err := tpmfiles.Assemble(files, key.Key)
		if err != nil {
			return
		}
		if r.Quote == nil || r.Key == nil || len(r.Signature) == 0 {
			t.Fatalf("%+v", r)
		}
		if _, err := r.Evidence(); err != nil {
			t.Fatal(err)
		}
	})
}
