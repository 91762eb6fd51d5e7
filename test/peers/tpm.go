package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-attestation/attest"
	pb "github.com/google/go-tpm-tools/proto/attest"
	tpmpb "github.com/google/go-tpm-tools/proto/tpm"
	"github.com/google/go-tpm-tools/server"
	"google.golang.org/protobuf/proto"

	"github.com/probity-dev/probity/appraisal"
	"github.com/probity-dev/probity/collateral/tpmca"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/azureguest"
	"github.com/probity-dev/probity/evidence/eventlog"
	"github.com/probity-dev/probity/evidence/evidencetest"
	"github.com/probity-dev/probity/evidence/snp"
	"github.com/probity-dev/probity/evidence/tpm"
	"github.com/probity-dev/probity/policy"
)

// moduleFile reads a file that a module ships for its own tests.
func moduleFile(module, path string) []byte {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	must(err)
	b, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(out)), filepath.FromSlash(path)))
	must(err)
	return b
}

// tpmPairs measures a TPM's appraisal beside go-tpm-tools, on the genuine
// attestation of a cloud machine that ships with it: the same quote, registers, log
// and certificate. Ours also decodes JSON, judges by a policy, and with one that reads
// the events writes them.
func tpmPairs() {
	a := &pb.Attestation{}
	must(proto.Unmarshal(moduleFile("github.com/google/go-tpm-tools",
		"internal/test/attestations/gce-cos-85-no-nonce.pb"), a))
	at := time.Date(2022, 1, 1, 0, 0, 0, 0, time.UTC)
	raw := tpmEvidence(a)
	var authorities bytes.Buffer
	for _, cert := range append(append([]*x509.Certificate{}, server.GceEKRoots...),
		server.GceEKIntermediates...) {
		must(pem.Encode(&authorities, &pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}))
	}
	roots, err := tpmca.Parse(authorities.Bytes())
	must(err)
	ours := appraise(tpm.New(tpm.Config{Authorities: roots}), raw, at,
		`[type=="secureBootEnabled", value==true] && [type=="aikValidated", value==true] => permit();`)
	peer := func(opts server.VerifyOpts) func() {
		opts.Loader = server.GRUB
		opts.HashAlgo = 0x000b
		return func() {
			_, err := server.VerifyAttestation(a, opts)
			must(err)
		}
	}
	cert, err := x509.ParseCertificate(a.GetAkCert())
	must(err)
	// Ours also hashes each text of PCR 8 to prove the command line of the kernel, 6 % of its time; the peer
	// takes the sender's word.
	compare("TPM, AK seen before, beside go-tpm-tools", ours, peer(server.VerifyOpts{
		TrustedRootCerts:  server.GceEKRoots,
		IntermediateCerts: server.GceEKIntermediates,
	}), -4)
	compare("TPM, beside it when told the AK (no chain)", ours,
		peer(server.VerifyOpts{TrustedAKs: []crypto.PublicKey{cert.PublicKey}}), -2)
	compare("TPM, events queried, beside go-tpm-tools", appraise(
		tpm.New(tpm.Config{Authorities: roots}), raw, at,
		"[type==\"events\", value!=\"\"] => permit();",
	), peer(server.VerifyOpts{
		TrustedRootCerts:  server.GceEKRoots,
		IntermediateCerts: server.GceEKIntermediates,
	}), -2)
	for _, name := range []string{
		"crypto_agile_eventlog",
		"ubuntu_2104_shielded_vm_no_secure_boot_eventlog",
		"option_rom_eventlog",
	} {
		logPair("log "+name, moduleFile("github.com/google/go-eventlog", "testdata/legacydata/"+name))
	}
	corpusPair(os.Getenv("PROBITY_CORPUS"))
}

// corpusPair does it for every log in a folder of recorded evidence, if one is named.
func corpusPair(folder string) {
	if folder == "" {
		return
	}
	files, err := filepath.Glob(filepath.Join(folder, "tpm", "*", "eventlog.bin"))
	must(err)
	var logs [][]byte
	for _, file := range files {
		if strings.Contains(file, "truncated") {
			continue // neither reads it
		}
		b, err := os.ReadFile(file)
		must(err)
		logs = append(logs, b)
	}
	logPair(fmt.Sprintf("all %d logs of the corpus", len(logs)), logs...)
}

// appraise is a whole appraisal, by a policy and without a token.
func appraise(v evidence.Verifier, raw []byte, at time.Time, rules string) func() {
	p, err := policy.Parse("version=1.2;authorizationrules{" + rules + "};")
	must(err)
	a := &appraisal.Appraiser{Verifiers: []evidence.Verifier{v}}
	return func() {
		verdict, err := a.Appraise(context.Background(),
			appraisal.Request{Kind: v.Kind(), Evidence: raw, Time: at}, appraisal.Provider{
				Policy: p,
				TCB: appraisal.TCBPolicy{
					Any:    true,
					Accept: []string{evidence.BoundServiceTD, evidence.DebugGuest},
				},
			})
		must(err)
		if !verdict.Accepted {
			panic(verdict.Rejection)
		}
	}
}

