package collateral

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
)

// rootCAName is the common name of Intel's root, which test roots share.
const rootCAName = "Intel SGX Root CA"

// bundle makes sets of the pieces.
func (p *pieces) bundle() (*Bundle, error) {
	out := &Bundle{Created: p.whole.Created}
	out.Add(&p.whole)
	for _, info := range p.infos {
		sets, err := p.setsFor(info)
		if err != nil {
			return nil, err
		}
		out.Intel = append(out.Intel, sets...)
	}
	if err := p.amd(out); err != nil {
		return nil, err
	}
	p.pcks(out)
	if err := out.Settle(); err != nil {
		return nil, err
	}
	for _, list := range [][]*piece{p.quoted, p.lists, p.chains} {
		for _, n := range list {
			if !n.used {
				p.ignore(n.file, n.why())
			}
		}
	}
	out.Notes = append(out.Notes, p.notes...)
	slices.Sort(out.Notes)
	out.Notes = slices.Compact(out.Notes)
	if out.Len() > 0 {
		return out, nil
	}
	if p.taken > 0 {
		var have []string
		for _, list := range [][]*piece{p.quoted, p.lists, p.chains} {
			for _, n := range list {
				have = append(have, n.what)
			}
		}
		slices.Sort(have)
		return nil, fmt.Errorf("%s: no TCB info and nothing of AMD's; found: %s", p.root,
			strings.Join(slices.Compact(have), ", "))
	}
	text := p.root + ": no collateral in this folder"
	for _, note := range out.Notes[:min(len(out.Notes), 8)] {
		text += "\n  " + note
	}
	return nil, errors.New(text)
}

// why says why a piece was not used.
func (n *piece) why() string {
	switch {
	case n.id != "" && n.id != "QE" && n.id != "TD_QE":
		return n.what + ", which no quote needs"
	case n.certs != nil && n.certs[0].Subject.CommonName == rootCAName:
		return "only the root certificate, which chains already contain"
	}
	return n.what + ": another file has a newer or nearer one, or nothing here needs it"
}

// setsFor makes the sets of a TCB info: one for each CA whose PCK CRL is there.
func (p *pieces) setsFor(info *piece) ([]*Intel, error) {
	dir := filepath.Dir(info.file)
	c := Intel{TCBInfo: info.text, TCBInfoSignature: info.signature, File: info.file}
	id := "QE"
	if info.about.TEE == TDX {
		id = "TD_QE"
	}
	identities := filter(p.quoted, func(n *piece) bool { return n.id == id })
	if same := filter(identities, func(n *piece) bool { return n.number == info.number }); len(same) > 0 {
		identities = same // Intel releases both together
	}
	identity, err := choose(dir, identities)
	if err != nil {
		return nil, err
	}
	if c.TCBInfoIssuerChain, err = p.signer(dir, info); err != nil {
		return nil, err
	}
	if identity != nil {
		c.QEIdentity, c.QEIdentitySignature = identity.text, identity.signature
		if c.QEIdentityIssuerChain, err = p.signer(dir, identity); err != nil {
			return nil, err
		}
	}
	root, err := choose(dir,
		filter(p.lists, func(n *piece) bool { return n.list.Issuer.CommonName == rootCAName }))
	if err != nil {
		return nil, err
	}
	if root != nil {
		c.RootCRL = root.list.Raw
	}
	var sets []*Intel
	for _, ca := range []string{"platform", "processor"} {
		list, err := choose(dir,
			filter(p.lists, func(n *piece) bool { return CAType(n.list.Issuer.CommonName) == ca }))
		if err != nil {
			return nil, err
		}
		if list == nil {
			continue
		}
		one := c
		one.PCKCRL = list.list.Raw
		if one.PCKCRLIssuerChain, err = p.caChain(dir, ca); err != nil {
			return nil, err
		}
		sets = append(sets, &one)
	}
	if len(sets) == 0 {
		sets = append(sets, &c)
	}
	return sets, nil
}

// signer finds the chain of the TCB signing certificate that made the signature.
func (p *pieces) signer(dir string, n *piece) ([]byte, error) {
	list := p.leads(func(name string) bool { return strings.Contains(name, "TCB Signing") })
	right := filter(list, func(chain *piece) bool { return chain.signs(n.text, n.signature) })
	if len(right) > 0 {
		list = right
	}
	chain, err := choose(dir, list)
	if err != nil || chain == nil {
		return nil, err
	}
	return p.complete(chain), nil
}

// caChain finds the chain of the CA that signs a PCK CRL.
func (p *pieces) caChain(dir, ca string) ([]byte, error) {
	chain, err := choose(dir, p.leads(func(name string) bool { return CAType(name) == ca }))
	if err != nil || chain == nil {
		return nil, err
	}
	return p.complete(chain), nil
}

