package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/probity-dev/probity/collateral/tpmca"
	"github.com/probity-dev/probity/evidence/nitro"
	"github.com/probity-dev/probity/evidence/snp"
)

// anchorProblem compares anchors with those that the product pins. The names in the
// certificates say whose they are: AMD's, AWS's, or those of vendors of TPMs.
func anchorProblem(c caseJSON, files map[string][]byte) error {
	list := allCertificates(files)
	common := func(prefixes ...string) func(certFile) bool {
		return func(f certFile) bool {
			name := f.cert.Subject.CommonName
			return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(name, p) })
		}
	}
	switch {
	case slices.ContainsFunc(list, common("ARK-", "SEV-")):
		return pinned(list, snp.AMDRoots().Holds)
	case slices.ContainsFunc(list, common("aws.nitro-enclaves")):
		return pinned(list, nitro.IsRoot)
	}
	return vendorProblem(c, files)
}

func pinned(list []certFile, is func(der []byte) bool) error {
	for _, f := range list {
		if !is(f.der) {
			return fmt.Errorf("%s: %s is not pinned", f.file, f.cert.Subject)
		}
	}
	return nil
}

// vendorProblem compares the roots of vendors with the list that is shipped. A file with
// a root that signed itself has roots, the others have intermediates.
func vendorProblem(c caseJSON, files map[string][]byte) error {
	var roots, intermediates []*x509.Certificate
	for name, b := range files {
		r, err := tpmca.Parse(b)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if list := r.All(); slices.ContainsFunc(list, selfIssued) {
			roots = append(roots, list...)
		} else {
			intermediates = append(intermediates, list...)
		}
	}
	if want, _ := c.KeyFields["roots"].(float64); int(want) != len(roots) {
		return fmt.Errorf("%d roots, want %v", len(roots), want)
	}
	if want, _ := c.KeyFields["intermediates"].(float64); int(want) != len(intermediates) {
		return fmt.Errorf("%d intermediates, want %v", len(intermediates), want)
	}
	if len(roots) == 0 {
		return errors.New("no roots")
	}
	for _, cert := range roots {
		if _, ok := tpmca.VendorOf(cert); !ok {
			return fmt.Errorf("%s is not in the list of vendors", tpmca.Name(cert))
		}
	}
	return nil
}

func selfIssued(cert *x509.Certificate) bool {
	return string(cert.RawSubject) == string(cert.RawIssuer)
}
