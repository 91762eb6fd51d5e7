package dcap

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/evidence"
)

// Config says what a Verifier trusts and how much it remembers.
type Config struct {
	// Anchor is the root of trust. Nil means Intel's production root.
	Anchor *Anchor
	// Chains is how many verified PCK chains are remembered. Zero means 4096,
	// less than zero none.
	Chains int
	// Collateral is how many verified sets of collateral are remembered, and
	// with them the few CA certificates that all machines share. Zero means
	// 256, less than zero none.
	Collateral int
}

// Verifier verifies quotes. It is safe for concurrent use.
//
// It remembers which PCK chains and which collateral it has verified, by the
// SHA-256 of their bytes, so that a signature is checked once. Nothing that
// depends on time or on a CRL is remembered.
type Verifier struct {
	anchor     Anchor
	chains     *lru.Cache[[sha256.Size]byte, *pckChain]
	collateral *lru.Cache[endorsementsKey, *endorsements]
	cas        *caCache
}

// endorsementsKey names a verification: PCK CRLs are verified with the CA of
// the quote's chain, so the same set may be good for one CA and not another.
type endorsementsKey struct {
	set [sha256.Size]byte
	ca  [sha256.Size]byte
}

// New returns a Verifier.
func New(cfg Config) *Verifier {
	v := &Verifier{anchor: IntelRoot()}
	if cfg.Anchor != nil {
		v.anchor = *cfg.Anchor
	}
	v.chains = newCache[[sha256.Size]byte, *pckChain](cfg.Chains, 4096)
	v.collateral = newCache[endorsementsKey, *endorsements](cfg.Collateral, 256)
	if v.collateral != nil {
		v.cas = newCACache()
	}
	return v
}

// newCache returns nil for a size below zero: no cache.
func newCache[K comparable, V any](size, standard int) *lru.Cache[K, V] {
	if size < 0 {
		return nil
	}
	if size == 0 {
		size = standard
	}
	cache, err := lru.New[K, V](size)
	if err != nil {
		panic(err) // only for sizes below one
	}
	return cache
}

// Proof is what was proven about a quote and its platform.
type Proof struct {
	Quote  *Quote
	PCK    *PCK
	TCB    *evidence.TCB
	Hashes Hashes
	// Stale says that the collateral has outlived itself and was used all the
	// same (outage mode).
	Stale bool
}

// Verify parses and verifies raw as a quote of the given TEE with the
// collateral and at the time of ev (Intel DCAP quote verification library). It
// records every check in result and returns the first failed one as a
// *evidence.Rejection. For a platform below every level the proof has the TCB alone.
func (v *Verifier) Verify(
	ctx context.Context, result *evidence.Result, raw []byte, tee collateral.TEE, ev evidence.Evidence,
) (*Proof, error) {
	result.Checks = slices.Grow(result.Checks, 48) // more than there are
	q, err := ParseQuote(raw)
	if err != nil {
		if errors.Is(err, ErrHeader) {
			return nil, result.FailErr(CheckQuoteHeader,
				"a DCAP quote of version 3 to 5 by Intel's quoting enclave", err)
		}
		return nil, result.FailErr(CheckQuoteFormat, "a DCAP quote of version 3 to 5", err)
	}
	result.Pass(CheckQuoteFormat, "a DCAP quote of version 3 to 5",
		fmt.Sprintf("quote v%d, %d bytes", q.Version, len(q.Raw)))
	result.Pass(CheckQuoteHeader, "ECDSA P-256, Intel's QE vendor id", "ECDSA P-256, Intel's QE vendor id")
	if (q.TEEType == TEETypeTDX) != (tee == collateral.TDX) {
		return nil, result.Fail(CheckQuoteTEE, string(tee)+" evidence", fmt.Sprintf("TEE type 0x%x", q.TEEType))
	}
	result.Pass(CheckQuoteTEE, string(tee)+" evidence", string(tee))
	chain, err := v.verifyQuote(ctx, result, q, ev)
	if err != nil {
		return nil, err
	}
	e, stale, err := v.endorse(ctx, result, chain, tee, ev)
	if err != nil {
		return nil, err
	}
	tcb, err := v.appraiseTCB(result, q, chain.pck, e, tee, ev)
	if err != nil {
		return &Proof{TCB: tcb}, err
	}
	return &Proof{Quote: q, PCK: chain.pck, TCB: tcb, Hashes: e.hashes, Stale: stale}, nil
}

