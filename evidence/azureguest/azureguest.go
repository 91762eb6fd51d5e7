// Package azureguest verifies what Azure's virtual machines send as guest
// attestation: Trusted Launch machines, and confidential machines on SEV-SNP and
// TDX with a paravisor that gives them a TPM.
//
// Start with [New] and [Verifier.Verify]. The chain is: hardware report → runtime data of the
// paravisor → attestation key → quote → registers → log of measured boot; and from
// the attestation key to the ephemeral key that the answer is sealed to. A machine
// of Trusted Launch has no hardware report: its attestation key must have a
// certificate of an authority that the operator trusts.
//
// Nothing binds what the client says about itself (its system, its payload), and the
// quote carries no nonce unless one is asked for: what is fresh is that only this TPM
// can open the answer. Whether a boot is good is a policy's to say.
//
// [ParseHCL] reads the report of the paravisor itself, for those who collect
// evidence. [Seal] makes the answer that only that TPM, in that state, can open.
package azureguest

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math/big"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/claims"
	"github.com/probity-dev/probity/collateral/tpmca"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/eventlog"
	"github.com/probity-dev/probity/evidence/internal/statement"
	"github.com/probity-dev/probity/evidence/tpm"
)

// The checks of this package, in the order in which they are made. Compare a refusal with them by
// errors.Is.
var (
	checks evidence.Checks

	CheckFormat = checks.Define("azureguest.format",
		"the evidence is the object AttestationInfo of Azure's guests, protocol 2.0",
		"send AttestationInfo as Azure's client makes it")
	CheckAK = checks.Define("azureguest.ak.attributes",
		"the attestation key was made in the TPM, cannot leave it, and signs nothing that the TPM did "+
			"not make, and the quote names it as its signer (a primary key)",
		"send the public area of the key that signed the quote as it is; use the attestation key of the "+
			"machine's TPM (0x81000003)")
	CheckAKCert = checks.Define("azureguest.ak.certificate",
		"the attestation key's certificate, if one was sent, is of that key; "+
			"without a hardware report it must lead to a trusted authority",
		"renew the certificate in the machine's TPM, or add its authority to tpm.authorities (--root "+
			"FILE for simulated evidence)")
	CheckRuntime = checks.Define("azureguest.runtime-data",
		"the runtime data are the paravisor's JSON with the key HCLAkPub",
		"send the variable data of the paravisor's report as they are")
	CheckVMPL = checks.Define("azureguest.report.vmpl",
		"the SEV-SNP report was asked for at VMPL 0, which is the paravisor's; "+
			"the rest of the guest runs at other levels",
		"send the report that the paravisor keeps in the TPM (0x01400001), not one of the guest's own")
	CheckAKRuntime = checks.Define("azureguest.ak.runtime-data",
		"the attestation key is the one that the runtime data name",
		"send the quote and the paravisor's report of one machine")
	CheckNonce = checks.Define("azureguest.quote.nonce",
		"the quote's qualifying data are the challenge, where one is asked for",
		"quote with the challenge as qualifying data")
	CheckCoverage = checks.Define("azureguest.quote.coverage",
		"the quote covers the registers 0 to 7",
		"quote at least PCR 0 to 7 of the SHA-256 bank")
	CheckKey = checks.Define("azureguest.key.certified",
		"the attestation key certified the ephemeral key, which was made in the TPM, cannot leave it, and decrypts",
		"make the key and its certification with the machine's TPM, as Azure's client does")
	CheckKeyPolicy = checks.Define("azureguest.key.policy",
		"the ephemeral key can be used only while the quoted registers have the quoted values (PolicyPCR)",
		"make the key with the policy of exactly the registers that are quoted")
	CheckLog = checks.Define("azureguest.event-log",
		"replaying the log, if one was sent, gives the quoted registers",
		"send the whole log of the running system (binary_bios_measurements, or the WBCL), "+
			"and a quote that is no older")
)

