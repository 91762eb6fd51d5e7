package describe

import (
	"crypto/x509"
	"strconv"

	"github.com/probity-dev/probity/evidence/eventlog"
	"github.com/probity-dev/probity/evidence/tpm"
	"github.com/probity-dev/probity/evidence/tpmfiles"
)

// inspectTPM shows the files of TPM tools: what each is, and what it says.
func inspectTPM(b []byte) Fields {
	file, ok := tpmfiles.Identify(b)
	if !ok {
		return nil
	}
	switch file.Type {
	case tpmfiles.Certificate, tpmfiles.EKCertificate, tpmfiles.EventLog, tpmfiles.IMA:
		return nil // shown with more by others
	default:
	}
	f := Fields{{"what", file.Name + " (not verified)"}}
	if file.Hint != "" {
		f.Add("hint", file.Hint)
	}
	if file.Quote != nil && len(file.Bytes) > 0 {
		f.Add("attest", quoteFields(file.Bytes))
	} else if file.Quote != nil {
		f.Add("attest", attestFields(file.Quote))
	}
	if s := file.Signature; s != nil {
		if s.RSA != nil {
			f.Add("signature", Fields{{"scheme", s.Name()}, {"rsa", octets(s.RSA)}})
		} else {
			f.Add("signature", Fields{{"scheme", s.Name()}, {"r", octets(s.R)}, {"s", octets(s.S)}})
		}
	}
	if len(file.Banks) > 0 {
		f.Add("pcrs", bankFields(file.Banks))
	}
	if file.Key != nil {
		f.Add("key", tpmKeyFields(file.Key))
	}
	return f
}

func bankFields(banks []eventlog.Bank) Fields {
	all := Fields{}
	for _, bank := range banks {
		registers := Fields{}
		for i, value := range bank.Values {
			if value != nil {
				registers.Add(strconv.Itoa(i), octets(value))
			}
		}
		all.Add(bank.Algorithm.String(), registers)
	}
	return all
}

func tpmKeyFields(key *tpmfiles.Key) Fields {
	f := KeyFields(key.Public)
	if spki, err := x509.MarshalPKIXPublicKey(key.Public); err == nil {
		f.Add("sha256", hexSum(spki))
	}
	if area := key.Area; area != nil {
		has := func(bit uint32) bool { return uint32(area.Attributes)&bit != 0 }
		f.Add("objectAttributes", Fields{
			{"value", bits(area.Attributes)}, {"fixedTPM", has(1 << 1)}, {"fixedParent", has(1 << 4)},
			{"sensitiveDataOrigin", has(1 << 5)},
			{"restricted", has(1 << 16)},
			{"decrypt", has(1 << 17)}, {"sign", has(1 << 18)},
		})
		if err := tpm.ValidateAK(area); err != nil {
			f.Add("attestationKey", false)
		} else {
			f.Add("attestationKey", true)
		}
	}
	if len(key.Certificate) > 0 {
		if found := inspectDER(key.Certificate); found != nil {
			f.Add("certificate", found)
		}
	}
	return f
}
