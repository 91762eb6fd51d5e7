package agent

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-tpm/tpm2"

	"github.com/probity-dev/probity/evidence/azureguest"
	"github.com/probity-dev/probity/evidence/eventlog"
	"github.com/probity-dev/probity/strict/base64text"
)

// Handles and indices of the TPM of an Azure guest.
const (
	azureAK     = tpm2.TPMHandle(0x81000003)
	azureAKCert = tpm2.TPMHandle(0x01c101d0)
	azureHCL    = tpm2.TPMHandle(0x01400001)
	azureMask   = 0xff // PCR 0 to 7
)

// Azure is the TPM of an Azure guest, which the platform provisioned.
type Azure struct {
	// Host is where the platform answers for hardware evidence; empty means its own
	// address, which no packet leaves the machine to reach.
	Host string
	// Client asks the platform. Nil means one that uses no proxy: the environment of the
	// agent must not lead evidence through another machine.
	Client *http.Client

	m *TPM
}

// platformClient reaches an address on the machine's own link, without the proxies of
// the environment and without following redirects.
var platformClient = &http.Client{
	Transport:     &http.Transport{},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// maxAnswer bounds an answer of the platform, in bytes.
const maxAnswer = 256 << 10

// azureHost is the platform's metadata service.
const azureHost = "http://169.254.169.254"

// OpenAzure opens the TPM of an Azure guest.
func OpenAzure(address string) (*Azure, error) {
	t, err := openTransport(address)
	if err != nil {
		return nil, err
	}
	m := &TPM{t: t, pcrMask: azureMask}
	kept, err := tpm2.ReadPublic{ObjectHandle: azureAK}.Execute(t)
	if err == nil {
		m.ak, err = newKey(azureAK, kept.Name, kept.OutPublic, false)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("no attestation key at %#x, as Azure's guests have: %w",
			uint32(azureAK), err), t.Close())
	}
	return &Azure{m: m}, nil
}

// Close closes the device.
func (a *Azure) Close() error { return a.m.Close() }

// ephemeralTemplate is the key that Azure's clients let answers be sealed to: it can
// be used while the registers of its policy have their values, and no longer.
func ephemeralTemplate(policy []byte) tpm2.TPMTPublic {
	return tpm2.TPMTPublic{Type: tpm2.TPMAlgRSA, NameAlg: tpm2.TPMAlgSHA256,
		ObjectAttributes: tpm2.TPMAObject{
			FixedTPM: true, FixedParent: true, SensitiveDataOrigin: true, NoDA: true, Decrypt: true,
		},
		AuthPolicy: tpm2.TPM2BDigest{Buffer: policy},
		Parameters: tpm2.NewTPMUPublicParms(tpm2.TPMAlgRSA, &tpm2.TPMSRSAParms{KeyBits: 2048})}
}

// ephemeral makes the key. In the null hierarchy it is the same until the next
// boot.
func (a *Azure) ephemeral(bank eventlog.Bank) (*key, error) {
	var all []byte
	for _, value := range bank.Values {
		all = append(all, value...)
	}
	b := binary.BigEndian.AppendUint32(make([]byte, 32), 0x17f) // TPM2_PolicyPCR
	b = append(b, tpm2.Marshal(selection(a.m.pcrMask))...)
	policy := eventlog.SHA256.Sum(nil, eventlog.SHA256.Sum(b, all))
	made, err := tpm2.CreatePrimary{
		PrimaryHandle: tpm2.TPMRHNull,
		InPublic:      tpm2.New2B(ephemeralTemplate(policy)),
	}.Execute(a.m.t)
	if err != nil {
		return nil, err
	}
	return newKey(made.ObjectHandle, made.Name, made.OutPublic, true)
}

// Info collects what Azure's guests send as AttestationInfo. Payload, if not empty,
// is a JSON object that comes back in the token.
func (a *Azure) Info(ctx context.Context, logs Logs, payload []byte) ([]byte, error) {
	q, _, err := a.m.quote(a.m.pcrMask, nil)
	if err != nil {
		return nil, err
	}
	k, err := a.ephemeral(q.Banks[0])
	if err != nil {
		return nil, fmt.Errorf("ephemeral key: %w", err)
	}
	defer func() { _, _ = tpm2.FlushContext{FlushHandle: k.handle}.Execute(a.m.t) }()
	certified, err := tpm2.Certify{
		ObjectHandle: k.auth(),
		SignHandle:   a.m.ak.auth(),
		InScheme:     tpm2.TPMTSigScheme{Scheme: tpm2.TPMAlgNull},
	}.Execute(a.m.t)
	if err != nil {
		return nil, fmt.Errorf("certification: %w", err)
	}
	signature, err := certified.Signature.Signature.RSASSA()
	if err != nil {
		return nil, fmt.Errorf("certification: %w", err)
	}
	isolation, err := a.isolation(ctx)
	if err != nil {
		return nil, err
	}
	std := base64.StdEncoding.EncodeToString
	sized := func(b []byte) string {
		return std(append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...))
	}
	var set, pcrs []any
	for i, value := range q.Banks[0].Values {
		if value != nil {
			set, pcrs = append(set, i), append(pcrs, map[string]any{"Index": i, "Digest": std(value)})
		}
	}
	t := map[string]any{
		"AikPub": sized(a.m.ak.public), "PcrQuote": std(q.Attested),
		"PcrSignature": std(q.Signature.RSA), "EncKeyPub": sized(k.public),
		"EncKeyCertifyInfo":          std(certified.CertifyInfo.Bytes()),
		"EncKeyCertifyInfoSignature": std(signature.Sig.Buffer), "PcrSet": set, "PCRs": pcrs,
	}
	if cert, err := a.m.readIndex(azureAKCert); err == nil {
		t["AikCert"] = std(bytes.TrimRight(cert, "\x00"))
	}
	info := map[string]any{
		"AttestationProtocolVersion": "2.0",
		"TpmInfo":                    t,
		"IsolationInfo":              isolation,
		"OSType":                     std([]byte("Linux")),
	}
	for name, value := range release() {
		info[name] = value
	}
	log, err := logs.read()
	if err != nil {
		return nil, fmt.Errorf("logs: %w", err)
	}
	info["TcgLogs"] = ""
	for _, l := range log {
		if l.Type == "TCG" {
			info["TcgLogs"] = l.Log
		}
	}
	if len(payload) > 0 {
		info["ClientPayload"] = jsontext.Value(payload)
	}
	return json.Marshal(info)
}

