package simulate

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/cmd/probity/internal/term"
	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/evidencetest"
	"github.com/probity-dev/probity/evidence/snp"
	"github.com/probity-dev/probity/evidence/uvm"
	"github.com/probity-dev/probity/internal/config"
)

type Command struct {
	Kind string `arg:"" complete:"kind" help:"${kindHelp}"`
	Out  string `help:"Folder to write; by default simulated-KIND." placeholder:"DIR"`

	RuntimeData string `help:"File with the runtime data to bind, instead of an example." placeholder:"FILE"`
	MachineKey  bool   `help:"${machineKeyHelp}"`

	Line  string `help:"Product line, with SevSnpVm." enum:"Milan,Genoa,Turin" default:"Milan"`
	VLEK  bool   `name:"vlek" help:"Sign with a VLEK, with SevSnpVm."`
	Key   bool   `name:"signing-key" help:"${signingKeyHelp}"`
	Debug bool   `help:"Make the guest debuggable; boot a TPM's machine without secure boot."`

	TCB       string `name:"tcb" help:"${tcbHelp}" enum:"UpToDate,OutOfDate,TDRelaunchAdvised" default:"UpToDate"`
	ServiceTD bool   `name:"service-td" help:"Bind a service TD, with TdxVm."`
	term.Output
}

// made is what a simulation wrote.
type made struct {
	files map[string][]byte
	// evidence is the name of the evidence, root that of the root.
	evidence, root string
	bundle         *collateral.Bundle
	cfg            config.Config
}

