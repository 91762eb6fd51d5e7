// Package cca verifies attestation tokens of Arm CCA realms
// (draft-ffm-rats-cca-token, and what TF-RMM made before it), and PSA tokens
// (RFC 9783 and, before it, PSA_IOT_PROFILE_1), and states their claims in the names of those documents.
//
// Start with [New] and [Verifier.Verify]. A CCA token is two: the platform's, signed with a
// key that its maker must be asked for (there is no chain), and the realm's,
// signed with a key that it carries and that the platform's token binds. All
// three of the two signatures and the binding are needed.
package cca

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"

	"github.com/go-json-experiment/json"

	"github.com/probity-dev/probity/claims"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/internal/statement"
)

// The checks of this package, in the order in which they are made. Compare a refusal with them by
// errors.Is.
var (
	checks evidence.Checks

	CheckFormat = checks.Define("cca.format",
		"the evidence is a CCA token with platform and realm, or a PSA token, of a known profile",
		"send the token as the realm got it from its firmware")
	CheckAnchor = checks.Define("cca.platform.key",
		"the platform's key is known by its implementation id and instance id",
		"ask the platform's maker for the key and add it to cca.platformKeys, "+
			"or name it with --root FILE; for simulated evidence that is cpak.pem of probity simulate")
	CheckPlatformSignature = checks.Define("cca.platform.signature",
		"that key signed the platform's token",
		"send the token as it was made; compare the key with the platform's")
	CheckLifecycle = checks.Define("cca.platform.lifecycle",
		"the platform is in the lifecycle state secured, or, where DebugGuest is accepted, in debug",
		"use a platform that is provisioned and secured")
	CheckRealmSignature = checks.Define("cca.realm.signature",
		"the key in the realm's token signed it",
		"send the token as it was made")
	CheckBinding = checks.Define("cca.realm.binding",
		"the platform's challenge is the hash of the realm's key",
		"send platform and realm token of one request: each by itself proves nothing")
	CheckRuntimeData = checks.Define("cca.challenge.runtime-data",
		"the challenge is SHA-256 of the runtime data, then zeros",
		"ask the firmware for a token with the hash of exactly these bytes as challenge")
	CheckInitTimeData = checks.Define("cca.personalization.init-time-data",
		"the realm's personalization value is SHA-256 of the init-time data, then zeros",
		"send exactly the bytes whose hash was given at the realm's creation; PSA tokens bind none")
	CheckJSON = checks.Define("cca.runtime-data.json",
		"data of type JSON are one JSON object without duplicate members",
		"send a JSON object, or dataType Binary")
	CheckDebug = checks.Define("cca.platform.debug",
		"the platform is not in a debug state, or the provider accepts DebugGuest",
		"use a platform in the lifecycle state secured")
)

// Catalogue lists the checks of this package.
func Catalogue() []*evidence.Definition { return checks.All() }

// Anchor is a platform's key, which its maker vouches for.
type Anchor struct {
	// Implementation and Instance are the ids of the platforms whose key it is;
	// nil stands for all, which is for tests and single machines.
	Implementation, Instance []byte
	Key                      crypto.PublicKey
}

// Config says what the verifier trusts. Its zero value trusts no platform.
type Config struct {
	Anchors []Anchor
}

// Verifier verifies CCA and PSA tokens. It is safe for concurrent use.
type Verifier struct {
	anchors []Anchor
}

// New returns a verifier.
func New(cfg Config) *Verifier {
	return &Verifier{anchors: cfg.Anchors}
}

// Kind returns ArmCca.
func (v *Verifier) Kind() evidence.Kind { return evidence.ArmCCA }

// Verify verifies ev.Raw as a token. The error is an
// *[evidence.Rejection] if the evidence is refused.
func (v *Verifier) Verify(_ context.Context, ev evidence.Evidence) (*evidence.Result, error) {
	result := &evidence.Result{}
	return result, result.Conclude(ev, v.verify(result, ev))
}

