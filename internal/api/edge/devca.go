package edge

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/probity-dev/probity/strict/pubkey"
)

// The files of the development CA in the data directory.
const (
	DevCAFile    = "ca.pem"
	devCAKeyFile = "ca-key.pem"
)

// DevCertificate returns a TLS configuration for a development server: a
// certificate for localhost and the given host, issued by a CA of this data
// directory, which is made at the first start, and again when it is not valid. Clients trust [DevCAFile].
func DevCertificate(dir, host string, now time.Time) (*tls.Config, error) {
	ca, caKey, err := devCA(dir, now)
	if err != nil {
		return nil, fmt.Errorf("development CA: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: randomSerial(),
		Subject:      pkix.Name{CommonName: "Probity development server"},
		NotBefore:    now.Add(-time.Hour), NotAfter: now.AddDate(0, 3, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = append(template.IPAddresses, ip)
	} else if host != "" && host != "localhost" {
		template.DNSNames = append(template.DNSNames, host)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca, key.Public(), caKey)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion:   tls.VersionTLS12,
		NextProtos:   []string{"h2", "http/1.1"},
		Certificates: []tls.Certificate{{Certificate: [][]byte{der, ca.Raw}, PrivateKey: key}},
	}, nil
}

// DevReleaseCertificate returns a certificate of the development CA that signs released keys: RSA, as clients want it,
// for the host of the service, and for host and port as one name, which Microsoft's side-car compares.
func DevReleaseCertificate(dir string, service *url.URL, now time.Time) (*tls.Certificate, error) {
	ca, caKey, err := devCA(dir, now)
	if err != nil {
		return nil, fmt.Errorf("development CA: %w", err)
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: randomSerial(), Subject: pkix.Name{CommonName: "Probity development vault"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(0, 3, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:    []string{"localhost", service.Host},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	if host := service.Hostname(); net.ParseIP(host) == nil && host != "localhost" {
		template.DNSNames = append(template.DNSNames, host)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca, key.Public(), caKey)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der, ca.Raw}, PrivateKey: key}, nil
}

func devCA(dir string, now time.Time) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, DevCAFile), filepath.Join(dir, devCAKeyFile))
	// One that is not valid yet was made by a wrong clock.
	if err == nil && !now.Before(pair.Leaf.NotBefore) && now.Before(pair.Leaf.NotAfter) {
		key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
		if !ok {
			return nil, nil, errors.New(devCAKeyFile + " contains no EC key")
		}
		return pair.Leaf, key, nil
	}
	// Only where neither file exists is a CA made: half of one, or one that cannot be
	// read, may be in use, and clients trust it.
	for _, name := range []string{DevCAFile, devCAKeyFile} {
		if _, statErr := os.Lstat(filepath.Join(dir, name)); err != nil && !errors.Is(statErr, fs.ErrNotExist) {
			return nil, nil, fmt.Errorf("%w; to make a new CA, remove %s and %s from %s", err, DevCAFile,
				devCAKeyFile, dir)
		}
	}
	return newDevCA(dir, now)
}

func newDevCA(dir string, now time.Time) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: randomSerial(), Subject: pkix.Name{CommonName: "Probity development CA (not for production)"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	err = errors.Join(
		os.WriteFile(filepath.Join(dir, devCAKeyFile),
			pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600),
		os.WriteFile(filepath.Join(dir, DevCAFile),
			pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	if err != nil {
		return nil, nil, err
	}
	ca, err := pubkey.ParseCertificate(der)
	return ca, key, err
}

func randomSerial() *big.Int {
	var b [16]byte
	rand.Read(b[:]) // never fails
	b[0] |= 0x40    // a positive number of full length
	b[0] &= 0x7f
	return new(big.Int).SetBytes(b[:])
}
