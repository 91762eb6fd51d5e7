package collateral_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/evidence/evidencetest"
)

// site makes collateral of one PKI for many platforms.
type site struct {
	pki *evidencetest.Intel
	tcb evidencetest.TCB
}

func newSite() *site {
	return &site{
		pki: evidencetest.NewIntel(evidencetest.IntelConfig{Now: now}),
		tcb: evidencetest.HealthyTDXTCB(now),
	}
}

func (s *site) set(edit func(*evidencetest.TCB)) *collateral.Intel {
	tcb := s.tcb
	if edit != nil {
		edit(&tcb)
	}
	return s.pki.Collateral(s.pki.Platform(evidencetest.HealthyPlatform()),
		evidencetest.CollateralConfig{TCB: tcb})
}

func response(member string, signed, signature []byte) []byte {
	return []byte(
		`{"` + member + `":` + string(signed) + `,"signature":"` + hex.EncodeToString(signature) + `"}`,
	)
}

func tcbResponse(c *collateral.Intel) []byte {
	return response("tcbInfo", c.TCBInfo, c.TCBInfoSignature)
}
func qeResponse(c *collateral.Intel) []byte {
	return response("enclaveIdentity", c.QEIdentity, c.QEIdentitySignature)
}

// headerChain writes a chain as in the headers of Intel's service.
func headerChain(chain []byte) []byte {
	return []byte(strings.ReplaceAll(url.QueryEscape(string(chain)), "+", "%20"))
}

