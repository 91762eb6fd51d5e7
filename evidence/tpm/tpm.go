package tpm

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"

	"github.com/probity-dev/probity/collateral/tpmca"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/eventlog"
)

// Config says what the verifier trusts. Its zero value trusts no AK.
type Config struct {
	// Authorities certify attestation keys.
	Authorities *tpmca.Roots
	// SHA1 accepts banks and signatures of SHA-1, of old firmware.
	SHA1 bool
	// CustomPrefix is put before the names of claims that clients make. Empty
	// stands for [DefaultCustomPrefix].
	CustomPrefix string
	// Memory is how many chains are remembered; 0 stands for 4096, -1 for none.
	Memory int
}

// DefaultCustomPrefix is put before the names of claims that clients make.
const DefaultCustomPrefix = "x-probity-custom-"

// Verifier verifies TPM evidence. It is safe for concurrent use.
type Verifier struct {
	cfg         Config
	authorities *Authorities
	book        evidence.Book
}

// New returns a verifier.
func New(cfg Config) *Verifier {
	if cfg.CustomPrefix == "" {
		cfg.CustomPrefix = DefaultCustomPrefix
	}
	return &Verifier{cfg: cfg, authorities: NewAuthorities(cfg.Authorities, cfg.Memory), book: evidence.NewBook(Catalogue())}
}

// Kind returns Tpm.
func (v *Verifier) Kind() evidence.Kind { return evidence.TPM }

// Verify verifies ev.Raw in one of the forms that [ParseRequest] reads.
func (v *Verifier) Verify(_ context.Context, ev evidence.Evidence) (*evidence.Result, error) {
	rec, result := &evidence.Recorder{}, &evidence.Result{}
	_, err := v.Prove(rec, ev, result, false)
	result.Checks = rec.Checks
	return result, err
}

// Proof is what the evidence proves.
type Proof struct {
	Request *Request
	Quote   *Attestation
	Boot    *eventlog.Facts
	keys    keys
	asked   evidence.TPMDemands
}

// keys are those that the evidence is about.
type keys struct {
	ak         crypto.PublicKey
	akHash     [sha256.Size]byte
	validated  bool
	enrolledTo string
}

// Prove verifies the evidence and puts its claims into result; enclave says
// whether the report of a VBS enclave must have come along, or must not.
func (v *Verifier) Prove(rec *evidence.Recorder, ev evidence.Evidence, result *evidence.Result, enclave bool) (*Proof, error) {
	fail := func(id, expected, found string) (*Proof, error) {
		return nil, rec.Fail(id, expected, found, v.book.Remedy(id))
	}
	if ev.RuntimeData != nil || ev.InitTimeData != nil {
		return fail(checkFormat, "evidence without runtime or init-time data: nothing of a TPM binds them", "some")
	}
	r, err := ParseRequest(ev.Raw)
	if errors.Is(err, errRequest) {
		return fail(checkVersion, "version 2 of the protocol (attReqV2)", err.Error())
	}
	if err != nil {
		return fail(checkFormat, "TPM evidence", err.Error())
	}
	if r.Enclave != enclave {
		found := map[bool]string{true: "att_type vbs", false: "no report of an enclave"}[r.Enclave]
		return fail(checkFormat, map[bool]string{true: "evidence with the report of a VBS enclave (VbsEnclave)", false: "evidence of att_type basic (Tpm)"}[enclave], found)
	}
	rec.Pass(checkFormat, "TPM evidence", fmt.Sprintf("%d logs", len(r.data.TPM.Current.Logs)))
	if err := v.request(rec, r); err != nil {
		return nil, err
	}
	if ev.Challenge != nil && r.jws != nil {
		if subtle.ConstantTimeCompare(ev.Challenge, r.Challenge) != 1 {
			return fail(checkChallenge, fmt.Sprintf("the challenge %x", ev.Challenge), fmt.Sprintf("%x", r.Challenge))
		}
		rec.Pass(checkChallenge, "the challenge that was given", fmt.Sprintf("%x", r.Challenge))
	} else if r.jws == nil {
		r.Challenge = ev.Challenge
	}
	p := &Proof{Request: r, asked: ev.TPM}
	if err := v.attestationKey(rec, r.data.TPM.Current, ev, &p.keys); err != nil {
		return nil, err
	}
	q, quoted, err := v.quote(rec, r.data.TPM.Current, p.keys.ak, "")
	if err != nil {
		return nil, err
	}
	p.Quote = quoted
	if err := v.fresh(rec, r, quoted); err != nil {
		return nil, err
	}
	if err := v.certified(rec, r, p.keys.ak); err != nil {
		return nil, err
	}
	proof, err := v.replay(rec, q, r.data.TPM.Current, ev.TPM.PCRMask())
	if err != nil {
		return nil, err
	}
	if p.Boot, err = proof.Facts(); err != nil {
		return fail(checkLog, "a log of one boot", err.Error())
	}
	var boot *eventlog.Proof
	if a := r.data.TPM.Boot; a != nil {
		if boot, err = v.hibernated(rec, a, p, ev.TPM.PCRMask()); err != nil {
			return nil, err
		}
	}
	return p, v.state(rec, result, p, q, proof, boot)
}

