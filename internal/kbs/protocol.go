// Package kbs speaks the protocol of the key broker service of Confidential Containers (KBS, in its words
// request, challenge, attestation, response), so that stock guests get their secrets: the messages, the
// evidence of each kind of guest, and the answer that only the attested guest can open.
//
// Start with [ParseRequest] and [ParseAttestation]. [Attestation.Evidence] puts evidence into the form that
// the verifiers read; [Attestation.Challenge] is what it must have been made for, which binds the guest's
// key. [ParseRecipient] reads that key, and [Recipient.Encrypt] encrypts to it (RFC 7516).
//
// Versions 0.2 and 0.4 of the protocol are read. Versions before 0.2 encrypt with RSAES-PKCS1-v1_5, and
// not as RFC 7516 says; 0.3 was never in a release. Nothing here verifies evidence, decides about it or
// knows of HTTP.
package kbs

import (
	"crypto/sha512"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/strict/bounds"
	"github.com/probity-dev/probity/wording/jsonerror"
	"github.com/probity-dev/probity/wording/phrase"
)

// TEE is a kind of guest, as the protocol names it.
type TEE string

// The kinds of guests that are attested.
const (
	SNP       TEE = "snp"
	TDX       TEE = "tdx"
	AzSNPvTPM TEE = "az-snp-vtpm"
	AzTDXvTPM TEE = "az-tdx-vtpm"
	TPM       TEE = "tpm"
)

// TEEs lists the kinds of guests that are attested.
func TEEs() []TEE { return []TEE{SNP, TDX, AzSNPvTPM, AzTDXvTPM, TPM} }

// spellings are other names of kinds. The library of the stock clients writes names without dashes.
var spellings = map[string]TEE{"azsnpvtpm": AzSNPvTPM, "aztdxvtpm": AzTDXvTPM}

func parseTEE(name string) (TEE, bool) {
	if t, ok := spellings[name]; ok {
		return t, true
	}
	return TEE(name), slices.Contains(TEEs(), TEE(name))
}

func teeNames() string {
	var names []string
	for _, t := range TEEs() {
		names = append(names, string(t))
	}
	return strings.Join(names, ", ")
}

// Refused says why a message is refused: which check failed, what was expected and what was found.
type Refused struct{ evidence.Check }

// Error names the check and both.
func (r *Refused) Error() string { return r.ID + ": " + r.Found + "; expected " + r.Expected }

// Is reports whether target is the definition of the check that failed.
func (r *Refused) Is(target error) bool {
	d, ok := target.(*evidence.Definition)
	return ok && d.ID == r.ID
}

func refuse(check *evidence.Definition, expected, found string) error {
	return &Refused{check.Failed(expected, found)}
}

// The checks of the protocol, in the order in which they are made.
var (
	checks evidence.Checks

	CheckRequest = checks.Define("kbs.request",
		"the first message is a JSON object with version and tee",
		`send {"version": "0.4.0", "tee": "snp", "extra-params": {}}`)
	CheckVersion = checks.Define("kbs.version",
		"the guest speaks version 0.2 or 0.4 of the protocol",
		"update the guest components of the image; versions before 0.2 encrypt with RSAES-PKCS1-v1_5")
	CheckTEE = checks.Define("kbs.tee",
		"the guest is of a kind that this service verifies",
		"run the guest on one of the kinds listed; the kinds sample and sample-device prove nothing")
	CheckSession = checks.Define("kbs.session",
		"the cookie kbs-session-id is one that this service gave, at this provider, a few minutes ago",
		"begin again with POST /kbs/v0/auth, and keep the cookie")
	CheckMessage = checks.Define("kbs.attestation",
		"the message of the attestation has the members that its version of the protocol names",
		"compare the message with the version that the session began with")
	CheckNonce = checks.Define("kbs.nonce",
		"the nonce is the one of the session's challenge",
		"begin again with POST /kbs/v0/auth, and attest with the nonce of its answer")
	CheckKey = checks.Define("kbs.tee-pubkey",
		"the guest's key is RSA of 2048 to 4096 bits for RSA-OAEP-256 or RSA-OAEP, or EC on P-256, P-384 or "+
			"P-521 for ECDH-ES+A256KW",
		"let the guest make another key; RSA1_5 is not accepted")
	CheckDevices = checks.Define("kbs.additional-evidence",
		"there is no evidence of devices, which this service does not verify",
		"attest without the attesters of devices")
	CheckEvidence = checks.Define("kbs.evidence",
		"the evidence is in the form in which the guest components write it for its kind",
		"send the evidence as the attestation agent makes it, of the kind that the session began with")
	CheckUserData = checks.Define("kbs.user-data",
		"in evidence of version 2 of Azure's guests the user data of the paravisor are the report data",
		"let the attestation agent make the evidence for the nonce of the session")
	CheckInitData = checks.Define("kbs.init-data",
		"the digest of the init data, if they were sent, is the one that the guest was launched with",
		"send the init data that the host gave the guest, to the byte, or none")
	CheckUsed = checks.Define("kbs.nonce.used",
		"a challenge is answered once",
		"begin again with POST /kbs/v0/auth")
	CheckAnonymous = checks.Define("kbs.enabled",
		"the provider releases keys to attested guests that have no other credential",
		"let the owner of the provider set vault.anonymousRelease in its settings")
)