// Catalogue lists the checks that this package adds to those of packages snp, tdx
// and tpm.
func Catalogue() []*evidence.Definition { return checks.All() }

// Config says what the verifier trusts.
type Config struct {
	// Authorities certify attestation keys of Trusted Launch machines.
	Authorities *tpmca.Roots
	// Baseline are the secure boot databases that are accepted as good.
	Baseline Baseline
}

// Verifier verifies guests. It is safe for concurrent use.
type Verifier struct {
	snp, tdx    evidence.Verifier
	authorities *tpm.Authorities
	baseline    baseline
}

// New returns a verifier on those of the hardware.
func New(snp, tdx evidence.Verifier, cfg Config) *Verifier {
	return &Verifier{snp: snp, tdx: tdx, authorities: tpm.NewAuthorities(cfg.Authorities,
		0), baseline: cfg.Baseline.compile()}
}

// Kind returns AzureGuest.
func (v *Verifier) Kind() evidence.Kind { return evidence.AzureGuest }

// Verify verifies ev.Raw as the decoded AttestationInfo. The error is an
// *[evidence.Rejection] if the evidence is refused.
func (v *Verifier) Verify(ctx context.Context, ev evidence.Evidence) (*evidence.Result, error) {
	result := &evidence.Result{}
	return result, result.Conclude(ev, v.verify(ctx, result, ev))
}

// guest is what is found on the way.
type guest struct {
	info      *Info
	vm        string
	isolation *evidence.Result
	proof     *eventlog.Proof
	facts     *eventlog.Facts
	asked     evidence.TPMDemands
}

func (v *Verifier) verify(ctx context.Context, result *evidence.Result, ev evidence.Evidence) error {
	if ev.RuntimeData != nil || ev.InitTimeData != nil {
		return result.Fail(CheckFormat, "evidence without runtime or init-time data beside it",
			"runtime or init-time data in the request")
	}
	g := &guest{facts: &eventlog.Facts{}, asked: ev.TPM}
	var err error
	if g.info, err = ParseInfo(ev.Raw); err != nil {
		return result.FailErr(CheckFormat, "AttestationInfo of an Azure guest", err)
	}
	result.Pass(CheckFormat, "AttestationInfo of an Azure guest", g.info.Isolation)
	if err := v.isolation(ctx, result, ev, g); err != nil {
		return err
	}
	if err := v.certificate(result, ev, g.info); err != nil {
		return err
	}
	quoted, err := g.info.Quote.Verify(result, g.info.AK.Key, false)
	if err != nil {
		return err
	}
	if err := v.attestationKey(result, g.info.AK, quoted); err != nil {
		return err
	}
	if ev.Challenge != nil {
		if subtle.ConstantTimeCompare(ev.Challenge, quoted.ExtraData) != 1 {
			return result.Fail(CheckNonce, fmt.Sprintf("the challenge %x as qualifying data", ev.Challenge),
				fmt.Sprintf("%x", quoted.ExtraData))
		}
		result.Pass(CheckNonce, "the challenge as qualifying data", fmt.Sprintf("%x", quoted.ExtraData))
	}
	bank := g.info.Quote.Banks[0]
	if lacking := bank.Covers(0xff); len(lacking) > 0 {
		return result.Fail(CheckCoverage, "a quote over PCR 0–7", fmt.Sprintf("a quote without PCR %d", lacking[0]))
	}
	result.Pass(CheckCoverage, "a quote over PCR 0–7", "PCR "+tpm.Registers(quoted.Selection[0].Mask))
	if err := v.key(result, g.info, quoted); err != nil {
		return err
	}
	if len(g.info.Log) > 0 {
		if g.proof, err = eventlog.Prove([]eventlog.Sent{{Data: g.info.Log}}, bank); err == nil {
			g.facts, err = g.proof.Facts()
		}
		if err != nil {
			return result.FailErr(CheckLog, "a log that leads to the quoted registers", err)
		}
		result.Pass(CheckLog, "a log that leads to the quoted registers",
			fmt.Sprintf("%d of %d events%s", g.proof.Len(), g.proof.Sent, g.proof.LeftOut()))
	}
	return v.state(result, g)
}

