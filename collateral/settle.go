package collateral

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"time"

	"github.com/probity-dev/probity/strict/pubkey"
)

// Settle leaves one piece for each query: the newest, with a note that names the files of
// the others. Two that differ and are of the same age are an error that names both.
func (b *Bundle) Settle() error {
	var err error
	if b.Intel, err = settled(b, b.Intel, setGroup, setName, setAge, setContent); err != nil {
		return err
	}
	if err := b.settleAMD(); err != nil {
		return err
	}
	b.VCEK, err = settled(b, b.VCEK, func(c *VCEK) string { return c.Path },
		func(c *VCEK) (string, string) { return c.File, "certificate of " + c.Path },
		func(c *VCEK) []time.Time {
			cert, err := pubkey.ParseCertificate(c.Certificate)
			if err != nil {
				return []time.Time{{}}
			}
			return []time.Time{cert.NotBefore}
		}, func(c *VCEK) [][]byte { return [][]byte{c.Certificate} })
	return err
}

// settled keeps one piece of each group, in the order of the groups. Pieces of the group ""
// are all kept.
func settled[T any](
	b *Bundle, list []*T, group func(*T) string, name func(*T) (file, what string),
	age func(*T) []time.Time, content func(*T) [][]byte,
) ([]*T, error) {
	var order []string
	groups := map[string][]*T{}
	for i, c := range list {
		key := group(c)
		if key == "" {
			key = fmt.Sprint("#", i)
		}
		if groups[key] == nil {
			order = append(order, key)
		}
		same := func(other *T) bool { return slices.EqualFunc(content(other), content(c), bytes.Equal) }
		if !slices.ContainsFunc(groups[key], same) {
			groups[key] = append(groups[key], c)
		}
	}
	var out []*T
	for _, key := range order {
		compare := func(a, b *T) int { return slices.CompareFunc(age(b), age(a), time.Time.Compare) }
		g := groups[key]
		slices.SortStableFunc(g, compare)
		out = append(out, g[0])
		best, what := name(g[0])
		for i, c := range g[1:] {
			file, _ := name(c)
			if i == 0 && compare(g[0], c) == 0 {
				return nil, fmt.Errorf(
					"%s both contain the %s, with the same date and different content: keep one of them",
					both(best, file), what,
				)
			}
			b.Notes = append(b.Notes, fmt.Sprintf("%s: not used: the %s is older than the one in %s",
				known(file), what, known(best)))
		}
	}
	return out, nil
}

// both names two files, or the one that contains both pieces.
func both(a, b string) string {
	if a == b {
		return "two pieces of " + known(a)
	}
	return known(a) + " and " + known(b)
}

func known(file string) string {
	if file == "" {
		return "the bundle"
	}
	return file
}

// setGroup says which sets answer the same query. A set that does not say what it is for is
// for its user to refuse.
func setGroup(c *Intel) string {
	about, err := c.About()
	if err != nil {
		return ""
	}
	return Query{
		TEE: about.TEE, FMSPC: about.FMSPC, CA: about.CA, EvaluationNumber: about.EvaluationNumber,
	}.Key()
}

func setName(c *Intel) (file, what string) {
	about, err := c.About()
	if err != nil {
		return c.File, "collateral of an unknown platform"
	}
	what = fmt.Sprintf("%s TCB info of FMSPC %x", about.TEE, about.FMSPC)
	if about.CA != "" {
		what += " (" + about.CA + " CA)"
	}
	return c.File, what
}

// setAge orders sets for one query by when their pieces were issued. Of two that are the same
// age the one with more pieces is newer.
func setAge(c *Intel) []time.Time {
	var age []time.Time
	if about, err := c.About(); err == nil {
		age = append(age, about.Issued)
	}
	id, err := c.identity()
	if err != nil {
		id = identityDates{}
	}
	age = append(age, id.Issued, issued(c.PCKCRL), issued(c.RootCRL))
	pieces := 0
	for _, piece := range c.pieces() {
		if len(piece) > 0 {
			pieces++
		}
	}
	return append(age, time.Unix(int64(pieces), 0))
}

// setContent is what two sets for one query may not contradict each other in. Of chains
// that is the first certificate: some come without their issuers.
func setContent(c *Intel) [][]byte {
	return [][]byte{c.TCBInfo, c.TCBInfoSignature, c.QEIdentity, c.QEIdentitySignature, c.PCKCRL, c.RootCRL,
		first(c.PCKCRLIssuerChain), first(c.TCBInfoIssuerChain), first(c.QEIdentityIssuerChain)}
}

// first returns the first certificate of a chain in PEM.
func first(chain []byte) []byte {
	if block, _ := pem.Decode(chain); block != nil {
		return block.Bytes
	}
	return chain
}

// settleAMD makes one piece of those for each branch: the newest list, and the chain that
// came with it, or any.
func (b *Bundle) settleAMD() error {
	chains, lists := slices.Clone(b.AMD), slices.Clone(b.AMD)
	chains = slices.DeleteFunc(chains, func(c *AMD) bool { return len(c.Chain) == 0 })
	lists = slices.DeleteFunc(lists, func(c *AMD) bool { return len(c.CRL) == 0 })
	key := func(c *AMD) string { return c.Key() }
	lists, err := settled(b, lists, key,
		func(c *AMD) (string, string) { return c.File, "revocation list of AMD's " + c.Line },
		func(c *AMD) []time.Time {
			return []time.Time{issued(c.CRL)}
		}, func(c *AMD) [][]byte { return [][]byte{c.CRL} })
	if err != nil {
		return err
	}
	chains, err = settled(b, chains, key,
		func(c *AMD) (string, string) { return c.File, "CA chain " + c.String() }, func(c *AMD) []time.Time {
			leaf := intermediate(c.Chain)
			if leaf == nil {
				return []time.Time{{}}
			}
			return []time.Time{leaf.NotBefore}
		}, func(c *AMD) [][]byte {
			if leaf := intermediate(c.Chain); leaf != nil {
				return [][]byte{leaf.Raw}
			}
			return [][]byte{c.Chain}
		})
	if err != nil {
		return err
	}
	var out []*AMD
	for _, c := range b.AMD {
		if slices.ContainsFunc(out, func(o *AMD) bool { return o.AMDQuery == c.AMDQuery }) {
			continue
		}
		one := *c
		for _, l := range lists {
			if l.AMDQuery == c.AMDQuery {
				one.CRL, one.Stale, one.File = l.CRL, l.Stale, l.File
			}
		}
		for _, l := range chains {
			if l.AMDQuery == c.AMDQuery {
				one.Chain = l.Chain
			}
		}
		out = append(out, &one)
	}
	b.AMD = out
	return nil
}

// intermediate returns the certificate of a chain that is not its own issuer.
func intermediate(chain []byte) *x509.Certificate {
	for rest := chain; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return nil
		}
		cert, err := pubkey.ParseCertificate(block.Bytes)
		if err == nil && !bytes.Equal(cert.RawIssuer, cert.RawSubject) {
			return cert
		}
	}
}
