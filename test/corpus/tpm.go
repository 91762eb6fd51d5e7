package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/go-jose/go-jose/v4"

	"github.com/probity-dev/probity/collateral/tpmca"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/eventlog"
	"github.com/probity-dev/probity/evidence/tpm"
)

// rootsOf are all certificates of authorities in a case.
func rootsOf(files map[string][]byte) (*tpmca.Roots, error) {
	var list [][]byte
	for _, f := range allCertificates(files) {
		if f.cert.IsCA {
			list = append(list, f.cert.Raw)
		}
	}
	if len(list) == 0 {
		return nil, nil
	}
	return tpmca.Parse(list...)
}

// certificateProblem verifies certificates of attestation and endorsement keys, and
// that each is refused as one of the other kind, and without its root. What its key may
// do tells an endorsement key: it does not sign.
func certificateProblem(c caseJSON, e expectation, files map[string][]byte) error {
	roots, err := rootsOf(files)
	if err != nil {
		return err
	}
	at, err := c.time()
	if err != nil {
		return err
	}
	for _, f := range allCertificates(files) {
		if f.cert.IsCA {
			continue
		}
		asAK := func(r *tpmca.Roots) error { _, err := tpm.NewAuthorities(r, -1).Verify(f.der, at); return err }
		asEK := func(r *tpmca.Roots) error { _, err := tpm.VerifyEK(r, f.der, at); return err }
		right, wrong := asAK, asEK
		if f.cert.KeyUsage&x509.KeyUsageDigitalSignature == 0 {
			right, wrong = asEK, asAK
		}
		err := right(roots)
		switch {
		case e.demand == mustRefuse && err == nil:
			return fmt.Errorf("%s: accepted", f.file)
		case e.demand == mustRefuse:
			// Of evidence with this certificate, this check would fail.
			if err := e.refusal(tpm.CheckAKCert.ID); err != nil {
				return fmt.Errorf("%s: %w", f.file, err)
			}
		case err != nil:
			return fmt.Errorf("%s: %w", f.file, err)
		case wrong(roots) == nil:
			return fmt.Errorf("%s: accepted as a certificate of the other kind too", f.file)
		case right(nil) == nil:
			return fmt.Errorf("%s: accepted without a root", f.file)
		}
	}
	return nil
}

// quoteEvidence writes a recorded quote in the form that is verified.
func quoteEvidence(c caseJSON, bank string, algorithm int, files map[string][]byte) ([]byte, error) {
	key, err := recordedAK(c)
	if err != nil {
		return nil, err
	}
	jwk, err := (&jose.JSONWebKey{Key: key}).MarshalJSON()
	if err != nil {
		return nil, err
	}
	registers := map[string]string{}
	if raw := c.read(bank); raw != nil {
		if err := json.Unmarshal(raw, &registers); err != nil {
			return nil, err
		}
	} else if registers, err = toolsRegisters(c.read("quotepcr.out")); err != nil {
		return nil, err
	}
	var values []any
	for i, text := range registers {
		b, err := hex.DecodeString(text)
		if err != nil {
			return nil, err
		}
		var n int
		if _, err := fmt.Sscanf(i, "%d", &n); err != nil {
			return nil, err
		}
		values = append(values, map[string]any{"index": n, "digest": base64.RawURLEncoding.EncodeToString(b)})
	}
	logs := []any{}
	if log := c.read("eventlog.bin"); log != nil {
		logs = append(logs, map[string]any{"type": "TCG", "log": log})
	}
	a := map[string]any{"logs": logs, "aik_pub": json.RawMessage(jwk),
		"quote": c.read("tpm-quote.msg"), "signature": c.read("tpm-quote.tpmt_signature"),
		"pcrs": []any{map[string]any{"algorithm": algorithm, "values": values}}}
	for _, f := range allCertificates(files) {
		if !f.cert.IsCA {
			a["aik_cert"] = f.der
		}
	}
	return json.Marshal(map[string]any{"current_attestation": a})
}

