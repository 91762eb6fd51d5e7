package cca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"errors"
	"fmt"

	"github.com/fxamacker/cbor/v2"

	"github.com/probity-dev/probity/evidence/internal/cose"
)

// tagToken is the CBOR tag of a CCA token: a collection of two tokens.
const tagToken = 399

// tagMac0 is the CBOR tag of a message with a MAC (RFC 9052).
const tagMac0 = 17

// Labels of the collection and of the claims in both tokens.
const (
	labelPlatform = 44234
	labelRealm    = 44241

	claimChallenge       = 10
	claimInstance        = 256
	claimProfile         = 265
	claimClientID        = 2394
	claimLifecycle       = 2395
	claimImplementation  = 2396
	claimBootSeed        = 2397
	claimCertification   = 2398
	claimComponents      = 2399
	claimService         = 2400
	claimConfig          = 2401
	claimHash            = 2402
	claimPersonalization = 44235
	claimRealmHash       = 44236
	claimRAK             = 44237
	claimRIM             = 44238
	claimREM             = 44239
	claimRAKHash         = 44240
)

// Labels of PSA tokens of the first profile, before the claims had numbers of IANA.
const (
	claim1Profile        = -75000
	claim1ClientID       = -75001
	claim1Lifecycle      = -75002
	claim1Implementation = -75003
	claim1BootSeed       = -75004
	claim1Certification  = -75005 // hardware version, as an EAN-13
	claim1Components     = -75006
	claim1NoMeasurement  = -75007
	claim1Nonce          = -75008
	claim1Instance       = -75009
	claim1Service        = -75010
)

// The profiles of platform and realm tokens: the draft's, and what firmware
// used before.
const (
	profilePlatform       = "tag:arm.com,2023:cca_platform#1.0.0"
	profilePlatformLegacy = "http://arm.com/CCA-SSD/1.0.0"
	profileRealm          = "tag:arm.com,2023:realm#1.0.0"
	profilePSA            = "tag:psacertified.org,2023:psa#tfm"
	profilePSALegacy      = "http://arm.com/psa/2.0.0"
	profilePSA1           = "PSA_IOT_PROFILE_1"
)

// Component is a software component that the platform measured.
type Component struct {
	Type        string `cbor:"1,keyasint,omitempty" json:"measurement-type,omitzero"`
	Measurement []byte `cbor:"2,keyasint" json:"-"`
	Version     string `cbor:"4,keyasint,omitempty" json:"version,omitzero"`
	Signer      []byte `cbor:"5,keyasint" json:"-"`
	Algorithm   string `cbor:"6,keyasint,omitempty" json:"measurement-description,omitzero"`
}

// Platform is the token of the platform, or a PSA token.
type Platform struct {
	Profile        string
	Challenge      []byte // 32, 48 or 64
	Instance       []byte // 33, beginning with 01
	Implementation []byte // 32
	Lifecycle      uint64
	Components     []Component
	Config         []byte
	Hash           string
	Service        string
	// ClientID, BootSeed and Certification are of PSA tokens alone.
	ClientID      int64
	BootSeed      []byte
	Certification string
	// NoMeasurement says that a PSA token of the first profile states that its software
	// was not measured; it then has no components.
	NoMeasurement bool

	message *cose.Sign1
}

// Realm is the token of the realm.
type Realm struct {
	Profile         string
	Challenge       []byte // 64
	Personalization []byte // 64
	RIM             []byte
	REM             [][]byte // 4
	Hash            string
	RAKHash         string
	// RAK is the claim of the realm's key as it stands: a point, or an encoded
	// COSE_Key.
	RAK []byte

	key     *ecdsa.PublicKey
	message *cose.Sign1
}

// maxToken bounds a token, in bytes.
const maxToken = 64 << 10

// Token is what was found: a platform token with a realm token, or, without a
// realm, a PSA token.
type Token struct {
	Platform *Platform
	Realm    *Realm
}

