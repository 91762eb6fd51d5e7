package azureguest

import (
	"crypto"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/evidence/eventlog"
	"github.com/probity-dev/probity/evidence/tpm"
	"github.com/probity-dev/probity/strict/base64text"
	"github.com/probity-dev/probity/strict/bounds"
)

// Info is the object that Azure's guests send as AttestationInfo, taken apart;
// nothing of it is verified.
type Info struct {
	Version                   string
	OSType, OSDistro, OSBuild string
	OSMajor, OSMinor          int64
	Log                       []byte
	// ClientPayload is a JSON object as it was sent, or empty. Nothing binds it.
	ClientPayload jsontext.Value
	// AKCert is DER, and may be empty; AK is the attestation key's public area.
	AKCert []byte
	AK     *tpm.Public
	Quote  *tpm.Quote
	// Key is the ephemeral key that the answer is sealed to, with its
	// certification; nil if none was sent.
	Key *tpm.Certification
	// Isolation is TrustedLaunch, SevSnp or Tdx; Proof and Runtime are the hardware
	// evidence and what it binds.
	Isolation      string
	Proof, Runtime []byte
}

// The kinds of isolation.
const (
	TrustedLaunch = "TrustedLaunch"
	SEVSNP        = "SevSnp"
	TDX           = "Tdx"
)

type infoJSON struct {
	Version   string           `json:"AttestationProtocolVersion"`
	OSType    base64text.Bytes `json:"OSType"`
	OSDistro  base64text.Bytes `json:"OSDistro"`
	OSBuild   base64text.Bytes `json:"OSBuild"`
	OSMajor   jsontext.Value   `json:"OSVersionMajor"`
	OSMinor   jsontext.Value   `json:"OSVersionMinor"`
	Log       base64text.Bytes `json:"TcgLogs"`
	Payload   jsontext.Value   `json:"ClientPayload"`
	TPM       *tpmJSON         `json:"TpmInfo"`
	Isolation struct {
		Type     string `json:"Type"`
		Evidence struct {
			Proof   base64text.Bytes `json:"Proof"`
			Runtime base64text.Bytes `json:"RunTimeData"`
		} `json:"Evidence"`
	} `json:"IsolationInfo"`
}

type tpmJSON struct {
	AKCert        base64text.Bytes `json:"AikCert"`
	AKPub         base64text.Bytes `json:"AikPub"`
	Quote         base64text.Bytes `json:"PcrQuote"`
	Signature     base64text.Bytes `json:"PcrSignature"`
	Key           base64text.Bytes `json:"EncKeyPub"`
	Certification base64text.Bytes `json:"EncKeyCertifyInfo"`
	CertifiedBy   base64text.Bytes `json:"EncKeyCertifyInfoSignature"`
	Set           []int            `json:"PcrSet"`
	PCRs          []struct {
		Index  int              `json:"Index"`
		Digest base64text.Bytes `json:"Digest"`
	} `json:"PCRs"`
}

// maxPayload bounds the client's own data in bytes: they are echoed in the token.
const maxPayload = 64 << 10

// ParseInfo reads the object. Clients write base64 in either alphabet, and numbers
// as numbers or as text.
func ParseInfo(raw []byte) (*Info, error) {
	var in infoJSON
	if err := json.Unmarshal(raw, &in, json.MatchCaseInsensitiveNames(true)); err != nil {
		return nil, fmt.Errorf("JSON: %w", err)
	}
	if in.Version != "2.0" {
		return nil, fmt.Errorf("AttestationProtocolVersion %q, want 2.0", in.Version)
	}
	if in.TPM == nil {
		return nil, errors.New("no TpmInfo")
	}
	i := &Info{
		Version: in.Version, OSType: string(in.OSType), OSDistro: string(in.OSDistro),
		OSBuild: string(in.OSBuild), Log: in.Log,
		AKCert: in.TPM.AKCert, Isolation: in.Isolation.Type,
		Proof: in.Isolation.Evidence.Proof, Runtime: in.Isolation.Evidence.Runtime,
	}
	var err error
	if i.OSMajor, err = number(in.OSMajor); err != nil {
		return nil, fmt.Errorf("OSVersionMajor: %w", err)
	}
	if i.OSMinor, err = number(in.OSMinor); err != nil {
		return nil, fmt.Errorf("OSVersionMinor: %w", err)
	}
	if i.ClientPayload, err = payload(in.Payload); err != nil {
		return nil, err
	}
	switch hardware := len(i.Proof) > 0 && len(i.Runtime) > 0; {
	case i.Isolation != TrustedLaunch && i.Isolation != SEVSNP && i.Isolation != TDX:
		return nil, fmt.Errorf("IsolationInfo.Type %q, want TrustedLaunch, SevSnp or Tdx", i.Isolation)
	case i.Isolation == TrustedLaunch && len(i.Proof)+len(i.Runtime) > 0:
		return nil, errors.New("IsolationInfo.Evidence with TrustedLaunch, which has none")
	case i.Isolation != TrustedLaunch && !hardware:
		return nil, fmt.Errorf("IsolationInfo.Evidence without Proof or RunTimeData, which %s has", i.Isolation)
	}
	return i, i.tpm(in.TPM)
}

