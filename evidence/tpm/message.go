package tpm

import (
	"bytes"
	"crypto"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"fmt"
	"math/big"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/evidence/eventlog"
	"github.com/probity-dev/probity/strict/base64text"
	"github.com/probity-dev/probity/strict/bounds"
	"github.com/probity-dev/probity/strict/jws"
)

// The forms of the evidence object: what its members are called is Azure
// Attestation's TPM protocol, version 2.
type message struct {
	Payload jsontext.Value `json:"payload"`
	Request string         `json:"request"`
	// Current and Boot are here in evidence without a request key.
	Current *attestationJSON `json:"current_attestation"`
	Boot    *attestationJSON `json:"boot_attestation"`
}

type requestJSON struct {
	Type string         `json:"att_type"`
	Data jsontext.Value `json:"att_data"`
}

type vbsJSON struct {
	Signed jsontext.Value `json:"report_signed"`
	Report jsontext.Value `json:"vsm_report"`
}

type evidenceJSON struct {
	RelyingParty     string           `json:"rp_id"`
	RelyingPartyData string           `json:"rp_data"`
	Challenge        base64text.Bytes `json:"challenge"`
	Context          jsontext.Value   `json:"service_context"`
	CustomClaims     []CustomClaim    `json:"custom_claims"`
	TPM              *tpmJSON         `json:"tpm_att_data"`
	RequestKey       *keyJSON         `json:"request_key"`
	OtherKeys        []keyJSON        `json:"other_keys"`
}

type tpmJSON struct {
	Current *attestationJSON `json:"current_attestation"`
	Boot    *attestationJSON `json:"boot_attestation"`
}

type attestationJSON struct {
	Logs      []logJSON        `json:"logs"`
	AKCert    base64text.Bytes `json:"aik_cert"`
	AKPub     jsontext.Value   `json:"aik_pub"`
	PCRs      []bankJSON       `json:"pcrs"`
	Quote     base64text.Bytes `json:"quote"`
	Signature base64text.Bytes `json:"signature"`
}

type logJSON struct {
	Type string           `json:"type"`
	Log  base64text.Bytes `json:"log"`
}

type bankJSON struct {
	Algorithm uint16 `json:"algorithm"`
	Values    []struct {
		Index  int              `json:"index"`
		Digest base64text.Bytes `json:"digest"`
	} `json:"values"`
}

type keyJSON struct {
	JWK  jsontext.Value `json:"jwk"`
	Info struct {
		Quote *struct {
			Hash string `json:"hash_alg"`
		} `json:"tpm_quote"`
		Certify *struct {
			Public        base64text.Bytes `json:"public"`
			Certification base64text.Bytes `json:"certification"`
			Signature     base64text.Bytes `json:"signature"`
		} `json:"tpm_certify"`
	} `json:"info"`
}

// CustomClaim is a claim that the client makes; it is not verified.
type CustomClaim struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	Type  string `json:"value_type"`
}

// Bounds of what a message contains.
const (
	maxLogs         = 8
	maxOtherKeys    = 2
	maxCustomClaims = 32
	maxText         = 4096
	// maxJWK bounds a key in bytes: it is echoed, with what the sender added to it.
	maxJWK = 16 << 10
)

// Request is a message taken apart; nothing of it is verified.
type Request struct {
	// Enclave says that the report of a VBS enclave came along, over the bytes of
	// Signed.
	Enclave bool
	Signed  []byte
	Report  jsontext.Value
	// Challenge is what the evidence says that it is fresh for, Context the
	// service's own state.
	Challenge []byte
	Context   string

	jws  *jose.JSONWebSignature
	typ  string
	data evidenceJSON
}

// errRequest says in which version a request is.
var errRequest = errors.New("version 1 of the protocol (attReq), whose claims are in the platform's own " +
	"form; send version 2 (attReqV2)")

// ParseRequest reads evidence in one of its forms: the client's second message of
// the protocol ({"request":"JWS"}, with or without the member payload around it),
// or the logs and quotes alone ({"current_attestation":…}).
func ParseRequest(raw []byte) (*Request, error) {
	m, err := parseMessage(raw)
	if err != nil {
		return nil, err
	}
	if m.Request == "" {
		if m.Current == nil {
			return nil, errors.New("neither a request nor a current_attestation")
		}
		return &Request{data: evidenceJSON{TPM: &tpmJSON{m.Current, m.Boot}}}, nil
	}
	r := &Request{}
	if r.jws, err = jws.Parse(m.Request, []jose.SignatureAlgorithm{jose.PS256}); err != nil {
		return nil, fmt.Errorf("the request is not a compact JWS by PS256: %w", err)
	}
	r.typ, _ = r.jws.Signatures[0].Header.ExtraHeaders[jose.HeaderType].(string)
	if r.typ == "attReq" {
		return nil, errRequest
	}
	return r, r.read(r.jws.UnsafePayloadWithoutVerification())
}

func parseMessage(raw []byte) (*message, error) {
	var m message
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, fmt.Errorf("JSON: %w", err)
	}
	if len(m.Payload) > 0 {
		inner := m.Payload
		m = message{}
		if err := json.Unmarshal(inner, &m); err != nil {
			return nil, fmt.Errorf("JSON: payload: %w", err)
		}
	}
	return &m, nil
}

