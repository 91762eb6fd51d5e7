package luks

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
)

// deviceSize is that of the device whose header is in testdata: 20 MiB, made by cryptsetup 2.6.1 with a recovery
// passphrase in slot 0, and an enrolment in slot 1.
const deviceSize = 20 << 20

// recorded returns the two headers of a device that cryptsetup made.
func recorded(t testing.TB) []byte {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", "cryptsetup-2.6.1.header.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// binding and expected are those of the recorded device.
func binding() Binding { return Binding{URL: "https://attest.example.org", Key: "disk-web-1"} }

func expected() Expectation {
	b := binding()
	return Expectation{Slots: []int{0}, Binding: &b}
}

// device is a device of a size whose first bytes are given; the rest are zeros.
type device []byte

func (d device) ReadAt(p []byte, at int64) (int, error) {
	clear(p)
	if at < int64(len(d)) {
		copy(p, d[at:])
	}
	return len(p), nil
}

// object is a JSON object that a test changes.
type object = map[string]any

// edit changes the metadata of both headers, and states the checksums again.
func edit(t testing.TB, headers []byte, change func(object)) []byte {
	t.Helper()
	size := len(headers) / 2
	s, _ := text(headers[binarySize:size])
	var m object
	if err := json.Unmarshal([]byte(s), &m); err != nil {
		t.Fatal(err)
	}
	change(m)
	b, err := json.Marshal(m, json.Deterministic(true))
	if err != nil {
		t.Fatal(err)
	}
	return withText(headers, string(b))
}

// withText puts a text into the place of the metadata of both headers.
func withText(headers []byte, metadata string) []byte {
	out := bytes.Clone(headers)
	size := len(out) / 2
	for _, h := range [][]byte{out[:size], out[size:]} {
		clear(h[binarySize:])
		copy(h[binarySize:], metadata)
	}
	return sealed(out)
}

// sealed states the checksums of both headers again.
func sealed(headers []byte) []byte {
	size := len(headers) / 2
	for _, h := range [][]byte{headers[:size], headers[size:]} {
		clear(h[atChecksum:atPadding4096])
		sum := sum256(h)
		copy(h[atChecksum:], sum[:])
	}
	return headers
}

// both changes the binary part of both headers, and states the checksums again.
func both(change func(h []byte)) func(testing.TB, []byte) []byte {
	return func(_ testing.TB, headers []byte) []byte {
		change(headers[:len(headers)/2])
		change(headers[len(headers)/2:])
		return sealed(headers)
	}
}

// at returns the object below m at a path such as "keyslots.0.area".
func at(m object, path string) object {
	for name := range strings.SplitSeq(path, ".") {
		m = m[name].(object)
	}
	return m
}

// set changes one member of the metadata, or removes it if the value is nil.
func set(path, member string, value any) func(testing.TB, []byte) []byte {
	return meta(func(m object) {
		if path != "" {
			m = at(m, path)
		}
		if value == nil {
			delete(m, member)
			return
		}
		m[member] = value
	})
}

func meta(change func(object)) func(testing.TB, []byte) []byte {
	return func(t testing.TB, headers []byte) []byte { return edit(t, headers, change) }
}

// written changes the text of the metadata.
func written(from, to string) func(testing.TB, []byte) []byte {
	return func(t testing.TB, headers []byte) []byte {
		s, _ := text(headers[binarySize : len(headers)/2])
		if !strings.Contains(s, from) {
			t.Fatalf("the metadata have no %s", from)
		}
		return withText(headers, strings.Replace(s, from, to, 1))
	}
}
