package eventlog

import (
	"bytes"
	"crypto/sha1"
	"testing"
)

func TestTheRegisterOfAnIMAList(t *testing.T) {
	text := "10 " + "91f34b5c671d73504b274a919661cf80dab1e127" +
		" ima-ng sha1:1801e1be3e65ef1eaa5c16617bec8f1274eaf6b3 boot_aggregate\n"
	list, err := ParseIMAText([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha1.Sum(list[0].Data)
	list[0].Digest = sum[:]
	for _, bank := range []Algorithm{SHA1, SHA256, SHA384, SHA512} {
		for _, padded := range []bool{false, true} {
			value := IMARegister(list, 10, bank, padded)
			if value == nil || ReplayIMA(list, bank, make([]byte, bank.Size()), value, padded) != 1 {
				t.Errorf("%s, padded %t: %x", bank, padded, value)
			}
		}
	}
	if bytes.Equal(IMARegister(list, 10, SHA256, true), IMARegister(list, 10, SHA256, false)) {
		t.Error("both forms of kernels give one value")
	}
	if IMARegister(list, 11, SHA256, false) != nil || IMARegister(nil, 10, SHA256, false) != nil {
		t.Error("a register without measurements has a value")
	}
	list[0].Data = append(list[0].Data, 0)
	if IMARegister(list, 10, SHA256, false) != nil {
		t.Error("data that the digest does not cover give a value")
	}
	clear(list[0].Digest) // a violation
	if IMARegister(list, 10, SHA256, false) == nil {
		t.Error("a violation has no value")
	}
}
