package kbs

import (
	"bytes"
	"crypto/rsa"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/pem"
	"fmt"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/azureguest"
	"github.com/probity-dev/probity/evidence/snp"
	"github.com/probity-dev/probity/evidence/tpm"
	"github.com/probity-dev/probity/strict/base64text"
	"github.com/probity-dev/probity/strict/pubkey"
)

// registers are those of the SHA-256 bank that guests quote, all of them, and launchRegister is the one that
// they extend with the digest of their init data.
const registers, launchRegister, digestSize = 24, 8, 32

// quoted are the parts of a quote.
type quoted struct {
	message, signature []byte
	pcrs               [][]byte
}

type quoteJSON struct {
	Signature string   `json:"signature"`
	Message   string   `json:"message"`
	PCRs      []string `json:"pcrs"`
}

func (a *Attestation) quote(in *quoteJSON, decode func(string) ([]byte, error)) (*quoted, error) {
	if in == nil {
		return nil, a.malformed("no member tpm_quote; evidence of older guest components is not read")
	}
	q := &quoted{}
	var err error
	if q.message, err = a.decode("tpm_quote.message", in.Message, decode); err != nil {
		return nil, err
	}
	if q.signature, err = a.decode("tpm_quote.signature", in.Signature, decode); err != nil {
		return nil, err
	}
	if len(in.PCRs) != registers {
		return nil, a.malformed(fmt.Sprintf("%d registers, not %d", len(in.PCRs), registers))
	}
	for i, text := range in.PCRs {
		b, err := hexText(text)
		if err != nil || len(b) != digestSize {
			return nil, a.malformed(fmt.Sprintf("register %d is not %d bytes of hex", i, digestSize))
		}
		q.pcrs = append(q.pcrs, b)
	}
	return q, nil
}

// azure reads the evidence of an Azure guest, and writes it as the object that Azure's own clients send.
func (a *Attestation) azure() (*Evidence, error) {
	var in struct {
		Version int        `json:"version"`
		Quote   *quoteJSON `json:"tpm_quote"`
		Report  string     `json:"hcl_report"`
		VCEK    string     `json:"vcek"`
		TDQuote string     `json:"td_quote"`
	}
	if err := object(CheckEvidence, a.Primary, maxAttestation, &in); err != nil {
		return nil, err
	}
	if in.Version != 1 && in.Version != 2 {
		return nil, a.malformed(fmt.Sprintf("version %d, not 1 or 2", in.Version))
	}
	q, err := a.quote(in.Quote, hexText)
	if err != nil {
		return nil, err
	}
	decode := func(text string) ([]byte, error) { return base64text.Decode([]byte(text)) }
	report, err := a.decode("hcl_report", in.Report, decode)
	if err != nil {
		return nil, err
	}
	hcl, err := azureguest.ParseHCL(report)
	if err != nil {
		return nil, a.malformed("hcl_report: " + err.Error())
	}
	ak, err := a.paravisor(hcl.Runtime, in.Version)
	if err != nil {
		return nil, err
	}
	isolation, proof := azureguest.SEVSNP, []byte(nil)
	if a.TEE == AzTDXvTPM {
		isolation = azureguest.TDX
		proof, err = a.tdQuote(in.TDQuote, decode)
	} else {
		proof, err = a.vcek(hcl, in.VCEK, decode)
	}
	if err != nil {
		return nil, err
	}
	raw, err := info(isolation, proof, hcl.Runtime, ak, q)
	return &Evidence{Kind: evidence.AzureGuest, Raw: raw, launch: q.pcrs[launchRegister], extended: true}, err
}

func (a *Attestation) tdQuote(text string, decode func(string) ([]byte, error)) ([]byte, error) {
	b, err := a.decode("td_quote", text, decode)
	if err != nil {
		return nil, err
	}
	_, err = a.trustDomain("td_quote", b)
	return b, err
}

// vcek puts the report of the hardware and the chip's certificate into one.
func (a *Attestation) vcek(hcl *azureguest.HCL, text string, decode func(string) ([]byte, error)) ([]byte,
	error) {
	if hcl.Type != azureguest.ReportSNP {
		return nil, a.malformed("hcl_report has no SEV-SNP report")
	}
	der, err := a.decode("vcek", text, decode)
	if err != nil {
		return nil, err
	}
	return (&snp.Framed{
		Report:       hcl.Hardware,
		Certificates: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
	}).Marshal()
}

