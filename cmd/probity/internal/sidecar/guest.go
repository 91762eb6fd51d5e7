package sidecar

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"

	"github.com/go-json-experiment/json"

	"github.com/probity-dev/probity/agent"
	"github.com/probity-dev/probity/client"
	"github.com/probity-dev/probity/cmd/probity/internal/simulate"
	"github.com/probity-dev/probity/cmd/probity/internal/term"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/evidencetest"
	"github.com/probity-dev/probity/evidence/snp"
	"github.com/probity-dev/probity/strict/base64text"
	"github.com/probity-dev/probity/wording/jsonerror"
)

// guest is where the side-car runs.
type guest struct {
	// collect makes a report over data: that of the processor, or a simulated one.
	collect func(data [64]byte) (*agent.Report, error)
	// turn is held by who collects: the processor makes one report at a time.
	turn chan struct{}

	// certificates (PEM) are used where the host sends none with a report.
	certificates []byte
	// endorsement is that of the utility VM, or empty.
	endorsement []byte
	// tcb is the version that the certificates are for, in hex, or empty.
	tcb string
}

// The files of a security context, as hosts of confidential containers hand them to the guest, each in
// base64.
const (
	contextCertificates = "host-amd-cert-base64"
	contextEndorsement  = "reference-info-base64"
)

// maxFile bounds the files that are read, in bytes.
const maxFile = 1 << 20

// guest reads what the flags say about where the side-car runs.
func (c *Command) guest(log *slog.Logger) (*guest, error) {
	g := &guest{collect: agent.HardwareReport, turn: make(chan struct{}, 1)}
	if c.EvidenceFrom != "" {
		if c.SecurityContext != "" || c.Certs != "" {
			return nil, term.Usage("--evidence-from: a simulated guest brings its own certificates; leave out " +
				"--certs and --security-context (UVM_SECURITY_CONTEXT_DIR)")
		}
		log.Warn("SIMULATED: reports are signed by a test key, and prove nothing about this machine",
			"folder", c.EvidenceFrom)
		return g, g.simulated(c.EvidenceFrom)
	}
	if c.SecurityContext != "" {
		if err := g.context(c.SecurityContext); err != nil {
			return nil, fmt.Errorf("--security-context: %w", err)
		}
	}
	if c.Certs != "" {
		b, err := readFile(c.Certs)
		if err == nil {
			g.certificates, err = toPEM(b)
		}
		if err != nil {
			return nil, fmt.Errorf("--certs: %w", err)
		}
		g.tcb = ""
	}
	return g, nil
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(b) > maxFile {
		return nil, fmt.Errorf("%s: expected at most %d bytes, found more", path, maxFile)
	}
	return b, nil
}

// context reads a security context. A file that is not there is left out.
func (g *guest) context(dir string) error {
	read := func(name string) ([]byte, error) {
		b, err := readFile(filepath.Join(dir, name))
		if errors.Is(err, os.ErrNotExist) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		text, err := base64text.Decode(bytes.TrimSpace(b))
		if err != nil {
			return nil, fmt.Errorf("%s: expected base64, found other characters", name)
		}
		return text, nil
	}
	if _, err := os.Stat(dir); err != nil {
		return err
	}
	var err error
	if g.endorsement, err = read(contextEndorsement); err != nil {
		return err
	}
	host, err := read(contextCertificates)
	if err != nil || host == nil {
		return err
	}
	return g.host(host)
}

// tcbForm is a TCB version in hex.
var tcbForm = regexp.MustCompile(`^[0-9A-Fa-f]{16}$`)

// host reads the certificates that a host of Azure hands out.
func (g *guest) host(text []byte) error {
	var in struct {
		TCB string `json:"tcbm"`
	}
	if err := json.Unmarshal(text, &in); err != nil {
		return fmt.Errorf("%s: %s", contextCertificates, jsonerror.Text(err))
	}
	if in.TCB != "" && !tcbForm.MatchString(in.TCB) {
		return fmt.Errorf("%s: expected 16 hex digits as tcbm, found %.40q", contextCertificates, in.TCB)
	}
	var err error
	if g.certificates, err = toPEM(text); err != nil {
		return fmt.Errorf("%s: %w", contextCertificates, err)
	}
	g.tcb = in.TCB
	return nil
}

// toPEM writes certificates of any form as PEM.
func toPEM(b []byte) ([]byte, error) {
	list, err := snp.ParseCertificates(b)
	if err != nil {
		return nil, err
	}
	var out []byte
	for _, cert := range list {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})...)
	}
	return out, nil
}