// verifyQuote checks everything that needs no collateral.
func (v *Verifier) verifyQuote(
	ctx context.Context, result *evidence.Result, q *Quote, ev evidence.Evidence,
) (*pckChain, error) {
	chain, err := v.pckChain(ctx, result, q, ev)
	if err != nil {
		return nil, err
	}
	result.Pass(CheckPCKCertificates, "three certificates", "three certificates")
	result.Pass(CheckPCKRoot, "the pinned root key", v.anchor.Subject)
	w := chain.validity(v.anchor)
	result.Pass(CheckPCKChain, "leaf, PCK CA, root",
		"leaf → "+chain.ca.Subject.CommonName+" → root, valid until "+day(w.to))
	result.Pass(CheckPCKExtension, "every item once",
		fmt.Sprintf("FMSPC %x, PCESVN %d", chain.pck.FMSPC, chain.pck.PCESVN))
	if !w.contains(ev.Time) {
		return nil, result.Fail(CheckPCKValidity,
			"a PCK certificate chain that is valid at "+ev.Time.UTC().Format(time.RFC3339),
			"valid from "+w.String())
	}
	result.Pass(CheckPCKValidity, "valid at the time of appraisal", "until "+day(w.to))

	if !verifyRaw(chain.key, q.QEReport, q.QESignature) {
		return nil, result.Fail(CheckQESignature, "a signature by the PCK", "signature verification failed")
	}
	result.Pass(CheckQESignature, "a signature by the PCK", "verified")
	qe, err := ParseReport(q.QEReport)
	if err != nil {
		return nil, result.FailErr(CheckQuoteFormat, "a QE report", err)
	}
	// All 64 bytes are compared: the hash and 32 zeros.
	var want [64]byte
	sum := sha256.Sum256(slices.Concat(q.Key, q.QEAuthData))
	copy(want[:], sum[:])
	if subtle.ConstantTimeCompare(want[:], qe.ReportData[:]) != 1 {
		return nil, result.Fail(CheckQEBinding,
			fmt.Sprintf("report data %x, the SHA-256 of attestation key and QE authentication data", want),
			fmt.Sprintf("report data %x", qe.ReportData))
	}
	result.Pass(CheckQEBinding, "SHA-256(attestation key || QE authentication data)", "equal")
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append([]byte{4}, q.Key...))
	if err != nil {
		return nil, result.FailErr(CheckAttestationKey, "a point on P-256", err)
	}
	result.Pass(CheckAttestationKey, "a point on P-256", "on the curve")
	if !verifyRaw(key, q.Signed, q.Signature) {
		return nil, result.Fail(CheckQuoteSignature,
			"a signature by the attestation key over header and body", "signature verification failed")
	}
	result.Pass(CheckQuoteSignature, "a signature by the attestation key",
		"attestation key bound to the QE report")
	return chain, nil
}

// pckChain returns the quote's own PCK chain, or, for certification data that only name the
// platform, the one of the collateral source that is this platform's.
func (v *Verifier) pckChain(
	ctx context.Context, result *evidence.Result, q *Quote, ev evidence.Evidence,
) (*pckChain, error) {
	const wanted = "leaf, PCK CA and root under the pinned root key"
	if q.CertificationType == certPCKChain {
		chain, err := v.chain(q.CertificationData)
		if err != nil {
			return nil, result.FailErr(err.check, wanted, err.err)
		}
		return chain, nil
	}
	held, err := v.heldPCKs(ctx, q, ev)
	if err != nil {
		return nil, fmt.Errorf("dcap: PCK chains: %w", err)
	}
	var best *pckChain
	var problem *chainError
	for _, text := range held {
		chain, chainErr := v.chain(text)
		if chainErr == nil {
			if err := chain.pck.checkCertificationData(q.CertificationType, q.CertificationData); err != nil {
				chainErr = &chainError{CheckPCKCertificates, err}
			}
		}
		switch {
		case chainErr != nil:
			problem = chainErr
		case verifyRaw(chain.key, q.QEReport, q.QESignature):
			return chain, nil // a platform has a certificate for each of its TCB levels
		case best == nil:
			best = chain
		}
	}
	switch {
	case best != nil:
		return best, nil
	case problem != nil && len(held) == 1:
		return nil, result.FailErr(problem.check, wanted, problem.err)
	case problem != nil:
		return nil, result.Fail(CheckPCKCertificates, "the PCK certificate of this platform",
			fmt.Sprintf(
				"%d PCK certificate chains in the collateral, but not this platform's; the last one: %v",
				len(held), problem.err,
			))
	}
	return nil, result.Fail(CheckPCKCertificates,
		"a PCK certificate chain in the quote (certification data type 5) or in the collateral",
		fmt.Sprintf("certification data of type %d, and no chain in the collateral", q.CertificationType))
}

