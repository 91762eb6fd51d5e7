// Package e2e drives the command line as a user does: each file in
// testdata/script is a story.
package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/probity-dev/probity/evidence/eventlog"
	"github.com/probity-dev/probity/evidence/evidencetest"
	"github.com/probity-dev/probity/policy/policyjws"
	"github.com/probity-dev/probity/test/kit/cryptsetup"
	"github.com/probity-dev/probity/test/kit/swtpm"
	"github.com/probity-dev/probity/token"
)

// TestMain builds the program, and puts it where the scripts look for commands.
func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "probity-e2e")
	if err != nil {
		panic(err)
	}
	program = filepath.Join(dir, "probity")
	out, err := exec.Command("go", "build", "-tags", tags, "-o", program, "../../cmd/probity").CombinedOutput()
	if err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
		os.Exit(1)
	}
	os.Setenv("PATH", dir+string(filepath.ListSeparator)+os.Getenv("PATH"))
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// program is the path of the program under test.
var program string

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:   "testdata/script",
		Setup: setup,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"waitready": waitReady, "keep": keep, "json": answersInJSON, "flip": flip, "starttpm": startTPM, "extendpcr": extendPCR,
			"putpolicy": putPolicy, "waitfor": waitFor, "attestsimulated": attestSimulated,
			"azureguest": asAzureGuest, "releasepolicy": releasePolicy, "claimsof": claimsOf,
			"luksimage": luksImage, "luksedit": luksEdit,
		},
		Condition: func(condition string) (bool, error) {
			switch condition {
			case "tpm":
				return swtpm.Available()
			case "cryptsetup":
				return cryptsetup.Available()
			}
			return false, fmt.Errorf("unknown condition %q", condition)
		},
		RequireExplicitExec: true,
	})
}

// setup leaves evidence of a simulated enclave in each script's folder, and
// names a free port.
func setup(env *testscript.Env) error {
	now := time.Now()
	pki := evidencetest.NewIntel(evidencetest.IntelConfig{Now: now})
	m := pki.Platform(evidencetest.HealthyPlatform())
	outdated := evidencetest.HealthyPlatform()
	outdated.Components[0]--
	old := pki.Platform(outdated)
	runtime := []byte(`{"b":1,"a":2}`)
	enclave := evidencetest.DemoEnclave()
	enclave.ReportData = evidencetest.BindData(runtime)
	quote := m.Quote(evidencetest.QuoteConfig{Enclave: enclave})
	claims := evidencetest.CustomClaims("pk", "x")
	bound := evidencetest.DemoEnclave()
	bound.ReportData = evidencetest.BindData(claims)
	set, err := pki.Collateral(m, evidencetest.CollateralConfig{TCB: evidencetest.HealthyTCB(now)}).Marshal()
	if err != nil {
		return err
	}
	tdxSet, err := pki.Collateral(m,
		evidencetest.CollateralConfig{TCB: evidencetest.HealthyTDXTCB(now)}).Marshal()
	if err != nil {
		return err
	}
	td, relaunch, serviced := evidencetest.HealthyTD(), evidencetest.HealthyTD(), evidencetest.HealthyTD()
	td.ReportData = evidencetest.BindData(runtime)
	relaunch.V15, relaunch.TEETCBSVN[0] = true, 2
	serviced.V15, serviced.MRServiceTD[0] = true, 0xab
	if err := otherTools(env, now); err != nil {
		return err
	}
	for name, b := range map[string][]byte{
		"quote.bin": quote, "outdated.bin": old.Quote(evidencetest.QuoteConfig{Enclave: enclave}),
		"report.bin":      evidencetest.OpenEnclaveReport(quote),
		"evidence.bin":    append(m.Quote(evidencetest.QuoteConfig{Enclave: bound}), claims...),
		"collateral.json": set, "root.pem": pki.Root.PEM(),
		"enclave.policy": []byte(guidePolicy),
		"claims.json":    []byte(`{"x-ms-sgx-is-debuggable":false,"x-ms-sgx-svn":3}`),
		"runtime.json":   runtime, "chain.pem": m.Chain, "tdx.bin": m.Quote(evidencetest.QuoteConfig{TD: td}),
		"relaunch.bin":  m.Quote(evidencetest.QuoteConfig{TD: relaunch}),
		"servicetd.bin": m.Quote(evidencetest.QuoteConfig{TD: serviced}), "tdx.json": tdxSet,
	} {
		path := filepath.Join(env.WorkDir, name)
		if _, err := os.Stat(path); err == nil {
			continue // a script has its own
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			return err
		}
	}
	if err := clientCertificate(env, now); err != nil {
		return err
	}
	l, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		return err
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return err
	}
	env.Setenv("PORT", port)
	second, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		return err
	}
	defer second.Close()
	_, health, err := net.SplitHostPort(second.Addr().String())
	env.Setenv("HEALTH", health)
	env.Setenv("HOME", env.WorkDir)
	return err
}

