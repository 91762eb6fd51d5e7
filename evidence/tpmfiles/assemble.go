package tpmfiles

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"encoding/asn1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/evidence/eventlog"
	"github.com/probity-dev/probity/evidence/tpm"
)

// Recorded is a quote with what goes with it.
type Recorded struct {
	// Attested is the TPMS_ATTEST, Signature the TPMT_SIGNATURE.
	Attested, Signature []byte
	// Quote is Attested taken apart.
	Quote *tpm.Attestation
	Banks []eventlog.Bank
	Key   *Key
	// EventLog is the log of measured boot, IMA the list of measured files, if any.
	EventLog, IMA []byte
	// EKCertificate is the DER certificate of an endorsement key, if any.
	EKCertificate []byte
}

// maxFiles bounds how many files one quote has.
const maxFiles = 16

// Assemble reads the files of one quote, in any order. Files that [Identify] does not know
// are tried as a plain signature and as bare PCR values. It fills in the names of the
// files. The key, if not nil, is used if no file has one.
func Assemble(files []File, key *Key) (*Recorded, error) {
	switch {
	case len(files) == 0:
		return nil, errEmpty
	case len(files) > maxFiles:
		return nil, fmt.Errorf("%d files, a quote has at most %d", len(files), maxFiles)
	}
	a := assembly{files: files}
	for i := range files {
		if err := a.add(&files[i]); err != nil {
			return nil, err
		}
	}
	if err := a.chooseKey(key); err != nil {
		return nil, err
	}
	return a.finish()
}

// assembly is what was found among the files so far.
type assembly struct {
	files []File
	r     Recorded
	// quote, signature, pcrs, log, ima and ek are the files that these came from.
	quote, signature, pcrs, log, ima, ek *File
	keys                                 []*File
	unknown                              []*File
}

func (a *assembly) add(f *File) error {
	var twice *File
	put := func(slot **File) { twice, *slot = *slot, f }
	switch f.Type {
	case Message:
		put(&a.quote)
		a.r.Attested, a.r.Quote = f.Bytes, f.Quote
	case Keylime, GoAttestation:
		put(&a.quote)
		key := a.r.Key
		a.r.Attested, a.r.Quote, a.r.Signature, a.r.Banks, a.r.Key = f.recorded.Attested, f.Quote,
			f.recorded.Signature, f.recorded.Banks, key
		a.signature, a.pcrs = f, f
		if f.recorded.EventLog != nil {
			a.r.EventLog, a.log = f.recorded.EventLog, f
		}
		if f.recorded.IMA != nil {
			a.r.IMA, a.ima = f.recorded.IMA, f
		}
		if f.Key != nil {
			a.keys = append(a.keys, f)
		}
	case GoQuote:
		put(&a.quote)
		a.r.Attested, a.r.Quote, a.signature = f.Bytes, f.Quote, f
	case Signature:
		put(&a.signature)
	case PCRs:
		put(&a.pcrs)
	case EventLog:
		put(&a.log)
		a.r.EventLog = f.Bytes
	case IMA:
		put(&a.ima)
		a.r.IMA = f.Bytes
	case EKCertificate:
		put(&a.ek)
		a.r.EKCertificate = f.Bytes
	case PublicKey, Certificate, KeylimeKeys:
		a.keys = append(a.keys, f)
		if f.recorded != nil && f.recorded.EKCertificate != nil {
			put(&a.ek)
			a.r.EKCertificate = f.recorded.EKCertificate
		}
	case Certification, wrongFile:
		return fmt.Errorf("%s: %s; %s", f.Path, f.Name, f.Hint)
	default:
		a.unknown = append(a.unknown, f)
	}
	if twice != nil {
		return fmt.Errorf("%s and %s: two files of the same type (%s); give those of one quote", twice.Path,
			f.Path, f.Type)
	}
	return nil
}

