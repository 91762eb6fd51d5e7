package cli

import (
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/probity-dev/probity/evidence/evidencetest"
)

func TestARevocationListAmongTheCertificatesIsUsed(t *testing.T) {
	amd := evidencetest.NewAMD(evidencetest.AMDConfig{Now: time.Now()})
	chip := amd.Chip(evidencetest.ChipConfig{})
	der := amd.CRL(evidencetest.CRLConfig{})
	list := pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})
	certs := append(chip.PEM(), amd.Chain(false)...)
	revoked := amd.CRL(evidencetest.CRLConfig{Revoked: []*big.Int{amd.ASK.Cert.SerialNumber}})
	for name, tc := range map[string]struct {
		files map[string][]byte
		want  string
	}{
		"a folder with PEM": {
			map[string][]byte{"vcek.pem": chip.PEM(), "chain.pem": amd.Chain(false), "crl.pem": list},
			"not on the list",
		},
		"a folder with DER": {map[string][]byte{"vcek.der": chip.Cert.Raw, "chain.pem": amd.Chain(false),
			"crl": der, "notes.txt": []byte("notes")}, "not on the list"},
		"one PEM file with all": {map[string][]byte{"all.pem": append(certs, list...)}, "not on the list"},
		"a list that revokes": {
			map[string][]byte{"vcek.pem": certs, "crl.der": revoked}, "refused: snp.ask.revoked",
		},
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, "certs")
		write := func(path string, b []byte) {
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		for file, b := range tc.files {
			write(filepath.Join(path, file), b)
		}
		if len(tc.files) == 1 {
			path = filepath.Join(path, "all.pem")
		}
		write(filepath.Join(dir, "report.bin"), chip.Report(evidencetest.ReportConfig{}))
		write(filepath.Join(dir, "root.pem"), amd.RootsPEM())
		_, out, errText := runCLI(t, "verify", "evidence", "SevSnpVm", filepath.Join(dir, "report.bin"),
			"--certs", path, "--root", filepath.Join(dir, "root.pem"))
		if !strings.Contains(out, tc.want) {
			t.Errorf("%s:\n%s%s", name, out, errText)
		}
		if tc.files["notes.txt"] != nil && !strings.Contains(errText, "notes.txt: not used") {
			t.Errorf("%s: the ignored file is not named: %s", name, errText)
		}
	}
}

func TestImportKeepsEverySetOfAFolderAndAListThatCameAlone(t *testing.T) {
	now := time.Now()
	pki := evidencetest.NewIntel(evidencetest.IntelConfig{Now: now})
	amd := evidencetest.NewAMD(evidencetest.AMDConfig{Now: now})
	dir := t.TempDir()
	write := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for i := range 2 {
		tcb := evidencetest.HealthyTDXTCB(now)
		tcb.FMSPC[0] = byte(i)
		c := pki.Collateral(pki.Platform(evidencetest.HealthyPlatform()), evidencetest.CollateralConfig{TCB: tcb})
		response := func(member string, signed, signature []byte) []byte {
			return fmt.Appendf(nil, `{"%s":%s,"signature":"%x"}`, member, signed, signature)
		}
		write(fmt.Sprintf("site/tcb_info_%d.json", i), response("tcbInfo", c.TCBInfo, c.TCBInfoSignature))
		if i == 0 {
			write("site/qe_identity.json", response("enclaveIdentity", c.QEIdentity, c.QEIdentitySignature))
			write("site/pck_crl.der", c.PCKCRL)
			write("site/root_crl.der", c.RootCRL)
			write("site/chain.pem", c.TCBInfoIssuerChain)
			write("site/ca.pem", c.PCKCRLIssuerChain)
		}
	}
	write("site/milan.crl", amd.CRL(evidencetest.CRLConfig{}))
	write("site/notes.txt", []byte("notes"))
	config := write("probity.json", fmt.Appendf(nil,
		`{"dataDir":%q,"development":{"intelRoot":%q,"amdRoots":%q}}`, filepath.Join(dir, "data"),
		write("intel.pem", pki.Root.PEM()), write("amd.pem", amd.RootsPEM())))
	code, out, errText := runCLI(t, "collateral", "import", filepath.Join(dir, "site"), "--config", config)
	if code != 0 || strings.Count(out, "✓ intel/TDX/") != 2 || !strings.Contains(out, "amd/vcek/Milan") ||
		!strings.Contains(errText, "notes.txt: not used") {
		t.Fatalf("exit %d\n%s%s", code, out, errText)
	}
	code, out, errText = runCLI(t, "collateral", "list", "--config", config)
	if code != 0 || strings.Count(out, "intel/TDX/") != 2 {
		t.Errorf("exit %d\n%s%s", code, out, errText)
	}
}
