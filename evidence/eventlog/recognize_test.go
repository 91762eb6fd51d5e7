package eventlog_test

import (
	"bytes"
	"crypto/sha1"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/probity-dev/probity/evidence/eventlog"
	"github.com/probity-dev/probity/evidence/evidencetest"
)

// record is an event of a log in the old form.
func record(register, typ uint32, digest [20]byte, data []byte) []byte {
	le := binary.LittleEndian
	b := append(le.AppendUint32(le.AppendUint32(nil, register), typ), digest[:]...)
	return append(le.AppendUint32(b, uint32(len(data))), data...)
}

func TestALogInTheOldFormIsRecognisedByItsDigests(t *testing.T) {
	separator := []byte{0, 0, 0, 0}
	good := record(0, 4, sha1.Sum(separator), separator)
	code := record(0, 1, sha1.Sum([]byte("code")), []byte("POST CODE"))
	for name, b := range map[string][]byte{
		"a separator":        good,
		"after other events": append(slices.Clone(code), good...),
		"padded":             append(slices.Clone(good), make([]byte, 64)...),
	} {
		if _, ok := eventlog.Recognize(b); !ok {
			t.Errorf("%s is not recognised", name)
		}
	}
	for name, b := range map[string][]byte{
		"nothing": nil, "zeros": make([]byte, 1732), "ones": bytes.Repeat([]byte{0xff}, 640),
		"no digest that fits": code,
		"an unknown type":     append(record(0, 0x1234567, [20]byte{1}, nil), good...),
		"register 24":         append(slices.Clone(good), record(24, 4, sha1.Sum(separator), separator)...),
		"an empty event":      record(0, 4, sha1.Sum(nil), nil),
		"a log that is cut":   good[:len(good)-1],
	} {
		if _, ok := eventlog.Recognize(b); ok {
			t.Errorf("%s is recognised", name)
		}
	}
}

func TestADamagedLogIsNamed(t *testing.T) {
	log := evidencetest.HealthyBoot(evidencetest.BootConfig{}).Log
	if _, ok := eventlog.Recognize(log); !ok || eventlog.Damage(log) != "" {
		t.Errorf("a whole log: %q", eventlog.Damage(log))
	}
	for _, n := range []int{len(log) - 1, len(log) / 2, 60} {
		if _, ok := eventlog.Recognize(log[:n]); ok || !strings.Contains(eventlog.Damage(log[:n]), "cut") &&
			!strings.Contains(eventlog.Damage(log[:n]), "header") {
			t.Errorf("%d bytes: %q", n, eventlog.Damage(log[:n]))
		}
	}
	if eventlog.Damage(make([]byte, 100)) != "" {
		t.Error("zeros are a damaged log")
	}
}

func TestIMAListsAreRecognised(t *testing.T) {
	list, _ := evidencetest.IMA(evidencetest.IMAEntry{Path: "/bin/sh"},
		evidencetest.IMAEntry{Path: "/etc/a file"})
	entries, binary := eventlog.RecognizeIMA(list)
	if len(entries) != 2 || !binary {
		t.Fatalf("%d entries", len(entries))
	}
	if again := eventlog.MarshalIMA(entries); !bytes.Equal(again, list) {
		t.Error("written again, the list differs")
	}
	var text string
	for _, m := range entries {
		text += fmt.Sprintf("%2d %x %s %s %s\n", m.Register, m.Digest, m.Template, m.FileDigest, m.Name)
	}
	read, binary := eventlog.RecognizeIMA([]byte(text))
	if len(read) != 2 || binary || !bytes.Equal(eventlog.MarshalIMA(read), list) {
		t.Errorf("%d entries of the text", len(read))
	}
	legacy := strings.Replace(fmt.Sprintf("%x", bytes.Repeat([]byte{1}, 20)), "01", "ab", 1)
	old, _ := eventlog.RecognizeIMA([]byte("10 " + legacy + " ima " + legacy + " /bin/old\n"))
	if b := eventlog.MarshalIMA(old); len(old) != 1 || b == nil {
		t.Error("the template ima is not read")
	} else if back, err := eventlog.ParseIMA(b); err != nil || back[0].Name != "/bin/old" ||
		!bytes.Equal(back[0].Data, old[0].Data) {
		t.Errorf("the template ima: %+v, %v", back, err)
	}
	altered := slices.Clone(list)
	altered[len(altered)/4]++
	for name, b := range map[string][]byte{
		"zeros": make([]byte, 400), "an altered entry": altered, "half": list[:len(list)/2],
		"text":                            []byte("10 20 30 40 50\n"),
		"a register that is not a number": []byte("1x " + legacy + " ima " + legacy + " /x\n"),
		"register 99":                     []byte("99 " + legacy + " ima " + legacy + " /x\n"),
		"a short digest":                  []byte("10 abcd ima " + legacy + " /x\n"),
	} {
		if got, _ := eventlog.RecognizeIMA(b); got != nil {
			t.Errorf("%s: %d entries", name, len(got))
		}
	}
}

func FuzzRecognize(f *testing.F) {
	list, _ := evidencetest.IMA(evidencetest.IMAEntry{Path: "/bin/sh"})
	f.Add(evidencetest.HealthyBoot(evidencetest.BootConfig{}).Log)
	f.Add(list)
	f.Add(record(0, 4, sha1.Sum([]byte{0, 0, 0, 0}), []byte{0, 0, 0, 0}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if l, ok := eventlog.Recognize(b); ok && (len(l.Events) == 0 || eventlog.Damage(b) != "") {
			t.Fatal("a log that is damaged is recognised")
		}
		if list, isBinary := eventlog.RecognizeIMA(b); isBinary {
			if again := eventlog.MarshalIMA(list); again != nil {
				if back, _ := eventlog.RecognizeIMA(again); len(back) != len(list) {
					t.Fatalf("%d of %d entries", len(back), len(list))
				}
			}
		}
	})
}