// release reads what the system calls itself.
func release() map[string]any {
	std := base64.StdEncoding.EncodeToString
	name, version := "Linux", ""
	b, _ := os.ReadFile("/etc/os-release") // absence is no reason not to attest
	for line := range strings.Lines(string(b)) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), "NAME="); ok {
			name = strings.Trim(value, `"`)
		}
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), "VERSION_ID="); ok {
			version = strings.Trim(value, `"`)
		}
	}
	major, minor, _ := strings.Cut(version, ".")
	digits := func(text string) string {
		for _, c := range text {
			if c < '0' || c > '9' {
				return "0"
			}
		}
		if text == "" {
			return "0"
		}
		return text
	}
	return map[string]any{
		"OSDistro":       std([]byte(name)),
		"OSBuild":        std([]byte("NotApplication")),
		"OSVersionMajor": digits(major),
		"OSVersionMinor": digits(minor),
	}
}

// isolation collects the hardware's evidence, if the machine is confidential: the
// paravisor's report, and what the platform endorses it with.
func (a *Azure) isolation(ctx context.Context) (map[string]any, error) {
	launch := map[string]any{"Type": azureguest.TrustedLaunch}
	raw, err := a.m.readIndex(azureHCL)
	if err != nil {
		return launch, nil
	}
	h, err := azureguest.ParseHCL(raw)
	if err != nil {
		return nil, err
	}
	var proof []byte
	typ := azureguest.SEVSNP
	switch h.Type {
	case azureguest.ReportTrustedVM, azureguest.ReportVBS:
		return launch, nil
	case azureguest.ReportSNP:
		proof, err = a.snp(ctx, h.Hardware)
	case azureguest.ReportTDX:
		typ = azureguest.TDX
		proof, err = a.tdx(ctx, h.Hardware)
	default:
		return nil, fmt.Errorf("the paravisor's report is of type %d, which is not known", h.Type)
	}
	if err != nil {
		return nil, fmt.Errorf("the platform's endorsement: %w", err)
	}
	std := base64.StdEncoding.EncodeToString
	return map[string]any{
		"Type": typ, "Evidence": map[string]any{"Proof": std(proof), "RunTimeData": std(h.Runtime)},
	}, nil
}

func (a *Azure) snp(ctx context.Context, report []byte) ([]byte, error) {
	b, err := a.ask(ctx, http.MethodGet, "/metadata/THIM/amd/certification", nil)
	if err != nil {
		return nil, err
	}
	var certs struct {
		VCEK  string `json:"vcekCert"`
		Chain string `json:"certificateChain"`
	}
	if err := json.Unmarshal(b, &certs); err != nil {
		return nil, err
	}
	return json.Marshal(map[string]string{
		"SnpReport":     encode(report),
		"VcekCertChain": base64.StdEncoding.EncodeToString([]byte(certs.VCEK + certs.Chain)),
	})
}

func (a *Azure) tdx(ctx context.Context, report []byte) ([]byte, error) {
	b, err := json.Marshal(map[string]string{"report": encode(report)})
	if err != nil {
		return nil, err
	}
	if b, err = a.ask(ctx, http.MethodPost, "/acc/tdquote", b); err != nil {
		return nil, err
	}
	var out struct {
		Quote string `json:"quote"`
	}
	if err := json.Unmarshal(b, &out); err != nil {
		return nil, err
	}
	return base64text.Decode([]byte(out.Quote))
}

// ask asks the platform.
func (a *Azure) ask(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	host := a.Host
	if host == "" {
		host = azureHost
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, host+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Metadata", "true")
	req.Header.Set("Content-Type", "application/json")
	client := a.Client
	if client == nil {
		client = platformClient
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, err
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("%s answered %s", path, resp.Status)
	case len(b) > maxAnswer:
		return nil, fmt.Errorf("%s answered with more than %d bytes", path, maxAnswer)
	}
	return b, nil
}

// Open opens the sealed answer with the TPM, in the state that was attested.
func (a *Azure) Open(sealed []byte) (string, error) {
	var in azureguest.Sealed
	if err := json.Unmarshal(sealed, &in); err != nil {
		return "", fmt.Errorf("the answer is not sealed: %w", err)
	}
	var parts [4][]byte
	for i, text := range []string{in.InnerKey, in.JWT, in.Tag, in.Params.IV} {
		b, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return "", errors.New("the sealed answer is not base64")
		}
		parts[i] = b
	}
	key, err := a.decrypt(parts[0], tpm2.TPMTRSADecrypt{Scheme: tpm2.TPMAlgRSAES})
	if err != nil {
		return "", err
	}
	defer clear(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		return "", err
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil || len(parts[3]) != gcm.NonceSize() {
		return "", errors.New("the sealed answer has an unknown form")
	}
	plain, err := gcm.Open(nil, parts[3], append(parts[1], parts[2]...), []byte("Transport Key"))
	return string(plain), err
}
