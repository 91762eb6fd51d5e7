package node

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/internal/api/edge"
	"github.com/probity-dev/probity/internal/auth"
	"github.com/probity-dev/probity/internal/config"
	"github.com/probity-dev/probity/internal/files"
	"github.com/probity-dev/probity/internal/keys"
)

// CheckFiles opens the files that the configuration names as [Open] does, and returns all that is wrong
// with them. It asks no database, network or PKCS#11 token, and writes nothing. The collateral is for its
// notes.
func CheckFiles(cfg config.Config) (bundle *collateral.Bundle, problems []error) {
	log := slog.New(slog.DiscardHandler)
	for _, check := range []func() error{
		func() error { return checkServerCertificate(cfg, log) },
		func() error { _, err := AdminTokenHash(cfg); return err },
		func() error { return checkMasterKey(cfg) },
		func() error { _, err := TokenPIN(cfg); return err },
		func() error { return checkVault(cfg.Vault, log) },
		func() error { _, err := cfg.Store.Postgres(); return err },
		func() error { return checkCallers(cfg, log) },
		func() error {
			if _, err := TransportFor(cfg.Fetch.Intel.CA); err != nil {
				return fmt.Errorf("fetch.intel.ca: %w", err)
			}
			return nil
		},
		func() error { _, err := files.Trust(cfg); return err },
		func() error { _, err := enrolment(cfg); return err },
		func() (err error) {
			if bundle, err = CollateralFiles(cfg.Collateral); err == nil {
				_, err = collateral.NewStatic(bundle)
			}
			return err
		},
	} {
		if err := check(); err != nil {
			problems = append(problems, err)
		}
	}
	return bundle, problems
}

func checkServerCertificate(cfg config.Config, log *slog.Logger) error {
	if cfg.TLS.Certificate == "" || cfg.TLS.Key == "" {
		return nil // the configuration says what it needs
	}
	_, err := edge.NewCertificates("tls.certificate and tls.key", cfg.TLS.Certificate, cfg.TLS.Key, log)
	return err
}

func checkVault(cfg config.Vault, log *slog.Logger) error {
	_, err := Transit(cfg.Transit)
	if _, other := authorities(cfg); other != nil {
		err = errors.Join(err, other)
	}
	if cfg.Certificate != "" && cfg.Key != "" {
		_, other := edge.NewCertificates("vault.certificate and vault.key", cfg.Certificate, cfg.Key, log)
		err = errors.Join(err, other)
	}
	return err
}

func checkCallers(cfg config.Config, log *slog.Logger) error {
	var problems []error
	if path := cfg.Callers.CertificateAuthorities; path != "" {
		if _, err := auth.NewAuthorities(path, time.Now, log); err != nil {
			problems = append(problems, fmt.Errorf("callers.certificateAuthorities: %w", err))
		}
	}
	for _, i := range cfg.Callers.Issuers {
		if _, err := TransportFor(i.CA); err != nil {
			problems = append(problems, fmt.Errorf("callers.issuers: %s: ca: %w", i.URL, err))
		}
	}
	return errors.Join(problems...)
}

// checkMasterKey reads the master key, if there is one: the first start makes it.
func checkMasterKey(cfg config.Config) error {
	if cfg.Signing.PKCS11.MasterKey != "" {
		return nil
	}
	if text, set := os.LookupEnv(masterKeyEnv); set {
		_, err := keys.ParseMasterKey(text)
		return err
	}
	path := cfg.MasterKeyFile
	if path == "" {
		path = filepath.Join(cfg.DataDir, masterKeyFile)
	}
	_, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || err != nil && cfg.MasterKeyFile == "" {
		return nil // the data folder is the service's
	}
	_, err = keys.LoadMasterKey(path, nil, false)
	return err
}
