package tpm

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/claims"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/eventlog"
	"github.com/probity-dev/probity/evidence/internal/statement"
)

// state writes the claims. In the token: what the evidence binds and the key that
// it attests. For policies besides: the boot, in plain claims and as JSON.
func (v *Verifier) state(result *evidence.Result, p *Proof, q *Quote, now, boot *eventlog.Proof) error {
	s, known := statement.List{}, statement.List{}
	s.Set.Grow(32)
	s.Text("x-ms-attestation-type", "tpm")
	d := &p.Request.data
	if d.RelyingPartyData != "" {
		s.Text("rp_data", d.RelyingPartyData)
	}
	if d.RequestKey != nil {
		key, err := policyKey(*d.RequestKey)
		if err != nil {
			return err
		}
		s.Add("x-ms-tpm-request-key", claims.JSONValue(string(key)))
		s.Add("cnf", claims.JSONValue(`{"jwk":`+string(d.RequestKey.JWK)+`}`))
	}
	if len(d.OtherKeys) > 0 {
		others := make([]string, 0, len(d.OtherKeys))
		for _, k := range d.OtherKeys {
			key, err := policyKey(k)
			if err != nil {
				return err
			}
			others = append(others, string(key))
		}
		known.Text("x-ms-tpm-other-keys", "["+strings.Join(others, ",")+"]")
	}
	known.Boolean("aikValidated", p.keys.validated)
	known.Text("aikPubHash", base64.StdEncoding.EncodeToString(p.keys.akHash[:]))
	if p.keys.enrolledTo != "" {
		known.Text("x-probity-tpm-ek", p.keys.enrolledTo)
	}
	known.Integer("tpmVersion", 2)
	for name, value := range map[string]bool{
		"secureBootEnabled": p.Boot.SecureBoot, "iommuEnabled": p.Boot.IOMMU,
		"bootDebuggingDisabled": p.Boot.BootDebuggingOff,
		"notSafeMode":           p.Boot.NotSafeMode, "notWinPE": p.Boot.NotWinPE, "vbsEnabled": p.Boot.VBS,
		"vbsReportPresent": p.Request.Enclave, "vsmReportPresent": p.Request.Enclave,
	} {
		known.Boolean(name, value)
	}
	if !p.asked.NoEvents {
		known.Text("events", now.JSON())
		if boot != nil {
			known.Text("bootEvents", boot.JSON())
		}
	}
	if !p.asked.NoPCRs {
		known.Add("pcrs", claims.StringValue(eventlog.PCRs(v.accepted(q.Banks))).ReadOnly())
	}
	for _, i := range now.Explained {
		known.Integer("x-probity-tpm-explained-pcr", int64(i))
	}
	if p.Boot.WhyNotSecureBoot != "" {
		known.Text("x-probity-boot-not-secure", p.Boot.WhyNotSecureBoot)
	}
	if line := p.Boot.KernelCommandLine; line != "" {
		known.Text("x-probity-boot-kernel-command-line", line)
	}
	known.Integer("x-probity-tpm-reset-count", int64(p.Quote.Clock.ResetCount))
	known.Integer("x-probity-tpm-restart-count", int64(p.Quote.Clock.RestartCount))
	known.Integer("x-probity-tpm-clock", int64(min(p.Quote.Clock.Milliseconds, 1<<53)))
	known.Text("x-probity-tpm-firmware", fmt.Sprintf("%016x", p.Quote.Firmware))
	for _, c := range d.CustomClaims {
		value, err := c.value()
		if err != nil {
			return result.FailErr(CheckFormat, "custom claims of the types string, integer and boolean", err)
		}
		known.Set.Add(claims.Claim{Type: v.cfg.CustomPrefix + c.Name, Value: value, Issuer: claims.CustomClaim})
	}
	result.Claims, result.Aliases = s.Set, known.Set
	return nil
}

// value reads the text of a custom claim by its type.
func (c CustomClaim) value() (claims.Value, error) {
	switch strings.ToLower(c.Type) {
	case "", "string":
		return claims.StringValue(c.Value), nil
	case "integer", "int":
		n, err := strconv.ParseInt(c.Value, 10, 64)
		if err != nil {
			return claims.Value{}, fmt.Errorf("custom claim %s: %q is not an integer", c.Name, c.Value)
		}
		return claims.IntegerValue(n), nil
	case "boolean", "bool":
		b, err := strconv.ParseBool(c.Value)
		if err != nil {
			return claims.Value{}, fmt.Errorf("custom claim %s: %q is not a boolean", c.Name, c.Value)
		}
		return claims.BooleanValue(b), nil
	}
	return claims.Value{}, fmt.Errorf("custom claim %s: value_type %q", c.Name, c.Type)
}

// policyKey writes a key as policies read it: the JWK as it was sent, and what is
// proven about where it lives.
func policyKey(k keyJSON) ([]byte, error) {
	type certify struct {
		NameAlgorithm uint16 `json:"name_alg"`
		Attributes    uint32 `json:"obj_attr"`
		AuthPolicy    string `json:"auth_policy,omitzero"`
	}
	type quote struct {
		Hash string `json:"hash_alg"`
	}
	var out struct {
		JWK  jsontext.Value `json:"jwk"`
		Info struct {
			Quote   *quote   `json:"tpm_quote,omitzero"`
			Certify *certify `json:"tpm_certify,omitzero"`
		} `json:"info"`
	}
	out.JWK = k.JWK
	if k.Info.Quote != nil {
		out.Info.Quote = &quote{k.Info.Quote.Hash}
	}
	if k.Info.Certify != nil {
		public, err := ParsePublic(k.Info.Certify.Public)
		if err != nil {
			return nil, err // it was parsed before
		}
		out.Info.Certify = &certify{
			uint16(public.NameAlgorithm),
			uint32(public.Attributes),
			base64.RawURLEncoding.EncodeToString(public.AuthPolicy),
		}
	}
	return json.Marshal(out)
}
