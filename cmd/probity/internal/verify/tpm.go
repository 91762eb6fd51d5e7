package verify

import (
	"crypto/sha256"
	"crypto/x509"
	"fmt"

	"github.com/probity-dev/probity/appraisal"
	"github.com/probity-dev/probity/cmd/probity/internal/term"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/forms"
	"github.com/probity-dev/probity/evidence/tpmfiles"
)

// read reads the evidence: one file, or the files of a TPM quote that was recorded with
// tpm2_quote, Keylime or go-attestation.
func (c *EvidenceCommand) read(e *term.Env, request *appraisal.Request) (err error) {
	if request.Kind != evidence.TPM {
		if len(c.More) > 0 {
			return fmt.Errorf(
				"%s: evidence of %s is one file; only the quotes of TPMs are recorded in several",
				c.More[0], request.Kind,
			)
		}
		if c.TrustKey != "" {
			return fmt.Errorf("--trust-key goes with %s", evidence.TPM)
		}
		request.Evidence, err = e.Evidence(c.File, request.Kind)
		return err
	}
	trusted, err := c.trustedKey(e)
	if err != nil {
		return err
	}
	if trusted != nil {
		spki, err := x509.MarshalPKIXPublicKey(trusted.Public)
		if err != nil {
			return fmt.Errorf("--trust-key: %s: the key is neither RSA nor ECC", c.TrustKey)
		}
		name := sha256.Sum256(spki)
		request.Enrolled = func(key [sha256.Size]byte) (string, bool) { return "", key == name }
	}
	var files []tpmfiles.File
	known := len(c.More) > 0
	for _, path := range append([]string{c.File}, c.More...) {
		b, err := e.ReadLimited(path, forms.MaxText)
		if err != nil {
			return err
		}
		file, ok := tpmfiles.Identify(b)
		if file.Path = path; !ok && !known {
			// Evidence of the protocol, by itself.
			request.Evidence, err = e.Decoded(b, path, request.Kind)
			return err
		}
		files = append(files, file)
	}
	recorded, err := tpmfiles.Assemble(files, trusted)
	if err != nil {
		return err
	}
	if !e.Quiet {
		for _, f := range files {
			fmt.Fprintf(e.Err, "probity: %s: %s\n", f.Path, f.Name)
		}
		if recorded.EKCertificate != nil {
			fmt.Fprintln(e.Err, "probity: the certificate of the endorsement key is not used: it does "+
				"not say which attestation keys are in its TPM; check it by itself: probity tpm ek FILE")
		}
	}
	mask := recorded.Mask()
	request.Registers = &mask
	request.Evidence, err = recorded.Evidence()
	return err
}

func (c *EvidenceCommand) trustedKey(e *term.Env) (*tpmfiles.Key, error) {
	if c.TrustKey == "" {
		return nil, nil
	}
	b, err := e.ReadLimited(c.TrustKey, evidence.MaxSize)
	if err != nil {
		return nil, fmt.Errorf("--trust-key: %w", err)
	}
	file, _ := tpmfiles.Identify(b)
	if file.Key == nil {
		return nil, fmt.Errorf(
			"--trust-key: %s: not the public key of an attestation key, as PEM, TPM2B_PUBLIC or certificate",
			c.TrustKey,
		)
	}
	return file.Key, nil
}