func write(t *testing.T, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, b := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// pieces are the files of a folder with what belongs to every platform.
func pieces(c *collateral.Intel) map[string][]byte {
	return map[string][]byte{
		"root_ca_crl.der":       c.RootCRL,
		"pck_crl.der":           c.PCKCRL,
		"pck_crl_chain.pem":     c.PCKCRLIssuerChain,
		"tcb_signing_chain.pem": c.TCBInfoIssuerChain,
		"qe_identity.json":      qeResponse(c),
		"tcb_info.json":         tcbResponse(c),
	}
}

// sameSet compares the pieces of two sets.
func sameSet(t *testing.T, name string, got, want *collateral.Intel) {
	t.Helper()
	for piece, pair := range map[string][2][]byte{
		"root CRL": {got.RootCRL, want.RootCRL}, "PCK CRL": {got.PCKCRL, want.PCKCRL},
		"TCB info":      {got.TCBInfo, want.TCBInfo},
		"its signature": {got.TCBInfoSignature, want.TCBInfoSignature},
		"its chain":     {bytes.TrimSpace(got.TCBInfoIssuerChain), bytes.TrimSpace(want.TCBInfoIssuerChain)},
		"QE identity": {
			got.QEIdentity, want.QEIdentity,
		}, "QE signature": {got.QEIdentitySignature, want.QEIdentitySignature},
		"QE chain": {bytes.TrimSpace(got.QEIdentityIssuerChain), bytes.TrimSpace(want.QEIdentityIssuerChain)},
	} {
		if !bytes.Equal(pair[0], pair[1]) {
			t.Errorf("%s: %s: %.80q, want %.80q", name, piece, pair[0], pair[1])
		}
	}
}

func TestOneSetInEveryForm(t *testing.T) {
	s := newSite()
	c := s.set(nil)
	marshalled, err := c.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	var members map[string]any
	if err := json.Unmarshal(marshalled, &members); err != nil {
		t.Fatal(err)
	}
	numbers := func(b []byte) []int {
		list := make([]int, len(b))
		for i, x := range b {
			list[i] = int(x)
		}
		return list
	}
	edited := func(edit func(m map[string]any)) []byte {
		m := map[string]any{}
		for k, v := range members {
			m[k] = v
		}
		edit(m)
		text, _ := json.Marshal(m)
		return text
	}
	files := func(edit func(m map[string][]byte)) map[string][]byte {
		m := pieces(c)
		edit(m)
		return m
	}
	withHeaders := func(name string, chain, body []byte) []byte {
		return []byte("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nRequest-ID: 1\r\n" + name + ": " +
			string(headerChain(chain)) + "\r\n\r\n" + string(body))
	}
	reserialised := func(b []byte) any {
		var v any
		if err := json.Unmarshal(b, &v); err != nil {
			t.Fatal(err)
		}
		return json.RawMessage(bytes.ReplaceAll(bytes.ReplaceAll(b, []byte(`":`), []byte(`": `)),
			[]byte(`,"`), []byte(`, "`)))
	}
	admin, _ := json.Marshal(map[string]any{"platforms": []any{}, "collaterals": map[string]any{
		"version": 4, "pck_certs": []any{},
		"tcbinfos": []any{
			map[string]any{"fmspc": "00906ED50000", "tdx_tcbinfo": reserialised(tcbResponse(c))},
		},
		"pckcacrl":     map[string]string{"platformCrl": hex.EncodeToString(c.PCKCRL)},
		"tdqeidentity": string(qeResponse(c)), "rootcacrl": strings.ToUpper(hex.EncodeToString(c.RootCRL)),
		"certificates": map[string]any{
			"SGX-PCK-Certificate-Issuer-Chain": map[string]string{
				"PLATFORM": string(headerChain(c.PCKCRLIssuerChain)),
			},
			"TCB-Info-Issuer-Chain":             string(headerChain(c.TCBInfoIssuerChain)),
			"SGX-Enclave-Identity-Issuer-Chain": string(headerChain(c.QEIdentityIssuerChain)),
		}}})
	for name, folder := range map[string]map[string][]byte{
		"a JSON set":          {"c.json": marshalled},
		"a set with a BOM":    {"c.json": append([]byte("\xef\xbb\xbf"), marshalled...)},
		"a set as a C string": {"c.json": append(bytes.Clone(marshalled), 0)},
		"a set in camel case": {"c.json": []byte(strings.NewReplacer(
			"pck_crl_issuer_chain", "pckCrlIssuerChain", "tcb_info_signature", "tcbInfoSignature",
			"root_ca_crl", "rootCaCrl",
		).Replace(string(marshalled)))},
		"byte arrays": {"c.json": edited(func(m map[string]any) {
			m["root_ca_crl"] = numbers(c.RootCRL)
			m["pck_crl"] = numbers(c.PCKCRL)
			m["tcb_info_signature"] = numbers(c.TCBInfoSignature)
		})},
		"texts as byte arrays": {"c.json": edited(func(m map[string]any) {
			m["tcb_info"], m["tcb_info_issuer_chain"] = numbers(c.TCBInfo), numbers(c.TCBInfoIssuerChain)
		})},
		"whole responses": {"c.json": edited(func(m map[string]any) {
			m["tcb_info"], m["qe_identity"] = string(tcbResponse(c)), string(qeResponse(c))
			delete(m, "tcb_info_signature")
			delete(m, "qe_identity_signature")
		})},
		"responses as C strings": {"c.json": edited(func(m map[string]any) {
			m["tcb_info"], m["qe_identity"] = string(tcbResponse(c))+"\x00", string(qeResponse(c))+"\x00"
			delete(m, "tcb_info_signature")
			delete(m, "qe_identity_signature")
			m["version"], m["tee_type"], m["tcb_info_size"] = 3, 129, 1
		})},
		"chains as in the header": {"c.json": edited(func(m map[string]any) {
			m["tcb_info_issuer_chain"] = string(headerChain(c.TCBInfoIssuerChain))
			m["qe_identity_issuer_chain"] = string(headerChain(c.QEIdentityIssuerChain))
		})},
		"CRLs in base64 and PEM": {"c.json": edited(func(m map[string]any) {
			m["root_ca_crl"] = base64.StdEncoding.EncodeToString(c.RootCRL)
			m["pck_crl"] = string(pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: c.PCKCRL}))
		})},
		"a list of sets":      {"c.json": append(append([]byte("["), marshalled...), ']')},
		"the PCCS admin tool": {"platform_collaterals.json": admin},
		"a folder":            pieces(c),
		"percent-encoded chains": files(func(m map[string][]byte) {
			m["tcb_signing_chain.pem"] = headerChain(c.TCBInfoIssuerChain)
		}),
		"CRLF and BOM": files(func(m map[string][]byte) {
			m["pck_crl.der"] = []byte("\xef\xbb\xbf" + hex.EncodeToString(c.PCKCRL) + "\r\n")
		}),
		"base64 CRLs in lines": files(func(m map[string][]byte) {
			m["pck_crl.der"] = []byte(base64.StdEncoding.EncodeToString(c.PCKCRL)[:64] + "\n" +
				base64.StdEncoding.EncodeToString(c.PCKCRL)[64:])
		}),
		"C strings": files(func(m map[string][]byte) {
			m["pck_crl.der"], m["tcb_info.json"] = append(bytes.Clone(c.PCKCRL), 0), append(tcbResponse(c), 0)
		}),
		"responses with their headers": {
			"tcb": withHeaders("TCB-Info-Issuer-Chain", c.TCBInfoIssuerChain, tcbResponse(c)),
			"qe":  withHeaders("SGX-Enclave-Identity-Issuer-Chain", c.QEIdentityIssuerChain, qeResponse(c)),
			"crl": withHeaders("SGX-PCK-CRL-Issuer-Chain", c.PCKCRLIssuerChain,
				[]byte(hex.EncodeToString(c.PCKCRL))),
			"root": c.RootCRL,
		},
		"headers in a file of their own": files(func(m map[string][]byte) {
			delete(m, "tcb_signing_chain.pem")
			m["headers.txt"] = []byte(
				"HTTP/2 200\nTCB-Info-Issuer-Chain: " + string(headerChain(c.TCBInfoIssuerChain)) + "\n",
			)
		}),
		"a recording of responses": func() map[string][]byte {
			text, _ := json.Marshal(map[string]any{
				"https://pcs/tcb": map[string]any{"Header": map[string][]string{
					"Tcb-Info-Issuer-Chain": {string(headerChain(c.TCBInfoIssuerChain))},
				}, "Body": tcbResponse(c)},
				"https://pcs/qe": map[string]any{
					"Header": map[string][]string{"X": {"y"}}, "Body": qeResponse(c),
				},
				"https://pcs/crl":  map[string]any{"Body": c.PCKCRL},
				"https://pcs/root": map[string]any{"Body": c.RootCRL}})
			return map[string][]byte{"responses.json": text}
		}(),
		"certificates apart": files(func(m map[string][]byte) {
			delete(m, "tcb_signing_chain.pem")
			m["tcb_signing.der"], m["root.pem"] = s.pki.TCBSigner.Cert.Raw, s.pki.Root.PEM()
		}),
		"the root first": files(func(m map[string][]byte) {
			m["tcb_signing_chain.pem"] = append(s.pki.Root.PEM(), s.pki.TCBSigner.PEM()...)
		}),
		"a subfolder a platform": {
			"a/tcb_info.json": tcbResponse(c), "a/qe.json": qeResponse(c), "crls/root.der": c.RootCRL,
			"crls/pck.der": c.PCKCRL, "chain.pem": c.TCBInfoIssuerChain,
		},
	} {
		path := write(t, folder)
		if len(folder) == 1 {
			for file := range folder {
				path = filepath.Join(path, file)
			}
		}
		b, err := load(path)
		if err != nil || len(b.Intel) != 1 {
			t.Errorf("%s: %v, %+v", name, err, b)
			continue
		}
		sameSet(t, name, b.Intel[0], c)
	}
}