// Catalogue lists the checks of the protocol.
func Catalogue() []*evidence.Definition { return checks.All() }

// Request is the first message of a guest.
type Request struct {
	// Version is the minor version of the protocol 0.x: 2 or 4.
	Version int
	TEE     TEE
}

// version has the major version 0; its patches differ in nothing that is read here.
var version = regexp.MustCompile(`^0\.([24])\.[0-9]{1,3}$`)

// maxRequest bounds the first message, in bytes.
const maxRequest = 16 << 10

// ParseRequest reads the first message. The error is a *[Refused].
func ParseRequest(body []byte) (*Request, error) {
	var in struct {
		Version string         `json:"version"`
		TEE     string         `json:"tee"`
		Params  jsontext.Value `json:"extra-params"`
	}
	if err := object(CheckRequest, body, maxRequest, &in); err != nil {
		return nil, err
	}
	v := version.FindStringSubmatch(in.Version)
	if v == nil {
		return nil, refuse(CheckVersion, "version 0.2.x or 0.4.x", fmt.Sprintf("%.40q", in.Version))
	}
	tee, ok := parseTEE(in.TEE)
	if !ok {
		return nil, refuse(CheckTEE, "one of "+teeNames(), fmt.Sprintf("%.40q", in.TEE))
	}
	return &Request{Version: int(v[1][0] - '0'), TEE: tee}, nil
}

// object reads a JSON object of bounded size and nesting.
func object(check *evidence.Definition, text []byte, most int, v any) error {
	if len(text) > most {
		return refuse(check, fmt.Sprintf("at most %d bytes", most), fmt.Sprintf("%d bytes", len(text)))
	}
	if err := bounds.Nesting(text); err != nil {
		return refuse(check, "a JSON object that is not nested deeply", err.Error())
	}
	if kind := jsontext.Value(text).Kind(); kind != '{' {
		return refuse(check, "a JSON object", "another value")
	}
	if err := json.Unmarshal(text, v); err != nil {
		return refuse(check, "a JSON object as the protocol has it", jsonerror.Text(err))
	}
	return nil
}

// Attestation is the message with which a guest answers the challenge.
type Attestation struct {
	Request
	Nonce string
	// Key is the guest's public key as canonical JSON, see [ParseRecipient].
	Key jsontext.Value
	// InitData is the text that the guest says it was launched with; HasInitData tells it from none.
	InitData    string
	HasInitData bool
	// Primary is the evidence of the guest.
	Primary jsontext.Value
	// devices is the evidence of devices as it was sent, a JSON text.
	devices string
}

// maxInitData bounds the init data with their quotes, maxAttestation the message, in bytes.
const maxInitData, maxAttestation = 1 << 20, 4 << 20

