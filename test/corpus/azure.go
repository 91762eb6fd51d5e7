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
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/probity-dev/probity/appraisal"
	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/azureguest"
	"github.com/probity-dev/probity/evidence/eventlog"
	"github.com/probity-dev/probity/evidence/evidencetest"
)

// azureProblems judges a case of a confidential machine of Azure: the paravisor's
// report, the hardware's, and the TPM's quote, put together as its guest sends them.
func (r *runner) azureProblems(folder string, c caseJSON) []string {
	if err := r.azure(folder, c); err != nil {
		return []string{err.Error()}
	}
	return nil
}

func (r *runner) azure(folder string, c caseJSON) error {
	info, h, err := guestInfo(folder)
	if err != nil {
		return err
	}
	if h != nil {
		if err := hclProblem(folder, h, c); err != nil {
			return err
		}
	}
	at, err := c.time()
	if err != nil {
		return err
	}
	var source collateral.Source
	verify := func(info map[string]any) (*appraisal.Verdict, error) {
		raw, err := json.Marshal(info)
		if err != nil {
			return nil, err
		}
		a := appraisal.Appraiser{Verifiers: r.verifiers, Collateral: source}
		return a.Appraise(context.Background(), appraisal.Request{Kind: evidence.AzureGuest, Evidence: raw, Time: at}, appraisal.Provider{TCB: appraisal.TCBPolicy{Any: true, Accept: []string{evidence.BoundServiceTD, evidence.DebugGuest}}})
	}
	v, err := verify(info)
	if err != nil {
		return err
	}
	refused := func(id string) error {
		if v.Accepted || v.Rejection.Check.ID != id {
			return fmt.Errorf("accepted %v, rejection %v; want %s", v.Accepted, v.Rejection, id)
		}
		return nil
	}
	switch c.Expected.Outcome {
	case "accept":
		if !v.Accepted {
			return fmt.Errorf("refused: %w", v.Rejection)
		}
		if vm, _ := v.Claims.Get("x-ms-azurevm-vmid"); fmt.Sprintf("%q", vmID(c)) != vm.String() {
			return fmt.Errorf("machine %v, want %q", vm, vmID(c))
		}
		if problems := keyFieldProblems(c, v); len(problems) > 0 {
			return errors.New(problems[0])
		}
		return nil
	case "incomplete":
		return refused("snp.collateral")
	case "incomplete: quote signature valid, AK not bound to hardware evidence":
		if err := refused("azureguest.ak.certificate"); err != nil {
			return err
		}
		return quoteHolds(info)
	case "accept (TD quote checked elsewhere)":
		if err := refused("dcap.collateral"); err != nil {
			return err
		}
		// The collateral of its platform is recorded with other cases.
		set, err := collateral.Load(filepath.Join(folder, "..", "..", "tdx", "v4-00806f050000-00b2526a-uptodate", "collateral.json"))
		if err != nil {
			return err
		}
		source, at = collateral.Fixed(set.Intel[0]), time.Date(2025, 6, 11, 19, 23, 55, 0, time.UTC)
		if v, err = verify(info); err != nil || !v.Accepted {
			return fmt.Errorf("with collateral: %v, %w", v.Rejection, err)
		}
		return nil
	case "reject when offered as SNP":
		if h.Type != azureguest.ReportTDX {
			return fmt.Errorf("report type %d", h.Type)
		}
		snp := r.verifiers[slices.IndexFunc(r.verifiers, func(v evidence.Verifier) bool { return v.Kind() == evidence.SEVSNPVM })]
		full := append(bytes.Clone(h.Hardware), make([]byte, 1184-len(h.Hardware))...)
		if _, err := snp.Verify(context.Background(), evidence.Evidence{Raw: full, Time: at}); err == nil {
			return errors.New("a TDREPORT was taken for an SNP report")
		}
		return nil
	case "reject":
		// Each by its own check.
		id := map[string]string{"quote-of-another-vm": "tpm.quote.signature", "pcr4-altered": "tpm.quote.pcrs"}[filepath.Base(folder)]
		return refused(id)
	}
	return fmt.Errorf("unknown outcome word %q", c.Expected.Outcome)
}

func vmID(c caseJSON) string {
	runtime, _ := c.KeyFields["runtime_data"].(map[string]any)
	vm, _ := runtime["vm-configuration"].(map[string]any)
	id, _ := vm["vmUniqueId"].(string)
	return id
}

// hclProblem compares the paravisor's report with the loose files beside it.
func hclProblem(folder string, h *azureguest.HCL, c caseJSON) error {
	for name, got := range map[string][]byte{"runtime-data.json": h.Runtime, "report.bin": h.Hardware} {
		want, err := os.ReadFile(filepath.Join(folder, name))
		if err == nil && !bytes.Equal(want, got) {
			return fmt.Errorf("%s is not what the paravisor's report holds", name)
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
func guestInfo(folder string) (map[string]any, *azureguest.HCL, error) {
	read := func(name string) []byte {
		b, _ := os.ReadFile(filepath.Join(folder, name)) // absence shows in the verdict
		return b
	}
	std := base64.StdEncoding.EncodeToString
	block, _ := pem.Decode(read("ak.pem"))
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
	registers := map[string]string{}
	if b := read("pcrs-sha256.json"); b != nil {
		if err := json.Unmarshal(b, &registers); err != nil {
			return nil, nil, err
		}
	}
	var set, pcrs []any
	for i := range eventlog.Registers {
		if text, ok := registers[fmt.Sprint(i)]; ok {
			b, err := hex.DecodeString(text)
			if err != nil {
				return nil, nil, err
			}
			set, pcrs = append(set, i), append(pcrs, map[string]any{"Index": i, "Digest": std(b)})
		}
	}
	info := map[string]any{"AttestationProtocolVersion": "2.0", "OSVersionMajor": 1, "OSVersionMinor": "2",
		"TpmInfo":       map[string]any{"AikPub": std(area), "PcrQuote": std(read("tpm-quote.msg")), "PcrSignature": std(read("tpm-quote.sig")), "PcrSet": set, "PCRs": pcrs},
		"IsolationInfo": map[string]any{"Type": "TrustedLaunch"}}
	raw := read("hcl-report.bin")
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
		if proof, err = framedSNP(folder, h.Hardware); err != nil {
			return nil, nil, err
		}
	case azureguest.ReportTDX:
		isolation, proof = "Tdx", read("td-quote.bin")
		if proof == nil {
			proof = h.Hardware
		}
	}
	info["IsolationInfo"] = map[string]any{"Type": isolation, "Evidence": map[string]any{"Proof": std(proof), "RunTimeData": std(h.Runtime)}}
	return info, h, nil
}

// quoteHolds checks the part that needs no hardware: the quote and its registers.
func quoteHolds(info map[string]any) error {
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