func TestAFolderOfManyPlatformsGivesAllSets(t *testing.T) {
	s := newSite()
	first, second := s.set(nil), s.set(func(tcb *evidencetest.TCB) { tcb.FMSPC[0] = 0xff })
	old := s.set(func(tcb *evidencetest.TCB) { tcb.Number = 19; tcb.Issued = tcb.Issued.AddDate(0, -1, 0) })
	sgx := evidencetest.HealthyTCB(now)
	enclave := s.pki.Collateral(s.pki.Platform(evidencetest.HealthyPlatform()),
		evidencetest.CollateralConfig{TCB: sgx})
	folder := pieces(first)
	folder["tcb_info_2.json"] = tcbResponse(second)
	folder["tcb_info_19.json"] = tcbResponse(old)
	folder["qe_identity_19.json"] = qeResponse(old)
	folder["sgx_tcb_info.json"], folder["sgx_qe_identity.json"] = tcbResponse(enclave), qeResponse(enclave)
	folder["README.md"] = []byte("about this folder")
	b, err := load(write(t, folder))
	if err != nil || len(b.Intel) != 4 {
		t.Fatalf("%v, %d sets", err, len(b.Intel))
	}
	for _, want := range []*collateral.Intel{first, second, old, enclave} {
		at := slices.IndexFunc(b.Intel,
			func(c *collateral.Intel) bool { return bytes.Equal(c.TCBInfo, want.TCBInfo) })
		if at < 0 {
			t.Fatalf("no set with %.60s", want.TCBInfo)
		}
		wantID := want.QEIdentity
		if bytes.Equal(want.TCBInfo, second.TCBInfo) {
			wantID = first.QEIdentity // of the same number
		}
		if !bytes.Equal(b.Intel[at].QEIdentity, wantID) {
			t.Errorf("%.60s: QE identity %.80s", want.TCBInfo, b.Intel[at].QEIdentity)
		}
	}
	if len(b.Notes) != 1 || !strings.Contains(b.Notes[0], "README.md: not used") {
		t.Errorf("notes: %q", b.Notes)
	}
}

