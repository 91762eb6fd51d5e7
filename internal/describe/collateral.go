package describe

import (
	"crypto/sha256"
	"crypto/x509"
	"slices"
	"strings"
	"time"

	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/strict/pubkey"
)

// Apart splits a bundle into bundles of one piece.
func Apart(b *collateral.Bundle) (list []*collateral.Bundle) {
	for _, c := range b.Intel {
		list = append(list, &collateral.Bundle{Intel: []*collateral.Intel{c}})
	}
	for _, c := range b.AMD {
		list = append(list, &collateral.Bundle{AMD: []*collateral.AMD{c}})
	}
	for _, c := range b.VCEK {
		list = append(list, &collateral.Bundle{VCEK: []*collateral.VCEK{c}})
	}
	return list
}

// Single leaves out sets that are there twice, as the newest and by their
// number.
func Single(b *collateral.Bundle) *collateral.Bundle {
	seen := map[[sha256.Size]byte]bool{}
	out := &collateral.Bundle{Created: b.Created, AMD: b.AMD, VCEK: b.VCEK}
	for _, c := range b.Intel {
		if key := c.Seal().Digest(); !seen[key] {
			seen[key] = true
			out.Intel = append(out.Intel, c)
		}
	}
	return out
}

// Items lists what a bundle contains, by what the pieces say about themselves.
func Items(b *collateral.Bundle) []collateral.Item {
	items := []collateral.Item{}
	for _, c := range Single(b).Intel {
		item := collateral.Item{Key: "intel/?", Vendor: "intel"}
		if about, err := c.About(); err == nil {
			q := collateral.Query{TEE: about.TEE, FMSPC: about.FMSPC, CA: about.CA}
			item = collateral.Item{
				Key: q.Key(), Vendor: "intel", EvaluationNumber: about.EvaluationNumber,
				Issued: about.Issued, NextUpdate: about.NextUpdate,
			}
		}
		items = append(items, item)
	}
	for _, c := range b.AMD {
		item := collateral.Item{Key: c.Key(), Vendor: "amd"}
		if list, err := x509.ParseRevocationList(c.CRL); err == nil {
			item.Issued, item.NextUpdate = list.ThisUpdate, list.NextUpdate
		}
		items = append(items, item)
	}
	for _, c := range b.VCEK {
		item := collateral.Item{Key: "amd/" + c.Path, Vendor: "amd"}
		if cert, err := pubkey.ParseCertificate(c.Certificate); err == nil {
			item.Issued, item.NextUpdate = cert.NotBefore, cert.NotAfter
		}
		items = append(items, item)
	}
	slices.SortStableFunc(items, func(a, b collateral.Item) int { return strings.Compare(a.Key, b.Key) })
	return items
}

// Bundle decodes a bundle for people.
func Bundle(b *collateral.Bundle) Fields {
	f := Fields{}
	if !b.Created.IsZero() {
		f.Add("created", b.Created.UTC().Format(time.RFC3339))
	}
	var intel, amd, vcek []Fields
	for _, c := range b.Intel {
		intel = append(intel, setFields("Intel collateral set", c))
	}
	for _, c := range b.AMD {
		inner := Fields{
			{"what", "AMD's CAs and revocation list (not verified)"},
			{"line", c.Line},
			{"branch", c.Branch()},
		}
		inner.addList("ca", pemFields(c.Chain))
		if found := inspectDER(c.CRL); found != nil {
			inner.Add("crl", found)
		}
		amd = append(amd, inner)
	}
	for _, c := range b.VCEK {
		inner := Fields{{"path", c.Path}}
		if found := inspectDER(c.Certificate); found != nil {
			inner.Add("certificate", found)
		}
		vcek = append(vcek, inner)
	}
	f.addList("intel", intel)
	f.addList("amd", amd)
	f.addList("vcek", vcek)
	return f
}
