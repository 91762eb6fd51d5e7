package policyjws_test

import (
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/probity-dev/probity/policy/policyjws"
	"github.com/probity-dev/probity/test/kit/jwstest"
)

func TestKeysOfSubmittersAreBoundedBeforeUse(t *testing.T) {
	by := ecKey(t, elliptic.P256())
	for want, key := range jwstest.KeysOutOfBounds() {
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
