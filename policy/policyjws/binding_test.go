package policyjws

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/probity-dev/probity/token"
)

func TestBindings(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	seven, eight := int64(7), int64(8)
	use := Binding{
		Purpose: PurposeSet, Provider: "https://a.example/p/team", Kind: "SgxEnclave", Version: &seven,
	}
	whole := func() *Binding {
		b := use
		b.Issued, b.Expires = now.Unix(), now.Add(time.Hour).Unix()
		return &b
	}
	if b := whole(); b.Check(use, now) != nil || b.Complete(use) != nil {
		t.Errorf("%v, %v", b.Check(use, now), b.Complete(use))
	}
	if (*Binding)(nil).Check(use, now) != nil || (*Binding)(nil).Complete(use) == nil {
		t.Error("a change without a binding")
	}
	for name, edit := range map[string]func(*Binding){
		"another purpose":   func(b *Binding) { b.Purpose = PurposeReset },
		"another provider":  func(b *Binding) { b.Provider = "https://a.example/p/other" },
		"another service":   func(b *Binding) { b.Provider = "https://b.example/p/team" },
		"another type":      func(b *Binding) { b.Kind = "TdxVm" },
		"another version":   func(b *Binding) { b.Version = &eight },
		"expired":           func(b *Binding) { b.Expires = now.Unix() },
		"from the future":   func(b *Binding) { b.Issued = now.Add(time.Hour).Unix() },
		"a negative expiry": func(b *Binding) { b.Expires = -1 << 63 },
	} {
		b := whole()
		edit(b)
		if b.Check(use, now) == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	for name, edit := range map[string]func(*Binding){
		"no purpose":  func(b *Binding) { b.Purpose = "" },
		"no provider": func(b *Binding) { b.Provider = "" },
		"no type":     func(b *Binding) { b.Kind = "" },
		"no version":  func(b *Binding) { b.Version = nil },
		"no time":     func(b *Binding) { b.Issued = 0 },
		"no expiry":   func(b *Binding) { b.Expires = 0 },
		"a long life": func(b *Binding) { b.Expires = now.Add(32 * 24 * time.Hour).Unix() },
		"no life":     func(b *Binding) { b.Expires = b.Issued },
	} {
		b := whole()
		edit(b)
		if b.Complete(use) == nil {
			t.Errorf("%s is complete", name)
		}
	}
	if err := (&Binding{Version: &seven}).Check(Binding{Purpose: PurposeAddCertificate}, now); err == nil {
		t.Error("a version for a certificate")
	}
}

func TestBindingsAreRead(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := token.InstanceCertificate(rand.Reader, "signer", key,
		time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	chain := []*x509.Certificate{cert}
	policy, err := Wrap(rand.Reader, "version=1.0;", key, chain, Binding{Purpose: PurposeSet, Kind: "Tpm"})
	if err != nil {
		t.Fatal(err)
	}
	if p, err := Parse(policy); err != nil || p.Binding == nil || p.Binding.Kind != "Tpm" || !p.Randomised() {
		t.Errorf("%+v, %v", p, err)
	}
	plain, _ := Wrap(rand.Reader, "version=1.0;", key, chain)
	if strings.Contains(plain, base64.RawURLEncoding.EncodeToString([]byte(bindingHeader))) {
		t.Error("a binding that was not required")
	}
	encode := base64.RawURLEncoding.EncodeToString
	for _, header := range []string{
		`null`, `1`, `"x"`, `[]`, `{"purpose":1}`, `{"later":1}`, `{"exp":1e400}`, `{"exp":1,"exp":2}`,
		`{"version":9223372036854775808}`,
	} {
		_, err := Parse(encode([]byte(`{"alg":"none","probity-change":`+header+`}`)) + "..")
		if !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", header, err)
		}
	}
	// A payload that is both a policy and a certificate is neither.
	both := encode([]byte(`{"alg":"none"}`)) + "." +
		encode([]byte(`{"AttestationPolicy":"","policyCertificate":`+string(CertificateKey(cert))+`}`)) + "."
	if _, err := Parse(both); !errors.Is(err, ErrFormat) {
		t.Errorf("as a policy: %v", err)
	}
	if _, err := ParseCertificate(both); !errors.Is(err, ErrFormat) {
		t.Errorf("as a certificate: %v", err)
	}
}
