package evidencetest

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"math/big"
	"time"

	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/evidence/snp"
)

// Signer is a certificate with its key, of any algorithm.
type Signer struct {
	Key  crypto.Signer
	Cert *x509.Certificate
}

// PEM returns the certificate in PEM, with a final newline.
func (s Signer) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Cert.Raw})
}

// AMD is a hierarchy shaped like AMD's for one product line: the root (ARK) and
// the CAs of VCEKs (ASK) and VLEKs (ASVK), all RSA with RSASSA-PSS.
type AMD struct {
	Line           snp.Line
	ARK, ASK, ASVK Signer

	now  time.Time
	edit func(*x509.Certificate)
}

// AMDConfig makes a hierarchy differ from a healthy one.
type AMDConfig struct {
	Now time.Time
	// Line is the product line; empty stands for Milan.
	Line snp.Line
	// Bits is the size of RSA keys; 0 stands for 2048, which is quickly made.
	// AMD's have 4096.
	Bits int
	// Edit may change the template of any certificate, told by its subject.
	Edit func(*x509.Certificate)
}

// NewAMD makes a hierarchy with fresh keys.
func NewAMD(cfg AMDConfig) *AMD {
	a := &AMD{Line: cfg.Line, now: cfg.Now, edit: cfg.Edit}
	if a.Line == "" {
		a.Line = snp.Milan
	}
	if a.edit == nil {
		a.edit = func(*x509.Certificate) {}
	}
	bits := cfg.Bits
	if bits == 0 {
		bits = 2048
	}
	ca := func(cn string, serial int64, parent *Signer) Signer {
		key, err := rsa.GenerateKey(rand.Reader, bits)
		must(err)
		t := a.template(cn, serial)
		t.NotBefore, t.NotAfter = a.now.AddDate(-5, 0, 0), a.now.AddDate(20, 0, 0)
		t.IsCA, t.MaxPathLenZero = true, parent != nil
		t.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
		if parent == nil {
			t.ExtraExtensions = []pkix.Extension{simulatedMark}
		}
		return a.issue(t, key, parent)
	}
	a.ARK = ca("ARK-"+string(a.Line), 0x010000, nil)
	a.ASK = ca("SEV-"+string(a.Line), 0x010001, &a.ARK)
	a.ASVK = ca("SEV-VLEK-"+string(a.Line), 0x010002, &a.ARK)
	return a
}

func (a *AMD) template(cn string, serial int64) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(serial),
		Subject: pkix.Name{
			CommonName:         cn,
			OrganizationalUnit: []string{"Engineering"},
			Country:            []string{"US"},
			Locality:           []string{"Santa Clara"},
			Province:           []string{"CA"},
			Organization:       []string{"Advanced Micro Devices"},
		},
		NotBefore: a.now.AddDate(0, -1, 0), NotAfter: a.now.AddDate(7, 0, 0),
		BasicConstraintsValid: true, SignatureAlgorithm: x509.SHA384WithRSAPSS,
	}
}

// issue signs a template with the parent's key, or with its own.
func (a *AMD) issue(template *x509.Certificate, key crypto.Signer, parent *Signer) Signer {
	a.edit(template)
	signer, issuer := key, template
	if parent != nil {
		signer, issuer = parent.Key, parent.Cert
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, key.Public(), signer)
	must(err)
	cert, err := x509.ParseCertificate(der)
	must(err)
	return Signer{Key: key, Cert: cert}
}

// Roots returns the hierarchy as roots of trust, the intermediates included.
func (a *AMD) Roots() *snp.Roots {
	r, err := snp.ParseRoots(a.RootsPEM())
	must(err)
	return r
}

// RootsPEM returns root and intermediates in PEM.
func (a *AMD) RootsPEM() []byte {
	return bytes.Join([][]byte{a.ARK.PEM(), a.ASK.PEM(), a.ASVK.PEM()}, nil)
}

// Chain returns the CAs of a branch in PEM as AMD's service does: the
// intermediate, then the root.
func (a *AMD) Chain(vlek bool) []byte {
	ca := a.ASK
	if vlek {
		ca = a.ASVK
	}
	return append(ca.PEM(), a.ARK.PEM()...)
}

// CRLConfig makes a revocation list differ from a healthy one.
type CRLConfig struct {
	Revoked    []*big.Int
	NextUpdate time.Time
	Signer     *Signer
}