// heldPCKs returns the chains of the collateral source for certification data that name a
// platform.
func (v *Verifier) heldPCKs(ctx context.Context, q *Quote, ev evidence.Evidence) ([][]byte, error) {
	if ev.Collateral == nil || q.CertificationType < certPPIDClear || q.CertificationType > certPPIDRSA3072 {
		return nil, nil
	}
	held, err := ev.Collateral.PCKs(ctx)
	if errors.Is(err, collateral.ErrNotFound) {
		return nil, nil
	}
	return held[:min(len(held), collateral.MaxPCKs)], err
}

func (v *Verifier) chain(text []byte) (*pckChain, *chainError) {
	if v.chains == nil {
		return openChain(text, v.anchor, v.cas)
	}
	key := sha256.Sum256(text)
	if chain, ok := v.chains.Get(key); ok {
		return chain, nil
	}
	chain, err := openChain(text, v.anchor, v.cas)
	if err == nil {
		v.chains.Add(key, chain)
	}
	return chain, err
}

// endorse finds the collateral, verifies it, and checks that it may be used
// for this platform now.
func (v *Verifier) endorse(
	ctx context.Context, result *evidence.Result, chain *pckChain, tee collateral.TEE,
	ev evidence.Evidence,
) (_ *endorsements, stale bool, _ error) {
	const wanted = "collateral for the platform"
	if ev.Collateral == nil {
		return nil, false, result.Fail(CheckCollateral, wanted, "no collateral was supplied")
	}
	set, err := ev.Collateral.Intel(ctx, collateral.Query{
		TEE: tee, FMSPC: chain.pck.FMSPC, CA: chain.caType, EvaluationNumber: ev.TCBEvaluationNumber,
	})
	if errors.Is(err, collateral.ErrNotFound) {
		return nil, false, result.FailErr(CheckCollateral, wanted, err)
	}
	if err != nil {
		return nil, false, fmt.Errorf("dcap: collateral: %w", err)
	}
	key := endorsementsKey{set: set.Digest(), ca: sha256.Sum256(chain.ca.RawSubjectPublicKeyInfo)}
	cacheable := v.collateral != nil && key.set != [sha256.Size]byte{}
	var e *endorsements
	if cacheable {
		if e, _ = v.collateral.Get(key); e != nil {
			result.Checks = append(result.Checks, e.checks...)
		}
	}
	if e == nil {
		if e, err = v.open(result, set, chain); err != nil {
			return nil, false, err
		}
		if cacheable {
			v.collateral.Add(key, e)
		}
	}
	return e, set.Stale, v.usable(result, e, chain, ev.Time, set.Stale)
}

