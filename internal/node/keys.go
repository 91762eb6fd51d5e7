package node

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/probity-dev/probity/internal/config"
	"github.com/probity-dev/probity/internal/keys"
	"github.com/probity-dev/probity/internal/keys/hsm"
	"github.com/probity-dev/probity/internal/private"
	"github.com/probity-dev/probity/internal/store"
	anchors "github.com/probity-dev/probity/internal/store/anchor"
)

// masterKeyEnv replaces the master key file.
const masterKeyEnv = "PROBITY_MASTER_KEY"

// KeysAtRest opens what keeps the signing keys: the master key, and a PKCS#11 token
// if one is configured.
func KeysAtRest(ctx context.Context, db store.Store, cfg config.Config) (keys.Config, error) {
	atRest := keys.Config{Random: rand.Reader}
	records, err := db.SigningKeys(ctx)
	if err != nil {
		return atRest, err
	}
	// A lost master key is never replaced: what it sealed would be lost with it. Only a
	// database that was never used gets a new one.
	providers, err := db.Providers(ctx)
	if err != nil {
		return atRest, err
	}
	checkpoints, err := db.CheckpointKeys(ctx)
	if err != nil {
		return atRest, err
	}
	create := len(records) == 0 && len(checkpoints) == 0 && len(providers) == 0
	p := cfg.Signing.PKCS11
	if p.Module != "" {
		pin, err := TokenPIN(cfg)
		if err != nil {
			return atRest, err
		}
		opened, err := hsm.Open(p.Module, p.Token, pin)
		if err != nil {
			return atRest, fmt.Errorf("signing.pkcs11: %w", err)
		}
		atRest.Token = opened
		if p.MasterKey != "" {
			if _, set := os.LookupEnv(masterKeyEnv); set {
				return atRest,
					errors.New(masterKeyEnv + " and signing.pkcs11.masterKey are both set: set only one of them")
			}
			secret, err := opened.MasterSecret(p.MasterKey, create)
			if err != nil {
				return atRest, fmt.Errorf("signing.pkcs11.masterKey: %w", err)
			}
			atRest.Master, err = keys.NewMasterKey(secret)
			return atRest, err
		}
	}
	if text, set := os.LookupEnv(masterKeyEnv); set {
		atRest.Master, err = keys.ParseMasterKey(text)
		return atRest, err
	}
	path := cfg.MasterKeyFile
	if path == "" {
		path = filepath.Join(cfg.DataDir, masterKeyFile)
	}
	atRest.Master, err = keys.LoadMasterKey(path, atRest.Random, create)
	return atRest, err
}

// masterKeyFile is the master key in a data folder.
const masterKeyFile = "master.key"

// keyMemory opens what remembers the signing keys outside the database.
func keyMemory(cfg config.Config) (*keys.Memory, error) {
	folder, err := anchors.Open(filepath.Join(cfg.DataDir, anchors.Dir))
	if err != nil {
		return nil, err
	}
	return keys.NewMemory(folder)
}

// TokenPIN reads the PIN of the PKCS#11 token, if one is configured and this program
// can use it.
func TokenPIN(cfg config.Config) (string, error) {
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