func recordedAK(c caseJSON) (crypto.PublicKey, error) {
	if b := c.read("ak.tpmt_public"); b != nil {
		p, err := tpm.ParsePublic(b)
		if err != nil {
			return nil, err
		}
		return p.Key, tpm.ValidateAK(p)
	}
	der, err := c.first("ak.spki.der", "ak.pem")
	if err != nil {
		return nil, err
	}
	if block, _ := pem.Decode(der); block != nil {
		der = block.Bytes
	}
	return x509.ParsePKIXPublicKey(der)
}

// toolsRegisters reads the registers that tpm2-tools write: a selection of 132
// bytes, then a list of digests, all little-endian.
func toolsRegisters(b []byte) (map[string]string, error) {
	le := binary.LittleEndian
	if len(b) != 668 {
		return nil, fmt.Errorf("%d bytes of registers", len(b))
	}
	out, at := map[string]string{}, 140
	for i := range 24 {
		if b[4+3+i/8]&(1<<(i%8)) == 0 {
			continue
		}
		size := int(le.Uint16(b[at:]))
		out[fmt.Sprint(i)] = hex.EncodeToString(b[at+2 : at+2+size])
		at += 2 + 64
	}
	return out, nil
}

// quoteProblem verifies a recorded quote as the manifest says it must come out, and
// with one byte of each register altered.
func (r *runner) quoteProblem(c caseJSON, e expectation, files map[string][]byte) error {
	bank, algorithm := "pcrs-sha256.json", 11
	if c.read("pcrs-sha1.json") != nil {
		bank, algorithm = "pcrs-sha1.json", 4
	}
	raw, err := quoteEvidence(c, bank, algorithm, files)
	if err != nil {
		return err
	}
	at, err := c.time()
	if err != nil {
		return err
	}
	roots, err := rootsOf(files)
	if err != nil {
		return err
	}
	run := func(raw []byte, cfg tpm.Config, anyKey bool) error {
		cfg.Authorities = roots
		mask := uint32(0)
		demands := evidence.TPMDemands{AnyKey: anyKey, Mask: &mask}
		_, err := tpm.New(cfg).Verify(context.Background(), evidence.Evidence{Raw: raw, Time: at, TPM: demands})
		return err
	}
	switch {
	case e.demand == mustRefuse:
		// A key without a certificate is refused in any case; the reason is another one.
		return e.refused(run(raw, tpm.Config{SHA1: true}, roots == nil))
	case e.demand != mustAccept:
		return e.refused(run(raw, tpm.Config{}, false))
	case e.has(uncertifiedKey):
		if err = run(raw, tpm.Config{}, true); err == nil {
			err = refusedBy(run(raw, tpm.Config{}, false), tpm.CheckAKCert)
		}
	case e.has(smallBank):
		if err = run(raw, tpm.Config{SHA1: true}, true); err == nil {
			err = refusedBy(run(raw, tpm.Config{}, true), tpm.CheckBank)
		}
	default:
		err = run(raw, tpm.Config{}, false)
	}
	if err != nil {
		return err
	}
	if err := r.answersProblem(c, bank, algorithm); err != nil {
		return err
	}
	return refusedBy(run(alteredRegister(raw), tpm.Config{SHA1: true}, true), tpm.CheckDigest)
}

func refusedBy(err error, check *evidence.Definition) error {
	switch {
	case err == nil:
		return fmt.Errorf("accepted, want %s", check.ID)
	case !errors.Is(err, check):
		return fmt.Errorf("want %s: %w", check.ID, err)
	}
	return nil
}

// alteredRegister changes a digit of the first register.
func alteredRegister(raw []byte) []byte {
	altered := bytes.Clone(raw)
	const field = `"digest":"`
	digit := &altered[bytes.Index(raw, []byte(field))+len(field)]
	if *digit == 'A' {
		*digit = 'B'
	} else {
		*digit = 'A'
	}
	return altered
}

// answersProblem runs published policies over the log of a case.
func (r *runner) answersProblem(c caseJSON, file string, algorithm int) error {
	log := c.read("eventlog.bin")
	if answersOf(log) == nil {
		return nil
	}
	registers := map[string]string{}
	if err := json.Unmarshal(c.read(file), &registers); err != nil {
		return err
	}
	bank, err := bankOf(eventlog.Algorithm(algorithm), registers)
	if err != nil {
		return err
	}
	_, err = r.corpus.published(log, bank)
	return err
}