// CRL makes the revocation list of the line, DER.
func (a *AMD) CRL(cfg CRLConfig) []byte {
	signer := a.ARK
	if cfg.Signer != nil {
		signer = *cfg.Signer
	}
	if cfg.NextUpdate.IsZero() {
		cfg.NextUpdate = a.now.AddDate(1, 0, 0)
	}
	list := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: a.now.AddDate(-1, 0,
		0), NextUpdate: cfg.NextUpdate, SignatureAlgorithm: x509.SHA384WithRSAPSS}
	for _, serial := range cfg.Revoked {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: serial, RevocationTime: a.now.AddDate(-1, 0, 0)})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, signer.Cert, signer.Key)
	must(err)
	return der
}

// Collateral returns what AMD's service publishes for a branch.
func (a *AMD) Collateral(vlek bool) *collateral.AMD {
	return &collateral.AMD{
		AMDQuery: collateral.AMDQuery{Line: string(a.Line), VLEK: vlek},
		Chain:    a.Chain(vlek),
		CRL:      a.CRL(CRLConfig{}),
	}
}

// Chip is a processor at a TCB with the key that signs its reports.
type Chip struct {
	Signer
	Line snp.Line
	HWID []byte
	TCB  snp.RawTCB
	VLEK bool
}

// ChipConfig describes a chip; its zero value is a healthy one.
type ChipConfig struct {
	// HWID is the chip's id; nil gives a random one.
	HWID []byte
	// TCB is the platform's version; zero gives one at the newest floor.
	TCB snp.RawTCB
	// CSP makes a VLEK, lent to this provider, instead of a VCEK.
	CSP string
	// Product replaces the product name.
	Product string
	// EditExtensions may change the extensions of the certificate.
	EditExtensions func([]pkix.Extension) []pkix.Extension
	// Edit may change the template of the certificate.
	Edit func(*x509.Certificate)
	// Issuer replaces the CA.
	Issuer *Signer
	// Key replaces the P-384 key.
	Key crypto.Signer
}

// HealthySNP returns a TCB at or above every floor of the line.
func HealthySNP(line snp.Line) snp.RawTCB {
	if line == snp.Turin {
		return snp.RawTCB{1, 1, 1, 4, 0, 0, 0, 81}
	}
	return snp.RawTCB{4, 0, 0, 0, 0, 0, 24, 219}
}

// Chip makes a chip with the certificate of its key.
func (a *AMD) Chip(cfg ChipConfig) *Chip {
	c := &Chip{Line: a.Line, HWID: cfg.HWID, TCB: cfg.TCB, VLEK: cfg.CSP != ""}
	if c.TCB == (snp.RawTCB{}) {
		c.TCB = HealthySNP(a.Line)
	}
	if c.HWID == nil {
		c.HWID = make([]byte, 64)
		if a.Line == snp.Turin {
			c.HWID = c.HWID[:8]
		}
		rand.Read(c.HWID) // never fails
	}
	issuer, cn := a.ASK, "SEV-VCEK"
	if c.VLEK {
		issuer, cn = a.ASVK, "SEV-VLEK"
	}
	if cfg.Issuer != nil {
		issuer = *cfg.Issuer
	}
	t := a.template(cn, 0)
	// AMD's leaves have no extensions but its own.
	t.BasicConstraintsValid = false
	bare := *issuer.Cert
	bare.SubjectKeyId = nil
	issuer.Cert = &bare
	if c.VLEK {
		t.NotAfter = t.NotBefore.AddDate(1, 0, 0)
	}
	t.ExtraExtensions = a.extensions(c, cfg)
	if cfg.EditExtensions != nil {
		t.ExtraExtensions = cfg.EditExtensions(t.ExtraExtensions)
	}
	if cfg.Edit != nil {
		cfg.Edit(t)
	}
	var key crypto.Signer = cfg.Key
	if key == nil {
		p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
		must(err)
		key = p384
	}
	c.Signer = a.issue(t, key, &issuer)
	return c
}

func (a *AMD) extensions(c *Chip, cfg ChipConfig) []pkix.Extension {
	var list []pkix.Extension
	add := func(value []byte, arcs ...int) {
		list = append(list, pkix.Extension{
			Id:    append(asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 3704, 1}, arcs...),
			Value: value,
		})
	}
	number := func(n uint8) []byte { return mustMarshal(int(n)) }
	product := cfg.Product
	if product == "" {
		product = string(a.Line)
	}
	add(number(0), 1)
	add(mustMarshalIA5(product), 2)
	tcb := a.Line.Parse(c.TCB)
	if a.Line == snp.Turin {
		add(number(tcb.FMC), 3, 9)
	}
	add(number(tcb.BootLoader), 3, 1)
	add(number(tcb.TEE), 3, 2)
	add(number(tcb.SNP), 3, 3)
	first := 4
	if a.Line == snp.Turin {
		first = 5
	}
	for arc := first; arc <= 7; arc++ {
		add(number(0), 3, arc)
	}
	add(number(tcb.Microcode), 3, 8)
	if c.VLEK {
		add(mustMarshalIA5(cfg.CSP), 5)
	} else {
		add(c.HWID, 4)
	}
	return list
}

