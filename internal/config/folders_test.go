package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAFolderAmongImportedAuthoritiesIsRefusedByName(t *testing.T) {
	dir := t.TempDir()
	hidden := filepath.Join(dir, filepath.FromSlash(AttestationRoots), "vendors")
	if err := os.MkdirAll(hidden, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := (TPM{}).Verifier(dir); err == nil || !strings.Contains(err.Error(), hidden) {
		t.Error(err)
	}
}

func TestTwoKeysOfOnePlatformAreRefusedByNumber(t *testing.T) {
	dir := t.TempDir()
	key := func(name string) string {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		der, err := x509.MarshalPKIXPublicKey(k.Public())
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, name)
		err = os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o600)
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	c := CCA{}
	for i := range 3 {
		instance := strings.Repeat(fmt.Sprintf("%02x", max(i, 1)), 33)
		c.PlatformKeys = append(c.PlatformKeys, PlatformKey{
			ImplementationID: strings.Repeat("00", 32),
			InstanceID:       instance,
			Key:              key(fmt.Sprint(i)),
		})
	}
	_, err := c.Verifier()
	if err == nil || !strings.Contains(err.Error(), "platformKeys: 1 and 2 are for the same platform") {
		t.Error(err)
	}
}
