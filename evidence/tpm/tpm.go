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
	"github.com/probity-dev/probity/evidence/internal/simulated"
	"github.com/probity-dev/probity/wording/phrase"
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
}

// New returns a verifier.
func New(cfg Config) *Verifier {
	if cfg.CustomPrefix == "" {
		cfg.CustomPrefix = DefaultCustomPrefix
	}
	return &Verifier{cfg: cfg, authorities: NewAuthorities(cfg.Authorities, cfg.Memory)}
}

// Kind returns Tpm.
func (v *Verifier) Kind() evidence.Kind { return evidence.TPM }

// Verify verifies ev.Raw in one of the forms that [ParseRequest] reads. The error is an
// *[evidence.Rejection] if the evidence is refused.
func (v *Verifier) Verify(_ context.Context, ev evidence.Evidence) (*evidence.Result, error) {
	result := &evidence.Result{}
	_, err := v.Prove(result, ev, false)
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
func (v *Verifier) Prove(result *evidence.Result, ev evidence.Evidence, enclave bool) (*Proof, error) {
	if ev.RuntimeData != nil || ev.InitTimeData != nil {
		return nil, result.Fail(CheckFormat,
			"evidence without runtime or init-time data: a TPM does not bind them",
			"runtime or init-time data in the request")
	}
	r, err := ParseRequest(ev.Raw)
	if errors.Is(err, errRequest) {
		return nil, result.Fail(CheckVersion, "version 2 of the protocol (attReqV2)", err.Error())
	}
	if err != nil {
		return nil, result.Fail(CheckFormat, "TPM evidence", err.Error())
	}
	if r.Enclave != enclave {
		found := map[bool]string{true: "att_type vbs", false: "no report of an enclave"}[r.Enclave]
		return nil, result.Fail(CheckFormat, map[bool]string{
			true:  "evidence with the report of a VBS enclave (VbsEnclave)",
			false: "evidence of att_type basic (Tpm)",
		}[enclave], found)
	}
	result.Pass(CheckFormat, "TPM evidence", phrase.Plural(len(r.data.TPM.Current.Logs), "log"))
	if err := v.request(result, r); err != nil {
		return nil, err
	}
	if ev.Challenge != nil && r.jws != nil {
		if subtle.ConstantTimeCompare(ev.Challenge, r.Challenge) != 1 {
			return nil, result.Fail(CheckChallenge, fmt.Sprintf("the challenge %x", ev.Challenge),
				fmt.Sprintf("%x", r.Challenge))
		}
		result.Pass(CheckChallenge, "the challenge that was given", fmt.Sprintf("%x", r.Challenge))
	} else if r.jws == nil {
		r.Challenge = ev.Challenge
	}
	p := &Proof{Request: r, asked: ev.TPM}
	if err := v.attestationKey(result, r.data.TPM.Current, ev, &p.keys); err != nil {
		return nil, err
	}
	q, quoted, err := v.quote(result, r.data.TPM.Current, p.keys.ak, "")
	if err != nil {
		return nil, err
	}
	p.Quote = quoted
	if err := v.fresh(result, r, quoted); err != nil {
		return nil, err
	}
	if err := v.certified(result, r, p.keys.ak); err != nil {
		return nil, err
	}
	proof, err := v.replay(result, q, r.data.TPM.Current, ev.TPM.PCRMask())
	if err != nil {
		return nil, err
	}
	if p.Boot, err = proof.Facts(); err != nil {
		return nil, result.Fail(CheckLog, "a log of one boot", err.Error())
	}
	var boot *eventlog.Proof
	if a := r.data.TPM.Boot; a != nil {
		if boot, err = v.hibernated(result, a, p, ev.TPM.PCRMask()); err != nil {
			return nil, err
		}
	}
	return p, v.state(result, p, q, proof, boot)
}

// request checks that the sender has the request key.
func (v *Verifier) request(result *evidence.Result, r *Request) error {
	if r.jws == nil {
		return nil // evidence without a request key: nothing is bound to the quote
	}
	fail := func(found string) error {
		return result.Fail(CheckRequest, "a JWS of type attReqV2, signed by PS256 with the request key", found)
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
	result.Pass(CheckRequest, "a JWS of type attReqV2, signed by PS256 with the request key", "verified")
	return nil
}

// attestationKey establishes whose key signed the quote.
func (v *Verifier) attestationKey(
	result *evidence.Result, a *attestationJSON, ev evidence.Evidence, k *keys,
) error {
	var err error
	if k.ak, err = ParseJWK(a.AKPub); err != nil {
		return result.Fail(CheckAK, "the attestation key as aik_pub", err.Error())
	}
	der, err := x509.MarshalPKIXPublicKey(k.ak)
	if err != nil {
		return result.Fail(CheckAK, "the attestation key as aik_pub", err.Error())
	}
	k.akHash = sha256.Sum256(der)
	result.Pass(CheckAK, "the attestation key as aik_pub", fmt.Sprintf("SHA-256 %x", k.akHash))
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
			if cert, parseErr := ParseCertificate(a.AKCert); parseErr == nil && simulated.Root(cert) {
				trouble = "a certificate of a simulated authority: " + trouble
			}
		case !SameKey(c.leaf.PublicKey, k.ak):
			// Not a matter of trust: the evidence contradicts itself.
			return result.Fail(CheckAKCert, "a certificate of the key in aik_pub", "a certificate of a different key")
		default:
			k.validated = true
			result.Pass(CheckAKCert, "a certificate of the attestation key that leads to a trusted authority",
				fmt.Sprintf("%d certificates to %s", c.length, c.root))
			return nil
		}
	}
	switch {
	case k.validated:
		found := "bound to the endorsement key " + k.enrolledTo
		if k.enrolledTo == "" {
			found = "trusted by name; it is not proven to be in a TPM"
		}
		result.Pass(CheckAKCert, "an attestation key that was enrolled, or that the caller trusts", found)
	case !ev.TPM.AnyKey:
		return result.Fail(CheckAKCert,
			"a certificate of the attestation key that leads to a trusted authority, or an enrolled key",
			trouble)
	default:
		result.Pass(CheckAKCert, "any attestation key, as the policy asks", "not validated: "+trouble)
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
func (v *Verifier) quote(
	result *evidence.Result, a *attestationJSON, ak crypto.PublicKey, prefix string,
) (*Quote, *Attestation, error) {
	q, err := a.quote()
	if err != nil {
		return nil, nil, result.Fail(CheckQuote, "a quote with its signature and registers", prefix+err.Error())
	}
	quoted, err := q.Verify(result, ak, v.cfg.SHA1)
	return q, quoted, err
}

// fresh checks what the quote binds: the request key and the challenge.
func (v *Verifier) fresh(result *evidence.Result, r *Request, a *Attestation) error {
	fail := func(expected, found string) error {
		return result.Fail(CheckNonce, expected, found)
	}
	want, what := r.Challenge, "the challenge"
	if r.jws != nil {
		switch info := &r.data.RequestKey.Info; {
		case info.Quote != nil && info.Certify != nil:
			return fail("a request key bound by either tpm_quote or tpm_certify",
				"a request with both tpm_quote and tpm_certify")
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
			return fail("a request key bound by tpm_quote or tpm_certify",
				"a request without tpm_quote and tpm_certify")
		}
	}
	if want == nil {
		return nil // freshness was not asked for
	}
	if subtle.ConstantTimeCompare(want, a.ExtraData) != 1 {
		return fail(fmt.Sprintf("%x (%s) as qualifying data", want, what), fmt.Sprintf("%x", a.ExtraData))
	}
	result.Pass(CheckNonce, what+" as qualifying data", fmt.Sprintf("%x", a.ExtraData))
	return nil
}

// certified checks the keys that the attestation key certified.
func (v *Verifier) certified(result *evidence.Result, r *Request, ak crypto.PublicKey) error {
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
			return result.Fail(CheckKeyCertified,
				what+", certified by the attestation key for this challenge", err.Error())
		}
		if k.Info.Certify != nil {
			result.Pass(CheckKeyCertified, what+", certified by the attestation key for this challenge", "verified")
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
		return errors.New("a certification of a key other than the JWK")
	}
	return nil
}

// replay proves the logs with the strongest bank that covers what is asked for and
// for which the logs have digests.
func (v *Verifier) replay(
	result *evidence.Result, q *Quote, a *attestationJSON, mask uint32,
) (*eventlog.Proof, error) {
	banks := v.accepted(q.Banks)
	slices.SortFunc(banks, func(a, b eventlog.Bank) int { return b.Algorithm.Size() - a.Algorithm.Size() })
	covering := slices.DeleteFunc(slices.Clone(banks),
		func(b eventlog.Bank) bool { return len(b.Covers(mask)) > 0 })
	if len(covering) == 0 {
		return nil, result.Fail(CheckCoverage, "a quote over PCR "+Registers(mask)+" (required_pcr_mask)",
			describe(selections(banks)))
	}
	result.Pass(CheckCoverage, "a quote over PCR "+Registers(mask), describe(selections(covering)))
	logs, err := a.logs()
	if err != nil {
		return nil, result.FailErr(CheckLog, "logs of measured boot", err)
	}
	for _, bank := range covering {
		var proof *eventlog.Proof
		var mismatch *eventlog.Mismatch
		if proof, err = eventlog.Prove(logs, bank); err == nil {
			result.Pass(CheckLog, "logs that lead to the quoted registers",
				fmt.Sprintf("%d of %d events, bank %v%s", proof.Len(), proof.Sent, bank.Algorithm,
					proof.LeftOut()))
			return proof, nil
		}
		if errors.As(err, &mismatch) {
			break
		}
	}
	return nil, result.FailErr(CheckLog, "logs that lead to the quoted registers", err)
}

// accepted are the banks whose hash is accepted; policies see no others.
func (v *Verifier) accepted(banks []eventlog.Bank) []eventlog.Bank {
	return slices.DeleteFunc(slices.Clone(banks),
		func(b eventlog.Bank) bool { return b.Algorithm == eventlog.SHA1 && !v.cfg.SHA1 })
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
