package cli

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/snp"
)

// assemble puts a report, the certificates of a file or folder, and
// endorsements of the utility VM into one piece of evidence.
func (e *env) assemble(raw []byte, certificates string, endorsements []string) ([]byte, error) {
	if certificates == "" && len(endorsements) == 0 {
		return raw, nil
	}
	framed, err := snp.Frame(raw)
	if err != nil {
		return raw, nil // the verifier says why, with the same exit code as without --certs
	}
	if certificates != "" {
		if framed.Certificates, err = e.certificates(certificates); err != nil {
			return nil, fmt.Errorf("--certs: %w", err)
		}
	}
	for _, path := range endorsements {
		b, err := e.readLimited(path, evidence.MaxSize)
		if err != nil {
			return nil, fmt.Errorf("--uvm: %w", err)
		}
		framed.Endorsements = append(framed.Endorsements, b)
	}
	return framed.Marshal()
}

// certificates reads the certificates of a file, in any form that hosts hand
// them out in, or of all files of a folder, and returns them in PEM. Of a
// folder, the certificate of the report's own key is what must be there.
func (e *env) certificates(path string) ([]byte, error) {
	files := []string{path}
	if st, err := os.Stat(path); err == nil && st.IsDir() {
		entries, err := os.ReadDir(path)
		if err != nil {
			return nil, err
		}
		files = nil
		for _, entry := range entries {
			if entry.Type().IsRegular() && slices.Contains([]string{".pem", ".der", ".crt", ".cert", ".cer"}, filepath.Ext(entry.Name())) {
				files = append(files, filepath.Join(path, entry.Name()))
			}
		}
		if len(files) == 0 {
			return nil, fmt.Errorf("%s: no .pem, .der, .crt, .cert or .cer in this folder", path)
		}
	}
	var out bytes.Buffer
	for _, file := range files {
		b, err := e.readLimited(file, evidence.MaxSize)
		if err != nil {
			return nil, err
		}
		list, err := snp.ParseCertificates(b)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		for _, cert := range list {
			if err := pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}); err != nil {
				return nil, err
			}
		}
	}
	return out.Bytes(), nil
}
