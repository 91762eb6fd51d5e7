package describe

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/probity-dev/probity/evidence/cca"
	"github.com/probity-dev/probity/evidence/nitro"
	"github.com/probity-dev/probity/evidence/snp"
	"github.com/probity-dev/probity/evidence/uvm"
	"github.com/probity-dev/probity/wording/phrase"
)

// inspectSNP shows a report in the names of AMD's ATTESTATION_REPORT (publication 56860).
func inspectSNP(b []byte) Fields {
	framed, err := snp.Frame(b)
	if err != nil {
		return nil
	}
	r, err := snp.ParseReport(framed.Report)
	if err != nil {
		return nil
	}
	line, known := snp.LineOf(r)
	tcb := func(raw snp.RawTCB) Fields {
		f := Fields{{"raw", octets(raw[:])}}
		if !known {
			return f // which byte is what depends on the product
		}
		t := line.Parse(raw)
		if line == snp.Turin {
			f.Add("FMC", t.FMC)
		}
		return append(f, Fields{
			{"BOOT_LOADER", t.BootLoader}, {"TEE", t.TEE}, {"SNP", t.SNP}, {"MICROCODE", t.Microcode},
		}...)
	}
	firmware := func(v snp.Firmware) Fields {
		return Fields{{"MAJOR", v.Major}, {"MINOR", v.Minor}, {"BUILD", v.Build}}
	}
	bit := func(v uint64, n int) bool { return v>>n&1 == 1 }
	policy, info, signer := uint64(r.Policy), r.PlatformInfo, uint64(r.SignerInfo)
	key := map[int]string{
		snp.SigningKeyVCEK: "VCEK", snp.SigningKeyVLEK: "VLEK", snp.SigningKeyNone: "none",
	}[r.SignerInfo.SigningKey()]
	f := Fields{
		{"what", fmt.Sprintf("SEV-SNP report, version %d (not verified)", r.Version)},
		{"VERSION", r.Version}, {"GUEST_SVN", r.GuestSVN},
		{"POLICY", Fields{
			{"value", bits(policy)}, {"ABI_MINOR", policy & 0xff}, {"ABI_MAJOR", policy >> 8 & 0xff},
			{"SMT", bit(policy, 16)}, {"MIGRATE_MA", bit(policy, 18)}, {"DEBUG", bit(policy, 19)},
			{"SINGLE_SOCKET", bit(policy, 20)}, {"CXL_ALLOW", bit(policy, 21)},
			{"MEM_AES_256_XTS", bit(policy, 22)}, {"RAPL_DIS", bit(policy, 23)},
			{"CIPHERTEXT_HIDING_DRAM", bit(policy, 24)}, {"PAGE_SWAP_DISABLE", bit(policy, 25)},
		}},
		{"FAMILY_ID", octets(r.FamilyID)}, {"IMAGE_ID", octets(r.ImageID)},
		{"VMPL", r.VMPL}, {"SIGNATURE_ALGO", r.SignatureAlgo}, {"CURRENT_TCB", tcb(r.CurrentTCB)},
		{"PLATFORM_INFO", Fields{{"value", bits(info)}, {"SMT_EN", bit(info, 0)}, {"TSME_EN", bit(info, 1)},
			{"ECC_EN", bit(info, 2)}, {"RAPL_DIS", bit(info, 3)}, {"CIPHERTEXT_HIDING_DRAM_EN", bit(info, 4)},
			{"ALIAS_CHECK_COMPLETE", bit(info, 5)}, {"TIO_EN", bit(info, 7)}}},
		{"SIGNER_INFO", Fields{
			{"value", bits(signer)},
			{"AUTHOR_KEY_EN", bit(signer, 0)},
			{"MASK_CHIP_KEY", bit(signer, 1)},
			{"SIGNING_KEY", key},
		}},
		{"REPORT_DATA", octets(r.ReportData)}, {"MEASUREMENT", octets(r.Measurement)},
		{"HOST_DATA", octets(r.HostData)}, {"ID_KEY_DIGEST", octets(r.IDKeyDigest)},
		{"AUTHOR_KEY_DIGEST", octets(r.AuthorKeyDigest)}, {"REPORT_ID", octets(r.ReportID)},
		{"REPORT_ID_MA", octets(r.ReportIDMA)}, {"REPORTED_TCB", tcb(r.ReportedTCB)},
	}
	if r.Version >= 3 {
		f = append(f, Fields{{"CPUID_FAM_ID", r.Family}, {"CPUID_MOD_ID", r.Model}, {"CPUID_STEP", r.Stepping}}...)
	}
	if known {
		f.Add("product", string(line))
	}
	f = append(f, Fields{
		{"CHIP_ID", octets(r.ChipID)},
		{"COMMITTED_TCB", tcb(r.CommittedTCB)},
		{"CURRENT_VERSION", firmware(r.CurrentFirmware)},
		{"COMMITTED_VERSION", firmware(r.CommittedFirmware)},
		{"LAUNCH_TCB", tcb(r.LaunchTCB)},
	}...)
	if r.Version >= 5 {
		f = append(f, Field{"LAUNCH_MIT_VECTOR", bits(r.LaunchMitigations)},
			Field{"CURRENT_MIT_VECTOR", bits(r.CurrentMitigations)})
	}
	var certificates, endorsements []Fields
	if certs, err := snp.ParseCertificates(framed.Certificates); err == nil {
		for _, cert := range certs {
			certificates = append(certificates, certificateFields(cert))
		}
	}
	for _, e := range framed.Endorsements {
		if found := inspectUVM(e); found != nil {
			endorsements = append(endorsements, found)
		}
	}
	f.addList("certificates", certificates)
	f.addList("endorsements", endorsements)
	return f
}