// simulatedImplementation is the implementation id of simulated platforms.
var simulatedImplementation = sha256.Sum256([]byte("implementation"))

// unknownPlatform says what a platform is whose key is not known.
func unknownPlatform(p *Platform) string {
	if bytes.Equal(p.Implementation, simulatedImplementation[:]) {
		return "a simulated platform, with a key that is not known"
	}
	return "a platform with a key that is not known"
}

func (v *Verifier) verify(result *evidence.Result, ev evidence.Evidence) error {
	t, err := Parse(ev.Raw)
	if err != nil {
		return result.FailErr(CheckFormat, "a CCA or PSA token", err)
	}
	p, r := t.Platform, t.Realm
	result.Pass(CheckFormat, "a CCA or PSA token", p.Profile)
	ids := fmt.Sprintf("implementation %x, instance %x", p.Implementation, p.Instance)
	key := v.anchor(p)
	if key == nil {
		return result.Fail(CheckAnchor, "a known key of the platform", unknownPlatform(p)+": "+ids)
	}
	result.Pass(CheckAnchor, "a known key of the platform", ids)
	if err := p.message.Verify(key); err != nil {
		return result.FailErr(CheckPlatformSignature, "a signature of the platform's key", err)
	}
	result.Pass(CheckPlatformSignature, "a signature of the platform's key", "verified")
	if err := v.lifecycle(result, p); err != nil {
		return err
	}
	if r != nil {
		if err := r.message.Verify(r.key); err != nil {
			return result.FailErr(CheckRealmSignature, "a signature of the realm's key", err)
		}
		result.Pass(CheckRealmSignature, "a signature of the realm's key", "verified")
		if want, ok := hash(r.RAKHash, r.RAK); !ok || !bytes.Equal(want, p.Challenge) {
			return result.Fail(CheckBinding, fmt.Sprintf("%s %x of the realm's key", r.RAKHash, want),
				fmt.Sprintf("platform challenge %x", p.Challenge))
		}
		result.Pass(CheckBinding, "the hash of the realm's key in the platform's challenge", r.RAKHash)
	}
	if err := v.bind(result, t, ev); err != nil {
		return err
	}
	result.Claims, err = v.claims(result, t, ev)
	return err
}

// anchor returns the key for the platform, or nil.
func (v *Verifier) anchor(p *Platform) crypto.PublicKey {
	for _, a := range v.anchors {
		if (a.Implementation == nil || bytes.Equal(a.Implementation, p.Implementation)) &&
			(a.Instance == nil || bytes.Equal(a.Instance, p.Instance)) {
			return a.Key
		}
	}
	return nil
}

// Lifecycle states by the high byte (draft-ffm-rats-cca-token, section 4.4).
const (
	stateSecured          = 0x30
	stateDebug            = 0x40
	stateRecoverableDebug = 0x50
)

func (p *Platform) debug() bool {
	state := p.Lifecycle >> 8
	return state == stateDebug || state == stateRecoverableDebug
}

// lifecycle requires the platform to be in the state secured. A debug state is a
// reservation; all others refuse.
func (v *Verifier) lifecycle(result *evidence.Result, p *Platform) error {
	found := fmt.Sprintf("%#04x", p.Lifecycle)
	if p.debug() {
		result.Reserve(evidence.DebugGuest, CheckDebug, "lifecycle 0x30xx (secured)", found)
	} else if p.Lifecycle>>8 != stateSecured {
		return result.Fail(CheckLifecycle, "lifecycle 0x30xx (secured)", found)
	}
	result.Pass(CheckLifecycle, "lifecycle secured or debug", found)
	return nil
}

// hash computes a hash by its IANA name.
func hash(name string, b []byte) ([]byte, bool) {
	switch name {
	case "sha-256":
		sum := sha256.Sum256(b)
		return sum[:], true
	case "sha-384":
		sum := sha512.Sum384(b)
		return sum[:], true
	case "sha-512":
		sum := sha512.Sum512(b)
		return sum[:], true
	}
	return nil, false
}

