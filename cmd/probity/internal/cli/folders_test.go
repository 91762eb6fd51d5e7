package cli

import (
	"bytes"
	"encoding/hex"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/evidence/evidencetest"
)

// putFiles writes files into a new folder.
func putFiles(t *testing.T, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, b := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// tdxFolder is a folder of collateral for a TDX platform, and its root.
func tdxFolder() (files map[string][]byte, with func(edit func(*evidencetest.TCB)) []byte, root []byte) {
	now := time.Now().UTC().Truncate(time.Second)
	pki := evidencetest.NewIntel(evidencetest.IntelConfig{Now: now})
	platform := pki.Platform(evidencetest.HealthyPlatform())
	set := func(edit func(*evidencetest.TCB)) *collateral.Intel {
		tcb := evidencetest.HealthyTDXTCB(now)
		edit(&tcb)
		return pki.Collateral(platform, evidencetest.CollateralConfig{TCB: tcb})
	}
	with = func(edit func(*evidencetest.TCB)) []byte {
		c := set(edit)
		return []byte(`{"tcbInfo":` + string(c.TCBInfo) + `,"signature":"` +
			hex.EncodeToString(c.TCBInfoSignature) + `"}`)
	}
	c := set(func(*evidencetest.TCB) {})
	return map[string][]byte{
		"root.der": c.RootCRL,
		"pck.der":  c.PCKCRL,
		"pck.pem":  c.PCKCRLIssuerChain,
		"tcb.pem":  c.TCBInfoIssuerChain,
		"qe.json": []byte(`{"enclaveIdentity":` + string(c.QEIdentity) + `,"signature":"` +
			hex.EncodeToString(c.QEIdentitySignature) + `"}`),
		"tcb.json": []byte(`{"tcbInfo":` + string(c.TCBInfo) + `,"signature":"` +
			hex.EncodeToString(c.TCBInfoSignature) + `"}`),
	}, with, pki.Root.PEM()
}

func TestContradictingCollateralIsRefusedByNameInEveryCommand(t *testing.T) {
	files, with, root := tdxFolder()
	files["copy/tcb.json"] = with(func(tcb *evidencetest.TCB) { tcb.PCEID[0]++ })
	dir := putFiles(t, files)
	aside := putFiles(t, map[string][]byte{"root.pem": root, "quote": []byte("x")})
	cfg := filepath.Join(aside, "probity.json")
	err := os.WriteFile(cfg,
		[]byte(`{"collateral":["`+dir+`"],"development":{"intelRoot":"`+filepath.Join(aside,
			"root.pem")+`"}}`),
		0o600)
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"collateral", "list", dir},
		{"collateral", "verify", dir, "--config", cfg},
		{"collateral", "import", dir, "--config", cfg, "--data", aside},
		{"verify", "evidence", "TdxVm", filepath.Join(aside, "quote"), "--collateral", dir},
		{"verify", "evidence", "TdxVm", filepath.Join(aside, "quote"), "--config", cfg},
		{"config", "check", "--dev", cfg},
	} {
		code, out, errText := runCLI(t, args...)
		if code == 0 || !strings.Contains(out+errText, filepath.Join(dir, "tcb.json")) ||
			!strings.Contains(out+errText, filepath.Join(dir, "copy/tcb.json")) {
			t.Errorf("probity %s: exit %d\n%s%s", strings.Join(args, " "), code, out, errText)
		}
	}
	// The same in two folders that a configuration names.
	delete(files, "copy/tcb.json")
	dir = putFiles(t, files)
	files["tcb.json"] = with(func(tcb *evidencetest.TCB) { tcb.PCEID[0]++ })
	second := putFiles(t, files)
	if err := os.WriteFile(cfg, []byte(`{"collateral":["`+dir+`","`+second+`"]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"verify", "evidence", "TdxVm", filepath.Join(aside, "quote"), "--config", cfg},
		{"config", "check", "--dev", cfg},
	} {
		code, out, errText := runCLI(t, args...)
		if code == 0 || !strings.Contains(out+errText, filepath.Join(dir, "tcb.json")) ||
			!strings.Contains(out+errText, filepath.Join(second, "tcb.json")) {
			t.Errorf("probity %s: exit %d\n%s%s", strings.Join(args, " "), code, out, errText)
		}
	}
}

func TestImportNamesTheFileOfEveryPieceAndWhatItDidNotUse(t *testing.T) {
	files, with, root := tdxFolder()
	files["old.json"] = with(func(tcb *evidencetest.TCB) { tcb.Issued = tcb.Issued.AddDate(0, 0, -2) })
	files["forged.json"] = bytes.Replace(with(func(tcb *evidencetest.TCB) { tcb.FMSPC[0] = 0xff }),
		[]byte(`"pceId":"0000"`), []byte(`"pceId":"0001"`), 1)
	dir := putFiles(t, files)
	aside := putFiles(t, map[string][]byte{"root.pem": root})
	cfg := filepath.Join(aside, "probity.json")
	if err := os.WriteFile(cfg, []byte(`{"dataDir":"`+filepath.Join(aside, "data")+
		`","development":{"intelRoot":"`+filepath.Join(aside, "root.pem")+`"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, errText := runCLI(t, "collateral", "import", dir, "--config", cfg)
	lines := strings.Split(out, "\n")
	for _, want := range []struct{ mark, file string }{{"✓", "tcb.json"}, {"✗", "forged.json"}} {
		found := false
		for _, line := range lines {
			found = found ||
				strings.HasPrefix(line, want.mark) && strings.Contains(line, filepath.Join(dir, want.file))
		}
		if !found {
			t.Errorf("no line with %s and %s", want.mark, want.file)
		}
	}
	if code != 1 || !strings.Contains(errText, "old.json: not used") {
		t.Errorf("exit %d\n%s%s", code, out, errText)
	}
}

func TestARootFileOfManyCertificatesIsRefused(t *testing.T) {
	_, _, root := tdxFolder()
	_, _, other := tdxFolder()
	damaged := bytes.Replace(other, []byte("MI"), []byte("!!"), 1)
	for name, b := range map[string][]byte{
		"two":         append(bytes.Clone(root), other...),
		"one damaged": append(bytes.Clone(root), damaged...),
	} {
		dir := putFiles(t, map[string][]byte{"roots.pem": b, "quote": []byte("x")})
		for _, args := range [][]string{{"verify", "evidence", "TdxVm"}, {"verify", "evidence", "NitroEnclave"}} {
			args = append(args, filepath.Join(dir, "quote"), "--root", filepath.Join(dir, "roots.pem"))
			code, out, errText := runCLI(t, args...)
			if code != 2 || !strings.Contains(errText, "roots.pem: ") || !strings.Contains(errText, "2 ") {
				t.Errorf("%s: exit %d\n%s%s", name, code, out, errText)
			}
		}
	}
}

func TestCertificatesOfAFolderThatContradictOrAreNoFilesAreNamed(t *testing.T) {
	amd := evidencetest.NewAMD(evidencetest.AMDConfig{Now: time.Now()})
	chip := amd.Chip(evidencetest.ChipConfig{})
	clean := amd.CRL(evidencetest.CRLConfig{})
	revoked := amd.CRL(evidencetest.CRLConfig{Revoked: []*big.Int{amd.ASK.Cert.SerialNumber}})
	dir := putFiles(t, map[string][]byte{
		"report.bin":     chip.Report(evidencetest.ReportConfig{}),
		"root.pem":       amd.RootsPEM(),
		"certs/vcek.pem": append(chip.PEM(), amd.Chain(false)...),
		"certs/a.crl":    clean,
		"certs/b.crl":    revoked,
	})
	args := []string{"verify", "evidence", "SevSnpVm", filepath.Join(dir,
		"report.bin"), "--certs", filepath.Join(dir, "certs"), "--root", filepath.Join(dir, "root.pem")}
	code, out, errText := runCLI(t, args...)
	if code == 0 || !strings.Contains(errText, "a.crl") || !strings.Contains(errText, "b.crl") {
		t.Errorf("two lists of one date: exit %d\n%s%s", code, out, errText)
	}
}

func TestTestFilesOfAnotherNameAreNamed(t *testing.T) {
	dir := putFiles(t, map[string][]byte{"p.policy": []byte("version=1.0; authorizationrules { => permit(); };"),
		"a.test.json": []byte(
			`{"policy":"p.policy","claims":{"c":{"a":1}},"cases":[{"claims":"c","expect":"permit"}]}`,
		),
		"b.json": []byte(`{}`)})
	if _, out, errText := runCLI(t, "policy", "test", dir); !strings.Contains(errText, "1 file is not used (b.json)") {
		t.Error(out + errText)
	}
}