// clientCertificate leaves a certificate of the caller "operator" with its key.
func clientCertificate(env *testscript.Env, now time.Time) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	cert, err := token.InstanceCertificate(rand.Reader, "operator", key, now.Add(-time.Hour))
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	for name, block := range map[string]*pem.Block{
		"client.pem":     {Type: "CERTIFICATE", Bytes: cert.Raw},
		"client-key.pem": {Type: "PRIVATE KEY", Bytes: der},
	} {
		if err := os.WriteFile(filepath.Join(env.WorkDir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// otherTools leaves the files that snpguest and configfs-tsm write.
func otherTools(env *testscript.Env, now time.Time) error {
	a := amd(now)
	chip := a.Chip(evidencetest.ChipConfig{})
	report := chip.Report(evidencetest.ReportConfig{})
	der := func(guid string, cert []byte, at int) []byte {
		head, err := hex.DecodeString(guid)
		if err != nil {
			panic(err)
		}
		return binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(head, uint32(at)),
			uint32(len(cert)))
	}
	vcek, ask := chip.Cert.Raw, a.ASK.Cert.Raw
	table := slices.Concat(der("63da758de6644564adc5f4b93be8accd", vcek, 72),
		der("4ab7b379bbac4fe4a02f05aef327c782", ask, 72+len(vcek)), make([]byte, 24), vcek, ask)
	for name, b := range map[string][]byte{
		"snpguest/attestation-report.bin": report, "snpguest/certs/vcek.pem": chip.PEM(),
		"snpguest/certs/ask.pem": a.ASK.PEM(), "snpguest/certs/ark.pem": a.ARK.PEM(),
		"tsm/outblob": report, "tsm/auxblob": table, "snpguest/root.pem": a.RootsPEM(),
		"extended.bin": append(slices.Clone(report), table...),
	} {
		path := filepath.Join(env.WorkDir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// amd is made once: RSA keys take their time.
var amd = func() func(time.Time) *evidencetest.AMD {
	var once sync.Once
	var a *evidencetest.AMD
	return func(now time.Time) *evidencetest.AMD {
		once.Do(func() { a = evidencetest.NewAMD(evidencetest.AMDConfig{Now: now}) })
		return a
	}
}()

// guidePolicy is the policy that the guide speaks of.
const guidePolicy = `version= 1.0;
authorizationrules{
	[type=="x-ms-sgx-is-debuggable", value==true] => deny();
	[type=="x-ms-sgx-svn", value>=3] => permit();
};
issuancerules{
	c:[type=="x-ms-sgx-svn"] => issue(type="version", value=c.value);
};
`

// waitReady waits until a service answers.
func waitReady(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: waitready URL")
	}
	// Who answers does not matter yet, so the certificate is not looked at.
	client := &http.Client{
		Timeout:   time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
	}
	for range 100 {
		if resp, err := client.Get(args[0] + "/readyz"); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	ts.Fatalf("%s does not answer", args[0])
}

// keep writes the last output to a file, or with a prefix only what follows it
// on its line.
func keep(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: keep FILE")
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(ts.ReadFile("stdout")), 0o600))
}

// answersInJSON runs a command with --format json: what it prints is JSON, whether it succeeds or
// not.
func answersInJSON(ts *testscript.TestScript, neg bool, args []string) {
	err := ts.Exec("probity", append(args, "--format", "json")...)
	if neg != (err != nil) {
		ts.Fatalf("json %s: %v", strings.Join(args, " "), err)
	}
	dec, values := jsontext.NewDecoder(strings.NewReader(ts.ReadFile("stdout"))), 0
	for {
		_, err := dec.ReadValue()
		if errors.Is(err, io.EOF) {
			break
		}
		if values++; err != nil {
			ts.Fatalf("json %s: no JSON: %v", strings.Join(args, " "), err)
		}
	}
	if values == 0 {
		ts.Fatalf("json %s: it printed nothing", strings.Join(args, " "))
	}
}

// startTPM starts a TPM with the boot of a Linux machine in it; its address is $TPM,
// and the authorities of its endorsement key are ek-root.pem and ek-ca.pem.
func startTPM(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: starttpm")
	}
	m, stop, err := swtpm.Launch(ts.MkAbs("swtpm"))
	ts.Check(err)
	ts.Defer(stop)
	boot := evidencetest.HealthyBoot(evidencetest.BootConfig{})
	l, err := eventlog.Parse(boot.Log)
	ts.Check(err)
	for _, e := range l.Events {
		ts.Check(m.Extend(e.Register, [32]byte(e.Digest(eventlog.SHA256))))
	}
	ts.Check(os.WriteFile(ts.MkAbs("boot.log"), boot.Log, 0o600))
	for i, name := range []string{"ek-root.pem", "ek-ca.pem"} {
		b, err := os.ReadFile(m.Roots[i])
		ts.Check(err)
		ts.Check(os.WriteFile(ts.MkAbs(name), b, 0o600))
	}
	ts.Setenv("TPM", m.Address)
	tpms.Store(m.Address, m)
}

// tpms are those that run, by address.
var tpms sync.Map

// tpmOf returns the TPM of the script.
func tpmOf(ts *testscript.TestScript) (*swtpm.TPM, bool) {
	m, ok := tpms.Load(ts.Getenv("TPM"))
	if !ok {
		return nil, false
	}
	return m.(*swtpm.TPM), true
}

// extendPCR measures something into a register of the TPM.
func extendPCR(ts *testscript.TestScript, neg bool, args []string) {
	m, ok := tpmOf(ts)
	var pcr uint32
	if neg || len(args) != 1 || !ok {
		ts.Fatalf("usage: extendpcr N, after starttpm")
	}
	_, err := fmt.Sscan(args[0], &pcr)
	ts.Check(err)
	ts.Check(m.Extend(pcr, sha256.Sum256([]byte("something else"))))
}

// putPolicy sets a policy as an administrator does: putpolicy URL TYPE FILE TOKEN.
func putPolicy(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 4 {
		ts.Fatalf("usage: putpolicy URL TYPE FILE TOKEN")
	}
	jws, err := policyjws.Wrap(nil, ts.ReadFile(args[2]), nil, nil)
	ts.Check(err)
	req, err := http.NewRequest(http.MethodPut, args[0]+"/policies/"+args[1]+"?api-version=2022-08-01",
		strings.NewReader(jws))
	ts.Check(err)
	req.Header.Set("Authorization", "Bearer "+args[3])
	client := &http.Client{
		Timeout:   5 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
	}
	resp, err := client.Do(req)
	ts.Check(err)
	defer resp.Body.Close()
	if b, err := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK {
		ts.Fatalf("%s %s %v", resp.Status, b, err)
	}
}

// waitFor waits until a page contains a text, whatever its status: waitfor URL TEXT.
func waitFor(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: waitfor URL TEXT")
	}
	last := ""
	for range 200 {
		if resp, err := http.Get(args[0]); err == nil {
			b, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if last = string(b); strings.Contains(last, args[1]) {
				return
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	ts.Fatalf("%s does not say %q: %s", args[0], args[1], last)
}

// flip changes one byte of a file: flip FILE OFFSET COPY.
func flip(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: flip FILE OFFSET COPY")
	}
	b := []byte(ts.ReadFile(args[0]))
	var offset int
	if _, err := fmt.Sscan(strings.TrimSpace(args[1]), &offset); err != nil || offset >= len(b) {
		ts.Fatalf("offset %s", args[1])
	}
	b[offset] ^= 1
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), b, 0o600))
}
