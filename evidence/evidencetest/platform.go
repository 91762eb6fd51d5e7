package evidencetest

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
)

// PlatformConfig describes a machine by its PCK certificate.
type PlatformConfig struct {
	FMSPC      [6]byte
	PCEID      [2]byte
	PPID       [16]byte
	CPUSVN     [16]byte
	Components [16]uint8
	PCESVN     int
	// Processor makes a single-socket machine, certified by the Processor CA.
	Processor bool
	// EditItems may change the items of the SGX extension.
	EditItems func([]Item) []Item
	// Edit may change the template of the PCK certificate.
	Edit func(*x509.Certificate)
	// Issuer replaces the CA.
	Issuer *Identity
}

// Item is one entry of the SGX extension.
type Item struct {
	Arc   int
	Value any
}

// Platform is a machine with a PCK.
type Platform struct {
	PCK   Identity
	CA    Identity
	Chain []byte // PEM: PCK, CA, root
	Cfg   PlatformConfig
}

// HealthyPlatform is a machine at the newest level of [HealthyTCB].
func HealthyPlatform() PlatformConfig {
	return PlatformConfig{
		FMSPC: [6]byte{0x00, 0x90, 0x6e, 0xd5, 0x00, 0x00}, PPID: [16]byte{0xab, 1},
		Components: [16]uint8{12, 12, 3, 3, 255, 255}, PCESVN: 13,
	}
}

// Platform makes a machine of this hierarchy.
func (p *Intel) Platform(cfg PlatformConfig) *Platform {
	ca := p.PlatformCA
	if cfg.Processor {
		ca = p.ProcessorCA
	}
	if cfg.Issuer != nil {
		ca = *cfg.Issuer
	}
	t := p.template(intelName("Intel SGX PCK Certificate"))
	t.KeyUsage = x509.KeyUsageDigitalSignature | x509.KeyUsageContentCommitment
	t.ExtraExtensions = []pkix.Extension{{Id: oidSGX, Value: sgxExtension(cfg)}}
	if cfg.Edit != nil {
		cfg.Edit(t)
	}
	m := &Platform{CA: ca, Cfg: cfg, PCK: p.issue(t, &ca)}
	m.Chain = bytes.Join([][]byte{m.PCK.PEM(), ca.PEM(), p.Root.PEM()}, nil)
	return m
}

var oidSGX = asn1.ObjectIdentifier{1, 2, 840, 113741, 1, 13, 1}

func sgxExtension(cfg PlatformConfig) []byte {
	var tcb []Item
	for i, svn := range cfg.Components {
		tcb = append(tcb, Item{i + 1, int(svn)})
	}
	tcb = append(tcb, Item{17, cfg.PCESVN}, Item{18, cfg.CPUSVN[:]})
	items := []Item{
		{1, cfg.PPID[:]}, {2, sequence(2, tcb)}, {3, cfg.PCEID[:]}, {4, cfg.FMSPC[:]}, {5, asn1.Enumerated(1)},
	}
	if !cfg.Processor {
		items = append(items, Item{6, make([]byte, 16)},
			Item{7, sequence(7, []Item{{1, true}, {2, true}, {3, false}})})
	}
	if cfg.EditItems != nil {
		items = cfg.EditItems(items)
	}
	return sequence(0, items).FullBytes
}

// sequence encodes items below the given arc of the SGX extension, or directly
// below the extension for arc 0.
func sequence(arc int, items []Item) asn1.RawValue {
	type entry struct {
		ID    asn1.ObjectIdentifier
		Value asn1.RawValue
	}
	var entries []entry
	for _, item := range items {
		id := append(asn1.ObjectIdentifier{}, oidSGX...)
		if arc != 0 {
			id = append(id, arc)
		}
		raw, ok := item.Value.(asn1.RawValue)
		if !ok {
			raw = asn1.RawValue{FullBytes: mustMarshal(item.Value)}
		}
		entries = append(entries, entry{append(id, item.Arc), raw})
	}
	return asn1.RawValue{FullBytes: mustMarshal(entries)}
}

func mustMarshal(v any) []byte {
	b, err := asn1.Marshal(v)
	if err != nil {
		panic(fmt.Errorf("evidencetest: %w", err))
	}
	return b
}
