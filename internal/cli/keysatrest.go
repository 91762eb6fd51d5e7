package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	anchors "github.com/probity-dev/probity/internal/anchor"
	"github.com/probity-dev/probity/internal/config"
	"github.com/probity-dev/probity/internal/private"
	"github.com/probity-dev/probity/internal/signing"
	"github.com/probity-dev/probity/internal/signing/hsm"
	"github.com/probity-dev/probity/internal/store"
)

// masterKeyEnv replaces the master key file.
const masterKeyEnv = "PROBITY_MASTER_KEY"

// keysAtRest opens what keeps the signing keys: the master key, and a PKCS#11 token
// if one is configured.
func keysAtRest(ctx context.Context, db store.Store, cfg config.Config) (signing.Config, error) {
	keys := signing.Config{Random: rand.Reader}
	records, err := db.SigningKeys(ctx)
	if err != nil {
		return keys, err
	}
	// A lost master key is never replaced: what it sealed would be lost with it. Only a
	// database that was never used gets a new one.
	providers, err := db.Providers(ctx)
	if err != nil {
		return keys, err
	}
	create := len(records) == 0 && len(providers) == 0
	p := cfg.Signing.PKCS11
	if p.Module != "" {
		pin, err := tokenPIN(cfg)
		if err != nil {
			return keys, err
		}
		opened, err := hsm.Open(p.Module, p.Token, pin)
		if err != nil {
			return keys, fmt.Errorf("signing.pkcs11: %w", err)
		}
		keys.Token = opened
		if p.MasterKey != "" {
			if _, set := os.LookupEnv(masterKeyEnv); set {
				return keys, errors.New(masterKeyEnv + " is set, and signing.pkcs11.masterKey too: which of the two is the master key?")
			}
			secret, err := opened.MasterSecret(p.MasterKey, create)
			if err != nil {
				return keys, fmt.Errorf("signing.pkcs11.masterKey: %w", err)
			}
			keys.Master, err = signing.NewMasterKey(secret)
			return keys, err
		}
	}
	if text, set := os.LookupEnv(masterKeyEnv); set {
		keys.Master, err = signing.ParseMasterKey(text)
		return keys, err
	}
	path := cfg.MasterKeyFile
	if path == "" {
		path = filepath.Join(cfg.DataDir, masterKeyFile)
	}
	keys.Master, err = signing.LoadMasterKey(path, keys.Random, create)
	return keys, err
}

// masterKeyFile is the master key in a data folder.
const masterKeyFile = "master.key"

// keyMemory opens what remembers the signing keys outside the database.
func keyMemory(cfg config.Config) (*signing.Memory, error) {
	folder, err := anchors.Open(filepath.Join(cfg.DataDir, anchors.Dir))
	if err != nil {
		return nil, err
	}
	return signing.NewMemory(folder)
}

// tokenPIN reads the PIN of the PKCS#11 token, if one is configured and this program
// can use it.
func tokenPIN(cfg config.Config) (string, error) {
	p := cfg.Signing.PKCS11
	if p.Module == "" {
		return "", nil
	}
	if !hsm.Built {
		return "", fmt.Errorf("signing.pkcs11: %w", hsm.ErrNotBuilt)
	}
	pin, err := private.ReadSecret(p.PINFile)
	if err != nil {
		return "", fmt.Errorf("signing.pkcs11.pinFile: %w", err)
	}
	return strings.TrimSpace(string(pin)), nil
}
