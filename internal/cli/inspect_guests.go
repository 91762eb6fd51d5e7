package cli

import (
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/probity-dev/probity/evidence/cca"
	"github.com/probity-dev/probity/evidence/nitro"
	"github.com/probity-dev/probity/evidence/snp"
	"github.com/probity-dev/probity/evidence/uvm"
)

func inspectSNP(b []byte) fields {
	framed, err := snp.Frame(b)
	if err != nil {
		return nil
	}
	r, err := snp.ParseReport(framed.Report)
	if err != nil {
		return nil
	}
	key := map[int]string{snp.SigningKeyVCEK: "VCEK", snp.SigningKeyVLEK: "VLEK", snp.SigningKeyNone: "none"}[r.SignerInfo.SigningKey()]
	f := fields{{"what", fmt.Sprintf("SEV-SNP report, version %d (not verified)", r.Version)}, {"measurement", hex.EncodeToString(r.Measurement)},
		{"reportData", hex.EncodeToString(r.ReportData)}, {"hostData", hex.EncodeToString(r.HostData)}, {"guestSvn", r.GuestSVN}, {"vmpl", r.VMPL},
		{"policy", fmt.Sprintf("%#x", uint64(r.Policy))}, {"debuggable", r.Policy.Debug()}, {"migration", r.Policy.Migration()},
		{"platformInfo", fmt.Sprintf("%#x", r.PlatformInfo)}, {"signingKey", key}, {"chipId", hex.EncodeToString(r.ChipID)},
		{"reportedTcb", hex.EncodeToString(r.ReportedTCB[:])}, {"committedTcb", hex.EncodeToString(r.CommittedTCB[:])},
		{"currentTcb", hex.EncodeToString(r.CurrentTCB[:])}, {"launchTcb", hex.EncodeToString(r.LaunchTCB[:])}, {"firmware", r.CurrentFirmware.String()},
		{"idKeyDigest", hex.EncodeToString(r.IDKeyDigest)}, {"familyId", hex.EncodeToString(r.FamilyID)}, {"imageId", hex.EncodeToString(r.ImageID)},
		{"reportId", hex.EncodeToString(r.ReportID)}}
	if r.Version >= 3 {
		f.add("cpu", fmt.Sprintf("family %#x, model %#x, stepping %d", r.Family, r.Model, r.Stepping))
	}
	if certs, err := snp.ParseCertificates(framed.Certificates); err == nil {
		for _, cert := range certs {
			f.add("certificate", certificateFields(cert))
		}
	}
	for _, e := range framed.Endorsements {
		if found := inspectUVM(e); found != nil {
			f.add("endorsement", found)
		}
	}
	return f
}

func inspectUVM(b []byte) fields {
	e, err := uvm.Inspect(b)
	if err != nil {
		return nil
	}
	return fields{{"what", "UVM endorsement (not verified)"}, {"issuer", e.Issuer}, {"feed", e.Feed}, {"svn", e.SVN},
		{"signed", stamp(e.Signed)}, {"measurement", hex.EncodeToString(e.Measurement)}}
}

func inspectNitro(b []byte) fields {
	d, err := nitro.Parse(b)
	if err != nil {
		return nil
	}
	f := fields{{"what", "AWS Nitro attestation document (not verified)"}, {"moduleId", d.ModuleID},
		{"timestamp", stamp(time.UnixMilli(int64(min(d.Timestamp, 1<<52))))}, {"debug", d.Debug()}}
	for _, i := range slices.Sorted(maps.Keys(d.PCRs)) {
		f.add(fmt.Sprintf("pcr%d", i), hex.EncodeToString(d.PCRs[i]))
	}
	for _, item := range []struct {
		name  string
		value []byte
	}{{"publicKey", d.PublicKey}, {"userData", d.UserData}, {"nonce", d.Nonce}} {
		f.add(item.name, hex.EncodeToString(item.value))
	}
	if found := inspectDER(d.Certificate); found != nil {
		f.add("certificate", found)
	}
	return f
}

func inspectCCA(b []byte) fields {
	t, err := cca.Parse(b)
	if err != nil {
		return nil
	}
	p := t.Platform
	f := fields{{"what", "PSA token (not verified)"}, {"profile", p.Profile}, {"implementationId", hex.EncodeToString(p.Implementation)},
		{"instanceId", hex.EncodeToString(p.Instance)}, {"lifecycle", fmt.Sprintf("%#x", p.Lifecycle)}, {"challenge", hex.EncodeToString(p.Challenge)}}
	if r := t.Realm; r != nil {
		f[0].Value = "Arm CCA token (not verified)"
		f = append(f, fields{{"realmChallenge", hex.EncodeToString(r.Challenge)}, {"realmInitialMeasurement", hex.EncodeToString(r.RIM)},
			{"realmPersonalizationValue", hex.EncodeToString(r.Personalization)}}...)
	}
	for _, c := range p.Components {
		f.add("component", fields{{"type", c.Type}, {"version", c.Version}, {"measurement", hex.EncodeToString(c.Measurement)}, {"signer", hex.EncodeToString(c.Signer)}})
	}
	return f
}