// paravisor reads what the paravisor says: the attestation key of its TPM, and the user data, which from
// version 2 of the evidence on are the report data.
func (a *Attestation) paravisor(runtime []byte, version int) (*rsa.PublicKey, error) {
	var in struct {
		Keys []jsontext.Value `json:"keys"`
		User string           `json:"user-data"`
	}
	if json.Unmarshal(runtime, &in) != nil {
		return nil, a.malformed("hcl_report: the runtime data are not a JSON object")
	}
	if version >= 2 {
		want, err := a.ReportData()
		if err != nil {
			return nil, err
		}
		if found, err := hex.DecodeString(in.User); err != nil || !prefixed(found, want) {
			return nil, refuse(CheckUserData, fmt.Sprintf("%x and zeros", want), fmt.Sprintf("%.130s", in.User))
		}
	}
	for _, text := range in.Keys {
		var id struct {
			ID string `json:"kid"`
		}
		if json.Unmarshal(text, &id) != nil || id.ID != "HCLAkPub" {
			continue
		}
		key, err := tpm.ParseJWK(text)
		if ak, ok := key.(*rsa.PublicKey); err == nil && ok {
			return ak, nil
		}
	}
	return nil, a.malformed("hcl_report: the runtime data have no RSA key HCLAkPub")
}

// akAttributes are those of the attestation key that Azure's paravisor makes: fixedTPM, fixedParent,
// sensitiveDataOrigin, userWithAuth, noDA, restricted, sign (TPM 2.0 part 2, section 8.3).
const akAttributes = 0x00050472

// publicArea is the public area of the paravisor's attestation key (TPM2B_PUBLIC), which guests do not
// send. The paravisor makes it by one template: RSA, RSASSA with SHA-256, no policy. The quote names its
// signer by the hash of this area, which the verifier compares: with another template the evidence is
// refused.
func publicArea(ak *rsa.PublicKey) []byte {
	u16 := binary.BigEndian.AppendUint16
	const rsaKey, sha256, null, rsassa = 0x0001, 0x000b, 0x0010, 0x0014
	b := u16(u16(nil, rsaKey), sha256)
	b = u16(binary.BigEndian.AppendUint32(b, akAttributes), 0)
	b = u16(u16(u16(u16(b, null), rsassa), sha256), uint16(ak.N.BitLen()))
	exponent := uint32(ak.E)
	if exponent == 65537 {
		exponent = 0 // how a TPM writes it
	}
	b = binary.BigEndian.AppendUint32(b, exponent)
	b = append(u16(b, uint16(len(ak.N.Bytes()))), ak.N.Bytes()...)
	return append(u16(nil, uint16(len(b))), b...)
}

// info writes the object AttestationInfo. It says nothing of the system, which nothing binds.
func info(isolation string, proof, runtime []byte, ak *rsa.PublicKey, q *quoted) ([]byte, error) {
	encode := base64.RawURLEncoding.EncodeToString
	var set []int
	var pcrs []map[string]any
	for i, value := range q.pcrs {
		set = append(set, i)
		pcrs = append(pcrs, map[string]any{"Index": i, "Digest": encode(value)})
	}
	return json.Marshal(map[string]any{
		"AttestationProtocolVersion": "2.0",
		"TpmInfo": map[string]any{
			"AikPub": encode(publicArea(ak)), "PcrQuote": encode(q.message),
			"PcrSignature": encode(q.signature),
			"PcrSet":       set, "PCRs": pcrs,
		},
		"IsolationInfo": map[string]any{"Type": isolation, "Evidence": map[string]any{
			"Proof": encode(proof), "RunTimeData": encode(runtime),
		}},
	}, json.Deterministic(true))
}

// tpm reads a quote of a TPM with the key that signed it, and writes them as evidence of Azure's TPM protocol
// without a request key.
func (a *Attestation) tpm() (*Evidence, error) {
	var in struct {
		Quote *quoteJSON `json:"tpm_quote"`
		AK    string     `json:"ak_public"`
	}
	if err := object(CheckEvidence, a.Primary, maxAttestation, &in); err != nil {
		return nil, err
	}
	q, err := a.quote(in.Quote, base64.StdEncoding.DecodeString)
	if err != nil {
		return nil, err
	}
	der, err := a.decode("ak_public", in.AK, base64.StdEncoding.DecodeString)
	if err != nil {
		return nil, err
	}
	key, err := pubkey.Parse(der)
	if err != nil {
		return nil, a.malformed("ak_public: " + err.Error())
	}
	jwk, err := (&jose.JSONWebKey{Key: key}).MarshalJSON()
	if err != nil {
		return nil, a.malformed("ak_public is not an RSA or EC key")
	}
	encode := base64.RawURLEncoding.EncodeToString
	var values []map[string]any
	for i, value := range q.pcrs {
		values = append(values, map[string]any{"index": i, "digest": encode(value)})
	}
	const sha256 = 0x000b
	raw, err := json.Marshal(map[string]any{"current_attestation": map[string]any{
		"logs": []any{}, "aik_pub": jsontext.Value(bytes.TrimSpace(jwk)),
		"quote": encode(q.message), "signature": encode(q.signature),
		"pcrs": []any{map[string]any{"algorithm": sha256, "values": values}},
	}}, json.Deterministic(true))
	return &Evidence{Kind: evidence.TPM, Raw: raw, launch: q.pcrs[launchRegister], extended: true}, err
}