// ParseAttestation reads the message of a guest whose first one was r, and which was given the nonce. The
// error is a *[Refused].
func ParseAttestation(r Request, body []byte, nonce string) (*Attestation, error) {
	var in struct {
		InitData jsontext.Value `json:"init-data"`
		Runtime  *struct {
			Nonce string         `json:"nonce"`
			Key   jsontext.Value `json:"tee-pubkey"`
		} `json:"runtime-data"`
		// Key is here before version 0.4, and the nonce is that of the session.
		Key      jsontext.Value `json:"tee-pubkey"`
		Evidence jsontext.Value `json:"tee-evidence"`
	}
	if err := object(CheckMessage, body, maxAttestation, &in); err != nil {
		return nil, err
	}
	// Before version 0.4 the message has no nonce: the evidence was made for it, or is refused.
	a := &Attestation{Request: r, Nonce: nonce, Key: in.Key, Primary: in.Evidence}
	switch {
	case r.Version >= 4 && (in.Runtime == nil || in.Key != nil):
		return nil, refuse(CheckMessage, "runtime-data with nonce and tee-pubkey",
			"another form of the message")
	case r.Version < 4 && (in.Runtime != nil || in.InitData != nil):
		return nil, refuse(CheckMessage, "tee-pubkey and tee-evidence alone before version 0.4",
			"members of version 0.4")
	case r.Version >= 4:
		a.Nonce, a.Key = in.Runtime.Nonce, in.Runtime.Key
	}
	if a.Nonce != nonce {
		return nil, refuse(CheckNonce, fmt.Sprintf("the nonce %q", nonce), fmt.Sprintf("%.200q", a.Nonce))
	}
	if err := a.readInitData(in.InitData); err != nil {
		return nil, err
	}
	if r.Version >= 4 {
		var both struct {
			Primary jsontext.Value `json:"primary_evidence"`
			Devices string         `json:"additional_evidence"`
		}
		if err := object(CheckMessage, in.Evidence, maxAttestation, &both); err != nil {
			return nil, err
		}
		a.Primary, a.devices = both.Primary, both.Devices
	}
	if err := a.noDevices(); err != nil {
		return nil, err
	}
	to, err := ParseRecipient(a.Key)
	if err != nil {
		return nil, err
	}
	a.Key = to.JWK
	return a, nil
}

// noDevices refuses evidence of devices.
func (a *Attestation) noDevices() error {
	if a.devices == "" {
		return nil
	}
	var list map[string]jsontext.Value
	if err := object(CheckDevices, []byte(a.devices), maxAttestation, &list); err != nil {
		return err
	}
	if len(list) > 0 {
		return refuse(CheckDevices, "no evidence of devices", phrase.Plural(len(list), "device"))
	}
	return nil
}

func (a *Attestation) readInitData(v jsontext.Value) error {
	if v == nil || v.Kind() == 'n' {
		return nil
	}
	var in struct {
		Format string  `json:"format"`
		Body   *string `json:"body"`
	}
	if err := object(CheckInitData, v, maxInitData, &in); err != nil {
		return err
	}
	if in.Body == nil || in.Format != "toml" && in.Format != "json" {
		return refuse(CheckInitData, "format toml or json, and body", fmt.Sprintf("format %.40q", in.Format))
	}
	a.InitData, a.HasInitData = *in.Body, true
	return nil
}

// ReportData is what the evidence must have been made for: the SHA-384 of the runtime data as canonical
// JSON (RFC 8785). They are the nonce and the key, and from version 0.4 on the text of the devices' evidence.
func (a *Attestation) ReportData() ([]byte, error) {
	data := map[string]any{"nonce": a.Nonce, "tee-pubkey": a.Key}
	if a.Version >= 4 {
		data["additional-evidence"] = a.devices
	}
	b, err := json.Marshal(data)
	if err != nil {
		return nil, fmt.Errorf("kbs: runtime data: %w", err)
	}
	v := jsontext.Value(b)
	if err := v.Canonicalize(); err != nil {
		return nil, fmt.Errorf("kbs: runtime data: %w", err)
	}
	sum := sha512.Sum384(v)
	return sum[:], nil
}

// tpmReportData is how much of the report data a quote of the kind tpm has, in bytes.
const tpmReportData = 32

// Challenge is the report data in the length that the kind of guest binds.
func (a *Attestation) Challenge() ([]byte, error) {
	b, err := a.ReportData()
	if a.TEE == TPM {
		b = b[:min(len(b), tpmReportData)]
	}
	return b, err
}