// request checks that the sender has the request key.
func (v *Verifier) request(rec *evidence.Recorder, r *Request) error {
	if r.jws == nil {
		return nil // evidence without a request key: nothing is bound to the quote
	}
	fail := func(found string) error {
		return rec.Fail(checkRequest, "a JWS of type attReqV2, signed by PS256 with the request key", found, v.book.Remedy(checkRequest))
	}
	if r.typ != "attReqV2" {
		return fail(fmt.Sprintf("type %q", r.typ))
	}
	key, err := ParseJWK(r.data.RequestKey.JWK)
	if err != nil {
		return fail(err.Error())
	}
	if _, err := r.jws.Verify(key); err != nil {
		return fail("a signature that failed verification")
	}
	rec.Pass(checkRequest, "a JWS of type attReqV2, signed by PS256 with the request key", "holds")
	return nil
}

// attestationKey establishes whose key signed the quote.
func (v *Verifier) attestationKey(rec *evidence.Recorder, a *attestationJSON, ev evidence.Evidence, k *keys) error {
	fail := func(id, expected, found string) error { return rec.Fail(id, expected, found, v.book.Remedy(id)) }
	var err error
	if k.ak, err = ParseJWK(a.AKPub); err != nil {
		return fail(checkAK, "the attestation key as aik_pub", err.Error())
	}
	der, err := x509.MarshalPKIXPublicKey(k.ak)
	if err != nil {
		return fail(checkAK, "the attestation key as aik_pub", err.Error())
	}
	k.akHash = sha256.Sum256(der)
	rec.Pass(checkAK, "the attestation key as aik_pub", fmt.Sprintf("SHA-256 %x", k.akHash))
	var trouble string
	if len(a.AKCert) == 0 {
		trouble = "no certificate, and the key was not enrolled"
		if ev.Enrolled != nil {
			k.enrolledTo, k.validated = ev.Enrolled(k.akHash)
		}
	} else {
		c, err := v.authorities.verify(a.AKCert, ev.Time)
		switch {
		case err != nil:
			trouble = err.Error()
			if cert, parseErr := ParseCertificate(a.AKCert); parseErr == nil && evidence.Simulated(cert) {
				trouble = "a certificate of a simulated authority: " + trouble
			}
		case !SameKey(c.leaf.PublicKey, k.ak):
			// Not a matter of trust: the evidence contradicts itself.
			return fail(checkAKCert, "a certificate of the key in aik_pub", "a certificate of a different key")
		default:
			k.validated = true
			rec.Pass(checkAKCert, "a certificate of the attestation key that leads to a trusted authority", fmt.Sprintf("%d certificates to %s", c.length, c.root))
			return nil
		}
	}
	switch {
	case k.validated:
		found := "bound to the endorsement key " + k.enrolledTo
		if k.enrolledTo == "" {
			found = "trusted by name; nothing proves that it is in a TPM"
		}
		rec.Pass(checkAKCert, "an attestation key that was enrolled, or that the caller trusts", found)
	case !ev.TPM.AnyKey:
		return fail(checkAKCert, "a certificate of the attestation key that leads to a trusted authority, or an enrolled key", trouble)
	default:
		rec.Pass(checkAKCert, "any attestation key, as the policy asks", "not validated: "+trouble)
	}
	return nil
}

// SameKey reports whether two public keys are one.
func SameKey(a, b crypto.PublicKey) bool {
	key, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && key.Equal(b)
}

// quote verifies the quote of one attestation; prefix tells the one before
// hibernation apart.
func (v *Verifier) quote(rec *evidence.Recorder, a *attestationJSON, ak crypto.PublicKey, prefix string) (*Quote, *Attestation, error) {
	q, err := a.quote()
	if err != nil {
		return nil, nil, rec.Fail(checkQuote, "a quote with its signature and registers", prefix+err.Error(), v.book.Remedy(checkQuote))
	}
	quoted, err := q.Verify(rec, v.book, QuoteIDs(), ak, v.cfg.SHA1)
	return q, quoted, err
}

// fresh checks what the quote binds: the request key and the challenge.
func (v *Verifier) fresh(rec *evidence.Recorder, r *Request, a *Attestation) error {
	fail := func(expected, found string) error {
		return rec.Fail(checkNonce, expected, found, v.book.Remedy(checkNonce))
	}
	want, what := r.Challenge, "the challenge"
	if r.jws != nil {
		switch info := &r.data.RequestKey.Info; {
		case info.Quote != nil && info.Certify != nil:
			return fail("one binding of the request key", "tpm_quote and tpm_certify")
		case info.Quote != nil:
			what = "the hash of request key and challenge"
			message := append(append(bytes.Clone(r.data.RequestKey.JWK), 0), r.Challenge...)
			switch info.Quote.Hash {
			case "sha-256":
				sum := sha256.Sum256(message)
				want = sum[:]
			case "sha-384":
				sum := sha512.Sum384(message)
				want = sum[:]
			case "sha-512":
				sum := sha512.Sum512(message)
				want = sum[:]
			default:
				return fail("hash_alg sha-256, sha-384 or sha-512", info.Quote.Hash)
			}
		case info.Certify == nil:
			return fail("a request key bound by tpm_quote or tpm_certify", "neither")
		}
	}
	if want == nil {
		return nil // nobody asked for freshness
	}
	if subtle.ConstantTimeCompare(want, a.ExtraData) != 1 {
		return fail(fmt.Sprintf("%x (%s) as qualifying data", want, what), fmt.Sprintf("%x", a.ExtraData))
	}
	rec.Pass(checkNonce, what+" as qualifying data", fmt.Sprintf("%x", a.ExtraData))
	return nil
}

