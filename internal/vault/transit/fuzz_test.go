package transit

import (
	"bytes"
	"encoding/binary"
	"testing"
)

func FuzzSplit(f *testing.F) {
	good := append([]byte(mark), 0, 9)
	good = append(good, "vault:v1:"...)
	good = append(good, make([]byte, overhead+1)...)
	for _, b := range [][]byte{good, nil, []byte(mark), good[:len(good)-1], append([]byte(mark), 0xff, 0xff)} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		wrapped, sealed, ok := split(b)
		if !ok {
			if wrapped != "" || sealed != nil {
				t.Error("parts of what was refused")
			}
			return
		}
		again := binary.BigEndian.AppendUint16([]byte(mark), uint16(len(wrapped)))
		if again = append(append(again, wrapped...), sealed...); !bytes.Equal(again, b) {
			t.Error("bytes were left out")
		}
		if len(wrapped) > maxWrapped || len(sealed) <= overhead {
			t.Errorf("%d and %d bytes", len(wrapped), len(sealed))
		}
	})
}

func FuzzReadMessage(f *testing.F) {
	for _, s := range []string{`{}`, `{"data":{"ciphertext":"vault:v1:AA=="}}`, `{"errors":["no"]}`, `[`, `null`,
		`{"auth":{"lease_duration":1e99}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := readMessage(b)
		if (m == nil) == (err == nil) {
			t.Error("an answer and an error, or neither")
		}
	})
}