// chooseKey finds the attestation key among the keys: an endorsement key, which cannot
// sign, is left aside, and a certificate goes with its key.
func (a *assembly) chooseKey(given *Key) error {
	var other *File
	for _, f := range a.keys {
		if area := f.Key.Area; area != nil {
			if err := tpm.ValidateAK(area); err != nil && area.Attributes&tpm.Sign != 0 {
				return fmt.Errorf("%s: %s, which is not an attestation key: %w", f.Path, f.Name, err)
			} else if err != nil {
				other = f
				continue
			}
		}
		switch {
		case a.r.Key == nil:
			a.r.Key = &Key{Public: f.Key.Public, Area: f.Key.Area, Certificate: f.Key.Certificate}
		case !a.r.Key.Same(f.Key):
			return fmt.Errorf(
				"%s: a key other than the one in the earlier files; give the attestation key of the quote",
				f.Path,
			)
		case a.r.Key.Certificate == nil:
			a.r.Key.Certificate = f.Key.Certificate
		}
	}
	if a.r.Key == nil {
		a.r.Key = given
	}
	if a.r.Key != nil {
		return nil
	}
	if other != nil {
		return fmt.Errorf("%s: %s, which cannot sign quotes; give the attestation key too "+
			"(tpm2_readpublic -c ak.ctx -o ak.pub)",
			other.Path, other.Name)
	}
	if len(a.unknown) > 0 && a.quote == nil {
		return unknownFile(a.unknown[0])
	}
	return errors.New("the attestation key is missing: give its public key or certificate beside the " +
		"quote (tpm2_readpublic -c ak.ctx -o ak.pub)")
}

// finish reads what needs the quote or the key to be read.
func (a *assembly) finish() (*Recorded, error) {
	if a.quote == nil {
		if len(a.unknown) > 0 {
			return nil, unknownFile(a.unknown[0])
		}
		return nil, errors.New("the quote message is missing (tpm2_quote -m)")
	}
	if err := a.place(); err != nil {
		return nil, err
	}
	r := &a.r
	switch {
	case a.signature == nil:
		return nil, errors.New("the signature of the quote is missing (tpm2_quote -s)")
	case a.pcrs == nil:
		return nil, errors.New("the PCR values are missing (tpm2_quote -o)")
	}
	if a.signature.Type == Signature {
		r.Signature = a.signature.Bytes
	} else if a.signature.Type == GoQuote {
		r.Signature = a.signature.recorded.Signature
	}
	if len(r.Banks) == 0 {
		r.Banks = pick(a.pcrs.Banks, r.Quote.Selection)
	}
	r.Signature = withScheme(r.Signature, r.Key.Public, r.Attested)
	return r, nil
}

// place says about each file without structure whether it is a plain signature or bare PCR
// values. Where sizes fit both (eight SHA-256 registers are as long as a signature of
// RSA 2048), what the quote confirms goes first.
func (a *assembly) place() error {
	for _, sure := range []bool{true, false} {
		for _, f := range a.unknown {
			if f.Type != Unknown {
				continue
			}
			var banks []eventlog.Bank
			if a.pcrs == nil {
				banks = parseBare(f.raw, a.r.Quote.Selection)
			}
			signs := a.signature == nil && isPlain(f.raw, a.r.Key.Public)
			if sure {
				signs = signs && verifies(withScheme(f.raw, a.r.Key.Public, a.r.Attested), a.r.Key.Public, a.r.Attested)
				if banks != nil && !confirms(a.r.Quote, banks) {
					banks = nil
				}
			}
			switch {
			case signs && banks != nil:
				return fmt.Errorf("%s: %d bytes, which may be the signature or the PCR values: "+
					"make the files again without -f plain and -F values", f.Path, len(f.raw))
			case banks != nil:
				f.Type, f.Name, f.Banks, a.pcrs = PCRs,
					"PCR values without names, by their size ("+describe(banks)+")", banks, f
			case signs:
				f.Type, f.Name, f.Bytes, a.signature = Signature, "a plain RSA signature, by its size", f.raw, f
			case !sure:
				return unknownFile(f)
			}
		}
	}
	return nil
}

func unknownFile(f *File) error {
	return fmt.Errorf("%s: %d bytes that are not recognised: neither a quote message, signature, "+
		"PCR values, key, certificate nor log; probity inspect FILE says what a file is", f.Path, len(f.raw))
}

// confirms reports whether the quote is about these values, by any of the hashes.
func confirms(q *tpm.Attestation, banks []eventlog.Bank) bool {
	var all []byte
	for _, b := range banks {
		for _, value := range b.Values {
			all = append(all, value...)
		}
	}
	for _, algorithm := range bankNames {
		if string(algorithm.Sum(nil, all)) == string(q.PCRDigest) {
			return true
		}
	}
	return false
}

func isPlain(b []byte, key crypto.PublicKey) bool {
	public, ok := key.(*rsa.PublicKey)
	return ok && len(b) == public.Size()
}

