package cli

import (
	"crypto/x509"
	"strconv"

	"github.com/probity-dev/probity/evidence/eventlog"
	"github.com/probity-dev/probity/evidence/tpm"
	"github.com/probity-dev/probity/evidence/tpmfiles"
)

// inspectTPM shows the files of TPM tools: what each is, and what it says.
func inspectTPM(b []byte) fields {
	file, ok := tpmfiles.Identify(b)
	if !ok {
		return nil
	}
	switch file.Type {
	case tpmfiles.Certificate, tpmfiles.EKCertificate, tpmfiles.EventLog, tpmfiles.IMA:
		return nil // shown with more by others
	}
	f := fields{{"what", file.Name + " (not verified)"}}
	if file.Hint != "" {
		f.add("hint", file.Hint)
	}
	if file.Quote != nil && len(file.Bytes) > 0 {
		f.add("attest", quoteFields(file.Bytes))
	} else if file.Quote != nil {
		f.add("attest", attestFields(file.Quote))
	}
	if s := file.Signature; s != nil {
		if s.RSA != nil {
			f.add("signature", fields{{"scheme", s.Name()}, {"rsa", octets(s.RSA)}})
		} else {
			f.add("signature", fields{{"scheme", s.Name()}, {"r", octets(s.R)}, {"s", octets(s.S)}})
		}
	}
	if len(file.Banks) > 0 {
		f.add("pcrs", bankFields(file.Banks))
	}
	if file.Key != nil {
		f.add("key", tpmKeyFields(file.Key))
	}
	return f
}

func bankFields(banks []eventlog.Bank) fields {
	all := fields{}
	for _, bank := range banks {
		registers := fields{}
		for i, value := range bank.Values {
			if value != nil {
				registers.add(strconv.Itoa(i), octets(value))
			}
		}
		all.add(bank.Algorithm.String(), registers)
	}
	return all
}

func tpmKeyFields(key *tpmfiles.Key) fields {
	f := keyFields(key.Public)
	if spki, err := x509.MarshalPKIXPublicKey(key.Public); err == nil {
		f.add("sha256", hexSum(spki))
	}
	if area := key.Area; area != nil {
		has := func(bit uint32) bool { return uint32(area.Attributes)&bit != 0 }
		f.add("objectAttributes", fields{{"value", bits(area.Attributes)}, {"fixedTPM", has(1 << 1)}, {"fixedParent", has(1 << 4)}, {"sensitiveDataOrigin", has(1 << 5)},
			{"restricted", has(1 << 16)}, {"decrypt", has(1 << 17)}, {"sign", has(1 << 18)}})
		if err := tpm.ValidateAK(area); err != nil {
			f.add("attestationKey", false)
		} else {
			f.add("attestationKey", true)
		}
	}
	if len(key.Certificate) > 0 {
		if found := inspectDER(key.Certificate); found != nil {
			f.add("certificate", found)
		}
	}
	return f
}