func inspectUVM(b []byte) Fields {
	e, err := uvm.Inspect(b)
	if err != nil {
		return nil
	}
	return Fields{
		{"what", "UVM endorsement (not verified)"},
		{"issuer", e.Issuer},
		{"feed", e.Feed},
		{"svn", e.SVN},
		{"signed", phrase.Stamp(e.Signed)},
		{"measurement", octets(e.Measurement)},
	}
}

// inspectNitro shows a document in the names of AWS's attestation process.
func inspectNitro(b []byte) Fields {
	d, err := nitro.Parse(b)
	if err != nil {
		return nil
	}
	f := Fields{{"what", "AWS Nitro attestation document (not verified)"}, {"module_id", d.ModuleID},
		{"timestamp", d.Timestamp}, {"time", phrase.Stamp(time.UnixMilli(int64(min(d.Timestamp, 1<<52))))},
		{"debug", d.Debug()}}
	pcrs := Fields{}
	for _, i := range slices.Sorted(maps.Keys(d.PCRs)) {
		pcrs.Add(strconv.Itoa(i), octets(d.PCRs[i]))
	}
	f.Add("pcrs", pcrs)
	f.addBytes("public_key", d.PublicKey)
	f.addBytes("user_data", d.UserData)
	f.addBytes("nonce", d.Nonce)
	if found := inspectDER(d.Certificate); found != nil {
		f.Add("certificate", found)
	}
	var bundle []Fields
	for _, der := range d.Bundle {
		if found := inspectDER(der); found != nil {
			bundle = append(bundle, found)
		}
	}
	f.addList("cabundle", bundle)
	return f
}

// inspectCCA shows a token in the names of draft-ffm-rats-cca-token, a PSA token in those
// of RFC 9783.
func inspectCCA(b []byte) Fields {
	t, err := cca.Parse(b)
	if err != nil {
		return nil
	}
	p := t.Platform
	var components []Fields
	for _, c := range p.Components {
		components = append(components, Fields{
			{"measurement-type", c.Type}, {"measurement-value", octets(c.Measurement)},
			{"version", c.Version}, {"signer-id", octets(c.Signer)}, {"measurement-desc", c.Algorithm},
		})
	}
	if t.Realm == nil {
		f := Fields{
			{"what", "PSA token (not verified)"}, {"psa-profile", p.Profile},
			{"psa-nonce", octets(p.Challenge)}, {"psa-instance-id", octets(p.Instance)},
			{"psa-implementation-id", octets(p.Implementation)}, {"psa-client-id", p.ClientID},
			{"psa-lifecycle", p.Lifecycle},
		}
		f.addBytes("psa-boot-seed", p.BootSeed)
		f.Add("psa-certification-reference", p.Certification)
		f.Add("psa-verification-service-indicator", p.Service)
		f.Add("psa-no-sw-measurement", p.NoMeasurement)
		f.addList("psa-software-components", components)
		return f
	}
	platform := Fields{
		{"cca-platform-profile", p.Profile}, {"cca-platform-challenge", octets(p.Challenge)},
		{"cca-platform-instance-id", octets(p.Instance)},
		{"cca-platform-implementation-id", octets(p.Implementation)},
		{"cca-platform-config", octets(p.Config)}, {"cca-platform-lifecycle", p.Lifecycle},
		{"cca-platform-hash-algo-id", p.Hash}, {"cca-platform-service-indicator", p.Service},
	}
	platform.addList("cca-platform-software-components", components)
	r := t.Realm
	rem := make([]octets, len(r.REM))
	for i := range r.REM {
		rem[i] = r.REM[i]
	}
	return Fields{{"what", "Arm CCA token (not verified)"}, {"cca-platform-token", platform},
		{"cca-realm-delegated-token", Fields{
			{"cca-realm-profile", r.Profile}, {"cca-realm-challenge", octets(r.Challenge)},
			{"cca-realm-personalization-value", octets(r.Personalization)},
			{"cca-realm-initial-measurement", octets(r.RIM)},
			{"cca-realm-extensible-measurements", rem}, {"cca-realm-hash-algo-id", r.Hash},
			{"cca-realm-public-key", octets(r.RAK)}, {"cca-realm-public-key-hash-algo-id", r.RAKHash},
		}}}
}
