// Package collateral contains endorsements: what vendors publish about their
// hardware and sign, and what evidence is verified against. Endorsements need
// no trusted transport; verifiers check every signature themselves.
//
// Start with [Load], which reads a [Bundle] from a file or a folder in whatever form
// the vendors and their tools write, and [NewStatic], which makes a [Source] of it
// for evidence.Evidence and appraisal.Appraiser. [Fixed] is a source of one set.
// [Bundle.Marshal] writes what a site without a network needs.
//
// [Intel] is one consistent set for an Intel platform, [AMD] what is published
// for a line of AMD's processors, [VCEK] the certificate of one of its chips.
//
// The package does not verify anything: it only tells the pieces apart. Packages
// pcs and kds fetch them from Intel and AMD.
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

// ErrUnavailable is returned by a Source that could not reach what it needs, and
// contains nothing that would do. The evidence is not refused permanently then.
var ErrUnavailable = errors.New("collateral is unavailable")

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
	// the newest one stored.
	EvaluationNumber uint32
}

func (q Query) String() string {
	text := fmt.Sprintf("%s FMSPC %x (%s CA)", q.TEE, q.FMSPC, q.CA)
	if q.EvaluationNumber != 0 {
		text += fmt.Sprintf(", TCB evaluation number %d", q.EvaluationNumber)
	}
	return text
}

// Source finds collateral. Implementations are safe for concurrent use. Each
// method returns an error wrapping [ErrNotFound] if the source works and has
// nothing for the query, and one wrapping [ErrUnavailable] if it could not be
// told.
type Source interface {
	// Intel returns the collateral for an Intel platform.
	Intel(ctx context.Context, q Query) (*Intel, error)
	// AMD returns the CA chain and the CRL of a branch.
	AMD(ctx context.Context, q AMDQuery) (*AMD, error)
	// VCEK returns the certificate of a chip at a TCB.
	VCEK(ctx context.Context, q VCEKQuery) (*VCEK, error)
	// PCKs returns the PCK certificate chains stored, each in PEM, for quotes that only
	// name their platform (certification data of types 1 to 3). The verifier picks the
	// one of the platform. There are at most [MaxPCKs].
	PCKs(ctx context.Context) ([][]byte, error)
}

// MaxPCKs bounds the PCK certificate chains of a source.
const MaxPCKs = 256

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

	// Stale says that the set has outlived its nextUpdate and is given all the
	// same, as the source could not get a newer one and was told to go on.
	Stale bool
	// File is where a [Loader] read the set, for messages.
	File   string
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
	return [][]byte{
		c.RootCRL, c.PCKCRL, c.PCKCRLIssuerChain, c.TCBInfoIssuerChain, c.TCBInfo, c.TCBInfoSignature,
		c.QEIdentityIssuerChain, c.QEIdentity, c.QEIdentitySignature, c.PCKCertificateChain,
	}
}
