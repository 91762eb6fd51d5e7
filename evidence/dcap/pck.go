package dcap

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"

	"github.com/probity-dev/probity/collateral"
)

// Object identifiers of the SGX extension of PCK certificates (Intel SGX PCK
// Certificate and Certificate Revocation List Profile Specification, 1.3.5).
var oidSGX = asn1.ObjectIdentifier{1, 2, 840, 113741, 1, 13, 1}

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

type extensionItem struct {
	ID    asn1.ObjectIdentifier
	Value asn1.RawValue
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
	items, err := parseItems(raw, oidSGX, 16)
	if err != nil {
		return nil, err
	}
	p := &PCK{}
	if err := p.readTCB(items[2]); err != nil {
		return nil, err
	}
	for arc, field := range map[int][]byte{1: p.PPID[:], 3: p.PCEID[:], 4: p.FMSPC[:]} {
		if err := readOctets(items[arc], field); err != nil {
			return nil, fmt.Errorf("SGX extension item %d: %w", arc, err)
		}
	}
	var sgxType asn1.Enumerated
	if err := unmarshalAll(items[5].FullBytes, &sgxType); err != nil {
		return nil, fmt.Errorf("SGX extension item 5: %w", err)
	}
	p.SGXType = int(sgxType)
	instance, configuration := items[6], items[7]
	if instance.FullBytes == nil && configuration.FullBytes == nil {
		return p, nil
	}
	if caType != "platform" {
		return nil, errors.New("platform items in a certificate of the Processor CA")
	}
	p.Platform = &PlatformInfo{}
	return p, p.Platform.read(instance, configuration)
}

func (p *PCK) readTCB(item asn1.RawValue) error {
	tcb, err := parseItems(item.FullBytes, append(oidSGX[:len(oidSGX):len(oidSGX)], 2), 32)
	if err != nil {
		return err
	}
	for i := range p.Components {
		n, err := readInteger(tcb[i+1], 255)
		if err != nil {
			return fmt.Errorf("TCB component %d: %w", i+1, err)
		}
		p.Components[i] = uint8(n)
	}
	n, err := readInteger(tcb[17], 65535)
	if err != nil {
		return fmt.Errorf("PCESVN: %w", err)
	}
	p.PCESVN = uint16(n)
	if err := readOctets(tcb[18], p.CPUSVN[:]); err != nil {
		return fmt.Errorf("CPUSVN: %w", err)
	}
	return nil
}

func (p *PlatformInfo) read(instance, configuration asn1.RawValue) error {
	if instance.FullBytes != nil {
		if err := readOctets(instance, p.InstanceID[:]); err != nil {
			return fmt.Errorf("platform instance id: %w", err)
		}
	}
	if configuration.FullBytes == nil {
		return nil
	}
	flags, err := parseItems(configuration.FullBytes, append(oidSGX[:len(oidSGX):len(oidSGX)], 7), 8)
	if err != nil {
		return err
	}
	for arc, field := range map[int]*bool{1: &p.DynamicPlatform, 2: &p.CachedKeys, 3: &p.SMTEnabled} {
		if flags[arc].FullBytes == nil {
			continue
		}
		if err := unmarshalAll(flags[arc].FullBytes, field); err != nil {
			return fmt.Errorf("platform configuration item %d: %w", arc, err)
		}
	}
	return nil
}

// parseItems reads SEQUENCE OF SEQUENCE {OID, value}, where each OID is parent
// with one more arc below limit, and returns the values by that arc.
func parseItems(raw []byte, parent asn1.ObjectIdentifier, limit int) (map[int]asn1.RawValue, error) {
	if len(raw) == 0 {
		return nil, fmt.Errorf("item %s is missing", parent)
	}
	var list []extensionItem
	if err := unmarshalAll(raw, &list); err != nil {
		return nil, fmt.Errorf("item %s: %w", parent, err)
	}
	items := make(map[int]asn1.RawValue, len(list))
	for _, item := range list {
		if len(item.ID) != len(parent)+1 || !item.ID[:len(parent)].Equal(parent) {
			return nil, fmt.Errorf("item %s inside %s", item.ID, parent)
		}
		arc := item.ID[len(parent)]
		if _, twice := items[arc]; twice || arc < 1 || arc > limit {
			return nil, fmt.Errorf("item %s is repeated or unknown", item.ID)
		}
		items[arc] = item.Value
	}
	return items, nil
}

func unmarshalAll(raw []byte, v any) error {
	if len(raw) == 0 {
		return errors.New("missing")
	}
	rest, err := asn1.Unmarshal(raw, v)
	if err == nil && len(rest) > 0 {
		err = errors.New("trailing bytes")
	}
	return err
}

func readOctets(item asn1.RawValue, field []byte) error {
	var b []byte
	if err := unmarshalAll(item.FullBytes, &b); err != nil {
		return err
	}
	if len(b) != len(field) {
		return fmt.Errorf("%d bytes, want %d", len(b), len(field))
	}
	copy(field, b)
	return nil
}

func readInteger(item asn1.RawValue, limit int64) (int64, error) {
	var n int64
	if err := unmarshalAll(item.FullBytes, &n); err != nil {
		return 0, err
	}
	if n < 0 || n > limit {
		return 0, fmt.Errorf("%d is outside 0 to %d", n, limit)
	}
	return n, nil
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
	certs, err := parsePEM(chain)
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