// Parse reads a CCA token (CBOR tag 399 around a platform and a realm token),
// or a PSA token (COSE_Sign1; RFC 9783, and PSA_IOT_PROFILE_1 before it). Nothing of it is
// verified. PSA tokens with a MAC are not read.
func Parse(b []byte) (*Token, error) {
	if len(b) > maxToken {
		return nil, fmt.Errorf("%d bytes, at most %d are read", len(b), maxToken)
	}
	var tag cbor.RawTag
	if err := cose.Decode(b, &tag); err != nil {
		return nil, err
	}
	if tag.Number == cose.TagSign1 {
		p, err := parsePlatform(b, true)
		return &Token{Platform: p}, err
	}
	if tag.Number == tagMac0 {
		return nil, errors.New("a PSA token with a MAC (COSE_Mac0): its key verifies and forges alike; " +
			"ask the device for a signed token (COSE_Sign1)")
	}
	if tag.Number != tagToken {
		return nil, fmt.Errorf("CBOR tag %d, want %d for CCA or %d for PSA", tag.Number, tagToken, cose.TagSign1)
	}
	var parts map[int64][]byte
	if err := cose.Decode(tag.Content, &parts); err != nil {
		return nil, err
	}
	if len(parts) != 2 || parts[labelPlatform] == nil || parts[labelRealm] == nil {
		return nil, errors.New("want a platform token and a realm token, and nothing else")
	}
	p, err := parsePlatform(parts[labelPlatform], false)
	if err != nil {
		return nil, fmt.Errorf("platform token: %w", err)
	}
	r, err := parseRealm(parts[labelRealm])
	if err != nil {
		return nil, fmt.Errorf("realm token: %w", err)
	}
	return &Token{p, r}, nil
}

// claim says where a claim goes.
type claim struct {
	label    int64
	into     any
	optional bool
}

// open reads a signed token and the claims in it, by their labels.
func open(b []byte) (*cose.Sign1, map[any]cbor.RawMessage, error) {
	m, err := cose.Parse(b)
	if err != nil {
		return nil, nil, err
	}
	var raw map[any]cbor.RawMessage
	return m, raw, cose.Decode(m.Payload, &raw)
}

// take reads the listed claims. Others are left alone: the profiles allow them.
func take(raw map[any]cbor.RawMessage, list []claim) error {
	for _, c := range list {
		value, ok := raw[c.label]
		if !ok && !c.optional {
			return fmt.Errorf("no claim %d", c.label)
		}
		if !ok {
			continue
		}
		if err := cose.Decode(value, c.into); err != nil {
			return fmt.Errorf("claim %d: %w", c.label, err)
		}
	}
	return nil
}

// firstProfile reports whether the claims of a PSA token are those of PSA_IOT_PROFILE_1.
func firstProfile(raw map[any]cbor.RawMessage) bool {
	for label := int64(claim1Service); label <= claim1Profile; label++ {
		if _, ok := raw[label]; ok {
			return true
		}
	}
	return false
}

// parseFirst reads a PSA token of PSA_IOT_PROFILE_1.
func (p *Platform) parseFirst(raw map[any]cbor.RawMessage) error {
	for _, label := range []int64{
		claimProfile, claimChallenge, claimInstance, claimImplementation, claimLifecycle,
		claimComponents, claimClientID,
	} {
		if _, ok := raw[label]; ok {
			return fmt.Errorf("claims of two profiles: %d beside those of %s", label, profilePSA1)
		}
	}
	p.Profile = profilePSA1 // the claim is optional
	var none uint64
	if err := take(raw, []claim{
		{claim1Profile, &p.Profile, true}, {claim1ClientID, &p.ClientID, false},
		{claim1Lifecycle, &p.Lifecycle, false},
		{claim1Implementation, &p.Implementation, false},
		{claim1BootSeed, &p.BootSeed, false}, {claim1Certification, &p.Certification, true},
		{claim1Components, &p.Components, true}, {claim1NoMeasurement, &none, true},
		{claim1Nonce, &p.Challenge, false},
		{claim1Instance, &p.Instance, false},
		{claim1Service, &p.Service, true},
	}); err != nil {
		return err
	}
	switch _, stated := raw[int64(claim1NoMeasurement)]; {
	case p.Profile != profilePSA1:
		return fmt.Errorf("profile %q, want %s", p.Profile, profilePSA1)
	case len(p.BootSeed) != 32:
		return fmt.Errorf("a boot seed of %d bytes, want 32", len(p.BootSeed))
	case stated && (none != 1 || len(p.Components) > 0):
		return fmt.Errorf("claim %d says that no software was measured, with the value %d and %d components",
			claim1NoMeasurement, none, len(p.Components))
	default:
		p.NoMeasurement = stated
	}
	return nil
}

