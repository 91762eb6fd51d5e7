// Package collateral holds endorsements: what vendors publish about their
// hardware and sign, and what evidence is verified against. Endorsements need
// no trusted transport; verifiers check every signature themselves.
//
// [Intel] is one consistent set for an Intel platform. A [Source] finds the set
// for a platform; [Fixed] and [Static] are sources without a network. [Load]
// reads sets from files.
//
// The package does not verify anything: it only tells the pieces apart.
package collateral

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrNotFound is returned by a Source that was reached and does not have what
// was asked for.
var ErrNotFound = errors.New("no such collateral")

// TEE names the technology that Intel collateral is for, as in its "id" field.
type TEE string

// The technologies that share Intel's provisioning certification service.
const (
	SGX TEE = "SGX"
	TDX TEE = "TDX"
)

// Query names the platform whose collateral is wanted.
type Query struct {
	TEE   TEE
	FMSPC [6]byte
	// CA is the issuer of the platform's PCK certificate: "processor" or
	// "platform".
	CA string
	// EvaluationNumber asks for this TCB evaluation data number. Zero means
	// the newest one held.
	EvaluationNumber uint32
}

// Source finds Intel collateral. Implementations are safe for concurrent use.
type Source interface {
	// Intel returns the collateral for q. It returns an error wrapping
	// [ErrNotFound] if the source works and has none.
	Intel(ctx context.Context, q Query) (*Intel, error)
}

// Intel is the collateral of one platform as Intel's service sends it. Absent
// pieces are empty. It must not be changed after [Intel.Digest] was called.
type Intel struct {
	// RootCRL and PCKCRL are DER encoded revocation lists.
	RootCRL, PCKCRL []byte
	// PCKCRLIssuerChain, TCBInfoIssuerChain and QEIdentityIssuerChain are PEM.
	PCKCRLIssuerChain     []byte
	TCBInfoIssuerChain    []byte
	QEIdentityIssuerChain []byte
	// TCBInfo and QEIdentity are the exact bytes that were signed: the value
	// of the member tcbInfo or enclaveIdentity, never re-serialised.
	TCBInfo, QEIdentity []byte
	// TCBInfoSignature and QEIdentitySignature are r || s, 64 bytes.
	TCBInfoSignature    []byte
	QEIdentitySignature []byte
	// PCKCertificateChain is PEM, for quotes that do not carry their own.
	PCKCertificateChain []byte

	digest [sha256.Size]byte
}

// Digest identifies the set: SHA-256 over all pieces, each with its length.
// Call [Intel.Seal] first; a set that was not sealed has the zero digest,
// which verifiers never cache.
func (c *Intel) Digest() [sha256.Size]byte { return c.digest }

// Seal computes the digest and returns c. It is called once, before c is
// shared.
func (c *Intel) Seal() *Intel {
	h := sha256.New()
	for _, piece := range c.pieces() {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(piece)))
		h.Write(n[:])
		h.Write(piece)
	}
	h.Sum(c.digest[:0])
	return c
}

func (c *Intel) pieces() [][]byte {
	return [][]byte{c.RootCRL, c.PCKCRL, c.PCKCRLIssuerChain, c.TCBInfoIssuerChain, c.TCBInfo, c.TCBInfoSignature,
		c.QEIdentityIssuerChain, c.QEIdentity, c.QEIdentitySignature, c.PCKCertificateChain}
}

// Fixed is a source that answers every query with one set, so that a mismatch
// is reported by the verifier that finds it.
func Fixed(c *Intel) Source { return fixed{c.Seal()} }

type fixed struct{ c *Intel }

func (f fixed) Intel(context.Context, Query) (*Intel, error) { return f.c, nil }

// Static is a source over a fixed list of sets.
type Static struct {
	entries []entry
}

type entry struct {
	about About
	c     *Intel
}

// NewStatic returns a source over the given sets. It refuses sets whose TCB
// info does not say what it is for.
func NewStatic(sets ...*Intel) (*Static, error) {
	s := &Static{}
	for i, c := range sets {
		about, err := c.About()
		if err != nil {
			return nil, fmt.Errorf("collateral: set %d: %w", i+1, err)
		}
		s.entries = append(s.entries, entry{about, c.Seal()})
	}
	return s, nil
}

// Intel returns the newest set that matches q: the highest evaluation number,
// then the latest issue date.
func (s *Static) Intel(_ context.Context, q Query) (*Intel, error) {
	var best *entry
	for i := range s.entries {
		e := &s.entries[i]
		if e.about.TEE != q.TEE || e.about.FMSPC != q.FMSPC || (e.about.CA != "" && e.about.CA != q.CA) {
			continue
		}
		if q.EvaluationNumber != 0 && e.about.EvaluationNumber != q.EvaluationNumber {
			continue
		}
		if best == nil || e.about.newerThan(best.about) {
			best = e
		}
	}
	if best == nil {
		wanted := fmt.Sprintf("%s FMSPC %x (%s CA)", q.TEE, q.FMSPC, q.CA)
		if q.EvaluationNumber != 0 {
			wanted += fmt.Sprintf(", TCB evaluation number %d", q.EvaluationNumber)
		}
		return nil, fmt.Errorf("%s: %w", wanted, ErrNotFound)
	}
	return best.c, nil
}

// List describes the sets held, in the order given.
func (s *Static) List() []About {
	list := make([]About, len(s.entries))
	for i, e := range s.entries {
		list[i] = e.about
	}
	return list
}

// PCKSource is a Source that can also supply the PCK certificate chain of the
// platform at hand, for quotes that only name it (certification data types 1
// to 3). It is found by assertion.
type PCKSource interface {
	// PCKChain returns the chain in PEM, or an error wrapping [ErrNotFound].
	PCKChain(ctx context.Context) ([]byte, error)
}

// PCKChain implements [PCKSource].
func (f fixed) PCKChain(context.Context) ([]byte, error) {
	if len(f.c.PCKCertificateChain) == 0 {
		return nil, fmt.Errorf("PCK certificate chain: %w", ErrNotFound)
	}
	return f.c.PCKCertificateChain, nil
}
