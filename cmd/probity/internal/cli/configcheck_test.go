package cli

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
	"time"

	"github.com/probity-dev/probity/cmd/probity/internal/term"
	"github.com/probity-dev/probity/token"
)

// serverPair writes a certificate and its key.
func serverPair(t *testing.T) (certificate, private string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := token.InstanceCertificate(rand.Reader, "attest.example.org", key, time.Now().Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	return writeFile(t, "cert.pem", text("CERTIFICATE", cert.Raw)), writeFile(t, "key.pem", text("PRIVATE KEY", der))
}

// TestConfigCheckOpensWhatServeOpens: each file that keeps a service from its start is named.
func TestConfigCheckOpensWhatServeOpens(t *testing.T) {
	garbage := writeFile(t, "garbage", "garbage")
	certificate, key := serverPair(t)
	_, open := serverPair(t)
	secret := writeFile(t, "secret", "an administrator's token")
	for _, path := range []string{open, secret} {
		if err := os.Chmod(path, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	tls := fmt.Sprintf(`"tls":{"certificate":%q,"key":%q}`, certificate, key)
	for name, c := range map[string]struct{ members, want string }{
		"a certificate that is not there": {fmt.Sprintf(`"tls":{"certificate":"nope.pem","key":%q}`, key),
			"nope.pem: no such file or directory"},
		"a certificate of garbage": {fmt.Sprintf(`"tls":{"certificate":%q,"key":%q}`, garbage, key),
			"no PEM certificate in the file"},
		"a key that others can read": {fmt.Sprintf(`"tls":{"certificate":%q,"key":%q}`, certificate, open),
			"contains a secret, and other users can read or change it"},
		"a token that others can read": {tls + fmt.Sprintf(`,"adminTokenFile":%q`, secret),
			"contains a secret, and other users can read or change it"},
		"a master key of garbage": {tls + fmt.Sprintf(`,"masterKeyFile":%q`, garbage), "master key"},
		"a CA of an issuer": {tls + fmt.Sprintf(`,"callers":{"issuers":[{"url":"https://login.example.org","ca":%q,`+
			`"rules":[{"claim":"a","value":"b","role":"owner"}]}]}`, garbage), "callers.issuers: https://login.example.org: ca"},
		"a CA of a PCCS": {tls + fmt.Sprintf(`,"fetch":{"intel":{"url":"https://pccs.example.org","ca":%q}}`, garbage),
			"fetch.intel.ca"},
		"an authority of TPMs": {tls + fmt.Sprintf(`,"tpm":{"endorsementAuthorities":[%q]}`, garbage),
			"tpm: endorsementAuthorities"},
	} {
		t.Run(name, func(t *testing.T) {
			file := writeFile(t, "probity.json", "{"+c.members+"}")
			text := answers(t, term.No, []string{c.want}, "config", "check", file)
			if lines := strings.Count(text, "\n"); lines != 1 {
				t.Errorf("%d lines: %s", lines, text)
			}
		})
	}
	file := writeFile(t, "probity.json", "{"+tls+"}")
	answers(t, term.Yes, []string{"is good"}, "config", "check", file)
	file = writeFile(t, "probity.json", fmt.Sprintf(
		`{"tls":{"certificate":%q,"key":"nope.pem"},"adminTokenFile":%q,"tcb":"UpToDat"}`, certificate, secret))
	answers(t, term.No, []string{"tcb: ", "nope.pem", "contains a secret"}, "config", "check", file)
}

// TestAMissingFileIsNamedWithItsPlace: a path of a configuration is relative to the working directory.
func TestAMissingFileIsNamedWithItsPlace(t *testing.T) {
	t.Chdir(t.TempDir())
	folder, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	want := filepath.Join(folder, "nope.pem") + ": paths are relative to the working directory"
	file := writeFile(t, "probity.json", `{"tls":{"certificate":"nope.pem","key":"key.pem"},"dataDir":"data"}`)
	answers(t, term.No, []string{"nope.pem: no such file or directory", want}, "config", "check", file)
	answers(t, term.Trouble, []string{want}, "serve", "--config", file)
	file = writeFile(t, "dev.json", `{"development":{"intelRoot":"nope.pem"}}`)
	answers(t, term.Trouble, []string{want}, "verify", "evidence", "SgxEnclave", file, "--config", file)
}

// TestAWrongTokenOfTheAdministratorLeavesNoDataFolder: nothing is written for a service that cannot start.
func TestAWrongTokenOfTheAdministratorLeavesNoDataFolder(t *testing.T) {
	t.Setenv("PROBITY_ADMIN_TOKEN", "short")
	folder := filepath.Join(t.TempDir(), "data")
	answers(t, term.Trouble, []string{"fewer than 16 characters"}, "serve", "--dev", "--data", folder,
		"--listen", "localhost:0")
	if _, err := os.Stat(folder); err == nil {
		t.Errorf("%s was made", folder)
	}
}
