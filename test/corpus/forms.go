package main

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/dcap"
	"github.com/probity-dev/probity/evidence/forms"
)

// form is what a case is, told by its files and their bytes.
type form string

const (
	formSGX         form = "sgx"
	formOpenEnclave form = "openenclave"
	formTDX         form = "tdx"
	formSNP         form = "snp"
	formNitro       form = "nitro"
	formCCA         form = "cca"
	formGuest       form = "azure-guest"
	formTPM         form = "tpm-quote"
	formKeys        form = "tpm-certificates"
	formLog         form = "event-log"
	formIMA         form = "ima"
	formUVM         form = "uvm"
	formAnchors     form = "anchors"
	formNVIDIA      form = "nvidia"
	formToken       form = "token"
)

// skipped says why the runner cannot judge a form.
var skipped = map[form]string{
	formNVIDIA: "the product has no verifier of NVIDIA's evidence",
	formToken:  "the product verifies no token of another service",
}

// kinds gives the attestation type of the forms that are evidence by themselves.
var kinds = map[form]evidence.Kind{
	formSGX: evidence.SGXEnclave, formOpenEnclave: evidence.OpenEnclave, formTDX: evidence.TDXVM,
	formSNP: evidence.SEVSNPVM, formNitro: evidence.NitroEnclave, formCCA: evidence.ArmCCA,
}

// evidenceNames are the files that have the evidence of a case, the first one before
// the others: some cases also have a quote that was taken out of their evidence.
var evidenceNames = []string{"evidence.bin", "report.bin", "quote.bin", "attested_cert.der",
	"document.cbor", "token.cbor"}

// recognized is the form of a case, with its evidence where one file has it.
type recognized struct {
	form form
	raw  []byte
}

// recognize tells the form of a case by the files in its folder.
func recognize(files map[string][]byte) (recognized, error) {
	has := func(names ...string) bool {
		return !slices.ContainsFunc(names, func(name string) bool { return files[name] == nil })
	}
	switch {
	case has("hcl-report.bin"), has("tpm-quote.msg", "tpm-quote.sig"):
		return recognized{form: formGuest}, nil
	case has("tpm-quote.msg", "tpm-quote.tpmt_signature"):
		return recognized{form: formTPM}, nil
	}
	for _, name := range evidenceNames {
		if b := files[name]; b != nil {
			f := evidenceForm(name, b)
			if f == formSGX && fromOpenEnclave(files) {
				f = formOpenEnclave
			}
			return recognized{f, b}, nil
		}
	}
	switch {
	case has("eventlog.bin"):
		return recognized{form: formLog}, nil
	case has("uvm-endorsements.cose"):
		return recognized{form: formUVM}, nil
	case every(files, isIMA):
		return recognized{form: formIMA}, nil
	}
	if f := certificateForm(files); f != "" {
		return recognized{form: f}, nil
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if f := foreignForm(files[name]); f != "" {
			return recognized{form: f}, nil
		}
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if f := knownForm(files[name]); f != "" {
			return recognized{f, files[name]}, nil
		}
	}
	return recognized{}, fmt.Errorf("no evidence of a form that the runner knows; the files are %s",
		strings.Join(slices.Sorted(maps.Keys(files)), ", "))
}

// fromOpenEnclave reports whether a quote is beside what Open Enclave gives with it: its
// endorsements, its claims, or the certificate that carried the quote.
func fromOpenEnclave(files map[string][]byte) bool {
	if files["endorsements.bin"] != nil || files["custom_claims.bin"] != nil {
		return true
	}
	for _, b := range files {
		if knownForm(b) == formOpenEnclave {
			return true
		}
	}
	return false
}

// evidenceForm tells evidence by its bytes, and by its file's name where damaged bytes
// say nothing.
func evidenceForm(name string, b []byte) form {
	switch name {
	case "evidence.bin", "attested_cert.der":
		// Open Enclave's evidence without its header begins like any quote.
		return formOpenEnclave
	case "quote.bin":
		return quoteForm(b)
	case "report.bin":
		return reportForm(b)
	}
	if bytes.Contains(b, []byte("module_id")) {
		return formNitro
	}
	if f := knownForm(b); f != "" {
		return f
	}
	if name == "document.cbor" {
		return formNitro
	}
	return formCCA
}

