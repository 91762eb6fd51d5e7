package dcap

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/probity-dev/probity/collateral"
)

// Object identifiers of the SGX extension of PCK certificates (Intel SGX PCK
// Certificate and Certificate Revocation List Profile Specification, 1.3.5).
var (
	oidSGX = asn1.ObjectIdentifier{1, 2, 840, 113741, 1, 13, 1}
	// oidSGXBytes is its encoding.
	oidSGXBytes = []byte{0x2a, 0x86, 0x48, 0x86, 0xf8, 0x4d, 0x01, 0x0d, 0x01}
)

// PCK is what a provisioning certification key certificate says about its
// platform.
type PCK struct {
	PPID       [16]byte
	CPUSVN     [16]byte
	Components [16]uint8 // SGX TCB component SVNs
	PCESVN     uint16
	PCEID      [2]byte
	FMSPC      [6]byte
	// SGXType is 0 for standard, 1 for scalable, 2 for scalable with
	// integrity protection.
	SGXType int

	// Platform is nil for certificates of the Processor CA.
	Platform *PlatformInfo
}

// PlatformInfo is only in certificates of the Platform CA.
type PlatformInfo struct {
	InstanceID      [16]byte
	DynamicPlatform bool
	CachedKeys      bool
	SMTEnabled      bool
}

// parsePCK reads the SGX extension. Every item is looked up by its identifier;
// duplicates and missing items are refused, and so are items that only the
// Platform CA issues in a certificate of the Processor CA.
func parsePCK(cert *x509.Certificate, caType string) (*PCK, error) {
	var raw []byte
	for _, e := range cert.Extensions {
		if e.Id.Equal(oidSGX) {
			if raw != nil {
				return nil, errors.New("two SGX extensions")
			}
			raw = e.Value
		}
	}
	if raw == nil {
		return nil, errors.New("no SGX extension")
	}
	return parseSGXExtension(raw, caType)
}

func parseSGXExtension(raw []byte, caType string) (*PCK, error) {
	items := make([]cryptobyte.String, 8) // by arc, from 1
	if err := parseItems(raw, oidSGXBytes, items); err != nil {
		return nil, err
	}
	p := &PCK{}
	if err := p.readTCB(items[2]); err != nil {
		return nil, err
	}
	if err := readOctets(items[1], p.PPID[:], "PPID"); err != nil {
		return nil, err
	}
	if err := readOctets(items[3], p.PCEID[:], "PCEID"); err != nil {
		return nil, err
	}
	if err := readOctets(items[4], p.FMSPC[:], "FMSPC"); err != nil {
		return nil, err
	}
	if sgxType := items[5]; !sgxType.ReadASN1Enum(&p.SGXType) || !sgxType.Empty() {
		return nil, errors.New("SGX type is missing or malformed")
	}
	if items[6] == nil && items[7] == nil {
		return p, nil
	}
	if caType != "platform" {
		return nil, errors.New("platform items in a certificate of the Processor CA")
	}
	p.Platform = &PlatformInfo{}
	return p, p.Platform.read(items[6], items[7])
}

func (p *PCK) readTCB(item cryptobyte.String) error {
	tcb := make([]cryptobyte.String, 19)
	if err := parseItems(item, append(oidSGXBytes[:len(oidSGXBytes):len(oidSGXBytes)], 2), tcb); err != nil {
		return err
	}
	for i := range p.Components {
		if svn := tcb[i+1]; !svn.ReadASN1Integer(&p.Components[i]) || !svn.Empty() {
			return fmt.Errorf("TCB component %d is missing or not 0 to 255", i+1)
		}
	}
	if svn := tcb[17]; !svn.ReadASN1Integer(&p.PCESVN) || !svn.Empty() {
		return errors.New("PCESVN is missing or not 0 to 65535")
	}
	return readOctets(tcb[18], p.CPUSVN[:], "CPUSVN")
}

