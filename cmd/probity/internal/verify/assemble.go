package verify

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/probity-dev/probity/cmd/probity/internal/term"
	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/snp"
	"github.com/probity-dev/probity/evidence/uvm"
	"github.com/probity-dev/probity/internal/files"
	"github.com/probity-dev/probity/strict/pubkey"
)

// assemble puts a report, the certificates of a file or folder, and
// endorsements of the utility VM into one piece of evidence. It also returns the
// revocation lists that were among the certificates.
func assemble(
	e *term.Env, raw []byte, certificates string, endorsements []string,
) ([]byte, []*collateral.AMD, error) {
	if certificates == "" && len(endorsements) == 0 {
		return raw, nil, nil
	}
	var lists []*collateral.AMD
	framed, err := snp.Frame(raw)
	if err != nil {
		return raw, nil, nil // the verifier says why, with the same exit code as without --certs
	}
	if certificates != "" {
		if framed.Certificates, lists, err = certificatesAt(e, certificates); err != nil {
			return nil, nil, fmt.Errorf("--certs: %w", err)
		}
	}
	for _, path := range endorsements {
		b, err := e.ReadLimited(path, evidence.MaxSize)
		if err != nil {
			return nil, nil, fmt.Errorf("--uvm: %w", err)
		}
		if _, err := uvm.Inspect(b); err != nil {
			return nil, nil, fmt.Errorf("--uvm: %s: %w", path,
				files.InsteadOf(b, errors.New("no endorsement of a utility VM (COSE)")))
		}
		framed.Endorsements = append(framed.Endorsements, b)
	}
	whole, err := framed.Marshal()
	return whole, lists, err
}

// certificatesAt reads the certificates of a file, in any form that hosts hand them
// out in, or of all files of a folder and its subfolders, and returns them in PEM,
// with the revocation lists among them. Files of a folder that are neither are named
// on standard error.
func certificatesAt(e *term.Env, path string) (certs []byte, lists []*collateral.AMD, err error) {
	files := []string{path}
	st, err := os.Stat(path)
	folder := err == nil && st.IsDir()
	if folder {
		if files, err = regularFiles(e, path); err != nil {
			return nil, nil, err
		}
	}
	var out bytes.Buffer
	for _, file := range files {
		list, more, err := certificateFile(e, file)
		if err != nil && folder {
			if !e.Quiet {
				fmt.Fprintf(e.Err, "probity: --certs: %s: not used: %v\n", file, err)
			}
			continue
		}
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", file, err)
		}
		lists = append(lists, more...)
		for _, cert := range list {
			if err := pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}); err != nil {
				return nil, nil, err
			}
		}
	}
	if out.Len() == 0 && len(lists) == 0 {
		return nil, nil, fmt.Errorf("%s: no certificates and no revocation lists", path)
	}
	return out.Bytes(), lists, nil
}

// certificateFile reads certificates, or what else of AMD's the loader of collateral
// finds in the file.
func certificateFile(e *term.Env, file string) ([]*x509.Certificate, []*collateral.AMD, error) {
	b, err := e.ReadLimited(file, evidence.MaxSize)
	if err != nil {
		return nil, nil, err
	}
	list, certErr := snp.ParseCertificates(b)
	if certErr == nil && len(list) > 0 {
		return list, nil, nil
	}
	bundle, err := files.Collateral(file)
	if err == nil {
		e.Notes(bundle)
	}
	if err != nil || len(bundle.AMD)+len(bundle.VCEK) == 0 {
		return nil, nil, files.InsteadOf(b,
			errors.New("neither certificates (PEM, DER, certificate table) nor a revocation list of AMD"))
	}
	for _, c := range bundle.AMD {
		more, err := snp.ParseCertificates(c.Chain)
		if err != nil {
			return nil, nil, err
		}
		for _, cert := range more {
			if !slices.ContainsFunc(list, cert.Equal) {
				list = append(list, cert)
			}
		}
	}
	for _, c := range bundle.VCEK {
		cert, err := pubkey.ParseCertificate(c.Certificate)
		if err != nil {
			return nil, nil, errors.New("a certificate that does not decode")
		}
		list = append(list, cert)
	}
	lists := slices.DeleteFunc(bundle.AMD, func(c *collateral.AMD) bool { return len(c.CRL) == 0 })
	return list, lists, nil
}

// regularFiles lists the files below a folder, sorted, and names what is none.
func regularFiles(e *term.Env, path string) (files []string, err error) {
	err = filepath.WalkDir(path, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		switch st, err := os.Stat(name); {
		case err != nil:
			return err
		case st.Mode().IsRegular():
			files = append(files, name)
		case !st.IsDir() && !e.Quiet: // links to folders are Kubernetes' ..data
			fmt.Fprintf(e.Err, "probity: --certs: %s: not used: not a regular file\n", name)
		}
		if len(files) > 1024 {
			return fmt.Errorf("%s: more than 1024 files", path)
		}
		return nil
	})
	return files, err
}
