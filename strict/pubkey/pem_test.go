package pubkey_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/probity-dev/probity/strict/pubkey"
)

func selfSigned(t testing.TB, name string) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Unix(0, 0),
		NotAfter:     time.Unix(1<<31, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestAPEMFileIsReadAsAWholeOrRefused(t *testing.T) {
	der := selfSigned(t, "one")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	other := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: selfSigned(t, "two")})
	both := append(append(append([]byte("# comment\n"), block...), "between\n"...), other...)
	if list, err := pubkey.Certificates(both); err != nil || len(list) != 2 {
		t.Errorf("%d, %v", len(list), err)
	}
	damaged := bytes.Replace(block, []byte("M"), []byte("!"), 1)
	for want, file := range map[string][]byte{
		"no PEM certificates": []byte("hello"),
		"in DER, want PEM":    der,
		"cut off or damaged":  append(damaged, other...),
		"2 PEM blocks begin":  append(bytes.Clone(other), block[:len(block)/2]...),
		"of type PUBLIC KEY": append(bytes.Clone(block),
			pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})...),
		"certificate 2 does not ": append(bytes.Clone(block),
			pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der[:40]})...),
	} {
		if list, err := pubkey.Certificates(file); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q: %d, %v", want, len(list), err)
		}
	}
}

// TestABinaryFileIsNotAPEMFile although it carries a chain in PEM, as quotes and TPM dumps do.
func TestABinaryFileIsNotAPEMFile(t *testing.T) {
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: selfSigned(t, "one")})
	for name, file := range map[string][]byte{
		"a NUL before it":       append([]byte{3, 0, 2, 0}, block...),
		"a NUL after it":        append(bytes.Clone(block), 0),
		"invalid UTF-8 inside":  append(append(bytes.Clone(block), 0xff, 0xfe, '\n'), block...),
		"a quote's three, bare": append(append(append([]byte("\x00\x01"), block...), block...), block...),
	} {
		if list, err := pubkey.Certificates(file); err == nil || err.Error() != "no PEM certificates" {
			t.Errorf("%s: %d, %v", name, len(list), err)
		}
	}
}

func FuzzCertificates(f *testing.F) {
	f.Add(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: selfSigned(f, "one")}))
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := pubkey.Certificates(b)
		if (err == nil) != (len(list) > 0) {
			t.Fatal(len(list), err)
		}
		if _, poolErr := pubkey.Pool(b); (err == nil) != (poolErr == nil) {
			t.Fatal(err, poolErr)
		}
	})
}
