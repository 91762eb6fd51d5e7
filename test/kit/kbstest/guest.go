// Package kbstest makes what stock guests of Confidential Containers send, around evidence of package
// evidencetest, and opens what they are answered. It is for tests.
package kbstest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha512"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"sync"

	"github.com/go-jose/go-jose/v4"

	"github.com/probity-dev/probity/evidence/evidencetest"
)

// Guest is a guest with a key of its own.
type Guest struct {
	Key any
	// JWK is its public key as it is sent.
	JWK map[string]string
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// NewEC makes a guest with an EC key.
func NewEC(curve elliptic.Curve) *Guest {
	key := must(ecdsa.GenerateKey(curve, rand.Reader))
	point := must(key.PublicKey.Bytes())[1:]
	return &Guest{key, map[string]string{"kty": "EC", "crv": curve.Params().Name, "alg": "ECDH-ES+A256KW",
		"x": encode(point[:len(point)/2]), "y": encode(point[len(point)/2:])}}
}

var rsaKey = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })

// NewRSA makes a guest with an RSA key.
func NewRSA(algorithm string) *Guest {
	key := rsaKey()
	return &Guest{key, map[string]string{"kty": "RSA", "alg": algorithm, "n": encode(key.N.Bytes()),
		"e": encode(big.NewInt(int64(key.E)).Bytes())}}
}

// ReportData is what a guest asks its evidence for, by a version of the protocol. It is written as the
// text that RFC 8785 gives for these members.
func (g *Guest) ReportData(version, nonce string) []byte {
	text := `{"nonce":` + quote(nonce) + `,"tee-pubkey":` + string(must(json.Marshal(g.JWK))) + `}`
	if version >= "0.4" {
		text = `{"additional-evidence":"",` + text[1:]
	}
	sum := sha512.Sum384([]byte(text))
	return sum[:]
}

func quote(s string) string { return string(must(json.Marshal(s))) }

// Auth is the first message.
func Auth(version, tee string) []byte {
	return must(json.Marshal(map[string]any{"version": version, "tee": tee, "extra-params": map[string]any{
		"supported-hash-algorithms": []string{"sha256", "sha384", "sha512"}}}))
}

// Attest is the message with the evidence. Init data may be nil.
func (g *Guest) Attest(version, nonce string, evidence any, initData *string) []byte {
	if version < "0.4" {
		return must(json.Marshal(map[string]any{"tee-pubkey": g.JWK, "tee-evidence": evidence}))
	}
	var init any
	if initData != nil {
		init = map[string]any{"format": "toml", "body": *initData}
	}
	return must(json.Marshal(map[string]any{
		"init-data": init, "runtime-data": map[string]any{"nonce": nonce, "tee-pubkey": g.JWK},
		"tee-evidence": map[string]any{"primary_evidence": evidence, "additional_evidence": ""},
	}))
}

// Open opens a message as stock guests do: what is authenticated is not the header that they
// received, but the one that they write again.
func (g *Guest) Open(message []byte) ([]byte, error) {
	var in map[string]string
	if err := json.Unmarshal(message, &in); err != nil {
		return nil, err
	}
	protected, err := base64.RawURLEncoding.DecodeString(in["protected"])
	if err != nil {
		return nil, err
	}
	var header map[string]any
	if err := json.Unmarshal(protected, &header); err != nil {
		return nil, err
	}
	again := must(json.Marshal(header)) // alg, enc, epk; and its members, sorted
	if !bytes.Equal(again, protected) {
		return nil, fmt.Errorf("the header %s, which guests write as %s", protected, again)
	}
	jwe, err := jose.ParseEncryptedJSON(string(message),
		[]jose.KeyAlgorithm{jose.RSA_OAEP, jose.RSA_OAEP_256, jose.ECDH_ES_A256KW},
		[]jose.ContentEncryption{jose.A256GCM})
	if err != nil {
		return nil, err
	}
	return jwe.Decrypt(g.Key)
}

func octets(b []byte) []int {
	list := make([]int, len(b))
	for i, c := range b {
		list[i] = int(c)
	}
	return list
}

// chain is a certificate table in the names of the guest's library.
func chain(certificates []byte) []any {
	var list []any
	for name := "VCEK"; ; name = map[string]string{"VCEK": "ASK", "ASK": "ARK"}[name] {
		var block *pem.Block
		if block, certificates = pem.Decode(certificates); block == nil {
			break
		}
		list = append(list, map[string]any{"cert_type": name, "data": octets(block.Bytes)})
	}
	return append(list, map[string]any{
		"cert_type": map[string]any{"OTHER": "00000000-0000-0000-0000-000000000001"}, "data": []int{1}})
}