// attestationKey checks what kind of key signed the quote. Its public area is covered by
// nothing that others signed: the quote names it, which shows that the attributes are those
// with which the TPM knows the key, if a TPM has it. That a TPM has it, the hardware report
// or the certificate says, of the key alone.
func (v *Verifier) attestationKey(result *evidence.Result, ak *tpm.Public, quoted *tpm.Attestation) error {
	const expected = "a restricted signing key of the TPM, which the quote names as its signer"
	if err := tpm.ValidateAK(ak); err != nil {
		return result.FailErr(CheckAK, expected, err)
	}
	hierarchy, ok := quoted.Signer(ak)
	if !ok {
		return result.Fail(CheckAK, expected, fmt.Sprintf(
			"attributes %#x, and the quote names another signer, or a signer that is not a primary key",
			uint32(ak.Attributes),
		))
	}
	result.Pass(CheckAK, expected,
		fmt.Sprintf("attributes %#x, primary key of the %s hierarchy", uint32(ak.Attributes), hierarchy))
	return nil
}

// isolation verifies the hardware report and that it names the attestation key.
func (v *Verifier) isolation(
	ctx context.Context, result *evidence.Result, ev evidence.Evidence, g *guest,
) error {
	i := g.info
	if i.Isolation == TrustedLaunch {
		return nil
	}
	ak, vm, err := parseRuntime(i.Runtime)
	if err != nil {
		return result.FailErr(CheckRuntime, "runtime data of a paravisor", err)
	}
	result.Pass(CheckRuntime, "runtime data of a paravisor", "machine "+vm)
	hardware := v.snp
	if i.Isolation == TDX {
		hardware = v.tdx
	}
	inner := ev
	inner.Raw, inner.Challenge, inner.EventLog = i.Proof, nil, nil
	inner.RuntimeData = &evidence.Data{Bytes: i.Runtime, Type: evidence.JSON}
	// The reservations of the hardware are those of the guest, which come after all of its checks.
	inner.Accept = []string{evidence.BoundServiceTD, evidence.DebugGuest}
	found, err := hardware.Verify(ctx, inner)
	made := found.Checks
	if err == nil {
		made = made[:len(made)-len(found.Reservations)] // without the reservations, accepted last
	}
	result.Checks = append(result.Checks, made...)
	result.TCB, result.Stale, result.Reservations = found.TCB, found.Stale, found.Reservations
	if err != nil {
		return err
	}
	if vmpl, ok := found.Claims.Get("x-ms-sevsnpvm-vmpl"); ok || i.Isolation == SEVSNP {
		const expected = "a report that the paravisor asked for (VMPL 0)"
		if level, isNumber := vmpl.Int(); !isNumber || level != 0 {
			return result.Fail(CheckVMPL, expected, fmt.Sprintf("VMPL %v", vmpl))
		}
		result.Pass(CheckVMPL, expected, "VMPL 0")
	}
	if !tpm.SameKey(ak, i.AK.Key) {
		return result.Fail(CheckAKRuntime, "the attestation key "+akName+" of the runtime data", "a different key")
	}
	paravisor := "the same key; the paravisor that wrote the data is not trusted (tpm.paravisors)"
	if found.Claims.Has("x-ms-compliance-status") {
		paravisor = "the same key, in data of a trusted paravisor"
	}
	result.Pass(CheckAKRuntime, "the attestation key "+akName+" of the runtime data", paravisor)
	g.vm, g.isolation = vm, found
	return nil
}

