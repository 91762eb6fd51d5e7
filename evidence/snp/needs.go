package snp

import (
	"errors"
	"slices"

	"github.com/probity-dev/probity/collateral"
)

// Needed is what must be fetched before evidence can be verified.
type Needed struct {
	Published []collateral.AMDQuery
	VCEK      []collateral.VCEKQuery
}

// Needs tells what evidence needs from AMD's service: the revocation list of its
// branch, and the VCEK if none was sent along. A report of version 2 without a
// certificate does not tell its line, so that both lines of its time are named.
func Needs(f *Framed) (Needed, error) {
	var n Needed
	r, err := ParseReport(f.Report)
	if err != nil {
		return n, err
	}
	vlek := r.SignerInfo.SigningKey() == SigningKeyVLEK
	lines := []Line{Milan, Genoa}
	if r.Version >= 3 {
		line, ok := lineOf(r.Family, r.Model)
		if !ok {
			return n, errors.New("a CPU of an unknown product line: " + cpuid(r))
		}
		lines = []Line{line}
	}
	certs, err := ParseCertificates(f.Certificates)
	if err != nil {
		return n, err
	}
	at := slices.IndexFunc(certs, isLeaf)
	if at >= 0 {
		leaf, err := parseLeaf(certs[at])
		if err != nil {
			return n, err
		}
		lines = []Line{leaf.Line}
	}
	for _, line := range lines {
		n.Published = append(n.Published, collateral.AMDQuery{Line: string(line), VLEK: vlek})
		if at < 0 && !vlek && !zero(r.ChipID) {
			n.VCEK = append(n.VCEK, line.Query(r.ChipID, r.ReportedTCB))
		}
	}
	return n, nil
}