// quoteForm reads the TEE type after a quote's version and key type.
func quoteForm(b []byte) form {
	if len(b) >= 8 && binary.LittleEndian.Uint32(b[4:]) == dcap.TEETypeTDX {
		return formTDX
	}
	return formSGX
}

// reportForm tells apart the three things that are called reports: an SPDM request with
// its answer, a quote after Open Enclave's header, and a report of SEV-SNP.
func reportForm(b []byte) form {
	const getMeasurements, openEnclaveHeader = 0xe0, 16
	switch {
	case len(b) > 2 && b[0]>>4 == 1 && b[1] == getMeasurements:
		return formNVIDIA
	case len(b) > openEnclaveHeader+28 && binary.LittleEndian.Uint32(b) == 1 &&
		forms.Recognize(b[openEnclaveHeader:]).Kind == evidence.SGXEnclave:
		return formOpenEnclave
	}
	if f := knownForm(b); f != "" {
		return f
	}
	return formSNP
}

// knownForm tells evidence that the product itself recognizes.
func knownForm(b []byte) form {
	kind := forms.Recognize(b).Kind
	for f, k := range kinds {
		if k == kind {
			return f
		}
	}
	return ""
}

// foreignForm tells tokens, and NVIDIA's list of reports with a certificate each.
func foreignForm(b []byte) form {
	text := bytes.TrimSpace(b)
	if bytes.HasPrefix(text, []byte("eyJ")) && bytes.Count(text, []byte(".")) == 2 {
		return formToken
	}
	var parts []json.RawMessage // a detached EAT: [["JWT", token], {name: token}]
	var signed []string
	if json.Unmarshal(text, &parts) == nil && len(parts) > 0 && json.Unmarshal(parts[0], &signed) == nil &&
		len(signed) == 2 && signed[0] == "JWT" {
		return formToken
	}
	var reports []struct{ Arch, Certificate, Evidence, Nonce string }
	if json.Unmarshal(text, &reports) == nil && len(reports) > 0 && reports[0].Arch != "" &&
		reports[0].Certificate != "" && reports[0].Evidence != "" {
		return formNVIDIA
	}
	return ""
}

var imaLine = regexp.MustCompile(`^10 [0-9a-f]{40,128} ima(-[a-z]+)? `)

func isIMA(b []byte) bool { return imaLine.Match(b) }

func every(files map[string][]byte, is func([]byte) bool) bool {
	for _, b := range files {
		if !is(b) {
			return false
		}
	}
	return true
}

// certFile is a certificate of a case. der may have more bytes after the certificate.
type certFile struct {
	file string
	der  []byte
	cert *x509.Certificate
}

// certificates reads the certificates of a file in PEM or DER, and reports whether the
// file is made of certificates and revocation lists alone.
func certificates(name string, b []byte) (list []certFile, all bool) {
	blocks := [][]byte{b}
	if block, _ := pem.Decode(b); block != nil {
		blocks = nil
		for rest := b; ; {
			if block, rest = pem.Decode(rest); block == nil {
				break
			}
			if block.Type == "CERTIFICATE" {
				blocks = append(blocks, block.Bytes)
			} else if block.Type != "X509 CRL" {
				return nil, false
			}
		}
	}
	for _, der := range blocks {
		var outer asn1.RawValue
		if _, err := asn1.Unmarshal(der, &outer); err != nil {
			return nil, false
		}
		cert, err := x509.ParseCertificate(outer.FullBytes)
		if err != nil {
			return nil, false
		}
		list = append(list, certFile{name, der, cert})
	}
	return list, true
}

// allCertificates returns the certificates of all files that are made of them.
func allCertificates(files map[string][]byte) (list []certFile) {
	for _, name := range slices.Sorted(maps.Keys(files)) {
		found, _ := certificates(name, files[name])
		list = append(list, found...)
	}
	return list
}

// certificateForm tells folders with only certificates: those of keys, and
// anchors.
func certificateForm(files map[string][]byte) form {
	for name, b := range files {
		if _, all := certificates(name, b); !all {
			return ""
		}
	}
	list := allCertificates(files)
	leaf := func(c certFile) bool { return !c.cert.IsCA }
	foreign := func(c certFile) bool { return slices.Contains(c.cert.Subject.Organization, "NVIDIA") }
	switch {
	case len(list) == 0:
		return ""
	case slices.ContainsFunc(list, leaf):
		return formKeys
	case slices.ContainsFunc(list, foreign):
		return formNVIDIA
	}
	return formAnchors
}