func mustMarshalIA5(text string) []byte {
	b, err := asn1.MarshalWithParams(text, "ia5")
	must(err)
	return b
}

// ReportConfig describes a report; its zero value is one of version 3 (5 on
// Turin) of a guest at VMPL 0.
type ReportConfig struct {
	Version                 uint32
	ReportData              [64]byte
	HostData                [32]byte
	Measurement             [48]byte
	Policy                  uint64
	MaskChip                bool
	Reported, Committed     *snp.RawTCB
	Family, Model, Stepping uint8
	// Edit may change the report before it is signed, After after that.
	Edit, After func(report []byte)
}

// Report makes a report signed by the chip's key.
func (c *Chip) Report(cfg ReportConfig) []byte {
	b := make([]byte, snp.ReportSize)
	version := cfg.Version
	if version == 0 {
		version = map[bool]uint32{false: 3, true: 5}[c.Line == snp.Turin]
	}
	policy := cfg.Policy
	if policy == 0 {
		policy = 0x3001f
	}
	binary.LittleEndian.PutUint32(b, version)
	binary.LittleEndian.PutUint32(b[4:], 2)
	binary.LittleEndian.PutUint64(b[8:], policy)
	binary.LittleEndian.PutUint32(b[0x34:], 1)
	binary.LittleEndian.PutUint64(b[0x40:], 0x25)
	if c.VLEK {
		binary.LittleEndian.PutUint32(b[0x48:], 1<<2)
	}
	copy(b[0x50:], cfg.ReportData[:])
	copy(b[0x90:], cfg.Measurement[:])
	copy(b[0xc0:], cfg.HostData[:])
	rand.Read(b[0x140:0x160]) // never fails
	for i := 0x160; i < 0x180; i++ {
		b[i] = 0xff
	}
	reported, committed := c.TCB, c.TCB
	if cfg.Reported != nil {
		reported = *cfg.Reported
	}
	if cfg.Committed != nil {
		committed = *cfg.Committed
	}
	copy(b[0x38:], committed[:])
	copy(b[0x180:], reported[:])
	copy(b[0x1e0:], committed[:])
	copy(b[0x1f0:], committed[:])
	if version >= 3 {
		family := map[snp.Line][3]byte{
			snp.Milan: {0x19, 1, 1}, snp.Genoa: {0x19, 0x11, 1}, snp.Turin: {0x1a, 2, 1},
		}[c.Line]
		if cfg.Family != 0 {
			family = [3]byte{cfg.Family, cfg.Model, cfg.Stepping}
		}
		copy(b[0x188:], family[:])
	}
	if !c.VLEK && !cfg.MaskChip {
		copy(b[0x1a0:], c.HWID)
	}
	copy(b[0x1e8:], []byte{41, 37, 1, 0, 41, 37, 1, 0})
	if cfg.Edit != nil {
		cfg.Edit(b)
	}
	if key, ok := c.Key.(*ecdsa.PrivateKey); ok {
		SignReport(b, key)
	}
	if cfg.After != nil {
		cfg.After(b)
	}
	return b
}

// SignReport signs a report, as it is now, with a key on P-384: r and s are written where the processor has them, in
// little-endian.
func SignReport(report []byte, key *ecdsa.PrivateKey) {
	sum := sha512.Sum384(report[:0x2a0])
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	must(err)
	putLittleEndian(report[0x2a0:0x2a0+72], r)
	putLittleEndian(report[0x2e8:0x2e8+72], s)
}

func putLittleEndian(b []byte, n *big.Int) {
	big := n.FillBytes(make([]byte, len(b)))
	for i := range b {
		b[i] = big[len(b)-1-i]
	}
}

// Evidence frames a report with the certificates of the chip.
func (c *Chip) Evidence(a *AMD, report []byte, endorsements ...[]byte) []byte {
	f := snp.Framed{
		Report:       report,
		Certificates: append(c.PEM(), a.Chain(c.VLEK)...),
		Endorsements: endorsements,
	}
	b, err := f.Marshal()
	must(err)
	return b
}

// VCEK returns the certificate of the chip as AMD's service would hand it out.
func (c *Chip) VCEK() *collateral.VCEK {
	return &collateral.VCEK{Path: c.Line.Query(c.HWID, c.TCB).String(), Certificate: c.Cert.Raw}
}

func must(err error) {
	if err != nil {
		panic(fmt.Errorf("evidencetest: %w", err))
	}
}