// tpmEvidence writes the attestation in our form.
func tpmEvidence(a *pb.Attestation) []byte {
	encode := base64.RawURLEncoding.EncodeToString
	cert, err := x509.ParseCertificate(a.GetAkCert())
	must(err)
	jwk, err := (&jose.JSONWebKey{Key: cert.PublicKey}).MarshalJSON()
	must(err)
	for _, q := range a.GetQuotes() {
		if q.GetPcrs().GetHash() != tpmpb.HashAlgo_SHA256 {
			continue
		}
		var values []any
		for i, digest := range q.GetPcrs().GetPcrs() {
			values = append(values, map[string]any{"index": i, "digest": encode(digest)})
		}
		b, err := json.Marshal(map[string]any{"current_attestation": map[string]any{
			"logs":    []any{map[string]any{"type": "TCG", "log": encode(a.GetEventLog())}},
			"aik_pub": json.RawMessage(jwk), "aik_cert": encode(a.GetAkCert()),
			"quote": encode(q.GetQuote()), "signature": encode(q.GetRawSig()),
			"pcrs": []any{map[string]any{"algorithm": 11, "values": values}}}})
		must(err)
		return b
	}
	panic("no quote of SHA-256")
}

// logPair parses and replays logs beside go-attestation, which returns the events that
// replay, as ours does.
func logPair(name string, logs ...[]byte) {
	type work struct {
		raw  []byte
		bank eventlog.Bank
		pcrs []attest.PCR
	}
	var list []work
	for _, raw := range logs {
		l, err := eventlog.Parse(raw)
		must(err)
		w := work{raw: raw, bank: eventlog.Bank{Algorithm: l.Banks[0]}}
		r, err := l.Replay(w.bank.Algorithm)
		must(err)
		for i := range uint32(eventlog.Registers) {
			if value, _, ok := r.Register(i); ok {
				w.bank.Values[i] = value
				w.pcrs = append(w.pcrs, attest.PCR{Index: int(i), Digest: value, DigestAlg: w.bank.Algorithm.Hash()})
			}
		}
		list = append(list, w)
	}
	compare(name, func() {
		for i := range list {
			p, err := eventlog.Prove([]eventlog.Sent{{Data: list[i].raw}}, list[i].bank)
			must(err)
			if p.Len() == 0 {
				panic("nothing is proven")
			}
		}
	}, func() {
		for i := range list {
			l, err := attest.ParseEventLog(list[i].raw)
			must(err)
			_, err = l.Verify(list[i].pcrs)
			must(err)
		}
	}, -1.5)
}

// guestPair measures an Azure guest on SEV-SNP, its chains seen before, beside what
// it cannot do without: one check of P-384, two of RSA, and the replay of the log.
func guestPair() {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	amd := evidencetest.NewAMD(evidencetest.AMDConfig{Now: now})
	chip := amd.Chip(evidencetest.ChipConfig{})
	guest := evidencetest.NewGuest(evidencetest.TPMConfig{Now: now})
	raw := moduleFile("github.com/google/go-eventlog",
		"testdata/legacydata/ubuntu_2104_shielded_vm_no_secure_boot_eventlog")
	l, err := eventlog.Parse(raw)
	must(err)
	r, err := l.Replay(eventlog.SHA256)
	must(err)
	boot := &evidencetest.Boot{Log: raw}
	mask := uint32(0)
	for i := range uint32(eventlog.Registers) {
		if value, _, ok := r.Register(i); ok {
			boot.PCRs[i] = [32]byte(value)
			mask |= 1 << i
		}
	}
	info := guest.Info(evidencetest.GuestConfig{
		Boot: boot, Mask: mask, Isolation: "SevSnp", Proof: func(runtime []byte) []byte {
			return chip.Evidence(amd,
				chip.Report(evidencetest.ReportConfig{ReportData: evidencetest.BindData(runtime)}))
		},
	})
	v := azureguest.New(snp.New(snp.Config{Roots: amd.Roots()}), nil, azureguest.Config{})
	quote := guest.Quote(boot.PCRs, mask, nil)
	signature, sum := guest.RawSign(quote), sha256.Sum256(quote)
	key := guest.AK.(*rsa.PrivateKey).PublicKey
	bare := bareP384()
	compare("Azure guest on SNP, warm, beside its bare checks",
		appraise(v, info, now, `[type=="x-ms-azurevm-debuggersdisabled"] => permit();`), func() {
			bare()
			for range 2 {
				must(rsa.VerifyPKCS1v15(&key, crypto.SHA256, sum[:], signature))
			}
			l, err := eventlog.Parse(raw)
			must(err)
			_, err = l.Replay(eventlog.SHA256)
			must(err)
		}, 2)
}