func parsePlatform(b []byte, psa bool) (*Platform, error) {
	p := &Platform{}
	list := []claim{
		{claimProfile, &p.Profile, false}, {claimChallenge, &p.Challenge, false},
		{claimInstance, &p.Instance, false},
		{claimImplementation, &p.Implementation, false},
		{claimLifecycle, &p.Lifecycle, false}, {claimComponents, &p.Components, false},
		{claimService, &p.Service, true},
	}
	profiles := []string{profilePSA, profilePSALegacy}
	if psa {
		list = append(list, claim{claimClientID, &p.ClientID, false}, claim{claimBootSeed, &p.BootSeed, true},
			claim{claimCertification, &p.Certification, true})
	} else {
		list = append(list, claim{claimConfig, &p.Config, false}, claim{claimHash, &p.Hash, false})
		profiles = []string{profilePlatform, profilePlatformLegacy}
	}
	m, raw, err := open(b)
	if err != nil {
		return nil, err
	}
	p.message = m
	if psa && firstProfile(raw) {
		err = p.parseFirst(raw)
	} else if err = take(raw, list); err == nil && p.Profile != profiles[0] && p.Profile != profiles[1] {
		err = fmt.Errorf("profile %q, want %s or %s", p.Profile, profiles[0], profiles[1])
	}
	if err != nil {
		return nil, err
	}
	switch n := len(p.Challenge); {
	case n != 32 && n != 48 && n != 64:
		return nil, fmt.Errorf("a challenge of %d bytes", n)
	case len(p.Instance) != 33 || p.Instance[0] != 1:
		return nil, errors.New("the instance id is not 33 bytes that begin with 01")
	case len(p.Implementation) != 32:
		return nil, errors.New("the implementation id is not 32 bytes")
	case len(p.Components) == 0 && !p.NoMeasurement:
		return nil, errors.New("no software components")
	}
	for i, c := range p.Components {
		if len(c.Measurement) == 0 || len(c.Signer) == 0 {
			return nil, fmt.Errorf("software component %d lacks its measurement or signer", i+1)
		}
	}
	return p, nil
}

func parseRealm(b []byte) (*Realm, error) {
	r := &Realm{}
	m, raw, err := open(b)
	if err != nil {
		return nil, err
	}
	r.message = m
	if err := take(raw, []claim{{claimProfile, &r.Profile, true}, {claimChallenge, &r.Challenge, false},
		{claimPersonalization, &r.Personalization, false}, {claimRIM, &r.RIM, false}, {claimREM, &r.REM, false},
		{claimRealmHash, &r.Hash, false}, {claimRAKHash, &r.RAKHash, false},
		{claimRAK, &r.RAK, false}}); err != nil {
		return nil, err
	}
	switch {
	case r.Profile != "" && r.Profile != profileRealm:
		return nil, fmt.Errorf("profile %q, want %s", r.Profile, profileRealm)
	case len(r.Challenge) != 64 || len(r.Personalization) != 64:
		return nil, errors.New("challenge or personalization value is not 64 bytes")
	case len(r.REM) != 4:
		return nil, fmt.Errorf("%d extensible measurements, want 4", len(r.REM))
	}
	for _, measurement := range append([][]byte{r.RIM}, r.REM...) {
		if n := len(measurement); n != 32 && n != 48 && n != 64 {
			return nil, fmt.Errorf("a measurement of %d bytes", n)
		}
	}
	r.key, err = parseRAK(r.RAK)
	return r, err
}

// parseRAK reads the realm's key: an uncompressed point of P-384 (before the
// profile had a name), or an encoded COSE_Key (RFC 9053, section 7.1).
func parseRAK(b []byte) (*ecdsa.PublicKey, error) {
	point := b
	if len(b) != 97 || b[0] != 4 {
		var key struct {
			Type  int64  `cbor:"1,keyasint"`
			Curve int64  `cbor:"-1,keyasint"`
			X     []byte `cbor:"-2,keyasint"`
			Y     []byte `cbor:"-3,keyasint"`
		}
		if err := cose.Decode(b, &key); err != nil {
			return nil, fmt.Errorf("realm key: %w", err)
		}
		if key.Type != 2 || key.Curve != 2 || len(key.X) != 48 || len(key.Y) != 48 {
			return nil, errors.New("realm key: not a key on P-384 with both coordinates")
		}
		point = append(append([]byte{4}, key.X...), key.Y...)
	}
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P384(), point)
	if err != nil {
		return nil, fmt.Errorf("realm key: %w", err)
	}
	return key, nil
}
