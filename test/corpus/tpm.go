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
	"os"
	"path/filepath"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"github.com/probity-dev/probity/collateral/tpmca"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/eventlog"
	"github.com/probity-dev/probity/evidence/tpm"
)

// tpmProblems judges a case of the folder tpm by what it holds.
func tpmProblems(folder string, c caseJSON) []string {
	name := filepath.Base(folder)
	var err error
	switch {
	case strings.HasPrefix(name, "log-"):
		return logProblems(folder, c)
	case strings.HasPrefix(name, "ima-"):
		return imaProblems(folder, c)
	case strings.HasPrefix(name, "quote-"):
		err = quoteProblem(folder, c)
	case name == "ek-vendor-roots":
		err = vendorProblem(folder, c)
	case name == "ek-ak-certs-gce":
		err = certificateProblem(folder, c, "pca_tpm_*_cert.pem")
	case strings.HasSuffix(name, "-ak-cert"):
		err = certificateProblem(folder, c, "ak-cert.pem")
	default:
		err = errors.New("nobody judges this case")
	}
	if err != nil {
		return []string{err.Error()}
	}
	return nil
}

// anyRoots are all certificates of authorities in a folder.
func anyRoots(folder string) (*tpmca.Roots, error) {
	var files [][]byte
	for _, pattern := range []string{"*root*", "*intermediate*"} {
		list, err := filepath.Glob(filepath.Join(folder, pattern))
		if err != nil {
			return nil, err
		}
		for _, path := range list {
			b, err := os.ReadFile(path)
			if err != nil {
				return nil, err
			}
			files = append(files, b)
		}
	}
	return tpmca.Parse(files...)
}

// certificateProblem verifies certificates of attestation and endorsement keys, and
// that each is refused as one of the other kind, and without its root.
func certificateProblem(folder string, c caseJSON, pattern string) error {
	roots, err := anyRoots(folder)
	if err != nil {
		return err
	}
	at, err := c.time()
	if err != nil {
		return err
	}
	list, err := filepath.Glob(filepath.Join(folder, pattern))
	if err != nil || len(list) == 0 {
		return fmt.Errorf("no certificates: %w", err)
	}
	for _, path := range list {
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		block, _ := pem.Decode(b)
		if block == nil {
			return errors.New(path + ": no PEM")
		}
		asAK := func(r *tpmca.Roots) error { _, err := tpm.NewAuthorities(r, -1).Verify(block.Bytes, at); return err }
		asEK := func(r *tpmca.Roots) error { _, err := tpm.VerifyEK(r, block.Bytes, at); return err }
		right, wrong := asAK, asEK
		if strings.Contains(filepath.Base(path), "_enc_") {
			right, wrong = asEK, asAK
		}
		if err := right(roots); err != nil {
			return fmt.Errorf("%s: %w", filepath.Base(path), err)
		}
		if wrong(roots) == nil {
			return errors.New(filepath.Base(path) + ": counts as a certificate of the other kind too")
		}
		if right(nil) == nil {
			return errors.New(filepath.Base(path) + ": counts without a root")
		}
	}
	return nil
}

// vendorProblem compares the roots of vendors with the list that is shipped; every
// intermediate must lead to one of them.
func vendorProblem(folder string, c caseJSON) error {
	read := func(name string) (list []*x509.Certificate, raw []byte, err error) {
		if raw, err = os.ReadFile(filepath.Join(folder, name)); err != nil {
			return nil, nil, err
		}
		r, err := tpmca.Parse(raw)
		return r.All(), raw, err
	}
	roots, rootPEM, err := read("tpm-ca-certificates.pem")
	if err != nil {
		return err
	}
	intermediates, _, err := read("tpm-intermediate-ca-certificates.pem")
	if err != nil {
		return err
	}
	if want, _ := c.KeyFields["roots"].(float64); int(want) != len(roots) {
		return fmt.Errorf("%d roots, want %v", len(roots), want)
	}
	if want, _ := c.KeyFields["intermediates"].(float64); int(want) != len(intermediates) {
		return fmt.Errorf("%d intermediates, want %v", len(intermediates), want)
	}
	for _, cert := range roots {
		if _, ok := tpmca.VendorOf(cert); !ok {
			return fmt.Errorf("%s is not in the list of vendors", tpmca.Name(cert))
		}
	}
	if _, err := tpmca.Parse(rootPEM); err != nil {
		return err
	}
	return nil
}

