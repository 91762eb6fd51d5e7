package pubkey

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"unicode/utf8"
)

// Certificates reads all certificates of a PEM file. A block that does not decode, and one of
// another type, is an error: nothing that someone put into the file is left out unseen. Text
// between the blocks is not read.
func Certificates(file []byte) ([]*x509.Certificate, error) {
	begins := bytes.Count(file, []byte("-----BEGIN "))
	if begins == 0 || !utf8.Valid(file) ||
		bytes.IndexByte(file, 0) >= 0 { // a binary file may carry PEM inside, as quotes do
		if _, err := x509.ParseCertificate(file); err == nil {
			return nil, errors.New("a certificate in DER, want PEM: openssl x509 -inform DER -in FILE -out FILE.pem")
		}
		return nil, errors.New("no PEM certificates")
	}
	var list []*x509.Certificate
	for rest := bytes.TrimSpace(file); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("a PEM block of type %s, want CERTIFICATE", block.Type)
		}
		cert, err := ParseCertificate(block.Bytes)
		var bounds KeyError
		switch {
		case errors.As(err, &bounds):
			return nil, fmt.Errorf("PEM certificate %d: %w", len(list)+1, err)
		case err != nil:
			return nil, fmt.Errorf("PEM certificate %d does not decode", len(list)+1)
		}
		list = append(list, cert)
	}
	if len(list) < begins {
		return nil, fmt.Errorf("%d PEM blocks begin, and %d decode: one is cut off or damaged", begins, len(list))
	}
	return list, nil
}

// Pool reads all certificates of a PEM file into a pool, as [Certificates] does.
func Pool(file []byte) (*x509.CertPool, error) {
	list, err := Certificates(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	for _, cert := range list {
		pool.AddCert(cert)
	}
	return pool, nil
}