// read takes the payload of the JWS apart.
func (r *Request) read(payload []byte) error {
	var outer requestJSON
	if err := json.Unmarshal(payload, &outer); err != nil {
		return fmt.Errorf("the request's payload: %w", err)
	}
	data := []byte(outer.Data)
	switch outer.Type {
	case "basic":
	case "vbs", "vsm":
		var vbs vbsJSON
		if err := json.Unmarshal(data, &vbs); err != nil {
			return fmt.Errorf("att_data: %w", err)
		}
		r.Enclave, r.Signed, r.Report = true, vbs.Signed, vbs.Report
		data = vbs.Signed
	default:
		return fmt.Errorf("att_type %q, want basic or vbs", outer.Type)
	}
	if err := json.Unmarshal(data, &r.data); err != nil {
		return fmt.Errorf("att_data: %w", err)
	}
	r.Challenge = r.data.Challenge
	if len(r.data.Context) > 0 {
		if err := json.Unmarshal(r.data.Context, &r.Context); err != nil {
			return errors.New("service_context is not a string")
		}
	}
	return r.bounds()
}

func (r *Request) bounds() error {
	d := &r.data
	switch {
	case d.TPM == nil || d.TPM.Current == nil:
		return errors.New("no tpm_att_data.current_attestation")
	case len(d.Challenge) == 0:
		return errors.New("no challenge")
	case d.RequestKey == nil:
		return errors.New("no request_key")
	case len(d.OtherKeys) > maxOtherKeys:
		return fmt.Errorf("%d other keys, at most %d", len(d.OtherKeys), maxOtherKeys)
	case len(d.CustomClaims) > maxCustomClaims:
		return fmt.Errorf("%d custom claims, at most %d", len(d.CustomClaims), maxCustomClaims)
	case len(d.RelyingPartyData) > maxText || len(d.RelyingParty) > maxText:
		return fmt.Errorf("rp_id or rp_data of more than %d bytes", maxText)
	}
	for _, k := range append(d.OtherKeys[:len(d.OtherKeys):len(d.OtherKeys)], *d.RequestKey) {
		if len(k.JWK) > maxJWK {
			return fmt.Errorf("a key (jwk) of %d bytes, at most %d", len(k.JWK), maxJWK)
		}
		if err := bounds.Nesting(k.JWK); err != nil {
			return fmt.Errorf("a key (jwk): %w", err)
		}
	}
	for _, c := range d.CustomClaims {
		if c.Name == "" || len(c.Name)+len(c.Value) > maxText {
			return fmt.Errorf("a custom claim without a name or of more than %d bytes", maxText)
		}
	}
	return nil
}

// QuoteBytes returns the quote as it was sent (TPMS_ATTEST).
func (r *Request) QuoteBytes() []byte { return r.data.TPM.Current.Quote }

// quote returns the quote in the form that is verified.
func (a *attestationJSON) quote() (*Quote, error) {
	q := &Quote{Attested: a.Quote}
	var err error
	if q.Signature, err = ParseSignature(a.Signature); err != nil {
		return nil, fmt.Errorf("signature: %w", err)
	}
	if len(a.PCRs) > 8 {
		return nil, fmt.Errorf("%d banks", len(a.PCRs))
	}
	for _, sent := range a.PCRs {
		bank := eventlog.Bank{Algorithm: eventlog.Algorithm(sent.Algorithm)}
		for _, v := range sent.Values {
			if v.Index < 0 || v.Index >= eventlog.Registers || bank.Values[v.Index] != nil || len(v.Digest) == 0 {
				return nil,
					fmt.Errorf("PCR %d: the index is repeated or not below %d, or the digest is missing",
						v.Index, eventlog.Registers)
			}
			bank.Values[v.Index] = v.Digest
		}
		q.Banks = append(q.Banks, bank)
	}
	return q, nil
}

func (a *attestationJSON) logs() ([]eventlog.Sent, error) {
	if len(a.Logs) > maxLogs {
		return nil, fmt.Errorf("%d logs, at most %d", len(a.Logs), maxLogs)
	}
	var list []eventlog.Sent
	for i, l := range a.Logs {
		if l.Type != "TCG" && l.Type != "IMA" {
			return nil, fmt.Errorf("log %d of type %q, want TCG or IMA", i+1, l.Type)
		}
		list = append(list, eventlog.Sent{IMA: l.Type == "IMA", Data: l.Log})
	}
	return list, nil
}

// ParseJWK reads a public key (RFC 7517): RSA, or EC on P-256, P-384 or P-521.
func ParseJWK(raw []byte) (crypto.PublicKey, error) {
	var in struct {
		Type  string           `json:"kty"`
		Curve string           `json:"crv"`
		N     base64text.Bytes `json:"n"`
		E     base64text.Bytes `json:"e"`
		X     base64text.Bytes `json:"x"`
		Y     base64text.Bytes `json:"y"`
		D     string           `json:"d"`
	}
	if err := json.Unmarshal(raw, &in); err != nil {
		return nil, fmt.Errorf("JWK: %w", err)
	}
	if in.D != "" {
		return nil, errors.New("JWK: a private key")
	}
	switch in.Type {
	case "RSA":
		if len(in.E) > 4 || len(in.E) == 0 || len(in.N) > 1024 {
			return nil, errors.New("JWK: no RSA key of usual size")
		}
		key := &rsa.PublicKey{N: new(big.Int).SetBytes(in.N), E: int(new(big.Int).SetBytes(in.E).Int64())}
		return key, checkKey(key)
	case "EC":
		curve := map[string]elliptic.Curve{
			"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521(),
		}[in.Curve]
		return point(curve, bytes.TrimLeft(in.X, "\x00"), bytes.TrimLeft(in.Y, "\x00"))
	}
	return nil, fmt.Errorf("JWK: key type %q, want RSA or EC", in.Type)
}