// quoteEvidence writes a recorded quote in the form that is verified.
func quoteEvidence(folder string, bank string, algorithm int) ([]byte, error) {
	read := func(name string) []byte {
		b, _ := os.ReadFile(filepath.Join(folder, name)) // absence shows in the verdict
		return b
	}
	key, err := recordedAK(folder)
	if err != nil {
		return nil, err
	}
	jwk, err := (&jose.JSONWebKey{Key: key}).MarshalJSON()
	if err != nil {
		return nil, err
	}
	registers := map[string]string{}
	if raw := read(bank); raw != nil {
		if err := json.Unmarshal(raw, &registers); err != nil {
			return nil, err
		}
	} else if registers, err = toolsRegisters(read("quotepcr.out")); err != nil {
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
	if log := read("eventlog.bin"); log != nil {
		logs = append(logs, map[string]any{"type": "TCG", "log": log})
	}
	a := map[string]any{"logs": logs, "aik_pub": json.RawMessage(jwk), "quote": read("tpm-quote.msg"), "signature": read("tpm-quote.tpmt_signature"),
		"pcrs": []any{map[string]any{"algorithm": algorithm, "values": values}}}
	if der := read("ak-cert.der"); der != nil {
		a["aik_cert"] = der
	}
	return json.Marshal(map[string]any{"current_attestation": a})
}

func recordedAK(folder string) (crypto.PublicKey, error) {
	if b, err := os.ReadFile(filepath.Join(folder, "ak.tpmt_public")); err == nil {
		p, err := tpm.ParsePublic(b)
		if err != nil {
			return nil, err
		}
		return p.Key, tpm.ValidateAK(p)
	}
	der, err := os.ReadFile(filepath.Join(folder, "ak.spki.der"))
	if err != nil {
		b, err := os.ReadFile(filepath.Join(folder, "ak.pem"))
		if err != nil {
			return nil, err
		}
		block, _ := pem.Decode(b)
		if block == nil {
			return nil, errors.New("ak.pem: no PEM")
		}
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
func quoteProblem(folder string, c caseJSON) error {
	bank, algorithm := "pcrs-sha256.json", 11
	if _, err := os.Stat(filepath.Join(folder, "pcrs-sha1.json")); err == nil {
		bank, algorithm = "pcrs-sha1.json", 4
	}
	raw, err := quoteEvidence(folder, bank, algorithm)
	if err != nil {
		return err
	}
	at, err := c.time()
	if err != nil {
		return err
	}
	roots, err := anyRoots(folder)
	if err != nil {
		roots = nil // the case has none
	}
	run := func(raw []byte, cfg tpm.Config, anyKey bool) error {
		cfg.Authorities = roots
		mask := uint32(0)
		_, err := tpm.New(cfg).Verify(context.Background(), evidence.Evidence{Raw: raw, Time: at, TPM: evidence.TPMDemands{AnyKey: anyKey, Mask: &mask}})
		return err
	}
	var rejection *evidence.Rejection
	refused := func(err error, id string) error {
		if !errors.As(err, &rejection) || rejection.Check.ID != id {
			return fmt.Errorf("%v, want %s", err, id)
		}
		return nil
	}
	altered := bytes.Clone(raw)
	if digit := &altered[bytes.Index(raw, []byte(`"digest":"`))+10]; *digit == 'A' {
		*digit = 'B'
	} else {
		*digit = 'A'
	}
	switch c.Expected.Outcome {
	case "accept":
		err = run(raw, tpm.Config{}, false)
	case "accept (quote; AK not certified)":
		if err = run(raw, tpm.Config{}, true); err == nil {
			err = refused(run(raw, tpm.Config{}, false), "tpm.ak.certificate")
		}
	case "accept where SHA-1 PCR banks are allowed, else reject":
		if err = run(raw, tpm.Config{SHA1: true}, true); err == nil {
			err = refused(run(raw, tpm.Config{}, true), "tpm.quote.bank")
		}
		if err == nil {
			err = windowsProblem(folder, bank)
		}
	default:
		return fmt.Errorf("unknown outcome word %q", c.Expected.Outcome)
	}
	if err != nil {
		return err
	}
	return refused(run(altered, tpm.Config{SHA1: true}, true), "tpm.quote.pcrs")
}

// windowsProblem runs published policies over a boot of Windows.
func windowsProblem(folder, file string) error {
	raw, err := os.ReadFile(filepath.Join(folder, file))
	if err != nil {
		return err
	}
	registers := map[string]string{}
	if err := json.Unmarshal(raw, &registers); err != nil {
		return err
	}
	bank, err := bankOf(eventlog.SHA1, registers)
	if err != nil {
		return err
	}
	return publishedProblem(folder, bank)
}