func verifies(signature []byte, key crypto.PublicKey, message []byte) bool {
	s, err := tpm.ParseSignature(signature)
	return err == nil && s.Verify(key, message) == nil
}

// Algorithms of signatures (TCG Algorithm Registry).
const (
	algRSASSA = 0x0014
	algRSAPSS = 0x0016
	algECDSA  = 0x0018
)

// derSignature reads an ECDSA signature in DER (RFC 3279, section 2.2.3).
func derSignature(b []byte) (r, s []byte, ok bool) {
	if len(b) < 40 || len(b) > 144 || b[0] != 0x30 {
		return nil, nil, false
	}
	var rs struct{ R, S *big.Int }
	rest, err := asn1.Unmarshal(b, &rs)
	if err != nil || len(rest) > 0 || rs.R.Sign() <= 0 || rs.S.Sign() <= 0 || rs.R.BitLen() > 521 ||
		rs.S.BitLen() > 521 {
		return nil, nil, false
	}
	return rs.R.Bytes(), rs.S.Bytes(), true
}

// withScheme returns a signature as TPMT_SIGNATURE. A plain one names neither scheme nor
// hash: those are written with which it verifies, and otherwise the most common ones, with
// which the verifier refuses it.
func withScheme(b []byte, key crypto.PublicKey, message []byte) []byte {
	if s, err := tpm.ParseSignature(b); err == nil && s.Hash.Size() > 0 {
		return b
	}
	be := binary.BigEndian
	sized := func(to, part []byte) []byte { return append(be.AppendUint16(to, uint16(len(part))), part...) }
	var schemes []uint16
	var tail []byte
	switch key.(type) {
	case *rsa.PublicKey:
		schemes, tail = []uint16{algRSASSA, algRSAPSS}, sized(nil, b)
	case *ecdsa.PublicKey:
		r, s, ok := derSignature(b)
		if !ok {
			return b
		}
		schemes, tail = []uint16{algECDSA}, sized(sized(nil, r), s)
	}
	var first []byte
	for _, hash := range []eventlog.Algorithm{eventlog.SHA256, eventlog.SHA384, eventlog.SHA512, eventlog.SHA1} {
		for _, scheme := range schemes {
			made := append(be.AppendUint16(be.AppendUint16(nil, scheme), uint16(hash)), tail...)
			if first == nil {
				first = made
			}
			if verifies(made, key, message) {
				return made
			}
		}
	}
	return first
}

// Mask says which registers the quote covers, of the strongest bank.
func (r *Recorded) Mask() uint32 { return strongest(r.Quote.Selection).Mask }

// Evidence writes the quote as evidence of kind Tpm.
func (r *Recorded) Evidence() ([]byte, error) {
	jwk, err := (&jose.JSONWebKey{Key: r.Key.Public}).MarshalJSON()
	if err != nil {
		return nil, errors.New("the attestation key is neither RSA nor ECC on P-256, P-384 or P-521")
	}
	encode := base64.RawURLEncoding.EncodeToString
	type value struct {
		Index  int    `json:"index"`
		Digest string `json:"digest"`
	}
	type bank struct {
		Algorithm uint16  `json:"algorithm"`
		Values    []value `json:"values"`
	}
	type log struct {
		Type string `json:"type"`
		Log  string `json:"log"`
	}
	var out struct {
		Current struct {
			Logs      []log          `json:"logs"`
			Cert      string         `json:"aik_cert,omitzero"`
			Key       jsontext.Value `json:"aik_pub"`
			PCRs      []bank         `json:"pcrs"`
			Quote     string         `json:"quote"`
			Signature string         `json:"signature"`
		} `json:"current_attestation"`
	}
	c := &out.Current
	c.Logs, c.Key, c.Quote, c.Signature = []log{}, jsontext.Value(jwk), encode(r.Attested), encode(r.Signature)
	c.Cert = encode(r.Key.Certificate)
	if len(r.EventLog) > 0 {
		c.Logs = append(c.Logs, log{"TCG", encode(r.EventLog)})
	}
	if len(r.IMA) > 0 {
		c.Logs = append(c.Logs, log{"IMA", encode(r.IMA)})
	}
	for _, b := range r.Banks {
		one := bank{Algorithm: uint16(b.Algorithm)}
		for i, v := range b.Values {
			if v != nil {
				one.Values = append(one.Values, value{i, encode(v)})
			}
		}
		c.PCRs = append(c.PCRs, one)
	}
	return json.Marshal(out)
}