// simulated takes reports from a folder of probity simulate SevSnpVm --signing-key.
func (g *guest) simulated(dir string) error {
	read := map[string][]byte{}
	for _, name := range []string{
		simulate.ReportFile, simulate.CertificatesFile, simulate.EndorsementFile, simulate.SigningKeyFile,
	} {
		b, err := readFile(filepath.Join(dir, name))
		if err != nil {
			return fmt.Errorf("--evidence-from: %w; make the folder with: probity simulate SevSnpVm --signing-key "+
				"--out DIR", err)
		}
		read[name] = b
	}
	template := read[simulate.ReportFile]
	if len(template) != snp.ReportSize {
		return fmt.Errorf("--evidence-from: %s: expected a report of %d bytes, found %d", simulate.ReportFile,
			snp.ReportSize, len(template))
	}
	block, _ := pem.Decode(read[simulate.SigningKeyFile])
	if block == nil {
		return fmt.Errorf("--evidence-from: %s: expected a key in PEM", simulate.SigningKeyFile)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	key, ok := parsed.(*ecdsa.PrivateKey)
	if err != nil || !ok {
		return fmt.Errorf("--evidence-from: %s: expected an EC key (PKCS #8), found another",
			simulate.SigningKeyFile)
	}
	if g.certificates, err = toPEM(read[simulate.CertificatesFile]); err != nil {
		return fmt.Errorf("--evidence-from: %s: %w", simulate.CertificatesFile, err)
	}
	g.endorsement = read[simulate.EndorsementFile]
	g.collect = func(data [64]byte) (*agent.Report, error) {
		report := bytes.Clone(template)
		copy(report[offsetData:], data[:])
		evidencetest.SignReport(report, key)
		return &agent.Report{Kind: evidence.SEVSNPVM, Raw: report}, nil
	}
	return nil
}

// Where a report (AMD publication 56860, table 23) has the data of the guest, and the TCB version that its
// certificate is for.
const offsetData, offsetTCB = 0x50, 0x180

// report collects a report, one after the other.
func (g *guest) report(ctx context.Context, data [64]byte) (*agent.Report, error) {
	select {
	case g.turn <- struct{}{}:
		defer func() { <-g.turn }()
	case <-ctx.Done():
		return nil, fmt.Errorf("no report: %w", ctx.Err())
	}
	r, err := g.collect(data)
	if err != nil {
		return nil, fmt.Errorf("no report: %w", err)
	}
	if r.Kind == evidence.SEVSNPVM && len(r.Raw) != snp.ReportSize {
		return nil, fmt.Errorf("no report: expected %d bytes, found %d", snp.ReportSize, len(r.Raw))
	}
	return r, nil
}

// certificatesOf are those that the host sent with a report, else those of the flags.
func (g *guest) certificatesOf(r *agent.Report) ([]byte, error) {
	if len(r.Certificates) == 0 {
		return g.certificates, nil
	}
	sent, err := toPEM(r.Certificates)
	if err != nil {
		return nil, fmt.Errorf("certificates of the host: %w", err)
	}
	if len(sent) == 0 {
		return g.certificates, nil
	}
	return sent, nil
}

// request is the evidence of an attestation: of SEV-SNP in the form of Azure Attestation's clients.
func (g *guest) request(ctx context.Context, data []byte) (client.Request, error) {
	r, err := g.report(ctx, agent.BindData(data))
	if err != nil {
		return client.Request{}, err
	}
	if r.Kind != evidence.SEVSNPVM {
		return client.Request{Kind: r.Kind, Evidence: r.Raw, EventLog: agent.CCEL("")}, nil
	}
	framed := snp.Framed{Report: r.Raw}
	if framed.Certificates, err = g.certificatesOf(r); err != nil {
		return client.Request{}, err
	}
	if len(g.endorsement) > 0 {
		framed.Endorsements = [][]byte{g.endorsement}
	}
	b, err := framed.Marshal()
	return client.Request{Kind: r.Kind, Evidence: b}, err
}

// combined is the answer of /attest/combined.
func (g *guest) combined(r *agent.Report) (any, error) {
	if r.Kind != evidence.SEVSNPVM {
		return nil, fmt.Errorf("expected a SEV-SNP guest, found %s; use /attest/raw or /attest/maa", r.Kind)
	}
	certificates, err := g.certificatesOf(r)
	if err != nil {
		return nil, err
	}
	if len(certificates) == 0 {
		return nil, errors.New("expected certificates of the processor's key, which the host sends with a " +
			"report; found none; name a file with --certs")
	}
	tcb := g.tcb
	if tcb == "" {
		tcb = fmt.Sprintf("%016X", binary.LittleEndian.Uint64(r.Raw[offsetTCB:]))
	}
	encode := base64.StdEncoding.EncodeToString
	return map[string]string{
		"endorsed_tcb": tcb, "endorsements": encode(certificates), "evidence": encode(r.Raw),
		"uvm_endorsements": encode(g.endorsement),
	}, nil
}
