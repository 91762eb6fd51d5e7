package collateral

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/probity-dev/probity/wording/plainerror"
)

// pieces collects what files contain, until sets are made of it.
type pieces struct {
	loader Loader
	files  fs.FS
	root   string
	whole  Bundle // complete sets and bundles, as files contain them
	infos  []*piece
	quoted []*piece // enclave identities
	lists  []*piece // CRLs
	chains []*piece
	notes  []string
	taken  int
}

// piece is one loose piece and where it came from.
type piece struct {
	file string
	// what tells pieces of one kind apart: "TDX TCB info", "PCK CRL (platform)".
	what string
	// key is the content, to find the same piece twice.
	key  [sha256.Size]byte
	date time.Time
	used bool

	text, signature []byte // TCB info or identity; a chain's PEM text
	about           About  // of a TCB info
	id              string // of an identity
	number          uint32
	list            *x509.RevocationList
	certs           []*x509.Certificate
}

// add adds what a file contains as a whole.
func (p *pieces) add(file string, b *Bundle) {
	for _, c := range b.Intel {
		c.File = file
	}
	for _, c := range b.AMD {
		c.File = file
	}
	for _, c := range b.VCEK {
		c.File = file
	}
	p.whole.Add(b)
	p.taken++
}

func (p *pieces) ignore(file, why string) {
	p.notes = append(p.notes, file+": not used: "+plainerror.Words(why))
}

// keep adds a piece to a list, unless it is there already.
func (p *pieces) keep(list *[]*piece, n *piece, content ...[]byte) {
	p.taken++
	n.key = sha256.Sum256(bytes.Join(content, []byte{0}))
	for _, other := range *list {
		if other.key == n.key && filepath.Dir(other.file) == filepath.Dir(n.file) {
			return
		}
	}
	*list = append(*list, n)
}

// addSigned adds a TCB info or an enclave identity with its signature.
func (p *pieces) addSigned(file, member string, text, signature []byte) error {
	if member == "tcbInfo" {
		about, err := (&Intel{TCBInfo: text}).About()
		if err != nil {
			return err
		}
		n := &piece{
			file: file, what: fmt.Sprintf("%s TCB info of FMSPC %x", about.TEE, about.FMSPC),
			text: text, signature: signature, about: about, date: about.Issued,
			number: about.EvaluationNumber,
		}
		p.keep(&p.infos, n, text, signature)
		return nil
	}
	var identity struct {
		ID     string    `json:"id"`
		Number uint32    `json:"tcbEvaluationDataNumber"`
		Issued time.Time `json:"issueDate"`
	}
	if err := json.Unmarshal(text, &identity); err != nil {
		return errors.New("an enclave identity that does not decode")
	}
	n := &piece{
		file: file, what: "enclave identity " + identity.ID, text: text, signature: signature,
		id: identity.ID, number: identity.Number, date: identity.Issued,
	}
	p.keep(&p.quoted, n, text, signature)
	return nil
}

func (p *pieces) addCRL(file string, crl *x509.RevocationList) {
	n := &piece{file: file, list: crl, date: crl.ThisUpdate, what: "CRL of " + crl.Issuer.CommonName}
	p.keep(&p.lists, n, crl.Raw)
}

func (p *pieces) addChain(file string, text []byte, certs []*x509.Certificate) {
	var raw [][]byte
	for _, cert := range certs {
		raw = append(raw, cert.Raw)
	}
	n := &piece{
		file: file, text: text, certs: certs, date: certs[0].NotBefore,
		what: "certificate " + certs[0].Subject.CommonName,
	}
	p.keep(&p.chains, n, raw...)
}

// distance orders folders by how near they are to dir: the folder itself, those
// above it, those below it, others.
func distance(dir, other string) int {
	switch rel, err := filepath.Rel(dir, other); {
	case err != nil:
		return 3000
	case rel == ".":
		return 0
	case !strings.HasPrefix(rel, ".."):
		return 1000 + strings.Count(rel, string(filepath.Separator))
	case strings.Trim(rel, "."+string(filepath.Separator)) == "":
		return 1 + strings.Count(rel, string(filepath.Separator))
	default:
		return 2000
	}
}

// choose returns the piece that belongs to the folder dir: of the nearest folder, and
// there the newest. Two that differ and are of the same date are an error.
func choose(dir string, list []*piece) (*piece, error) {
	if len(list) == 0 {
		return nil, nil
	}
	slices.SortStableFunc(list, func(a, b *piece) int {
		if d := distance(dir, filepath.Dir(a.file)) - distance(dir, filepath.Dir(b.file)); d != 0 {
			return d
		}
		if d := b.date.Compare(a.date); d != 0 {
			return d
		}
		return len(b.certs) - len(a.certs) // the chain that has its issuers
	})
	best := list[0]
	for _, other := range list[1:] {
		if same(best, other) {
			other.used = true
		} else if other.date.Equal(best.date) &&
			distance(dir, filepath.Dir(other.file)) == distance(dir, filepath.Dir(best.file)) {
			return nil, fmt.Errorf(
				"%s and %s both contain the %s, with the same date and different content: keep one of them",
				best.file, other.file, best.what,
			)
		}
	}
	best.used = true
	return best, nil
}

// same reports whether two pieces say the same: chains do if they are of one
// certificate, with or without its issuers.
func same(a, b *piece) bool {
	if a.certs != nil && b.certs != nil {
		return a.certs[0].Equal(b.certs[0])
	}
	return a.key == b.key
}

func filter(list []*piece, keep func(*piece) bool) (out []*piece) {
	for _, n := range list {
		if keep(n) {
			out = append(out, n)
		}
	}
	return out
}

// signs reports whether the key of a chain's first certificate made a raw ECDSA
// signature. It only finds the right chain; the verifier checks it.
func (n *piece) signs(text, signature []byte) bool {
	key, ok := n.certs[0].PublicKey.(*ecdsa.PublicKey)
	if !ok || len(signature) != 64 {
		return false
	}
	sum := sha256.Sum256(text)
	return ecdsa.Verify(key, sum[:], new(big.Int).SetBytes(signature[:32]),
		new(big.Int).SetBytes(signature[32:]))
}

// leads returns the chains whose first certificate has a common name that fits. A
// chain that was kept root first is turned around.
func (p *pieces) leads(fits func(commonName string) bool) []*piece {
	var out []*piece
	for _, n := range p.chains {
		at := slices.IndexFunc(n.certs, func(c *x509.Certificate) bool { return fits(c.Subject.CommonName) })
		switch {
		case at == 0:
			out = append(out, n)
		case at > 0 && !n.isLeafOf(at):
			first := *n
			first.certs = append([]*x509.Certificate{n.certs[at]}, slices.Delete(slices.Clone(n.certs), at, at+1)...)
			first.text = encodeChain(first.certs)
			n.used = true
			out = append(out, &first)
		}
	}
	return out
}

// isLeafOf reports whether an earlier certificate was issued by the one at the index:
// the chain is then one of the earlier certificate.
func (n *piece) isLeafOf(at int) bool {
	for _, c := range n.certs[:at] {
		if bytes.Equal(c.RawIssuer, n.certs[at].RawSubject) {
			return true
		}
	}
	return false
}