// certificate checks the attestation key's certificate. Where hardware names the
// key, no authority has to.
func (v *Verifier) certificate(result *evidence.Result, ev evidence.Evidence, i *Info) error {
	fail := func(expected, found string) error {
		return result.Fail(CheckAKCert, expected, found)
	}
	if i.Isolation == TrustedLaunch {
		cert, err := v.authorities.Verify(i.AKCert, ev.Time)
		if err != nil {
			return result.FailErr(CheckAKCert, "a certificate that leads to a trusted authority", err)
		}
		if !tpm.SameKey(cert.PublicKey, i.AK.Key) {
			return fail("a certificate of the attestation key", "a certificate of a different key")
		}
		result.Pass(CheckAKCert, "a certificate that leads to a trusted authority", cert.Subject.CommonName)
		return nil
	}
	if len(i.AKCert) == 0 {
		return nil
	}
	cert, err := tpm.ParseCertificate(i.AKCert)
	if err != nil {
		return result.FailErr(CheckAKCert, "a certificate of the attestation key, or none", err)
	}
	if !tpm.SameKey(cert.PublicKey, i.AK.Key) {
		return fail("a certificate of the attestation key, or none", "a certificate of a different key")
	}
	result.Pass(CheckAKCert, "a certificate of the attestation key, or none", cert.Subject.CommonName)
	return nil
}

// keyAttributes are those of the ephemeral key, as Azure's clients make it.
const keyAttributes = tpm.FixedTPM | tpm.FixedParent | tpm.SensitiveDataOrigin | tpm.NoDA | tpm.Decrypt

// key checks the ephemeral key: of this TPM, and usable in this state alone.
func (v *Verifier) key(result *evidence.Result, i *Info, quoted *tpm.Attestation) error {
	if i.Key == nil {
		return nil
	}
	const expected = "an ephemeral key of the TPM, certified by the attestation key"
	if err := i.Key.Verify(i.AK.Key, nil); err != nil {
		return result.FailErr(CheckKey, expected, err)
	}
	public := i.Key.Public
	key, isRSA := public.Key.(*rsa.PublicKey)
	if !isRSA || key.Size() != 256 || public.Attributes != keyAttributes || public.Scheme != tpm.NullScheme {
		return result.Fail(CheckKey,
			expected+": RSA-2048, attributes "+fmt.Sprintf("%#x", uint32(keyAttributes)),
			fmt.Sprintf("attributes %#x, scheme %#x", uint32(public.Attributes), public.Scheme))
	}
	result.Pass(CheckKey, expected, "verified")
	if policy := policyPCR(quoted.Selection[0], i.Quote.Banks[0]); !bytes.Equal(policy, public.AuthPolicy) {
		return result.Fail(CheckKeyPolicy, fmt.Sprintf("the policy %x of the quoted registers", policy),
			fmt.Sprintf("%x", public.AuthPolicy))
	}
	result.Pass(CheckKeyPolicy, "the policy of the quoted registers", fmt.Sprintf("%x", public.AuthPolicy))
	return nil
}

// policyPCR is the digest of a policy that asks for registers (TPM2_PolicyPCR, part
// 3, section 23.7).
func policyPCR(s tpm.Selection, bank eventlog.Bank) []byte {
	values := sha256.New()
	for _, value := range bank.Values {
		values.Write(value)
	}
	b := binary.BigEndian.AppendUint32(make([]byte, sha256.Size), 0x0000017f)
	b = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint32(b, 1), uint16(s.Bank))
	b = append(b, 3, byte(s.Mask), byte(s.Mask>>8), byte(s.Mask>>16))
	sum := sha256.Sum256(values.Sum(b))
	return sum[:]
}

