package config

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/probity-dev/probity/collateral/tpmca"
	"github.com/probity-dev/probity/evidence/azureguest"
	"github.com/probity-dev/probity/evidence/paravisor"
	"github.com/probity-dev/probity/evidence/tpm"
)

// TPM says which TPMs are trusted, and how they are challenged. Its zero value trusts no
// attestation key, so that TPM evidence is refused.
type TPM struct {
	// Authorities lists PEM files with the authorities that certify attestation
	// keys, of TPMs and of Azure's Trusted Launch machines; "azure" stands for those of
	// Azure's virtual TPMs. Revocation lists may be in the files. Those imported into the
	// data directory (probity tpm roots import) are trusted too.
	Authorities []string `json:"authorities,omitempty"`
	// EndorsementAuthorities lists PEM files with the authorities that certify
	// endorsement keys; with them TPMs may enrol. Imported ones are trusted too.
	EndorsementAuthorities []string `json:"endorsementAuthorities,omitempty"`
	// EndorsementKeys lists the endorsement keys that may enrol, by the SHA-256 of
	// their SubjectPublicKeyInfo in hex. With a list, no other may, and a listed one
	// needs no certificate.
	EndorsementKeys []string `json:"endorsementKeys,omitempty"`
	// SHA1 accepts banks and signatures of SHA-1, of old firmware.
	SHA1 bool `json:"sha1,omitzero"`
	// CustomClaimPrefix is put before the names of claims that clients make. Empty
	// means "x-probity-custom-".
	CustomClaimPrefix string `json:"customClaimPrefix,omitzero"`
	// ChallengeLifetime is how long a challenge is good for, at most an hour. Zero
	// means 5 minutes.
	ChallengeLifetime Duration `json:"challengeLifetime,omitzero"`
	// SingleUse refuses a challenge that was answered before, on any node that
	// shares the database. It costs one write for each attestation.
	SingleUse bool `json:"singleUse,omitzero"`
	// MaxKeys bounds the enrolled keys of a provider. Zero means 10,000.
	MaxKeys int `json:"maxKeys,omitzero"`
	// Authentication is "Enabled" if TPMs attest and enrol at the default provider for callers
	// alone who may read there. Empty means "Disabled". Other providers have
	// tpmAttestationAuthentication.
	Authentication string `json:"authentication,omitzero"`
	// SecureBoot says which secure boot databases of Azure guests are good. Empty
	// lists mean what Microsoft publishes.
	SecureBoot azureguest.Baseline `json:"secureBoot,omitzero"`
	// Paravisors lists those of confidential machines that are trusted to give their guests a
	// TPM. Tokens of such machines have x-ms-compliance-status.
	Paravisors paravisor.List `json:"paravisors,omitempty"`
}

// The folders of imported authorities in a data directory.
const (
	AttestationRoots = "tpm/attestation"
	EndorsementRoots = "tpm/endorsement"
)

// maxChallengeLifetime bounds for how long an answer may be prepared.
const maxChallengeLifetime = time.Hour

func (c TPM) check() error {
	for _, key := range c.EndorsementKeys {
		if b, err := hex.DecodeString(key); err != nil || len(b) != 32 || key != strings.ToLower(key) {
			return fmt.Errorf("endorsementKeys: %q is not a SHA-256 in lower-case hex", key)
		}
	}
	if c.MaxKeys < 0 || c.MaxKeys > 1_000_000 {
		return fmt.Errorf("maxKeys is %d; want 1 to 1,000,000, or 0 for 10,000", c.MaxKeys)
	}
	if a := c.Authentication; a != "" && a != "Enabled" && a != "Disabled" {
		return fmt.Errorf("authentication: %q; want Enabled or Disabled", a)
	}
	if err := c.SecureBoot.Check(); err != nil {
		return fmt.Errorf("secureBoot: %w", err)
	}
	if err := c.Paravisors.Check(); err != nil {
		return fmt.Errorf("paravisors: %w", err)
	}
	_, err := c.Verifier("")
	return err
}

// Verifier reads the authorities of attestation keys and returns the settings in
// the verifier's form. An empty data directory stands for none.
func (c TPM) Verifier(dataDir string) (tpm.Config, error) {
	roots, err := authorities(c.Authorities, dataDir, AttestationRoots)
	if err != nil {
		return tpm.Config{}, fmt.Errorf("authorities: %w", err)
	}
	return tpm.Config{Authorities: roots, SHA1: c.SHA1, CustomPrefix: c.CustomClaimPrefix}, nil
}

// Endorsement reads the authorities of endorsement keys.
func (c TPM) Endorsement(dataDir string) (*tpmca.Roots, error) {
	roots, err := authorities(c.EndorsementAuthorities, dataDir, EndorsementRoots)
	if err != nil {
		return nil, fmt.Errorf("endorsementAuthorities: %w", err)
	}
	return roots, nil
}

func authorities(files []string, dataDir, folder string) (*tpmca.Roots, error) {
	if dataDir != "" {
		// A file that is no certificate is an error: nothing is left out unseen.
		imported, err := os.ReadDir(filepath.Join(dataDir, filepath.FromSlash(folder)))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, entry := range imported {
			if entry.IsDir() {
				return nil, fmt.Errorf("%s: a folder, whose files are not read: move them up",
					filepath.Join(dataDir, filepath.FromSlash(folder), entry.Name()))
			}
			files = append(files[:len(files):len(files)],
				filepath.Join(dataDir, filepath.FromSlash(folder), entry.Name()))
		}
	}
	if len(files) == 0 {
		return nil, nil
	}
	var list [][]byte
	var problems []error
	for _, file := range files {
		b, err := tpmca.Named(file), error(nil)
		if b == nil {
			b, err = os.ReadFile(file)
		}
		if err == nil {
			_, err = tpmca.Parse(b)
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", file, err))
		}
		list = append(list, b)
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	return tpmca.Parse(list...)
}
