package e2e

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/probity-dev/probity/client"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/evidencetest"
)

// attestSimulated attests what probity simulate wrote: attestsimulated URL KIND FOLDER TOKENFILE.
func attestSimulated(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 4 {
		ts.Fatalf("usage: attestsimulated URL KIND FOLDER TOKENFILE")
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(ts.ReadFile(ts.Getenv("PROBITY_CA")))) {
		ts.Fatalf("no certificate in $PROBITY_CA")
	}
	service, err := client.New(client.Config{URL: args[0], Roots: roots})
	ts.Check(err)
	kind, err := evidence.ParseKind(args[1])
	ts.Check(err)
	name := "evidence.bin"
	if kind == evidence.SEVSNPVM {
		name = "evidence.json"
	}
	read := func(name string) []byte { return []byte(ts.ReadFile(filepath.Join(args[2], name))) }
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	token, err := service.Attest(ctx, client.Request{Kind: kind, Evidence: read(name),
		RuntimeData: &evidence.Data{Bytes: read("runtime-data.json"), Type: evidence.JSON}})
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[3]), []byte(token), 0o600))
}

// asAzureGuest makes the TPM that starttpm started that of an Azure guest: an attestation key with a certificate,
// which azure-root.pem certifies: azureguest.
func asAzureGuest(ts *testscript.TestScript, neg bool, args []string) {
	m, ok := tpmOf(ts)
	if neg || len(args) != 0 || !ok {
		ts.Fatalf("usage: azureguest, after starttpm")
	}
	authority := evidencetest.NewTPMCA(time.Now())
	ts.Check(m.ProvisionAzure(func(public crypto.PublicKey) []byte { return authority.CertifyAK(public, time.Now()) }))
	ts.Check(os.WriteFile(ts.MkAbs("azure-root.pem"), authority.PEM(), 0o600))
}

// releasePolicy writes a release policy for an issuer: releasepolicy FILE ISSUER CLAIM VALUE.
func releasePolicy(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 4 {
		ts.Fatalf("usage: releasepolicy FILE ISSUER CLAIM VALUE")
	}
	text, err := json.MarshalIndent(map[string]any{"version": "1.0.0", "anyOf": []any{map[string]any{
		"authority": args[1], "allOf": []any{map[string]string{"claim": args[2], "equals": args[3]}},
	}}}, "", "  ")
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), text, 0o600))
}

// claimsOf writes the claims of a token: claimsof TOKENFILE FILE.
func claimsOf(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: claimsof TOKENFILE FILE")
	}
	parts := strings.Split(ts.ReadFile(args[0]), ".")
	if len(parts) != 3 {
		ts.Fatalf("%s is not a token", args[0])
	}
	b, err := base64.RawURLEncoding.DecodeString(parts[1])
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), b, 0o600))
}