func (v *Verifier) bind(result *evidence.Result, t *Token, ev evidence.Evidence) error {
	challenge, personalization := t.Platform.Challenge, []byte(nil)
	if t.Realm != nil {
		challenge, personalization = t.Realm.Challenge, t.Realm.Personalization
	}
	for _, item := range []struct {
		data  *evidence.Data
		check *evidence.Definition
		what  string
		field []byte
		name  string
	}{
		{ev.RuntimeData, CheckRuntimeData, "runtime data", challenge, "the challenge"},
		{ev.InitTimeData, CheckInitTimeData, "init-time data", personalization, "the personalization value"},
	} {
		if item.data == nil {
			continue
		}
		err := statement.BoundAlone(result, item.check, item.data, item.what, item.name, item.field)
		if err != nil {
			return err
		}
	}
	return nil
}

// claims states what the token says, in the names of the drafts.
func (v *Verifier) claims(result *evidence.Result, t *Token, ev evidence.Evidence) (claims.Set, error) {
	s := statement.List{}
	p := t.Platform
	prefix, kind := "cca-platform-", "armcca"
	if t.Realm == nil {
		prefix, kind = "psa-", "armpsa"
	}
	s.Text("x-ms-attestation-type", kind)
	s.Text("dbgstat", map[bool]string{false: "disabled", true: "enabled"}[p.debug()])
	s.Text(prefix+"profile", p.Profile)
	s.Hex(prefix+"challenge", p.Challenge)
	s.Hex(prefix+"instance-id", p.Instance)
	s.Hex(prefix+"implementation-id", p.Implementation)
	s.Integer(prefix+"lifecycle", int64(min(p.Lifecycle, 1<<16)))
	if p.Service != "" {
		s.Text(prefix+"service-indicator", p.Service)
	}
	components, err := components(p.Components)
	if err != nil {
		return claims.Set{}, err
	}
	s.Add(prefix+"sw-components", claims.JSONValue(components))
	if t.Realm == nil {
		s.Integer("psa-client-id", p.ClientID)
		if p.BootSeed != nil {
			s.Hex("psa-boot-seed", p.BootSeed)
		}
		if p.Certification != "" {
			name := "psa-certification-reference"
			if p.Profile == profilePSA1 {
				name = "psa-hardware-version"
			}
			s.Text(name, p.Certification)
		}
		if p.NoMeasurement {
			s.Boolean("psa-no-sw-measurement", true)
		}
	} else {
		s.Hex("cca-platform-config", p.Config)
		s.Text("cca-platform-hash-algo-id", p.Hash)
		t.Realm.state(&s)
	}
	if err := s.BoundJSON(result, CheckJSON, ev); err != nil {
		return claims.Set{}, err
	}
	return s.Set, nil
}

func (r *Realm) state(s *statement.List) {
	s.Hex("cca-realm-challenge", r.Challenge)
	s.Hex("cca-realm-personalization-value", r.Personalization)
	s.Hex("cca-realm-initial-measurement", r.RIM)
	for i, measurement := range r.REM {
		s.Hex(fmt.Sprintf("cca-realm-extensible-measurement-%d", i), measurement)
	}
	s.Text("cca-realm-hash-algo-id", r.Hash)
	s.Hex("cca-realm-public-key", r.RAK)
	s.Text("cca-realm-public-key-hash-algo-id", r.RAKHash)
}

// components writes the software components as JSON, bytes in hex.
func components(list []Component) (string, error) {
	type entry struct {
		Component   `json:",inline"`
		Measurement string `json:"measurement-value"`
		Signer      string `json:"signer-id"`
	}
	out := make([]entry, len(list))
	for i, c := range list {
		out[i] = entry{c, hex.EncodeToString(c.Measurement), hex.EncodeToString(c.Signer)}
	}
	b, err := json.Marshal(out)
	return string(b), err
}
