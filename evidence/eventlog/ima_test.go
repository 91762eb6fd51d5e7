package eventlog_test

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/probity-dev/probity/evidence/eventlog"
)

// imaList writes entries of a template's name and data, and returns the SHA-256 register
// that they lead to; padded extends their SHA-1 with zeros.
func imaList(padded bool, entries ...[2]string) (list []byte, bank eventlog.Bank) {
	le := binary.LittleEndian
	var register [32]byte
	for _, e := range entries {
		small, sum := sha1.Sum([]byte(e[1])), sha256.Sum256([]byte(e[1]))
		if padded {
			sum = [32]byte{}
			copy(sum[:], small[:])
		}
		list = append(le.AppendUint32(list, 10), small[:]...)
		list = append(le.AppendUint32(list, uint32(len(e[0]))), e[0]...)
		list = append(le.AppendUint32(list, uint32(len(e[1]))), e[1]...)
		register = sha256.Sum256(append(register[:], sum[:]...))
	}
	bank = eventlog.Bank{Algorithm: eventlog.SHA256}
	bank.Values[10] = register[:]
	return list, bank
}

// imaFields are the data of a template: each field with its length.
func imaFields(fields ...string) string {
	var b []byte
	for _, f := range fields {
		b = append(binary.LittleEndian.AppendUint32(b, uint32(len(f))), f...)
	}
	return string(b)
}

func fileHash(content string) string {
	sum := sha256.Sum256([]byte(content))
	return "sha256:\x00" + string(sum[:])
}

// TestTemplatesAreReadFromTheirData: the name of a template is covered by nothing.
func TestTemplatesAreReadFromTheirData(t *testing.T) {
	const keyring, certificate = ".ima\x00", "0 a certificate"
	ng := imaFields(fileHash("x"), "/bin/x\x00")
	sig := imaFields(fileHash("x"), keyring, "\x03\x02 0 a subject of the sender's")
	buf := imaFields(fileHash(certificate), keyring, certificate)
	for _, name := range []string{
		"ima-ng", "ima-sig", "ima-buf", "ima-ngv2", "ima-sigv2", "ima-modsig", "evm-sig",
	} {
		for _, tc := range []struct{ data, reading, extra string }{
			{ng, "ima-ng", ""}, {sig, "ima-sig", "Signature"}, {buf, "ima-buf", "Keyring"},
			{imaFields(fileHash("x"), "/x\x00", ""), "ima-sig", ""},
			{imaFields("ima:"+fileHash("x"), "/x\x00"), "ima-ngv2", ""},
			{imaFields("verity:"+fileHash("x"), "/x\x00", "\x06"), "ima-sigv2", "Signature"},
			{imaFields(fileHash("x"), "/x\x00", "", "", ""), "ima-modsig", ""},
			{imaFields(fileHash("x"), "/x\x00", "\x05", "", "", "", "", "", ""), "evm-sig", "Signature"},
			{imaFields(fileHash("6.8"), "kernel_version\x00", "6.8"), "ima-buf", "KernelVersion"},
		} {
			list, bank := imaList(false, [2]string{name, tc.data})
			p, err := eventlog.Prove([]eventlog.Sent{{IMA: true, Data: list}}, bank)
			if err != nil {
				t.Fatal(err)
			}
			events := jsonEvents(t, p)
			if len(events) != 1 || events[0].ProcessedData["Template"] != tc.reading {
				t.Errorf("%s with the data of %s: %+v", name, tc.reading, events)
				continue
			}
			for _, member := range []string{"Signature", "Keyring", "Buffer", "KernelVersion", "CertificateSubject"} {
				_, ok := events[0].ProcessedData[member]
				if ok != (member == tc.extra || member == "CertificateSubject" && tc.extra == "Keyring") {
					t.Errorf("%s with the data of %s: %s: %v", name, tc.reading, member, ok)
				}
			}
		}
	}
}

