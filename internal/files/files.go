// Package files reads what operators name by path: roots of trust, keys, certificates, collateral.
package files

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/evidence/forms"
	"github.com/probity-dev/probity/evidence/openenclave"
	"github.com/probity-dev/probity/evidence/snp"
	"github.com/probity-dev/probity/internal/describe"
	"github.com/probity-dev/probity/internal/store/sqlite"
	"github.com/probity-dev/probity/strict/pubkey"
)

// Collateral reads collateral, in every form that some kind of evidence brings, from a file or a
// folder of this host.
func Collateral(path string) (*collateral.Bundle, error) {
	return collateral.Loader{Endorsements: openenclave.ParseEndorsements, VCEK: snp.VCEKOf}.Load(host{}, path)
}

// host is the file system of this host. Names are paths as people give them, relative ones too,
// so that messages have them.
type host struct{}

// Open implements [fs.FS].
func (host) Open(name string) (fs.File, error) { return os.Open(name) }

// Stat implements [fs.StatFS].
func (host) Stat(name string) (fs.FileInfo, error) { return os.Stat(name) }

// ReadDir implements [fs.ReadDirFS].
func (host) ReadDir(name string) ([]fs.DirEntry, error) {
	return os.ReadDir(name)
}

// InsteadOf adds to the error of a file's reader what the file is.
func InsteadOf(b []byte, err error) error {
	if err == nil {
		return nil
	}
	if f := forms.Recognize(b); f.Name != "" {
		return fmt.Errorf("%w (the file is %s)", err, f.Name)
	}
	for _, f := range describe.File(b) {
		if what, ok := f.Value.(string); ok && f.Name == "what" {
			return fmt.Errorf("%w (the file is: %s)", err,
				strings.TrimSuffix(strings.TrimSuffix(what, " (not verified)"), " (signatures not verified)"))
		}
	}
	return err
}

// CertPool reads the CAs in a PEM file; nil stands for the system's.
func CertPool(path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	pool, err := pubkey.Pool(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, InsteadOf(b, err))
	}
	return pool, nil
}

// Stored reads everything that a data directory contains, unverified.
func Stored(ctx context.Context, dir string) (*collateral.Bundle, error) {
	if _, err := os.Stat(filepath.Join(dir, sqlite.FileName)); err != nil {
		return nil, err
	}
	db, err := sqlite.Open(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	records, err := db.Collateral(ctx, "")
	if err != nil {
		return nil, err
	}
	all := &collateral.Bundle{}
	for _, r := range records {
		b, err := collateral.ParseBundle(r.Data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", r.Key, err)
		}
		all.Add(b)
		if r.Fetched.After(all.Created) {
			all.Created = r.Fetched
		}
	}
	return all, nil
}

func ReadKey(path string) (crypto.Signer, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, fmt.Errorf("%s: no PEM block", path)
	}
	var key any
	switch block.Type {
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	default:
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	}
	signer, ok := key.(crypto.Signer)
	if err != nil || !ok {
		return nil, fmt.Errorf("%s: no private key that can sign", path)
	}
	return signer, nil
}

func ReadChain(path string) ([]*x509.Certificate, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	chain, err := pubkey.Certificates(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return chain, nil
}