// appraiseTCB matches platform and quoting enclave with the collateral.
func (v *Verifier) appraiseTCB(
	result *evidence.Result, q *Quote, pck *PCK, e *endorsements, tee collateral.TEE,
	ev evidence.Evidence,
) (*evidence.TCB, error) {
	if e.tcb.TEE != tee {
		return nil, result.Fail(CheckTCBInfoTEE, "TCB info for "+string(tee),
			fmt.Sprintf("TCB info for %s (version %d)", e.tcb.TEE, e.tcb.Version))
	}
	result.Pass(CheckTCBInfoTEE, string(tee), string(tee))
	if n := ev.TCBEvaluationNumber; n != 0 {
		if e.tcb.EvaluationNumber != n || e.identity.EvaluationNumber != n {
			return nil, result.Fail(CheckTCBInfoNumber, fmt.Sprintf("TCB info and QE identity of number %d", n),
				fmt.Sprintf("TCB info of number %d, QE identity of number %d", e.tcb.EvaluationNumber,
					e.identity.EvaluationNumber))
		}
		result.Pass(CheckTCBInfoNumber, fmt.Sprint(n), fmt.Sprint(n))
	}
	if e.tcb.FMSPC != pck.FMSPC {
		return nil, result.Fail(CheckFMSPC,
			fmt.Sprintf("TCB info for FMSPC %x, as in the PCK certificate", pck.FMSPC),
			fmt.Sprintf("TCB info for FMSPC %x", e.tcb.FMSPC))
	}
	result.Pass(CheckFMSPC, "TCB info for the FMSPC of the PCK certificate", fmt.Sprintf("%x", pck.FMSPC))
	if e.tcb.PCEID != pck.PCEID {
		return nil, result.Fail(CheckPCEID,
			fmt.Sprintf("TCB info for PCEID %x, as in the PCK certificate", pck.PCEID),
			fmt.Sprintf("TCB info for PCEID %x", e.tcb.PCEID))
	}
	result.Pass(CheckPCEID, "TCB info for the PCEID of the PCK certificate", fmt.Sprintf("%x", pck.PCEID))
	wantID := "QE"
	if tee == collateral.TDX {
		wantID = "TD_QE"
	}
	if e.identity.ID != wantID {
		return nil, result.Fail(CheckQEIDType, wantID, e.identity.ID)
	}
	result.Pass(CheckQEIDType, wantID, wantID)
	qe, err := ParseReport(q.QEReport)
	if err != nil {
		return nil, result.FailErr(CheckQuoteFormat, "a QE report", err)
	}
	if field, want, found := e.identity.mismatch(qe); field != "" {
		return nil, result.Fail(CheckQEIdentity, field+" "+want, found)
	}
	result.Pass(CheckQEIdentity, "Intel's quoting enclave",
		fmt.Sprintf("%s %d, ISVSVN %d", wantID, qe.ISVProdID, qe.ISVSVN))
	if qe.Debug() {
		return nil, result.Fail(CheckQEDebug, "a production enclave", "ATTRIBUTES.DEBUG is set")
	}
	result.Pass(CheckQEDebug, "a production enclave", "not debuggable")
	qeLevel, ok := meets(e.identity.Levels, qe.ISVSVN)
	if !ok {
		return nil, result.Fail(CheckQETCB, fmt.Sprintf(
			"a quoting enclave (%s) with an ISVSVN of at least %d, that of its lowest level", wantID,
			e.identity.Levels[len(e.identity.Levels)-1].ISVSVN,
		), fmt.Sprintf("ISVSVN %d", qe.ISVSVN))
	}
	result.Pass(CheckQETCB, "a level of the QE identity",
		fmt.Sprintf("%s (level of %s)", qeLevel.Status, day(qeLevel.Date)))
	var tcb *evidence.TCB
	if tee == collateral.TDX {
		tcb, err = v.appraiseTD(result, q, pck, e.tcb, qeLevel)
	} else {
		tcb, err = v.appraiseEnclave(result, pck, e.tcb, qeLevel)
	}
	if tcb != nil {
		// Two signed documents were used: the older release of the two is what was met.
		tcb.EvaluationDataNumber = min(e.tcb.EvaluationNumber, e.identity.EvaluationNumber)
	}
	if err != nil {
		return tcb, err
	}
	if tcb.Status == string(Revoked) {
		return nil, result.Fail(CheckTCBRevoked, "a TCB status other than Revoked", "Revoked")
	}
	result.Pass(CheckTCBRevoked, "a TCB status other than Revoked", tcb.Status)
	return tcb, nil
}

// appraiseEnclave rates the platform of an SGX enclave.
func (v *Verifier) appraiseEnclave(
	result *evidence.Result, pck *PCK, info *TCBInfo, qe IdentityLevel,
) (*evidence.TCB, error) {
	level, ok := info.platformLevel(pck)
	if !ok {
		return v.failLevel(result, info, pck, nil, "")
	}
	result.Pass(CheckTCBLevel, "a level of the TCB info",
		fmt.Sprintf("%s (level of %s)", level.Status, day(level.Date)))
	return info.state(pck, level, qe), nil
}