func TestAmbiguousPiecesAreRefusedAndOldOnesNamed(t *testing.T) {
	s := newSite()
	c := s.set(nil)
	twin := s.set(func(tcb *evidencetest.TCB) { tcb.QE.ProductID = 9 })
	folder := pieces(c)
	folder["other_identity.json"] = qeResponse(twin)
	_, err := load(write(t, folder))
	if err == nil || !strings.Contains(err.Error(), "qe_identity.json") ||
		!strings.Contains(err.Error(), "other_identity.json") {
		t.Errorf("two identities of one date: %v", err)
	}
	old := s.set(func(tcb *evidencetest.TCB) { tcb.Issued = tcb.Issued.AddDate(0, 0, -3) })
	folder["other_identity.json"] = qeResponse(old)
	b, err := load(write(t, folder))
	if err != nil || !bytes.Equal(b.Intel[0].QEIdentity, c.QEIdentity) {
		t.Fatalf("an older identity beside: %v", err)
	}
	if len(b.Notes) != 1 || !strings.Contains(b.Notes[0], "other_identity.json") {
		t.Errorf("notes: %q", b.Notes)
	}
}

func TestBothCAsGiveASetEach(t *testing.T) {
	s := newSite()
	c := s.set(nil)
	cfg := evidencetest.HealthyPlatform()
	cfg.Processor = true
	processor := s.pki.Collateral(s.pki.Platform(cfg), evidencetest.CollateralConfig{TCB: s.tcb})
	folder := pieces(c)
	folder["pck_crl_processor.der"] = processor.PCKCRL
	b, err := load(write(t, folder))
	if err != nil || len(b.Intel) != 2 {
		t.Fatalf("%v, %+v", err, b)
	}
	for i, want := range []string{"platform", "processor"} {
		if about, err := b.Intel[i].About(); err != nil || about.CA != want {
			t.Errorf("set %d: %+v, %v", i, about, err)
		}
	}
}

func TestAFolderWithoutTCBInfoSaysWhatIsThere(t *testing.T) {
	c := newSite().set(nil)
	folder := pieces(c)
	delete(folder, "tcb_info.json")
	_, err := load(write(t, folder))
	if err == nil || !strings.Contains(err.Error(), "no TCB info") ||
		!strings.Contains(err.Error(), "enclave identity TD_QE") {
		t.Error(err)
	}
	folder["tcb_info.json"] = []byte(`{"tcbInfo":` + string(c.TCBInfo) + `}`)
	if _, err := load(write(t, folder)); err == nil {
		t.Error("a TCB info without its signature is read")
	}
}

func TestAMDsPiecesAreRead(t *testing.T) {
	amd := evidencetest.NewAMD(evidencetest.AMDConfig{Now: now})
	der := amd.CRL(evidencetest.CRLConfig{})
	for name, folder := range map[string]map[string][]byte{
		"DER": {"crl": der}, "PEM": {"crl.pem": pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})},
		"hex":                {"crl": []byte(hex.EncodeToString(der))},
		"with the chain":     {"crl.der": der, "cert_chain.pem": amd.Chain(false)},
		"certificates apart": {"crl.der": der, "ask.pem": amd.ASK.PEM(), "ark.der": amd.ARK.Cert.Raw},
	} {
		b, err := load(write(t, folder))
		if err != nil || len(b.AMD) != 2 {
			t.Errorf("%s: %v, %+v", name, err, b)
			continue
		}
		if a := b.AMD[0]; a.Line != "Milan" || a.VLEK || !bytes.Equal(a.CRL, der) ||
			len(folder) > 1 && !bytes.Equal(a.Chain, amd.Chain(false)) {
			t.Errorf("%s: %s, %d bytes of chain, notes %q", name, a.AMDQuery, len(a.Chain), b.Notes)
		}
	}
}

func FuzzLoad(f *testing.F) {
	s := newSite()
	c := s.set(nil)
	text, _ := c.Marshal()
	f.Add(text)
	f.Add(tcbResponse(c))
	f.Add([]byte("HTTP/1.1 200 OK\r\nTCB-Info-Issuer-Chain: " + string(headerChain(c.TCBInfoIssuerChain)) +
		"\r\n\r\n" + string(tcbResponse(c))))
	f.Add(headerChain(c.TCBInfoIssuerChain))
	f.Add(c.PCKCRL)
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(dir, "piece")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, p := range []string{path, dir} {
			if bundle, err := load(p); err == nil && bundle.Len() == 0 {
				t.Fatal("nothing, and no error")
			}
		}
	})
}
