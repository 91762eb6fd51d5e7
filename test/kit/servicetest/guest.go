package servicetest

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"maps"
	"path/filepath"
	"testing"
	"time"

	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/evidence/evidencetest"
	"github.com/probity-dev/probity/evidence/snp"
	"github.com/probity-dev/probity/evidence/uvm"
)

// Guest is a simulated SEV-SNP guest that runs confidential containers, as a side-car sees it.
type Guest struct {
	// Key signs reports, and Certificates (PEM) lead from it to the root.
	Key          *ecdsa.PrivateKey
	Certificates []byte
	// Endorsement is that of the utility VM, Policy the security policy whose hash is the host data.
	Endorsement, Policy []byte
	// Report is one that binds nothing.
	Report []byte
}

// Sign returns a report with other report data and host data.
func (g *Guest) Sign(reportData [64]byte, hostData [32]byte) []byte {
	report := append([]byte{}, g.Report...)
	copy(report[0x50:], reportData[:])
	copy(report[0xc0:], hostData[:])
	evidencetest.SignReport(report, g.Key)
	return report
}

// Guests starts a service that accepts the evidence of a guest, and leaves the files of the guest in its
// folder, by the names that probity simulate SevSnpVm --signing-key has for them. More members of its
// configuration may be given.
func Guests(t *testing.T, more ...map[string]any) (Instance, *Guest) {
	t.Helper()
	now, dir := time.Now(), t.TempDir()
	hierarchy := evidencetest.NewAMD(evidencetest.AMDConfig{Now: now})
	publisher := evidencetest.NewUVM(evidencetest.UVMConfig{Now: now})
	chip := hierarchy.Chip(evidencetest.ChipConfig{TCB: evidencetest.HealthySNP(snp.Milan)})
	g := &Guest{Key: chip.Key.(*ecdsa.PrivateKey), Certificates: append(chip.PEM(), hierarchy.Chain(false)...),
		Policy: []byte("package policy\n\napi_version := \"0.10.0\"\n")}
	config := evidencetest.ReportConfig{Measurement: [48]byte{'s', 'i', 'm'}}
	host := evidencetest.BindData(g.Policy)
	copy(config.HostData[:], host[:32])
	g.Report = chip.Report(config)
	g.Endorsement = publisher.Endorse(config.Measurement[:],
		evidencetest.EndorsementConfig{Envelope: true, SVN: "104"})
	bundle := &collateral.Bundle{Created: now, AMD: []*collateral.AMD{hierarchy.Collateral(false)},
		VCEK: []*collateral.VCEK{chip.VCEK()}}
	text, err := bundle.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(g.Key)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		"bundle.json": text, "root.pem": hierarchy.RootsPEM(), "report.bin": g.Report, "certs.pem": g.Certificates,
		"reference_info.cose": g.Endorsement, "security-policy.rego": g.Policy,
		"signing-key.pem": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}),
	} {
		write(t, filepath.Join(dir, name), b)
	}
	cfg := map[string]any{"collateral": []string{filepath.Join(dir, "bundle.json")},
		"development": map[string]any{"amdRoots": filepath.Join(dir, "root.pem")},
		"snp": map[string]any{"uvm": []uvm.Trust{{Issuer: publisher.DID(), Feed: "ContainerPlat-AMD-UVM",
			MinSVN: 100, Status: "azure-compliant-uvm"}}}}
	for _, members := range more {
		maps.Copy(cfg, members)
	}
	i := Start(t, cfg)
	i.Folder = dir
	return i, g
}
