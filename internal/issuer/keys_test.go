package issuer

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"math/big"
	"net/http"
	"testing"
	"time"
)

func TestFreshnessSubtractsTheAgeInCachesOnTheWay(t *testing.T) {
	for want, h := range map[time.Duration]http.Header{
		50 * time.Minute: {"Cache-Control": {"private", "Max-Age=3600"}, "Age": {"600"}},
		time.Minute:      {"Cache-Control": {"max-age=600"}, "Age": {"600"}},
		DefaultFresh:     {"Age": {"yesterday"}},
		30 * time.Minute: {"Cache-Control": {`max-age="1800"`}},
	} {
		if got := freshness(h); got != want {
			t.Errorf("%v: %s, want %s", h, got, want)
		}
	}
}

// TestKeysAreReadFromCertificatesWithoutNumbers: so Azure Attestation publishes its keys.
func TestKeysAreReadFromCertificatesWithoutNumbers(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	x5c := base64.StdEncoding.EncodeToString(der)
	k, ok := readKey(fmt.Appendf(nil, `{"kid":"a","kty":"RSA","x5c":[%q]}`, x5c))
	if !ok || k.KeyID != "a" || !key.PublicKey.Equal(k.Key) {
		t.Errorf("%v %v", k, ok)
	}
	for name, text := range map[string]string{
		"no certificate":       `{"kid":"a","kty":"RSA"}`,
		"an empty list":        `{"kid":"a","kty":"RSA","x5c":[]}`,
		"not a certificate":    `{"kid":"a","kty":"RSA","x5c":["AAAA"]}`,
		"half of the numbers":  fmt.Sprintf(`{"kid":"a","kty":"RSA","n":"AQAB","x5c":[%q]}`, x5c),
		"a key for encryption": fmt.Sprintf(`{"kid":"a","kty":"RSA","use":"enc","x5c":[%q]}`, x5c),
		"a shared secret":      `{"kid":"a","kty":"oct","k":"AAAA"}`,
	} {
		if k, ok := readKey([]byte(text)); ok {
			t.Errorf("%s: %v", name, k)
		}
	}
}
