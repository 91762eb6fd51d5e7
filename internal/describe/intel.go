package describe

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"

	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/dcap"
	"github.com/probity-dev/probity/evidence/forms"
	"github.com/probity-dev/probity/evidence/openenclave"
)

// inspectQuote shows a DCAP quote in the names of Intel's quote format (Intel TDX DCAP
// Quoting Library API, appendix A) and of the SDM.
func inspectQuote(b []byte) Fields {
	q, err := dcap.ParseQuote(b)
	if err != nil {
		return nil
	}
	tee := "SGX"
	if q.TEEType == dcap.TEETypeTDX {
		tee = "TDX"
	}
	f := Fields{
		{"what", fmt.Sprintf("%s quote, version %d (not verified)", tee, q.Version)},
		{"bytes", len(q.Raw)},
		{"sha256", hexSum(q.Raw)},
	}
	u16 := binary.LittleEndian.Uint16
	header := Fields{
		{"version", q.Version}, {"attestationKeyType", u16(q.Raw[2:])}, {"teeType", bits(q.TEEType)},
	}
	if q.Version == 3 { // reserved later
		header = append(header, Field{"qeSvn", u16(q.Raw[8:])}, Field{"pceSvn", u16(q.Raw[10:])})
	}
	header = append(header, Field{"qeVendorId", octets(q.QEVendorID[:])},
		Field{"userData", octets(q.UserData[:])})
	f.Add("header", header)
	if q.Version >= 5 {
		f.Add("bodyType", uint16(q.BodyType))
	}
	if report, err := dcap.ParseReport(q.Body); err == nil {
		f.Add("enclave", reportFields(report))
	} else if td, err := dcap.ParseTDReport(q.Body); err == nil {
		f.Add("trustDomain", tdFields(td))
	}
	if qe, err := dcap.ParseReport(q.QEReport); err == nil {
		f.Add("quotingEnclave", reportFields(qe))
	}
	f.addBytes("qeAuthData", q.QEAuthData)
	f.addBytes("attestationKey", q.Key)
	f.Add("certificationDataType", q.CertificationType)
	if certs := pemFields(q.CertificationData); len(certs) > 0 {
		f.Add("certificationData", certs)
	} else {
		f.addBytes("certificationData", q.CertificationData)
	}
	if pck, err := dcap.InspectPCK(q.CertificationData); err == nil {
		f.Add("pck", pckFields(pck))
	}
	return f
}

func pckFields(p *dcap.PCK) Fields {
	components := make([]int, len(p.Components))
	for i, c := range p.Components {
		components[i] = int(c)
	}
	f := Fields{{"fmspc", octets(p.FMSPC[:])}, {"pceid", octets(p.PCEID[:])}, {"ppid", octets(p.PPID[:])},
		{"tcbComponents", components}, {"pcesvn", p.PCESVN}, {"cpusvn", octets(p.CPUSVN[:])},
		{"sgxType", p.SGXType}}
	if p.Platform != nil {
		f.Add("dynamicPlatform", p.Platform.DynamicPlatform)
		f.Add("cachedKeys", p.Platform.CachedKeys)
		f.Add("smtEnabled", p.Platform.SMTEnabled)
	}
	return f
}

// reportFields shows every field of a REPORT (SDM vol. 3D, 37.15).
func reportFields(r *dcap.Report) Fields {
	flags := binary.LittleEndian.Uint64(r.Attributes[:])
	return Fields{
		{"MRENCLAVE", octets(r.MREnclave[:])}, {"MRSIGNER", octets(r.MRSigner[:])},
		{"ISVPRODID", r.ISVProdID}, {"ISVSVN", r.ISVSVN},
		{"ATTRIBUTES", Fields{
			{"FLAGS", bits(flags)},
			{"XFRM", bits(binary.LittleEndian.Uint64(r.Attributes[8:]))},
			{"DEBUG", r.Debug()},
			{"KSS", r.KSS()},
		}},
		{"MISCSELECT", bits(binary.LittleEndian.Uint32(r.MiscSelect[:]))},
		{"CPUSVN", octets(r.CPUSVN[:])},
		{"CONFIGID", octets(r.ConfigID[:])},
		{"CONFIGSVN", r.ConfigSVN}, {"ISVEXTPRODID", octets(r.ISVExtProdID[:])},
		{"ISVFAMILYID", octets(r.ISVFamilyID[:])},
		{"REPORTDATA", octets(r.ReportData[:])},
	}
}

// tdFields shows every field of a TD report.
func tdFields(r *dcap.TDReport) Fields {
	u64 := binary.LittleEndian.Uint64
	f := Fields{{"MRTD", octets(r.MRTD[:])}}
	for i, register := range r.RTMR {
		f.Add(fmt.Sprintf("RTMR%d", i), octets(register[:]))
	}
	f = append(f, Fields{
		{"TDATTRIBUTES", Fields{
			{"value", bits(u64(r.TDAttributes[:]))},
			{"DEBUG", r.Debug()},
			{"SEPT_VE_DISABLE", r.SEPTVEDisable()},
			{"PKS", r.ProtectionKeys()},
			{"KL", r.KeyLocker()},
			{"PERFMON", r.Perfmon()},
		}}, {"XFAM", bits(u64(r.XFAM[:]))},
		{"MRCONFIGID", octets(r.MRConfigID[:])},
		{"MROWNER", octets(r.MROwner[:])}, {"MROWNERCONFIG", octets(r.MROwnerConfig[:])},
		{"REPORTDATA", octets(r.ReportData[:])},
		{"MRSEAM", octets(r.MRSEAM[:])},
		{"MRSIGNERSEAM", octets(r.MRSignerSEAM[:])},
		{"SEAMATTRIBUTES", bits(u64(r.SEAMAttributes[:]))}, {"TEE_TCB_SVN", octets(r.TEETCBSVN[:])},
	}...)
	if r.V15 {
		f.Add("TEE_TCB_SVN_2", octets(r.TEETCBSVN2[:]))
		f.Add("MRSERVICETD", octets(r.MRServiceTD[:]))
	}
	return f
}

func inspectEndorsements(b []byte) Fields {
	set, err := openenclave.ParseEndorsements(b)
	if err != nil {
		return nil
	}
	return setFields("Open Enclave SGX endorsements", set)
}

func inspectFramed(b []byte) Fields {
	framed, err := openenclave.Parse(b)
	if err != nil || framed.Certificate != nil {
		return nil
	}
	// Without a header, evidence is a quote with custom claims after it: any other bytes
	// there are more likely someone's mistake.
	if f := forms.Recognize(b); f.Kind == evidence.SGXEnclave || f.Kind == evidence.TDXVM {
		if claims, err := openenclave.ParseCustomClaims(framed.CustomClaims); err != nil || len(claims) == 0 {
			return nil
		}
	}
	f := Fields{{"what", "Open Enclave " + framed.Form + " (not verified)"}}
	if custom, err := openenclave.ParseCustomClaims(framed.CustomClaims); err == nil {
		var list []Fields
		for _, c := range custom {
			list = append(list, Fields{{"name", c.Name}, {"value", hex.EncodeToString(c.Value)}})
		}
		f.addList("customClaims", list)
	} else if len(framed.CustomClaims) > 0 {
		f.addBytes("customClaimsBuffer", framed.CustomClaims)
	}
	if quote := inspectQuote(framed.Quote); quote != nil {
		f.Add("quote", quote)
	}
	return f
}
