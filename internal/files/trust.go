package files

import (
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"os"

	"github.com/probity-dev/probity/appraisal"
	"github.com/probity-dev/probity/collateral/tpmca"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/azureguest"
	"github.com/probity-dev/probity/evidence/dcap"
	"github.com/probity-dev/probity/evidence/snp"
	"github.com/probity-dev/probity/internal/config"
	"github.com/probity-dev/probity/strict/pubkey"
)

// Trust returns what a service with this configuration trusts.
func Trust(cfg config.Config) (appraisal.Trust, error) {
	var t appraisal.Trust
	var err error
	if t.AMD, err = cfg.SNP.Verifier(); err != nil {
		return t, fmt.Errorf("snp: %w", err)
	}
	t.AMD.Paravisors = cfg.TPM.Paravisors
	if t.Arm, err = cfg.CCA.Verifier(); err != nil {
		return t, fmt.Errorf("cca: %w", err)
	}
	if t.TPM, err = cfg.TPM.Verifier(cfg.DataDir); err != nil {
		return t, fmt.Errorf("tpm: %w", err)
	}
	t.Azure = azureguest.Config{Authorities: t.TPM.Authorities, Baseline: cfg.TPM.SecureBoot}
	if t.Intel.Anchor, err = Anchor(cfg.Development.IntelRoot); err != nil {
		return t, fmt.Errorf("development.intelRoot: %w", err)
	}
	if t.AMD.Roots, err = amdRoots(cfg.Development.AMDRoots); err != nil {
		return t, fmt.Errorf("development.amdRoots: %w", err)
	}
	if t.AWS.Root, err = nitroRoot(cfg.Development.NitroRoot); err != nil {
		return t, fmt.Errorf("development.nitroRoot: %w", err)
	}
	return t, nil
}

// AddRoot replaces the root that evidence of the kind is verified with.
func AddRoot(t *appraisal.Trust, kind evidence.Kind, path string) (err error) {
	switch kind {
	case evidence.SEVSNPVM:
		t.AMD.Roots, err = amdRoots(path)
	case evidence.NitroEnclave:
		t.AWS.Root, err = nitroRoot(path)
	case evidence.ArmCCA:
		key, keyErr := config.ReadPlatformKey(path)
		t.Arm.Anchors, err = append(t.Arm.Anchors, key), keyErr
	case evidence.TPM, evidence.VBSEnclave, evidence.AzureGuest:
		b := tpmca.Named(path)
		if b == nil {
			var readErr error
			if b, readErr = os.ReadFile(path); readErr != nil {
				return readErr
			}
		}
		if t.TPM.Authorities, err = tpmca.Parse(b); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		t.Azure.Authorities = t.TPM.Authorities
	default:
		t.Intel.Anchor, err = Anchor(path)
	}
	return err
}

// Anchor reads a root of trust from a PEM file; nil stands for Intel's.
func Anchor(path string) (*dcap.Anchor, error) {
	cert, err := rootCertificate(path)
	if err != nil || cert == nil {
		return nil, err
	}
	a, err := dcap.AnchorFromCertificate(cert)
	return &a, err
}

// nitroRoot reads a root's fingerprint from a PEM file; nil stands for AWS's.
func nitroRoot(path string) ([]byte, error) {
	cert, err := rootCertificate(path)
	if err != nil || cert == nil {
		return nil, err
	}
	sum := sha256.Sum256(cert.Raw)
	return sum[:], nil
}

func rootCertificate(path string) (*x509.Certificate, error) {
	if path == "" {
		return nil, nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	list, err := pubkey.Certificates(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, InsteadOf(b, err))
	}
	if len(list) > 1 {
		return nil, fmt.Errorf("%s: %d certificates, want the root alone", path, len(list))
	}
	return list[0], nil
}

// amdRoots reads roots from a PEM file; nil stands for AMD's.
func amdRoots(path string) (*snp.Roots, error) {
	if path == "" {
		return nil, nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	roots, err := snp.ParseRoots(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, InsteadOf(b, err))
	}
	return roots, nil
}