// TestAmbiguousMeasurementsAreReportedAndLeftOut: a file whose signature has the file's own
// digest reads as a buffer too.
func TestAmbiguousMeasurementsAreReportedAndLeftOut(t *testing.T) {
	const both = "\x03 0 a certificate"
	for _, name := range []string{"ima-sig", "ima-buf"} {
		list, bank := imaList(false, [2]string{name, imaFields(fileHash(both), ".ima\x00", both)})
		p, err := eventlog.Prove([]eventlog.Sent{{IMA: true, Data: list}}, bank)
		if err != nil {
			t.Fatal(err)
		}
		f, err := p.Facts()
		events := jsonEvents(t, p)
		if err != nil || len(events) != 1 || len(events[0].ProcessedData) != 2 ||
			events[0].ProcessedData["Path"] != ".ima" ||
			!strings.Contains(strings.Join(f.LeftOut, ""), "a signature or a buffer") {
			t.Errorf("%s: %+v, %v", name, events, err)
		}
	}
}

// TestListsThatCannotBeReadAreNotBelieved: an entry under an unknown name, or that is not of
// its form, may be a file that a policy refuses. The list then proves nothing.
func TestListsThatCannotBeReadAreNotBelieved(t *testing.T) {
	good := [2]string{"ima-ng", imaFields(fileHash("x"), "/bin/x\x00")}
	for name, bad := range map[string][2]string{
		"an unknown template":           {"ima-xx", good[1]},
		"a format of a site's own":      {"d-ng|n-ng", good[1]},
		"data that are not fields":      {"ima-ng", "?"},
		"a path without its end":        {"ima-ng", imaFields(fileHash("x"), "/bin/x")},
		"a path with an end within":     {"ima-ng", imaFields(fileHash("x"), "/bin/x\x00/y\x00")},
		"one field":                     {"ima-ng", imaFields(fileHash("x"))},
		"four fields":                   {"ima-ng", imaFields(fileHash("x"), "/x\x00", "", "")},
		"a digest without an algorithm": {"ima-ng", imaFields("x", "/x\x00")},
		"a third field of no kind": {
			"ima-buf", imaFields(fileHash("x"), ".ima\x00", "0 a certificate of the sender's"),
		},
		"a buffer of version 2": {"ima-buf", imaFields("ima:"+fileHash("x"), ".ima\x00", "x", "", "")},
		"more bytes after":      {"ima-ng", good[1] + "\x01"},
	} {
		for _, padded := range []bool{false, true} {
			list, bank := imaList(padded, good, bad, good)
			p, err := eventlog.Prove([]eventlog.Sent{{IMA: true, Data: list}}, bank)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			f, err := p.Facts()
			if err != nil || len(p.Unexplained) != 1 || p.Len() != 0 ||
				!strings.Contains(strings.Join(f.LeftOut, ""), "measurement 2: ") {
				t.Errorf("%s: %d events, unexplained %v, left out %q, %v", name, p.Len(), p.Unexplained, f.LeftOut, err)
			}
			// Behind what was quoted it does not matter.
			list, _ = imaList(padded, good, bad)
			_, bank = imaList(padded, good)
			if p, err := eventlog.Prove([]eventlog.Sent{{IMA: true, Data: list}}, bank); err != nil || p.Len() != 1 {
				t.Errorf("%s, behind: %v", name, err)
			}
		}
	}
}

// TestMeasurementsShowTheProvenDigest: the one that was extended, and no other.
func TestMeasurementsShowTheProvenDigest(t *testing.T) {
	data := imaFields(fileHash("x"), "/bin/x\x00")
	for bankName, padded := range map[string]bool{"SHA256": false, "SHA1": true} {
		list, bank := imaList(padded, [2]string{"ima-ng", data})
		if !padded {
			list[4] ^= 1 // the SHA-1 beside it is the sender's
		}
		p, err := eventlog.Prove([]eventlog.Sent{{IMA: true, Data: list}}, bank)
		if err != nil {
			t.Fatal(err)
		}
		if e := jsonEvents(t, p)[0]; len(e.Digests) != 1 || e.Digests[bankName] == "" || !e.Covered {
			t.Errorf("%s: %+v", bankName, e)
		}
	}
}