// pcks adds the chains of all PCK certificates: which one is a platform's is for the
// verifier to see.
func (p *pieces) pcks(out *Bundle) {
	for _, n := range p.leads(func(name string) bool { return strings.Contains(name, "PCK Certificate") }) {
		chain := p.complete(n)
		if !slices.ContainsFunc(out.PCK, func(other []byte) bool { return bytes.Equal(other, chain) }) {
			out.PCK = append(out.PCK, chain)
		}
		n.used = true
	}
}

// complete returns the text of a chain as it was sent, or, where issuers are missing,
// the chain with those that are in other files.
func (p *pieces) complete(chain *piece) []byte {
	certs := slices.Clone(chain.certs)
	for len(certs) < 6 {
		last := certs[len(certs)-1]
		if bytes.Equal(last.RawIssuer, last.RawSubject) {
			break
		}
		issuer := p.issuer(last)
		if issuer == nil {
			break
		}
		certs = append(certs, issuer)
	}
	if len(certs) == len(chain.certs) {
		return chain.text
	}
	return encodeChain(certs)
}

func (p *pieces) issuer(cert *x509.Certificate) *x509.Certificate {
	for _, n := range p.chains {
		for _, c := range n.certs {
			if bytes.Equal(c.RawSubject, cert.RawIssuer) && cert.CheckSignatureFrom(c) == nil {
				if len(n.certs) == 1 {
					n.used = true
				}
				return c
			}
		}
	}
	return nil
}

func encodeChain(certs []*x509.Certificate) []byte {
	var out bytes.Buffer
	for _, c := range certs {
		out.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
	}
	return out.Bytes()
}

// amd adds AMD's CAs, CRLs and VCEKs.
func (p *pieces) amd(out *Bundle) error {
	lines := map[string]bool{}
	for _, n := range p.lists {
		if line, ok := strings.CutPrefix(n.list.Issuer.CommonName, "ARK-"); ok {
			lines[line] = true
		}
	}
	for _, n := range p.chains {
		for _, c := range n.certs {
			if line, ok := strings.CutPrefix(c.Subject.CommonName, "SEV-"); ok && c.IsCA {
				lines[strings.TrimPrefix(line, "VLEK-")] = true
			}
		}
		p.vcek(n, out)
	}
	for _, line := range slices.Sorted(maps.Keys(lines)) {
		for _, vlek := range []bool{false, true} {
			branch, err := p.branch(AMDQuery{Line: line, VLEK: vlek})
			if err != nil {
				return err
			}
			if branch != nil {
				out.AMD = append(out.AMD, branch)
			}
		}
	}
	return nil
}

// branch makes what AMD publishes for a branch. The root signs one list for its
// intermediates, which AMD serves at both branches; a file or folder that names vlek
// is for that branch alone.
func (p *pieces) branch(q AMDQuery) (*AMD, error) {
	named := func(n *piece) bool {
		return strings.Contains(strings.ToLower(strings.TrimPrefix(n.file, p.root)), "vlek")
	}
	lists := filter(p.lists, func(n *piece) bool { return n.list.Issuer.CommonName == "ARK-"+q.Line })
	if own := filter(lists, func(n *piece) bool { return named(n) == q.VLEK }); len(own) > 0 {
		lists = own
	}
	list, err := choose(p.root, lists)
	if err != nil {
		return nil, err
	}
	name := "SEV-" + q.Line
	if q.VLEK {
		name = "SEV-VLEK-" + q.Line
	}
	ca, err := p.ca(name)
	if err != nil {
		return nil, err
	}
	if list == nil && ca == nil {
		return nil, nil
	}
	a := &AMD{AMDQuery: q}
	if ca != nil {
		a.Chain, a.File = p.complete(ca), ca.file
	}
	if list != nil {
		a.CRL, a.File = list.list.Raw, list.file
	}
	return a, nil
}

// ca finds the intermediate CA of a branch of AMD's.
func (p *pieces) ca(name string) (*piece, error) {
	var list []*piece
	from := map[*piece]*piece{}
	for _, n := range p.chains {
		if at := slices.IndexFunc(n.certs, func(c *x509.Certificate) bool {
			return c.Subject.CommonName == name
		}); at >= 0 {
			one := &piece{
				file:  n.file,
				what:  "certificate " + name,
				certs: []*x509.Certificate{n.certs[at]},
				date:  n.certs[at].NotBefore,
			}
			one.text = encodeChain(one.certs)
			list, from[one] = append(list, one), n
		}
	}
	best, err := choose(p.root, list)
	for one, n := range from {
		n.used = n.used || one.used
	}
	return best, err
}

// vcek adds the certificates of chips.
func (p *pieces) vcek(n *piece, out *Bundle) {
	for _, c := range n.certs {
		if c.Subject.CommonName != "SEV-VCEK" || p.loader.VCEK == nil {
			continue
		}
		v, err := p.loader.VCEK(c)
		if err != nil {
			p.ignore(n.file, "VCEK: "+err.Error())
			continue
		}
		n.used, v.File = true, n.file
		out.VCEK = append(out.VCEK, v)
	}
}
