package cli

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/evidence/dcap"
	"github.com/probity-dev/probity/evidence/openenclave"
	"github.com/probity-dev/probity/internal/plainerror"
	"github.com/probity-dev/probity/policy"
	"github.com/probity-dev/probity/token"
)

// inspect tries one form after the other, the most telling ones first.
func inspect(b []byte) fields {
	for _, try := range []func([]byte) fields{
		inspectEncoded, inspectToken, inspectPEM, inspectBoot, inspectHCL, inspectSNP, inspectJSON, inspectPolicy, inspectQuote, inspectEndorsements, inspectFramed, inspectDER,
		inspectUVM, inspectNitro, inspectCCA, inspectLog, inspectIMA, inspectForm,
	} {
		if found := try(b); found != nil {
			return found
		}
	}
	return nil
}

func inspectToken(b []byte) fields {
	header, payload, err := token.Decode(string(b))
	if err != nil {
		return nil
	}
	f := fields{{"what", "JSON Web Token (not verified)"}, {"header", header}}
	if payload != nil {
		f.add("payload", payload)
	}
	var times struct {
		Expires int64 `json:"exp"`
	}
	if json.Unmarshal(payload, &times) == nil && times.Expires != 0 {
		f.add("expires", time.Unix(times.Expires, 0).UTC().Format(time.RFC3339))
	}
	return f
}

func inspectPEM(b []byte) fields {
	if !bytes.HasPrefix(bytes.TrimSpace(b), []byte("-----BEGIN ")) {
		return nil // quotes hold PEM text too
	}
	var certs []fields
	for rest := b; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		one := inspectDER(block.Bytes)
		if one == nil {
			one = fields{{"what", "PEM block of type " + block.Type}}
		}
		certs = append(certs, one)
	}
	switch len(certs) {
	case 0:
		return nil
	case 1:
		return certs[0]
	}
	return fields{{"what", fmt.Sprintf("PEM file with %d blocks", len(certs))}, {"block", certs}}
}

func inspectDER(b []byte) fields {
	if cert, err := x509.ParseCertificate(b); err == nil {
		return certificateFields(cert)
	}
	crl, err := x509.ParseRevocationList(b)
	if err != nil {
		return nil
	}
	return fields{{"what", "certificate revocation list"}, {"issuer", crl.Issuer.String()},
		{"thisUpdate", stamp(crl.ThisUpdate)}, {"nextUpdate", stamp(crl.NextUpdate)}, {"revoked", len(crl.RevokedCertificateEntries)}}
}

func certificateFields(cert *x509.Certificate) fields {
	f := fields{{"what", "X.509 certificate"}, {"subject", cert.Subject.String()}, {"issuer", cert.Issuer.String()},
		{"serial", cert.SerialNumber.Text(16)}, {"notBefore", stamp(cert.NotBefore)}, {"notAfter", stamp(cert.NotAfter)},
		{"publicKey", cert.PublicKeyAlgorithm.String()}, {"sha256", hexSum(cert.Raw)}}
	if pck, err := dcap.InspectPCK(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})); err == nil {
		f.add("pck", pckFields(pck))
	}
	if framed, err := openenclave.Parse(cert.Raw); err == nil {
		f.add("evidence", inspectQuote(framed.Quote))
	}
	return f
}

func pckFields(p *dcap.PCK) fields {
	f := fields{{"fmspc", hex.EncodeToString(p.FMSPC[:])}, {"pceid", hex.EncodeToString(p.PCEID[:])}, {"ppid", hex.EncodeToString(p.PPID[:])},
		{"tcbComponents", fmt.Sprint(p.Components)}, {"pcesvn", p.PCESVN}, {"cpusvn", hex.EncodeToString(p.CPUSVN[:])}}
	if p.Platform != nil {
		f.add("dynamicPlatform", p.Platform.DynamicPlatform)
		f.add("cachedKeys", p.Platform.CachedKeys)
		f.add("smtEnabled", p.Platform.SMTEnabled)
	}
	return f
}

func inspectJSON(b []byte) fields {
	text := jsontext.Value(bytes.Trim(b, " \t\r\n\x00"))
	if !text.IsValid() || text.Kind() != '{' {
		return nil
	}
	for member, what := range map[string]string{"tcbInfo": "Intel TCB info", "enclaveIdentity": "Intel enclave identity"} {
		if signed, _, err := collateral.ParseResponse(text, member); err == nil {
			return fields{{"what", what + " (signature not verified)"}, {member, jsontext.Value(signed)}}
		}
	}
	if bundle, err := collateral.ParseBundle(text); err == nil {
		return append(fields{{"what", fmt.Sprintf("collateral bundle with %d pieces (signatures not verified)", bundle.Len())}}, bundleFields(bundle)...)
	}
	if set, err := collateral.ParseSet(text); err == nil {
		return setFields("Intel collateral set", set)
	}
	var keys token.KeySet
	if err := json.Unmarshal(text, &keys); err == nil && len(keys.Keys) > 0 {
		f := fields{{"what", fmt.Sprintf("JSON Web Key Set with %d keys", len(keys.Keys))}}
		for _, k := range keys.Keys {
			f.add(k.KeyID, k.Algorithm)
		}
		return f
	}
	return fields{{"what", "JSON document"}, {"content", text}}
}