// Run writes the folder.
func (c *Command) Run(e *term.Env) error {
	kind, err := evidence.ParseKind(c.Kind)
	if err != nil {
		return err
	}
	if err := c.applies(kind); err != nil {
		return err
	}
	data := []byte(`{"purpose":"simulation","greeting":"these bytes are bound by the evidence"}`)
	if c.RuntimeData != "" {
		if data, err = e.ReadLimited(c.RuntimeData, evidence.MaxSize); err != nil {
			return err
		}
	}
	var machineKey []byte
	if c.MachineKey {
		if machineKey, data, err = newMachineKey(); err != nil {
			return err
		}
	}
	dir := c.Out
	if dir == "" {
		dir = "simulated-" + string(kind)
	}
	m, err := c.make(kind, data, dir, time.Now())
	if err != nil {
		return err
	}
	m.files["runtime-data.json"] = data
	if m.files["probity.json"], err = json.Marshal(m.cfg, jsontext.WithIndent("  ")); err != nil {
		return err
	}
	if m.bundle != nil {
		m.bundle.Created = time.Now()
		if m.files["bundle.json"], err = m.bundle.Marshal(); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, b := range m.files {
		mode := os.FileMode(0o644)
		if name == SigningKeyFile {
			mode = 0o600
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, mode); err != nil {
			return err
		}
	}
	if machineKey != nil {
		if err := os.WriteFile(filepath.Join(dir, machineKeyFile), machineKey, 0o600); err != nil {
			return err
		}
		m.files[machineKeyFile] = nil
	}
	if e.JSON {
		return term.PrintJSON(e.Out, written{kind, dir, slices.Sorted(maps.Keys(m.files))})
	}
	c.goOn(e, kind, dir, m)
	return nil
}

// written is what a simulation wrote, for programs.
type written struct {
	Kind   evidence.Kind `json:"kind"`
	Folder string        `json:"folder"`
	Files  []string      `json:"files"`
}

// applies refuses a state that evidence of the kind cannot be in.
func (c *Command) applies(kind evidence.Kind) error {
	intel := kind == evidence.SGXEnclave || kind == evidence.OpenEnclave || kind == evidence.TDXVM
	switch {
	case c.TCB == statusOutOfDate && !intel && kind != evidence.SEVSNPVM:
		return term.Usage(
			"--tcb %s goes with SgxEnclave, OpenEnclave, TdxVm and SevSnpVm; %s has no TCB levels",
			c.TCB, kind,
		)
	case c.TCB == statusOutOfDate && kind == evidence.SEVSNPVM && snp.Line(c.Line) == snp.Turin:
		return term.Usage("--tcb %s goes with Milan and Genoa; AMD names no lowest firmware for %s", c.TCB, c.Line)
	case c.TCB == statusRelaunch && kind != evidence.TDXVM:
		return term.Usage("--tcb %s goes with TdxVm", c.TCB)
	case c.Key && kind != evidence.SEVSNPVM:
		return term.Usage("--signing-key goes with SevSnpVm")
	case c.ServiceTD && kind != evidence.TDXVM:
		return term.Usage("--service-td goes with TdxVm")
	case c.MachineKey && (c.RuntimeData != "" || isBoot(kind)):
		return term.Usage("--machine-key goes with evidence that binds runtime data, and makes them itself; " +
			"not with --runtime-data, Tpm, VbsEnclave and AzureGuest")
	}
	return nil
}

// Statuses that a simulated platform can have besides UpToDate.
const (
	statusOutOfDate = "OutOfDate"
	statusRelaunch  = "TDRelaunchAdvised"
)

func (c *Command) make(kind evidence.Kind, data []byte, dir string, now time.Time) (*made, error) {
	m := &made{files: map[string][]byte{}, evidence: "evidence.bin", root: "root.pem"}
	switch kind {
	case evidence.SGXEnclave, evidence.OpenEnclave, evidence.TDXVM:
		c.intel(m, kind, data, dir, now)
	case evidence.SEVSNPVM:
		return m, c.snp(m, data, dir, now)
	case evidence.NitroEnclave:
		n := evidencetest.NewNitro(evidencetest.NitroConfig{Now: now})
		bound := evidencetest.BindData(data)
		m.files["evidence.bin"] = n.Document(evidencetest.DocumentConfig{UserData: bound[:32], Debug: c.Debug})
		m.files["root.pem"] = n.Chain[0].PEM()
		m.cfg.Development.NitroRoot = filepath.Join(dir, "root.pem")
	case evidence.ArmCCA:
		a := evidencetest.NewArm()
		token := evidencetest.CCAConfig{Challenge: evidencetest.BindData(data)}
		if c.Debug {
			token.Lifecycle = 0x4000
		}
		m.files["evidence.bin"], m.files["cpak.pem"], m.root = a.CCA(token), a.PlatformKeyPEM(), "cpak.pem"
		implementation, instance := a.IDs()
		m.cfg.CCA.PlatformKeys = []config.PlatformKey{
			{ImplementationID: implementation, InstanceID: instance, Key: filepath.Join(dir, "cpak.pem")},
		}
	case evidence.TPM, evidence.VBSEnclave, evidence.AzureGuest:
		return m, c.boot(m, kind, data, dir, now)
	}
	return m, nil
}

func (c *Command) intel(m *made, kind evidence.Kind, data []byte, dir string, now time.Time) {
	pki := evidencetest.NewIntel(evidencetest.IntelConfig{Now: now})
	platform := evidencetest.HealthyPlatform()
	if c.TCB == statusOutOfDate {
		platform.Components[0]--
	}
	machine := pki.Platform(platform)
	tcb := evidencetest.HealthyTCB(now)
	quote := evidencetest.QuoteConfig{Enclave: evidencetest.DemoEnclave()}
	quote.Enclave.ReportData, quote.Enclave.Debug = evidencetest.BindData(data), c.Debug
	if kind == evidence.TDXVM {
		tcb = evidencetest.HealthyTDXTCB(now)
		quote.TD = evidencetest.HealthyTD()
		quote.TD.V15, quote.TD.ReportData = true, evidencetest.BindData(data)
		firmware, kernel := []byte("firmware"), []byte("kernel")
		quote.TD.RTMR = [4][48]byte{evidencetest.Extend(firmware), evidencetest.Extend(kernel)}
		if c.Debug {
			quote.TD.Attributes |= 1
		}
		if c.TCB == statusRelaunch {
			quote.TD.TEETCBSVN[0] = 2
		}
		if c.ServiceTD {
			quote.TD.MRServiceTD[0] = 0xab
		}
		m.files["eventlog.bin"] = evidencetest.EventLog(evidencetest.LogEvent{
			Register: 1,
			Type:     8,
			Data:     firmware,
		}, evidencetest.LogEvent{Register: 2, Type: 8, Data: kernel})
	}
	m.files["evidence.bin"] = machine.Quote(quote)
	if kind == evidence.OpenEnclave {
		m.files["evidence.bin"] = evidencetest.OpenEnclaveReport(m.files["evidence.bin"])
	}
	m.files["root.pem"] = pki.Root.PEM()
	m.bundle = &collateral.Bundle{
		Intel: []*collateral.Intel{pki.Collateral(machine, evidencetest.CollateralConfig{TCB: tcb})},
	}
	m.cfg.Development.IntelRoot = filepath.Join(dir, "root.pem")
	m.cfg.Collateral = []string{filepath.Join(dir, "bundle.json")}
}

// The files of a simulated SEV-SNP guest from which probity sidecar makes more reports.
const (
	ReportFile       = "report.bin"
	CertificatesFile = "certs.pem"
	EndorsementFile  = "reference_info.cose"
	SigningKeyFile   = "signing-key.pem"
)

// snp makes a report of a confidential container: with an endorsement of its
// utility VM and a security policy.
func (c *Command) snp(m *made, data []byte, dir string, now time.Time) error {
	hierarchy := evidencetest.NewAMD(evidencetest.AMDConfig{Now: now, Line: snp.Line(c.Line), Bits: 4096})
	publisher := evidencetest.NewUVM(evidencetest.UVMConfig{Now: now})
	chip := evidencetest.ChipConfig{TCB: evidencetest.HealthySNP(snp.Line(c.Line))}
	if c.TCB == statusOutOfDate {
		chip.TCB[6] = 22 // the firmware before the floors of AMD-SB-3019
	}
	if c.VLEK {
		chip.CSP = "CN=cc-simulated-1.amazonaws.com"
	}
	machine := hierarchy.Chip(chip)
	policy := []byte(
		"package policy\n\napi_version := \"0.10.0\"\n\ndefault create_container := {\"allowed\": false}\n",
	)
	report := evidencetest.ReportConfig{
		ReportData:  evidencetest.BindData(data),
		Measurement: [48]byte{'s', 'i', 'm'},
	}
	host := evidencetest.BindData(policy)
	copy(report.HostData[:], host[:32])
	if c.Debug {
		report.Policy = 0xb001f
	}
	raw := machine.Report(report)
	endorsement := publisher.Endorse(report.Measurement[:],
		evidencetest.EndorsementConfig{Envelope: true, SVN: "104"})
	m.evidence = "evidence.json"
	for name, b := range map[string][]byte{
		ReportFile:       raw,
		CertificatesFile: append(machine.PEM(), hierarchy.Chain(c.VLEK)...), EndorsementFile: endorsement,
		"evidence.json": machine.Evidence(hierarchy, raw, endorsement), "root.pem": hierarchy.RootsPEM(),
		"security-policy.rego": policy,
	} {
		m.files[name] = b
	}
	if c.Key {
		der, err := x509.MarshalPKCS8PrivateKey(machine.Key)
		if err != nil {
			return err
		}
		m.files[SigningKeyFile] = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	}
	m.bundle = &collateral.Bundle{AMD: []*collateral.AMD{hierarchy.Collateral(c.VLEK)}}
	if !c.VLEK {
		m.bundle.VCEK = []*collateral.VCEK{machine.VCEK()}
	}
	m.cfg.Development.AMDRoots = filepath.Join(dir, "root.pem")
	m.cfg.Collateral = []string{filepath.Join(dir, "bundle.json")}
	m.cfg.SNP.UVM = []uvm.Trust{
		{Issuer: publisher.DID(), Feed: "ContainerPlat-AMD-UVM", MinSVN: 100, Status: "azure-compliant-uvm"},
	}
	if _, err := m.cfg.SNP.Verifier(); err != nil {
		return errors.Join(errors.New("simulated configuration"), err)
	}
	return nil
}

// goOn says what to try next.
func (c *Command) goOn(e *term.Env, kind evidence.Kind, dir string, m *made) {
	fmt.Fprintf(e.Out, "%s in %s (a test root, not for production)\n\nTry next:\n", kind, dir)
	if isBoot(kind) {
		fmt.Fprintf(e.Out, "%s\n  probity inspect %s\n  probity inspect %s\n", bootCommand(kind, dir),
			filepath.Join(dir, "evidence.json"), filepath.Join(dir, "eventlog.bin"))
		return
	}
	file := func(name string) string { return filepath.Join(dir, name) }
	command := fmt.Sprintf("  probity verify evidence %s %s --config %s --runtime-data %s --data-type JSON",
		kind, file(m.evidence), file("probity.json"), file("runtime-data.json"))
	if m.files["eventlog.bin"] != nil {
		command += " --event-log " + file("eventlog.bin")
	}
	fmt.Fprintln(e.Out, command)
	if m.files["report.bin"] != nil {
		fmt.Fprintf(e.Out,
			"  probity verify evidence %s %s --certs %s --uvm %s --config %s --init-data %s\n", kind,
			file("report.bin"), file("certs.pem"), file("reference_info.cose"), file("probity.json"),
			file("security-policy.rego"))
	}
	fmt.Fprintf(e.Out, "  probity inspect %s\n  probity serve --dev --config %s\n", file(m.evidence),
		file("probity.json"))
}
