package agent

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"os"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Logs are the files that the kernel shows. Those that are not there are left out,
// unless they were named.
type Logs struct {
	// TCG is the log of measured boot, IMA the list of measured files.
	TCG, IMA string
}

// The kernel's own files.
const (
	defaultTCG  = "/sys/kernel/security/tpm0/binary_bios_measurements"
	defaultIMA  = "/sys/kernel/security/ima/binary_runtime_measurements"
	defaultCCEL = "/sys/firmware/acpi/tables/data/CCEL"
)

// log is a log as the protocol carries it.
type log struct {
	Type string `json:"type"`
	Log  string `json:"log"`
}

func (l Logs) read() ([]log, error) {
	list := []log{} // an array, even if nothing is there
	for _, file := range []struct {
		typ, path, standard string
	}{{"TCG", l.TCG, defaultTCG}, {"IMA", l.IMA, defaultIMA}} {
		path := file.path
		if path == "" {
			path = file.standard
		}
		b, err := os.ReadFile(path)
		if err != nil && (file.path != "" || !errors.Is(err, os.ErrNotExist) && !errors.Is(err, os.ErrPermission)) {
			return nil, err
		}
		if len(b) > 0 {
			list = append(list, log{file.typ, encode(b)})
		}
	}
	return list, nil
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// Challenge is what a service asks a TPM to answer.
type Challenge struct {
	Challenge []byte
	// Context is the service's own state, to be brought back.
	Context string
	// RelyingPartyData, if not empty, comes back in the token as rp_data.
	RelyingPartyData []byte
}

// Evidence answers a challenge: the client's second message of the protocol. The
// quote binds a key that is made for this answer alone and goes with it.
func (m *TPM) Evidence(c Challenge, logs Logs) ([]byte, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	jwk, err := (&jose.JSONWebKey{Key: key.Public()}).MarshalJSON()
	if err != nil {
		return nil, err
	}
	bound := sha256.Sum256(append(append(append([]byte{}, jwk...), 0), c.Challenge...))
	attestation, err := m.attest(bound[:], logs)
	if err != nil {
		return nil, err
	}
	data := map[string]any{
		"challenge":       encode(c.Challenge),
		"service_context": c.Context, "tpm_att_data": map[string]any{"current_attestation": attestation},
		"request_key": map[string]any{
			"jwk":  jsontext.Value(jwk),
			"info": map[string]any{"tpm_quote": map[string]any{"hash_alg": "sha-256"}},
		},
	}
	if len(c.RelyingPartyData) > 0 {
		data["rp_data"] = encode(c.RelyingPartyData)
	}
	payload, err := json.Marshal(map[string]any{"att_type": "basic", "att_data": data})
	if err != nil {
		return nil, err
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.PS256, Key: key},
		(&jose.SignerOptions{}).WithType("attReqV2"))
	if err != nil {
		return nil, err
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		return nil, err
	}
	compact, err := jws.CompactSerialize()
	if err != nil {
		return nil, err
	}
	return json.Marshal(map[string]any{"payload": map[string]any{"request": compact}})
}

// attest quotes and reads the logs. IMA measures all the time: the list is read
// after the quote, which then covers a beginning of it.
func (m *TPM) attest(qualifying []byte, logs Logs) (map[string]any, error) {
	q, signature, err := m.quote(m.pcrMask, qualifying)
	if err != nil {
		return nil, err
	}
	list, err := logs.read()
	if err != nil {
		return nil, fmt.Errorf("logs: %w", err)
	}
	values := []any{}
	for i, value := range q.Banks[0].Values {
		if value != nil {
			values = append(values, map[string]any{"index": i, "digest": encode(value)})
		}
	}
	ak, err := (&jose.JSONWebKey{Key: m.ak.parsed.Key}).MarshalJSON()
	if err != nil {
		return nil, err
	}
	return map[string]any{
		"logs":      list,
		"aik_pub":   jsontext.Value(ak),
		"quote":     encode(q.Attested),
		"signature": encode(signature),
		"pcrs":      []any{map[string]any{"algorithm": 11, "values": values}},
	}, nil
}
