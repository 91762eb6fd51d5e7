package config

import (
	"bytes"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/probity-dev/probity/evidence/cca"
	"github.com/probity-dev/probity/evidence/snp"
	"github.com/probity-dev/probity/evidence/uvm"
	"github.com/probity-dev/probity/strict/pubkey"
)

// SNP says which AMD SEV-SNP evidence is accepted. Its zero value is safe.
type SNP struct {
	// RequireCRL refuses evidence unless a current revocation list of AMD is
	// available. Without it the claim x-probity-snp-revocation tells what was found.
	RequireCRL bool `json:"requireCRL,omitzero"`
	// CloudProviders lists the CSP ids of VLEKs that are accepted; one * stands for a
	// part of a name without a dot. Empty means "CN=cc-*.amazonaws.com".
	CloudProviders []string `json:"cloudProviders,omitempty"`
	// RefuseLines refuses product lines: "Milan", "Genoa", "Turin".
	RefuseLines []string `json:"refuseLines,omitempty"`
	// RefuseChips refuses chips by their ids in hex.
	RefuseChips []string `json:"refuseChips,omitempty"`
	// UVM lists who may endorse utility VMs of confidential containers. Empty
	// means the two publishers of Azure, from the svn 100 and 1 on.
	UVM []uvm.Trust `json:"uvm,omitempty"`
}

// CCA lists the keys of Arm CCA platforms: tokens carry no chain.
type CCA struct {
	PlatformKeys []PlatformKey `json:"platformKeys,omitempty"`
}

// PlatformKey is the attestation key of a platform (CPAK, or IAK for PSA).
type PlatformKey struct {
	// ImplementationID and InstanceID are hex: 32 and 33 bytes.
	ImplementationID string `json:"implementationId"`
	InstanceID       string `json:"instanceId"`
	// Key is a PEM file with the public key.
	Key string `json:"key"`
}

// Verifier returns the settings in the verifier's form.
func (c SNP) Verifier() (snp.Config, error) {
	out := snp.Config{RequireCRL: c.RequireCRL}
	if len(c.CloudProviders) > 0 {
		out.CloudProviders = c.CloudProviders
	}
	if len(c.UVM) > 0 {
		out.UVM = c.UVM
	}
	for _, name := range c.RefuseLines {
		at := slices.IndexFunc(snp.Lines(), func(l snp.Line) bool { return strings.EqualFold(string(l), name) })
		if at < 0 {
			return out, fmt.Errorf("refuseLines: unknown line %q; want Milan, Genoa or Turin", name)
		}
		out.RefuseLines = append(out.RefuseLines, snp.Lines()[at])
	}
	for _, text := range c.RefuseChips {
		id, err := hex.DecodeString(text)
		if err != nil || len(id) != 8 && len(id) != 64 {
			return out, fmt.Errorf("refuseChips: %q is not a chip id of 8 or 64 bytes in hex", text)
		}
		out.RefuseChips = append(out.RefuseChips, id)
	}
	for _, t := range c.UVM {
		if _, err := uvm.ParseDID(t.Issuer); err != nil {
			return out, fmt.Errorf("uvm: issuer %q: %w", t.Issuer, err)
		}
		if t.Feed == "" || t.Status == "" {
			return out, fmt.Errorf("uvm: issuer %q: feed or status is missing", t.Issuer)
		}
	}
	return out, nil
}

// Verifier reads the keys and returns the settings in the verifier's form.
func (c CCA) Verifier() (cca.Config, error) {
	var out cca.Config
	for i, k := range c.PlatformKeys {
		implementation, err := hex.DecodeString(k.ImplementationID)
		if err != nil || len(implementation) != 32 {
			return out, fmt.Errorf("platformKeys: %d: implementationId is not 32 bytes of hex", i+1)
		}
		instance, err := hex.DecodeString(k.InstanceID)
		if err != nil || len(instance) != 33 {
			return out, fmt.Errorf("platformKeys: %d: instanceId is not 33 bytes of hex", i+1)
		}
		anchor, err := ReadPlatformKey(k.Key)
		if err != nil {
			return out, fmt.Errorf("platformKeys: %d: %w", i+1, err)
		}
		anchor.Implementation, anchor.Instance = implementation, instance
		for j, other := range out.Anchors {
			if bytes.Equal(other.Implementation, implementation) && bytes.Equal(other.Instance, instance) {
				return out, fmt.Errorf("platformKeys: %d and %d are for the same platform: keep one", j+1, i+1)
			}
		}
		out.Anchors = append(out.Anchors, anchor)
	}
	return out, nil
}

// ReadPlatformKey reads a public key in PEM as the key of any platform.
func ReadPlatformKey(path string) (cca.Anchor, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return cca.Anchor{}, err
	}
	block, rest := pem.Decode(b)
	switch {
	case block == nil || block.Type != "PUBLIC KEY":
		return cca.Anchor{}, fmt.Errorf("%s: no PEM public key", path)
	case bytes.Contains(rest, []byte("-----BEGIN ")):
		return cca.Anchor{}, fmt.Errorf("%s: more than one PEM block, want one public key", path)
	}
	key, err := pubkey.Parse(block.Bytes)
	if err != nil {
		return cca.Anchor{}, fmt.Errorf("%s: %w", path, err)
	}
	return cca.Anchor{Key: key}, nil
}