// SNP is the evidence of a guest on SEV-SNP around a report; certificates in PEM, VCEK first, may be nil.
// Old makes the form of the library before its version 6.
func SNP(report, certificates []byte, old bool) map[string]any {
	le := binary.LittleEndian
	turin := report[0x188] == 0x1a
	tcb := func(at int) any {
		b := report[at : at+8]
		switch {
		case old:
			return map[string]any{"bootloader": b[0], "tee": b[1], "_reserved": octets(b[2:6]), "snp": b[6],
				"microcode": b[7]}
		case turin:
			return map[string]any{"fmc": b[0], "bootloader": b[1], "tee": b[2], "snp": b[3], "microcode": b[7]}
		}
		return map[string]any{"fmc": nil, "bootloader": b[0], "tee": b[1], "snp": b[6], "microcode": b[7]}
	}
	r := map[string]any{
		"version": le.Uint32(report), "guest_svn": le.Uint32(report[4:]), "policy": le.Uint64(report[8:]),
		"family_id": octets(report[0x10:0x20]), "image_id": octets(report[0x20:0x30]),
		"vmpl": le.Uint32(report[0x30:]), "sig_algo": le.Uint32(report[0x34:]), "current_tcb": tcb(0x38),
		"plat_info": le.Uint64(report[0x40:]), "report_data": octets(report[0x50:0x90]),
		"measurement": octets(report[0x90:0xc0]), "host_data": octets(report[0xc0:0xe0]),
		"id_key_digest": octets(report[0xe0:0x110]), "author_key_digest": octets(report[0x110:0x140]),
		"report_id": octets(report[0x140:0x160]), "report_id_ma": octets(report[0x160:0x180]),
		"reported_tcb": tcb(0x180), "chip_id": octets(report[0x1a0:0x1e0]), "committed_tcb": tcb(0x1e0),
		"launch_tcb": tcb(0x1f0),
	}
	signature := map[string]any{"r": octets(report[0x2a0:0x2e8]), "s": octets(report[0x2e8:0x330])}
	if old {
		r["_author_key_en"], r["_reserved_0"] = le.Uint32(report[0x48:]), 0
		r["_reserved_1"], r["_reserved_2"], r["_reserved_3"] = octets(report[0x188:0x1a0]), 0, 0
		r["_reserved_4"] = octets(report[0x1f8:0x2a0])
		for i, name := range []string{"build", "minor", "major"} {
			r["current_"+name], r["committed_"+name] = report[0x1e8+i], report[0x1ec+i]
		}
		signature["_reserved"] = octets(report[0x330:])
	} else {
		version := func(at int) any {
			return map[string]any{"major": report[at+2], "minor": report[at+1], "build": report[at]}
		}
		r["key_info"], r["current"], r["committed"] = le.Uint32(report[0x48:]), version(0x1e8), version(0x1ec)
		for i, name := range []string{"cpuid_fam_id", "cpuid_mod_id", "cpuid_step"} {
			r[name] = report[0x188+i]
		}
		r["launch_mit_vector"], r["current_mit_vector"] = nil, nil
		if le.Uint32(report) >= 5 {
			r["launch_mit_vector"], r["current_mit_vector"] = le.Uint64(report[0x1f8:]),
				le.Uint64(report[0x200:])
		}
	}
	r["signature"] = signature
	e := map[string]any{"attestation_report": r, "cert_chain": nil}
	if certificates != nil {
		e["cert_chain"] = chain(certificates)
	}
	return e
}

// TDX is the evidence of a guest on TDX. The log may be nil.
func TDX(quote, log []byte) map[string]any {
	e := map[string]any{"quote": base64.StdEncoding.EncodeToString(quote), "cc_eventlog": nil}
	if log != nil {
		e["cc_eventlog"] = base64.StdEncoding.EncodeToString(log)
	}
	return e
}

func registers(pcrs [24][32]byte) (list []string) {
	for _, p := range pcrs {
		list = append(list, hex.EncodeToString(p[:]))
	}
	return list
}

// Azure is the evidence of an Azure guest, of version 2. The report is that of its paravisor; hardware is
// vcek (DER) or td_quote.
func Azure(m *evidencetest.TPM, pcrs [24][32]byte, reportData, report []byte, name string,
	hardware []byte) map[string]any {
	message := m.Quote(pcrs, 0xffffff, reportData)
	return map[string]any{
		"version": 2, "hcl_report": base64.URLEncoding.EncodeToString(report),
		name: base64.URLEncoding.EncodeToString(hardware),
		"tpm_quote": map[string]any{"signature": hex.EncodeToString(m.RawSign(message)),
			"message": hex.EncodeToString(message), "pcrs": registers(pcrs)},
	}
}

// UserData is how the paravisor's runtime data contain the report data.
func UserData(reportData []byte) func(map[string]any) {
	return func(runtime map[string]any) {
		runtime["user-data"] = fmt.Sprintf("%X", append(bytes.Clone(reportData), make([]byte,
			64-len(reportData))...))
	}
}

// TPM is the evidence of a machine with a TPM.
func TPM(m *evidencetest.TPM, pcrs [24][32]byte, reportData []byte, spki []byte) map[string]any {
	message := m.Quote(pcrs, 0xffffff, reportData[:32])
	std := base64.StdEncoding.EncodeToString
	return map[string]any{"ak_public": std(spki), "tpm_quote": map[string]any{
		"signature": std(m.Sign(message)), "message": std(message), "pcrs": registers(pcrs)}}
}
