package main

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/probity-dev/probity/appraisal"
	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/azureguest"
	"github.com/probity-dev/probity/evidence/dcap"
	"github.com/probity-dev/probity/evidence/eventlog"
	"github.com/probity-dev/probity/evidence/evidencetest"
)

// guest judges a case of a confidential machine of Azure: the paravisor's report, the
// hardware's, and the TPM's quote, put together as its guest sends them.
func (r *runner) guest(c caseJSON, e expectation) error {
	info, h, err := guestInfo(c)
	if err != nil {
		return err
	}
	if h != nil {
		if err := hclProblem(c, h); err != nil {
			return err
		}
	}
	at, err := c.time()
	if err != nil {
		return err
	}
	switch {
	case e.has(offeredAsSNP):
		return r.offered(h, e, at)
	case e.has(collateralElsewhere):
		return r.guestElsewhere(info, h, at)
	}
	v, err := r.appraiseGuest(info, nil, at)
	switch {
	case err != nil:
		return err
	case e.demand != mustAccept && v.Accepted:
		return errors.New("accepted")
	case e.demand != mustAccept:
		if err := e.refusal(v.Rejection.Check.ID); err != nil {
			return err
		}
		if e.has(unboundKey) {
			return quoteVerifies(info)
		}
		return nil
	case !v.Accepted:
		return fmt.Errorf("refused: %w", v.Rejection)
	}
	if vm, _ := v.Claims.Get("x-ms-azurevm-vmid"); fmt.Sprintf("%q", vmID(c)) != vm.String() {
		return fmt.Errorf("machine %v, want %q", vm, vmID(c))
	}
	if problems := keyFieldProblems(c, v); len(problems) > 0 {
		return errors.New(strings.Join(problems, "; "))
	}
	return nil
}

func (r *runner) appraiseGuest(info map[string]any, source collateral.Source, at time.Time) (
	*appraisal.Verdict, error,
) {
	raw, err := json.Marshal(info)
	if err != nil {
		return nil, err
	}
	a := appraisal.Appraiser{Verifiers: r.verifiers, Collateral: source}
	request := appraisal.Request{Kind: evidence.AzureGuest, Evidence: raw, Time: at}
	return a.Appraise(context.Background(), request, facts)
}

// offered gives a TDREPORT to the verifier of SNP reports, at the length of one.
func (r *runner) offered(h *azureguest.HCL, e expectation, at time.Time) error {
	if h == nil || h.Type != azureguest.ReportTDX {
		return errors.New("the case has no report of the type TDX")
	}
	full := append(bytes.Clone(h.Hardware), make([]byte, 1184-len(h.Hardware))...)
	i := slices.IndexFunc(r.verifiers, func(v evidence.Verifier) bool { return v.Kind() == evidence.SEVSNPVM })
	_, err := r.verifiers[i].Verify(context.Background(), evidence.Evidence{Raw: full, Time: at})
	if err == nil {
		return errors.New("a TDREPORT was taken for an SNP report")
	}
	return e.refused(err)
}

// guestElsewhere judges a guest without collateral of its own. Alone it gets as far as
// the collateral, with every signature verified. With the collateral of each case of
// the corpus that is for its platform it must be accepted, at that case's time.
func (r *runner) guestElsewhere(info map[string]any, h *azureguest.HCL, at time.Time) error {
	v, err := r.appraiseGuest(info, nil, at)
	switch {
	case err != nil:
		return err
	case v.Accepted:
		return errors.New("accepted without collateral")
	case v.Rejection.Check.ID != dcap.CheckCollateral.ID:
		return fmt.Errorf("refused by another check than the collateral's: %w", v.Rejection)
	}
	if err := quoteVerifies(info); err != nil {
		return err
	}
	if err := attestationKeyIsNamed(info, h); err != nil {
		return err
	}
	list, err := r.corpus.collateralFor(info)
	if err != nil {
		return err
	}
	for _, found := range list {
		v, err := r.appraiseGuest(info, collateral.Fixed(found.set), found.at)
		if err != nil {
			return fmt.Errorf("with the collateral of %s: %w", found.label, err)
		}
		if !v.Accepted {
			return fmt.Errorf("with the collateral of %s: refused: %w", found.label, v.Rejection)
		}
	}
	return nil
}

// attestationKeyIsNamed looks for the TPM's key in the data that the hardware binds.
func attestationKeyIsNamed(info map[string]any, h *azureguest.HCL) error {
	raw, err := json.Marshal(info)
	if err != nil {
		return err
	}
	i, err := azureguest.ParseInfo(raw)
	if err != nil {
		return err
	}
	key, ok := i.AK.Key.(*rsa.PublicKey)
	if !ok || h == nil {
		return errors.New("the case has no RSA key, or no report of the paravisor")
	}
	modulus := base64.RawURLEncoding.EncodeToString(key.N.Bytes())
	if !bytes.Contains(h.Runtime, []byte(modulus)) {
		return errors.New("the runtime data does not name the key of the TPM's quote")
	}
	return nil
}

