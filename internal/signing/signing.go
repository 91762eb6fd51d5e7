// Package signing keeps the keys that sign tokens: made in software, sealed at
// rest under a master key, and the same after a restart.
//
// [Load] returns the signers of an issuer. Rotation and hardware keys are not
// here yet.
package signing

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/probity-dev/probity/internal/store"
	"github.com/probity-dev/probity/token"
)

// keyBits is the size of new RSA keys: what Azure's service uses, and the
// smallest that its Java client takes.
const keyBits = 2048

// keyStore is what this package needs of a store.
type keyStore interface {
	SigningKeys(ctx context.Context) ([]store.SigningKey, error)
	PutSigningKey(ctx context.Context, k store.SigningKey) error
}

// Config says how keys are loaded.
type Config struct {
	// Issuer is the URL that tokens name.
	Issuer string
	Master MasterKey
	Random io.Reader
	Now    time.Time
}

// Load returns a signer for every stored key, the newest first; it makes a key
// if there is none. A key's certificate is made anew when the issuer changed.
func Load(ctx context.Context, s keyStore, cfg Config) ([]*token.Signer, error) {
	records, err := s.SigningKeys(ctx)
	if err != nil {
		return nil, err
	}
	if len(records) == 0 {
		record, err := generate(cfg)
		if err != nil {
			return nil, err
		}
		if err := s.PutSigningKey(ctx, record); err != nil {
			return nil, err
		}
		records = []store.SigningKey{record}
	}
	var signers []*token.Signer
	for _, record := range records {
		signer, err := open(ctx, s, record, cfg)
		if err != nil {
			return nil, fmt.Errorf("signing: key %s: %w", record.ID, err)
		}
		signers = append(signers, signer)
	}
	return signers, nil
}

func generate(cfg Config) (store.SigningKey, error) {
	key, err := rsa.GenerateKey(cfg.Random, keyBits)
	if err != nil {
		return store.SigningKey{}, fmt.Errorf("signing: new key: %w", err)
	}
	id, err := token.KeyID(key.Public())
	if err != nil {
		return store.SigningKey{}, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return store.SigningKey{}, fmt.Errorf("signing: new key: %w", err)
	}
	cert, err := token.InstanceCertificate(cfg.Random, cfg.Issuer, key, cfg.Now)
	if err != nil {
		return store.SigningKey{}, err
	}
	return store.SigningKey{ID: id, Sealed: cfg.Master.seal(der, id), Certificate: cert.Raw, Created: cfg.Now}, nil
}

func open(ctx context.Context, s keyStore, record store.SigningKey, cfg Config) (*token.Signer, error) {
	der, err := cfg.Master.unseal(record.Sealed, record.ID)
	if err != nil {
		return nil, err
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, errors.New("the unsealed key cannot be read")
	}
	key, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("keys of type %T do not sign", parsed)
	}
	cert, err := x509.ParseCertificate(record.Certificate)
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	if cert.Subject.CommonName != cfg.Issuer {
		if cert, err = token.InstanceCertificate(cfg.Random, cfg.Issuer, key, cfg.Now); err != nil {
			return nil, err
		}
		record.Certificate = cert.Raw
		if err := s.PutSigningKey(ctx, record); err != nil {
			return nil, err
		}
	}
	return token.NewSigner(cfg.Issuer, key, cert)
}