func (p *PlatformInfo) read(instance, configuration cryptobyte.String) error {
	if instance != nil {
		if err := readOctets(instance, p.InstanceID[:], "platform instance id"); err != nil {
			return err
		}
	}
	if configuration == nil {
		return nil
	}
	flags := make([]cryptobyte.String, 4)
	err := parseItems(configuration, append(oidSGXBytes[:len(oidSGXBytes):len(oidSGXBytes)], 7), flags)
	if err != nil {
		return err
	}
	for arc, field := range []*bool{1: &p.DynamicPlatform, 2: &p.CachedKeys, 3: &p.SMTEnabled} {
		if flag := flags[arc]; flag != nil && (!flag.ReadASN1Boolean(field) || !flag.Empty()) {
			return fmt.Errorf("platform configuration item %d is not a boolean", arc)
		}
	}
	return nil
}

// parseItems reads SEQUENCE OF SEQUENCE {OID, value} into items by the last
// arc of the OID, which is parent with one arc more. Unknown and repeated
// items are refused; absent ones stay nil.
func parseItems(raw, parent []byte, items []cryptobyte.String) error {
	in := cryptobyte.String(raw)
	var list cryptobyte.String
	if !in.ReadASN1(&list, cbasn1.SEQUENCE) || !in.Empty() {
		return errors.New("an item list is missing or malformed")
	}
	for !list.Empty() {
		var item, id cryptobyte.String
		if !list.ReadASN1(&item, cbasn1.SEQUENCE) || !item.ReadASN1(&id, cbasn1.OBJECT_IDENTIFIER) {
			return errors.New("an item is malformed")
		}
		arc, ok := lastArc(id, parent)
		if !ok || arc >= len(items) || items[arc] != nil || item.Empty() {
			return fmt.Errorf("an item is repeated, empty or unknown (identifier %x)", []byte(id))
		}
		items[arc] = item
	}
	return nil
}

// lastArc returns the arc after parent in an encoded identifier; the arcs of
// the SGX extension fit one byte each.
func lastArc(id, parent []byte) (int, bool) {
	if len(id) != len(parent)+1 || !bytes.Equal(id[:len(parent)], parent) {
		return 0, false
	}
	arc := int(id[len(parent)])
	return arc, arc > 0 && arc < 0x80
}

func readOctets(item cryptobyte.String, field []byte, name string) error {
	var b cryptobyte.String
	if !item.ReadASN1(&b, cbasn1.OCTET_STRING) || !item.Empty() || len(b) != len(field) {
		return fmt.Errorf("%s is missing or not %d bytes", name, len(field))
	}
	copy(field, b)
	return nil
}

// checkCertificationData compares what certification data of types 1 to 3 say
// about the platform with the PCK certificate that was supplied for it: the
// PPID where it is in clear, and the PCE's id. CPUSVN and PCESVN are the raw
// ones of the platform and may exceed those of the certificate.
func (p *PCK) checkCertificationData(typ uint16, data []byte) error {
	ppidSize := map[uint16]int{1: 16, 2: 256, 3: 384}[typ]
	if len(data) != ppidSize+20 {
		return fmt.Errorf("certification data of type %d are %d bytes, want %d", typ, len(data), ppidSize+20)
	}
	if typ == certPPIDClear && !bytes.Equal(data[:16], p.PPID[:]) {
		return errors.New("the supplied PCK certificate is for another platform (PPID)")
	}
	if !bytes.Equal(data[ppidSize+18:], p.PCEID[:]) {
		return errors.New("the supplied PCK certificate is for another PCE (PCEID)")
	}
	return nil
}

// InspectPCK reads what the PCK certificate in a PEM chain says about its
// platform, without verifying anything: it is for looking, never for trusting.
func InspectPCK(chain []byte) (*PCK, error) {
	certs, err := parsePEM(chain, nil)
	if err != nil {
		return nil, err
	}
	for _, cert := range certs {
		if cert.Subject.CommonName == pckLeafName {
			return parsePCK(cert, collateral.CAType(cert.Issuer.CommonName))
		}
	}
	return nil, errors.New("no PCK certificate in the chain")
}