func vmID(c caseJSON) string {
	runtime, _ := c.KeyFields["runtime_data"].(map[string]any)
	vm, _ := runtime["vm-configuration"].(map[string]any)
	id, _ := vm["vmUniqueId"].(string)
	return id
}

// hclProblem compares the paravisor's report with the loose files beside it.
func hclProblem(c caseJSON, h *azureguest.HCL) error {
	for name, got := range map[string][]byte{"runtime-data.json": h.Runtime, "report.bin": h.Hardware} {
		if want := c.read(name); want != nil && !bytes.Equal(want, got) {
			return fmt.Errorf("%s is not what is in the paravisor's report", name)
		}
	}
	if !bytes.Equal(h.Hash, h.ReportData()[:len(h.Hash)]) {
		return errors.New("the hardware report does not bind the runtime data")
	}
	fields, _ := c.KeyFields["hcl_request_data"].(map[string]any)
	if want, _ := fields["report_type"].(float64); int(want) != int(h.Type) {
		return fmt.Errorf("report type %d, want %v", h.Type, want)
	}
	return nil
}

// guestInfo makes the object that a guest sends out of loose files.
func guestInfo(c caseJSON) (map[string]any, *azureguest.HCL, error) {
	std := base64.StdEncoding.EncodeToString
	block, _ := pem.Decode(c.read("ak.pem"))
	if block == nil {
		return nil, nil, errors.New("no ak.pem")
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, nil, err
	}
	ak, ok := key.(*rsa.PublicKey)
	if !ok {
		return nil, nil, fmt.Errorf("a key of type %T", key)
	}
	// The recorded key comes without its public area; Azure's is always this one.
	area := evidencetest.RSAPublicArea(ak, evidencetest.GuestAK, 0x0014, nil)
	area = append([]byte{byte(len(area) >> 8), byte(len(area))}, area...)
	set, pcrs, err := guestRegisters(c.read("pcrs-sha256.json"))
	if err != nil {
		return nil, nil, err
	}
	info := map[string]any{"AttestationProtocolVersion": "2.0", "OSVersionMajor": 1, "OSVersionMinor": "2",
		"TpmInfo": map[string]any{"AikPub": std(area), "PcrQuote": std(c.read("tpm-quote.msg")),
			"PcrSignature": std(c.read("tpm-quote.sig")), "PcrSet": set, "PCRs": pcrs},
		"IsolationInfo": map[string]any{"Type": "TrustedLaunch"}}
	raw := c.read("hcl-report.bin")
	if raw == nil {
		return info, nil, nil
	}
	h, err := azureguest.ParseHCL(raw)
	if err != nil {
		return nil, nil, err
	}
	isolation, proof := "SevSnp", []byte(nil)
	switch h.Type {
	case azureguest.ReportSNP:
		if proof, err = framedSNP(c, h.Hardware); err != nil {
			return nil, nil, err
		}
	case azureguest.ReportTDX:
		isolation, proof = "Tdx", c.read("td-quote.bin")
		if proof == nil {
			proof = h.Hardware
		}
	default: // the hardware report of the others is not verified here
	}
	info["IsolationInfo"] = map[string]any{"Type": isolation,
		"Evidence": map[string]any{"Proof": std(proof), "RunTimeData": std(h.Runtime)}}
	return info, h, nil
}

// guestRegisters reads registers by their number, in hex, in the order of the numbers.
func guestRegisters(b []byte) (set, pcrs []any, err error) {
	registers := map[string]string{}
	if b != nil {
		if err := json.Unmarshal(b, &registers); err != nil {
			return nil, nil, err
		}
	}
	for i := range eventlog.Registers {
		text, ok := registers[fmt.Sprint(i)]
		if !ok {
			continue
		}
		value, err := hex.DecodeString(text)
		if err != nil {
			return nil, nil, err
		}
		digest := base64.StdEncoding.EncodeToString(value)
		set, pcrs = append(set, i), append(pcrs, map[string]any{"Index": i, "Digest": digest})
	}
	return set, pcrs, nil
}

// quoteVerifies checks the part that needs no hardware: the quote and its registers.
func quoteVerifies(info map[string]any) error {
	raw, err := json.Marshal(info)
	if err != nil {
		return err
	}
	i, err := azureguest.ParseInfo(raw)
	if err != nil {
		return err
	}
	_, err = i.Quote.Verify(&evidence.Result{}, i.AK.Key, false)
	return err
}
