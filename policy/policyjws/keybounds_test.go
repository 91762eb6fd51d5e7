package policyjws_test

import (
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/probity-dev/probity/policy/policyjws"
)

// keysOutOfBounds are keys whose signatures take long to check.
func keysOutOfBounds() map[string]*rsa.PublicKey {
	n := func(bits int) *big.Int {
		n := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
		return n.SetBit(n, 0, 1)
	}
	return map[string]*rsa.PublicKey{
		"RSA key of 65536 bits": {N: n(65536), E: 65537}, "RSA key of 8193 bits": {N: n(8193), E: 3},
		"exponent 2147483647": {N: n(2048), E: 1<<31 - 1},
	}
}

func TestKeysOfSubmittersAreBoundedBeforeUse(t *testing.T) {
	by := ecKey(t, elliptic.P256())
	for want, key := range keysOutOfBounds() {
		template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: when, NotAfter: when.Add(time.Hour)}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key, by)
		if err != nil {
			t.Fatal(err)
		}
		x5c := base64.StdEncoding.EncodeToString(der)
		signature := base64.RawURLEncoding.EncodeToString(make([]byte, (key.N.BitLen()+7)/8))
		part := base64.RawURLEncoding.EncodeToString

		_, err = policyjws.Parse(part([]byte(`{"alg":"RS256","x5c":["`+x5c+`"]}`)) + "." +
			part([]byte(`{"AttestationPolicy":""}`)) + "." + signature)
		if !errors.Is(err, policyjws.ErrFormat) || !strings.Contains(err.Error(), want) {
			t.Errorf("policy: %v, want %q", err, want)
		}
		_, err = policyjws.Certificate([]byte(`{"kty":"RSA","x5c":["` + x5c + `"]}`))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("policy certificate: %v, want %q", err, want)
		}
	}
}