// number reads a number or its text; absence is 0.
func number(v jsontext.Value) (int64, error) {
	text := strings.Trim(string(v), `"`)
	if text == "" || text == "null" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%.40s is not a number", text)
	}
	return n, nil
}

func payload(v jsontext.Value) (jsontext.Value, error) {
	switch {
	case v.Kind() == 0 || v.Kind() == 'n':
		return nil, nil
	case v.Kind() != '{' || len(v) > maxPayload:
		return nil, fmt.Errorf("ClientPayload is not an object of at most %d bytes", maxPayload)
	}
	if err := bounds.Nesting(v); err != nil {
		return nil, fmt.Errorf("ClientPayload: %w", err)
	}
	return v, nil
}

// tpm reads the structures of the TPM.
func (i *Info) tpm(in *tpmJSON) (err error) {
	if i.AK, err = tpm.ParseSizedPublic(in.AKPub); err != nil {
		return fmt.Errorf("AikPub: %w", err)
	}
	bank := eventlog.Bank{Algorithm: eventlog.SHA256}
	var mask uint32
	for _, n := range in.Set {
		if n < 0 || n >= eventlog.Registers {
			return fmt.Errorf("PcrSet: register %d", n)
		}
		mask |= 1 << n
	}
	for _, p := range in.PCRs {
		if p.Index < 0 || p.Index >= eventlog.Registers || bank.Values[p.Index] != nil ||
			len(p.Digest) == 0 || mask&(1<<p.Index) == 0 {
			return fmt.Errorf("PCRs: register %d is listed twice, has no digest, or is not in PcrSet",
				p.Index)
		}
		bank.Values[p.Index] = p.Digest
	}
	i.Quote = &tpm.Quote{
		Attested:  in.Quote,
		Signature: tpm.RawRSASSA(in.Signature),
		Banks:     []eventlog.Bank{bank},
	}
	if len(in.Key) == 0 {
		return nil
	}
	i.Key = &tpm.Certification{Attested: in.Certification, Signature: tpm.RawRSASSA(in.CertifiedBy)}
	if i.Key.Public, err = tpm.ParseSizedPublic(in.Key); err != nil {
		return fmt.Errorf("EncKeyPub: %w", err)
	}
	return nil
}

// runtimeJSON is what a paravisor says about its TPM and of the machine.
type runtimeJSON struct {
	Keys []jsontext.Value `json:"keys"`
	VM   struct {
		ID string `json:"vmUniqueId"`
	} `json:"vm-configuration"`
}

// akName is the key id of the attestation key in the runtime data.
const akName = "HCLAkPub"

// parseRuntime returns the attestation key and the machine's id in the runtime
// data.
func parseRuntime(raw []byte) (ak crypto.PublicKey, vm string, err error) {
	var in runtimeJSON
	if err := json.Unmarshal(raw, &in); err != nil {
		return nil, "", fmt.Errorf("runtime data: %w", err)
	}
	for _, key := range in.Keys {
		var id struct {
			ID string `json:"kid"`
		}
		if err := json.Unmarshal(key, &id); err != nil {
			return nil, "", fmt.Errorf("runtime data: %w", err)
		}
		if id.ID != akName {
			continue
		}
		if ak != nil {
			return nil, "", errors.New("runtime data: two keys " + akName)
		}
		if ak, err = tpm.ParseJWK(key); err != nil {
			return nil, "", fmt.Errorf("runtime data: %s: %w", akName, err)
		}
	}
	if ak == nil {
		return nil, "", errors.New("runtime data: no key " + akName)
	}
	return ak, in.VM.ID, nil
}
