package evidencetest

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"math/big"
	"time"

	"github.com/probity-dev/probity/collateral"
)

// TCB describes what the collateral says about platforms and quoting enclaves.
type TCB struct {
	// Version of the TCB info, 2 or 3; 0 means 3.
	Version  int
	TEE      string // id of the TCB info, "SGX" if empty
	FMSPC    [6]byte
	PCEID    [2]byte
	Number   int
	Issued   time.Time
	Next     time.Time
	Levels   []TCBLevel
	QE       Enclave
	QEID     string // "QE" if empty
	QELevels []QELevel
	// Modules are the TDX modules; ModuleSigner is the MRSIGNERSEAM of all.
	Modules      []Module
	ModuleSigner [48]byte
}

// Module is a version of the TDX module with its levels.
type Module struct {
	ID     string // "" for that of TDX 1.0, which has no levels
	Levels []QELevel
}

// TCBLevel is a level of a platform.
type TCBLevel struct {
	Components []uint8
	TDX        []uint8
	PCESVN     int
	Date       time.Time
	Status     string
	Advisories []string
}

// QELevel is a level of a quoting enclave.
type QELevel struct {
	SVN        int
	Date       time.Time
	Status     string
	Advisories []string
}

// CollateralConfig makes collateral differ from a healthy set.
type CollateralConfig struct {
	TCB TCB
	// EditTCBInfo and EditQEIdentity change the text before it is signed.
	EditTCBInfo, EditQEIdentity func(string) string
	// Signer replaces the TCB signer for both documents.
	Signer *Identity
	// Revoked are certificates to put on the CRL of their issuer.
	Revoked []*x509.Certificate
	// EditCRL may change the templates of the CRLs, told by their issuer.
	EditCRL func(issuer string, crl *x509.RevocationList)
	// PCKCA replaces the CA that signs the PCK CRL.
	PCKCA *Identity
}

// HealthyTCB describes collateral under which [HealthyPlatform] and
// [HealthyQE] are up to date at the given time.
func HealthyTCB(now time.Time) TCB {
	platform := HealthyPlatform()
	newest := now.AddDate(0, -3, 0).Truncate(24 * time.Hour)
	older := now.AddDate(-2, 0, 0).Truncate(24 * time.Hour)
	lower := platform.Components
	lower[0]--
	return TCB{
		FMSPC: platform.FMSPC, Number: 20, Issued: now.AddDate(0, 0, -1).Truncate(time.Second),
		Next: now.AddDate(0, 0, 29).Truncate(time.Second),
		Levels: []TCBLevel{
			{Components: platform.Components[:], PCESVN: platform.PCESVN, Date: newest, Status: "UpToDate"},
			{
				Components: lower[:], PCESVN: platform.PCESVN, Date: older, Status: "OutOfDate",
				Advisories: []string{"INTEL-SA-00001"},
			},
			{Components: make([]uint8,
				16), PCESVN: 5, Date: older, Status: "Revoked", Advisories: []string{"INTEL-SA-00002"}},
		},
		QE: HealthyQE(),
		QELevels: []QELevel{
			{SVN: 8, Date: newest, Status: "UpToDate"},
			{SVN: 4, Date: older, Status: "OutOfDate", Advisories: []string{"INTEL-SA-00003"}},
			{SVN: 2, Date: older, Status: "Revoked"},
		},
	}
}

// Collateral makes a set for machines of the CA that certified m.
func (p *Intel) Collateral(m *Platform, cfg CollateralConfig) *collateral.Intel {
	signer := p.TCBSigner
	if cfg.Signer != nil {
		signer = *cfg.Signer
	}
	chain := bytes.Join([][]byte{signer.PEM(), p.Root.PEM()}, nil)
	ca := m.CA
	if cfg.PCKCA != nil {
		ca = *cfg.PCKCA
	}
	info := string(cfg.TCB.info())
	if cfg.EditTCBInfo != nil {
		info = cfg.EditTCBInfo(info)
	}
	identity := string(cfg.TCB.identity())
	if cfg.EditQEIdentity != nil {
		identity = cfg.EditQEIdentity(identity)
	}
	return &collateral.Intel{
		RootCRL: p.crl(p.Root, cfg), PCKCRL: p.crl(ca, cfg),
		PCKCRLIssuerChain:  bytes.Join([][]byte{ca.PEM(), p.Root.PEM()}, nil),
		TCBInfoIssuerChain: chain, QEIdentityIssuerChain: chain,
		TCBInfo: []byte(info), TCBInfoSignature: SignRaw(signer.Key, []byte(info)),
		QEIdentity: []byte(identity), QEIdentitySignature: SignRaw(signer.Key, []byte(identity)),
	}
}