// state writes the claims.
func (v *Verifier) state(result *evidence.Result, g *guest) error {
	const prefix = "x-ms-azurevm-"
	i, f := g.info, g.facts
	s := statement.List{}
	s.Text("x-ms-attestation-type", "azurevm")
	s.Text(prefix+"attestation-protocol-ver", i.Version)
	s.Text(prefix+"ostype", i.OSType)
	s.Text(prefix+"osdistro", i.OSDistro)
	s.Text(prefix+"osbuild", i.OSBuild)
	s.Integer(prefix+"osversion-major", i.OSMajor)
	s.Integer(prefix+"osversion-minor", i.OSMinor)
	if g.vm != "" {
		s.Text(prefix+"vmid", g.vm)
	}
	if g.proof != nil {
		for _, n := range g.proof.Explained {
			s.Integer(prefix+"attested-pcrs", int64(n))
		}
	}
	// These modes are Windows's. They are off if its proven log says so, or if it is shown
	// that Windows did not boot.
	off := func(windows bool) bool { return f.NoWindows || f.Windows && windows }
	boot, kernel, hypervisor := off(f.BootDebuggingOff), off(f.KernelDebuggingOff), off(!f.HypervisorDebugging)
	test, flight := off(f.TestSigningOff), off(f.FlightSigningOff)
	d := v.baseline.judge(f)
	for name, value := range map[string]bool{
		"bootdebug-enabled": !boot, "kerneldebug-enabled": !kernel, "hypervisordebug-enabled": !hypervisor,
		"testsigning-enabled": !test, "flightsigning-enabled": !flight,
		"debuggersdisabled": boot && kernel && hypervisor, "signingdisabled": test && flight,
		"dbvalidated": d.db, "dbxvalidated": d.dbx,
		"default-securebootkeysvalidated": d.keys, "elam-enabled": f.ELAM, "is-windows": f.WindowsBooted,
	} {
		s.Boolean(prefix+name, value)
	}
	s.Boolean("secureboot", f.SecureBoot)
	s.Integer(prefix+"hvci-policy", int64(min(f.HVCIPolicy, 1<<31)))
	if err := i.runtime(&s); err != nil {
		return err
	}
	known := statement.List{}
	known.Text("x-probity-azurevm-isolation", i.Isolation)
	if g.isolation != nil {
		tee, err := json.Marshal(g.isolation.Claims, json.Deterministic(true))
		if err != nil {
			return err
		}
		s.Add("x-ms-isolation-tee", claims.JSONValue(string(tee)))
		for _, c := range slices.Concat(g.isolation.Claims.All(), g.isolation.Aliases.All()) {
			if !s.Set.Has(c.Type) {
				known.Set.Add(c)
			}
		}
	}
	if f.WhyNotSecureBoot != "" {
		known.Text("x-probity-boot-not-secure", f.WhyNotSecureBoot)
	}
	if line := f.KernelCommandLine; line != "" {
		known.Text("x-probity-boot-kernel-command-line", line)
	}
	if g.proof != nil && !g.asked.NoEvents {
		known.Text("events", g.proof.JSON())
	}
	if !g.asked.NoPCRs {
		known.Add("pcrs", claims.StringValue(eventlog.PCRs(i.Quote.Banks)).ReadOnly())
	}
	result.Claims, result.Aliases = s.Set, known.Set
	return nil
}

// runtime states the ephemeral key, and what the client sent for the relying party.
func (i *Info) runtime(s *statement.List) error {
	type jwk struct {
		E   string   `json:"e"`
		ID  string   `json:"kid"`
		Ops []string `json:"key_ops"`
		Typ string   `json:"kty"`
		N   string   `json:"n"`
	}
	out := struct {
		Payload jsontext.Value `json:"client-payload,omitzero"`
		Keys    []jwk          `json:"keys,omitempty"`
	}{Payload: i.ClientPayload}
	if i.Key != nil {
		key, _ := i.Key.Public.Key.(*rsa.PublicKey) // checked
		encode := base64.RawURLEncoding.EncodeToString
		out.Keys = []jwk{{
			encode(big.NewInt(int64(key.E)).Bytes()), "TpmEphemeralEncryptionKey", []string{"encrypt"},
			"RSA", encode(key.N.Bytes()),
		}}
	}
	b, err := json.Marshal(out)
	if err != nil {
		return err
	}
	s.Add("x-ms-runtime", claims.JSONValue(string(b)))
	return nil
}