// certified checks the keys that the attestation key certified.
func (v *Verifier) certified(rec *evidence.Recorder, r *Request, ak crypto.PublicKey) error {
	if r.jws == nil {
		return nil
	}
	list := append([]keyJSON{*r.data.RequestKey}, r.data.OtherKeys...)
	for i, k := range list {
		what := "the request key"
		if i > 0 {
			what = fmt.Sprintf("other key %d", i)
		}
		if err := v.certifiedKey(k, r.Challenge, ak, i > 0); err != nil {
			return rec.Fail(checkKeyCertified, what+", certified by the attestation key for this challenge", err.Error(), v.book.Remedy(checkKeyCertified))
		}
		if k.Info.Certify != nil {
			rec.Pass(checkKeyCertified, what+", certified by the attestation key for this challenge", "holds")
		}
	}
	return nil
}

func (v *Verifier) certifiedKey(k keyJSON, challenge []byte, ak crypto.PublicKey, other bool) error {
	if other && k.Info.Quote != nil {
		return errors.New("bound by the quote, which binds the request key alone")
	}
	key, err := ParseJWK(k.JWK)
	if err != nil {
		return err
	}
	sent := k.Info.Certify
	if sent == nil && other {
		return errors.New("no tpm_certify: nothing shows that it is in the TPM")
	}
	if sent == nil {
		return nil
	}
	c := Certification{Attested: sent.Certification}
	if c.Public, err = ParsePublic(sent.Public); err != nil {
		return err
	}
	if c.Signature, err = ParseSignature(sent.Signature); err != nil {
		return err
	}
	if !v.cfg.SHA1 && c.Signature.Hash == eventlog.SHA1 {
		return errors.New("a signature over SHA-1")
	}
	if err := c.Verify(ak, challenge); err != nil {
		return err
	}
	if !SameKey(c.Public.Key, key) {
		return errors.New("a certification of another key than the JWK")
	}
	return nil
}

// replay proves the logs with the strongest bank that covers what is asked for and
// for which the logs have digests.
func (v *Verifier) replay(rec *evidence.Recorder, q *Quote, a *attestationJSON, mask uint32) (*eventlog.Proof, error) {
	banks := v.accepted(q.Banks)
	slices.SortFunc(banks, func(a, b eventlog.Bank) int { return b.Algorithm.Size() - a.Algorithm.Size() })
	covering := slices.DeleteFunc(slices.Clone(banks), func(b eventlog.Bank) bool { return len(b.Covers(mask)) > 0 })
	if len(covering) == 0 {
		return nil, rec.Fail(checkCoverage, "a quote over PCR "+Registers(mask)+" (required_pcr_mask)", describe(selections(banks)), v.book.Remedy(checkCoverage))
	}
	rec.Pass(checkCoverage, "a quote over PCR "+Registers(mask), describe(selections(covering)))
	logs, err := a.logs()
	if err != nil {
		return nil, rec.FailErr(checkLog, "logs of measured boot", err, v.book.Remedy(checkLog))
	}
	for _, bank := range covering {
		var proof *eventlog.Proof
		var mismatch *eventlog.Mismatch
		if proof, err = eventlog.Prove(logs, bank); err == nil {
			rec.Pass(checkLog, "logs that lead to the quoted registers", fmt.Sprintf("%d of %d events, bank %v%s", proof.Len(), proof.Sent, bank.Algorithm, proof.LeftOut()))
			return proof, nil
		}
		if errors.As(err, &mismatch) {
			break
		}
	}
	return nil, rec.FailErr(checkLog, "logs that lead to the quoted registers", err, v.book.Remedy(checkLog))
}

// accepted are the banks whose hash counts; policies see no others.
func (v *Verifier) accepted(banks []eventlog.Bank) []eventlog.Bank {
	return slices.DeleteFunc(slices.Clone(banks), func(b eventlog.Bank) bool { return b.Algorithm == eventlog.SHA1 && !v.cfg.SHA1 })
}

func selections(banks []eventlog.Bank) (list []Selection) {
	for _, b := range banks {
		s := Selection{Bank: b.Algorithm}
		for i, value := range b.Values {
			if value != nil {
				s.Mask |= 1 << i
			}
		}
		list = append(list, s)
	}
	return list
}