func (p *Intel) crl(issuer Identity, cfg CollateralConfig) []byte {
	t := &x509.RevocationList{
		Number: big.NewInt(1), ThisUpdate: cfg.TCB.Issued, NextUpdate: cfg.TCB.Next,
		SignatureAlgorithm: x509.ECDSAWithSHA256,
	}
	for _, cert := range cfg.Revoked {
		if bytes.Equal(cert.RawIssuer, issuer.Cert.RawSubject) {
			t.RevokedCertificateEntries = append(t.RevokedCertificateEntries,
				x509.RevocationListEntry{SerialNumber: cert.SerialNumber, RevocationTime: cfg.TCB.Issued})
		}
	}
	if cfg.EditCRL != nil {
		cfg.EditCRL(issuer.Cert.Subject.CommonName, t)
	}
	// The library refuses to sign for a CA that must not; a forger does not.
	able := *issuer.Cert
	able.KeyUsage |= x509.KeyUsageCRLSign
	if len(able.SubjectKeyId) == 0 {
		able.SubjectKeyId = []byte{1}
	}
	der, err := x509.CreateRevocationList(rand.Reader, t, &able, issuer.Key)
	if err != nil {
		panic(fmt.Errorf("evidencetest: %w", err))
	}
	return der
}

type object map[string]any

func (t TCB) info() []byte {
	version := t.Version
	if version == 0 {
		version = 3
	}
	var levels []object
	for _, l := range t.Levels {
		tcb := object{"pcesvn": l.PCESVN}
		if version == 2 {
			for i, svn := range l.Components {
				tcb[fmt.Sprintf("sgxtcbcomp%02dsvn", i+1)] = svn
			}
		} else {
			components := []object{}
			for _, svn := range l.Components {
				components = append(components, object{"svn": svn})
			}
			tcb["sgxtcbcomponents"] = components
			if t.TEE == "TDX" {
				td := []object{}
				for _, svn := range l.TDX {
					td = append(td, object{"svn": svn})
				}
				tcb["tdxtcbcomponents"] = td
			}
		}
		levels = append(levels, level(tcb, l.Date, l.Status, l.Advisories))
	}
	info := object{
		"version": version, "issueDate": t.Issued.UTC(), "nextUpdate": t.Next.UTC(),
		"fmspc": fmt.Sprintf("%x", t.FMSPC),
		"pceId": fmt.Sprintf("%x", t.PCEID), "tcbType": 0,
		"tcbEvaluationDataNumber": t.Number, "tcbLevels": levels,
	}
	if version == 3 {
		info["id"] = orElse(t.TEE, "SGX")
	}
	t.addModules(info)
	return encode(info)
}

func (t TCB) identity() []byte {
	var levels []object
	for _, l := range t.QELevels {
		levels = append(levels, level(object{"isvsvn": l.SVN}, l.Date, l.Status, l.Advisories))
	}
	return encode(object{
		"id": orElse(t.QEID, "QE"), "version": 2, "issueDate": t.Issued.UTC(),
		"nextUpdate":              t.Next.UTC(),
		"tcbEvaluationDataNumber": t.Number, "miscselect": "00000000",
		"miscselectMask": "ffffffff",
		"attributes":     "11000000000000000000000000000000",
		"attributesMask": "fbffffffffffffff0000000000000000",
		"mrsigner":       fmt.Sprintf("%x", t.QE.MRSigner), "isvprodid": t.QE.ProductID, "tcbLevels": levels,
	})
}

func (t TCB) addModules(info object) {
	var later []object
	for _, m := range t.Modules {
		module := object{
			"mrsigner":       fmt.Sprintf("%x", t.ModuleSigner),
			"attributes":     "0000000000000000",
			"attributesMask": "FFFFFFFFFFFFFFFF",
		}
		if m.ID == "" {
			info["tdxModule"] = module
			continue
		}
		var levels []object
		for _, l := range m.Levels {
			levels = append(levels, level(object{"isvsvn": l.SVN}, l.Date, l.Status, l.Advisories))
		}
		module["id"], module["tcbLevels"] = m.ID, levels
		later = append(later, module)
	}
	if later != nil {
		info["tdxModuleIdentities"] = later
	}
}

func level(tcb object, date time.Time, status string, advisories []string) object {
	l := object{"tcb": tcb, "tcbDate": date.UTC(), "tcbStatus": status}
	if len(advisories) > 0 {
		l["advisoryIDs"] = advisories
	}
	return l
}

func encode(o object) []byte {
	b, err := json.Marshal(o)
	if err != nil {
		panic(fmt.Errorf("evidencetest: %w", err))
	}
	return b
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