func setFields(what string, set *collateral.Intel) fields {
	f := fields{{"what", what + " (signatures not verified)"}}
	if about, err := set.About(); err == nil {
		f.add("tee", string(about.TEE))
		f.add("fmspc", hex.EncodeToString(about.FMSPC[:]))
		f.add("ca", about.CA)
		f.add("evaluationDataNumber", about.EvaluationNumber)
		f.add("issued", stamp(about.Issued))
		f.add("nextUpdate", stamp(about.NextUpdate))
	}
	for _, crl := range []struct {
		name string
		der  []byte
	}{{"rootCRL", set.RootCRL}, {"pckCRL", set.PCKCRL}} {
		if found := inspectDER(crl.der); found != nil {
			f.add(crl.name, found)
		}
	}
	return f
}

func inspectPolicy(b []byte) fields {
	text := strings.TrimSpace(string(b))
	if !strings.HasPrefix(text, "version") {
		return nil
	}
	p, err := policy.Parse(string(b))
	if err != nil {
		return fields{{"what", "attestation policy that does not parse"}, {"error", plainerror.Text(err)}}
	}
	f := fields{{"what", fmt.Sprintf("attestation policy, version %d.%d", p.Version.Major, p.Version.Minor)}, {"hash", policy.Hash(p.Text)}}
	for _, s := range p.Sections {
		f.add(s.Name, fmt.Sprintf("%d rules", len(s.Rules)))
	}
	return f
}

func inspectQuote(b []byte) fields {
	q, err := dcap.ParseQuote(b)
	if err != nil {
		return nil
	}
	tee := "SGX"
	if q.TEEType == dcap.TEETypeTDX {
		tee = "TDX"
	}
	f := fields{{"what", fmt.Sprintf("%s quote, version %d (not verified)", tee, q.Version)}, {"bytes", len(q.Raw)}, {"sha256", hexSum(q.Raw)}}
	if report, err := dcap.ParseReport(q.Body); err == nil {
		f.add("enclave", reportFields(report))
	} else if td, err := dcap.ParseTDReport(q.Body); err == nil {
		f.add("trustDomain", tdFields(td))
	}
	if qe, err := dcap.ParseReport(q.QEReport); err == nil {
		f.add("quotingEnclave", reportFields(qe))
	}
	f.add("certificationDataType", q.CertificationType)
	if pck, err := dcap.InspectPCK(q.CertificationData); err == nil {
		f.add("pck", pckFields(pck))
	}
	return f
}

func reportFields(r *dcap.Report) fields {
	f := fields{{"mrenclave", hex.EncodeToString(r.MREnclave[:])}, {"mrsigner", hex.EncodeToString(r.MRSigner[:])},
		{"productId", r.ISVProdID}, {"svn", r.ISVSVN}, {"debuggable", r.Debug()}, {"attributes", hex.EncodeToString(r.Attributes[:])},
		{"reportData", hex.EncodeToString(r.ReportData[:])}, {"cpusvn", hex.EncodeToString(r.CPUSVN[:])}}
	if r.KSS() {
		f.add("configId", hex.EncodeToString(r.ConfigID[:]))
		f.add("configSvn", r.ConfigSVN)
		f.add("extendedProductId", hex.EncodeToString(r.ISVExtProdID[:]))
		f.add("familyId", hex.EncodeToString(r.ISVFamilyID[:]))
	}
	return f
}

func tdFields(r *dcap.TDReport) fields {
	f := fields{{"mrtd", hex.EncodeToString(r.MRTD[:])}}
	for i, register := range r.RTMR {
		f.add(fmt.Sprintf("rtmr%d", i), hex.EncodeToString(register[:]))
	}
	f = append(f, fields{{"debuggable", r.Debug()}, {"tdAttributes", hex.EncodeToString(r.TDAttributes[:])}, {"xfam", hex.EncodeToString(r.XFAM[:])},
		{"mrconfigid", hex.EncodeToString(r.MRConfigID[:])}, {"mrowner", hex.EncodeToString(r.MROwner[:])},
		{"mrownerconfig", hex.EncodeToString(r.MROwnerConfig[:])}, {"reportData", hex.EncodeToString(r.ReportData[:])},
		{"mrseam", hex.EncodeToString(r.MRSEAM[:])}, {"teeTcbSvn", hex.EncodeToString(r.TEETCBSVN[:])}}...)
	if r.V15 {
		f.add("teeTcbSvn2", hex.EncodeToString(r.TEETCBSVN2[:]))
		f.add("mrservicetd", hex.EncodeToString(r.MRServiceTD[:]))
	}
	return f
}

func inspectEndorsements(b []byte) fields {
	set, err := openenclave.ParseEndorsements(b)
	if err != nil {
		return nil
	}
	return setFields("Open Enclave SGX endorsements", set)
}

func inspectFramed(b []byte) fields {
	framed, err := openenclave.Parse(b)
	if err != nil || framed.Certificate != nil {
		return nil
	}
	f := fields{{"what", "Open Enclave " + framed.Form + " (not verified)"}}
	if custom, err := openenclave.ParseCustomClaims(framed.CustomClaims); err == nil {
		list := fields{}
		for _, c := range custom {
			list.add(c.Name, hex.EncodeToString(c.Value))
		}
		f.add("customClaims", list)
	}
	if quote := inspectQuote(framed.Quote); quote != nil {
		f.add("quote", quote)
	}
	return f
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func hexSum(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
