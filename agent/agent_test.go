package agent

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"

	"github.com/probity-dev/probity/client"
	"github.com/probity-dev/probity/collateral/tpmca"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/azureguest"
	"github.com/probity-dev/probity/evidence/evidencetest"
	"github.com/probity-dev/probity/evidence/snp"
	"github.com/probity-dev/probity/evidence/tpm"
	"github.com/probity-dev/probity/release/keywrap"
	"github.com/probity-dev/probity/test/kit/swtpm"
)

// openTPM opens a fresh TPM whose registers contain a boot.
func openTPM(t *testing.T, sim *swtpm.TPM, boot *evidencetest.Boot) (*TPM, Logs) {
	t.Helper()
	dir := t.TempDir()
	m, err := OpenTPM(sim.Address, dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	logs := Logs{TCG: filepath.Join(dir, "log"), IMA: filepath.Join(dir, "ima")}
	for path, b := range map[string][]byte{logs.TCG: boot.Log, logs.IMA: nil} {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return m, logs
}

// extend measures a boot into the TPM.
func extend(t *testing.T, m *TPM, events []evidencetest.BootEvent) {
	t.Helper()
	for _, e := range events {
		hashed := e.Hashed
		if hashed == nil {
			hashed = e.Data
		}
		sum := sha256.Sum256(hashed)
		_, err := (tpm2.PCRExtend{
			PCRHandle: tpm2.AuthHandle{Handle: tpm2.TPMHandle(e.PCR), Auth: tpm2.PasswordAuth(nil)},
			Digests: tpm2.TPMLDigestValues{
				Digests: []tpm2.TPMTHA{{HashAlg: tpm2.TPMAlgSHA256, Digest: sum[:]}},
			},
		}).Execute(m.t)
		if err != nil {
			t.Fatal(err)
		}
	}
}

var events = []evidencetest.BootEvent{
	{PCR: 0, Type: 8, Data: []byte("firmware")}, {PCR: 4, Type: 5, Data: []byte("loader")},
}

// TestARealTPM: what the agent collects from a TPM, the verifier takes, as long as
// the log tells the truth.
func TestARealTPM(t *testing.T) {
	sim := swtpm.Start(t)
	m, logs := openTPM(t, sim, evidencetest.NewBoot(events...))
	extend(t, m, events)
	v := tpm.New(tpm.Config{})
	check := func() error {
		raw, err := m.Evidence(Challenge{Challenge: []byte("fresh"), RelyingPartyData: []byte("rp")}, logs)
		if err != nil {
			t.Fatal(err)
		}
		_, err = v.Verify(t.Context(), evidence.Evidence{
			Raw:       raw,
			Challenge: []byte("fresh"),
			Time:      time.Now(),
			Enrolled:  func([32]byte) (string, bool) { return "ek", true },
		})
		return err
	}
	if err := check(); err != nil {
		t.Fatal(err)
	}
	extend(t, m, []evidencetest.BootEvent{{PCR: 4, Data: []byte("another loader")}})
	var r *evidence.Rejection
	err := check()
	if !errors.As(err, &r) || r.Check.ID != "tpm.event-log" || !strings.Contains(r.Check.Found, "PCR 4") {
		t.Errorf("a register that the log does not explain: %v", err)
	}
	// The key is the same for an agent that starts again, and another TPM has none
	// of it.
	again, err := OpenTPM(sim.Address, filepath.Dir(logs.TCG))
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if string(again.ak.public) != string(m.ak.public) {
		t.Error("a new attestation key after a restart")
	}
	other := swtpm.Start(t)
	if _, err := OpenTPM(other.Address, filepath.Dir(logs.TCG)); err == nil ||
		!strings.Contains(err.Error(), "of another TPM") {
		t.Errorf("another TPM took the key: %v", err)
	}
}

// TestCredential: the TPM opens what was sealed for it and its key, and its
// endorsement certificate leads to its maker.
func TestCredential(t *testing.T) {
	sim := swtpm.Start(t)
	m, _ := openTPM(t, sim, evidencetest.NewBoot())
	var pem [][]byte
	for _, path := range sim.Roots {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		pem = append(pem, b)
	}
	roots, err := tpmca.Parse(pem...)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := tpm.VerifyEK(roots, m.ekCert, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := tpm.CheckEK(m.ek.parsed, cert.PublicKey); err != nil {
		t.Error(err)
	}
	if err := tpm.ValidateAK(m.ak.parsed); err != nil {
		t.Error(err)
	}
	secret := []byte("thirty-two bytes of a secret ...")
	credential, err := tpm.MakeCredential(rand.Reader, m.ek.public, m.ak.parsed.Name(), secret)
	if err != nil {
		t.Fatal(err)
	}
	opened, err := m.activate(credential.IDObject, credential.Secret)
	if err != nil || !tpm.ActivatedBy(secret, opened) {
		t.Errorf("%q, %v", opened, err)
	}
	wrong, err := tpm.MakeCredential(rand.Reader, m.ek.public,
		append([]byte{0, 0x0b}, make([]byte, 32)...), secret)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.activate(wrong.IDObject, wrong.Secret); err == nil {
		t.Error("a credential for another key was opened")
	}
}

// TestAzureGuest: a TPM that is provisioned as Azure's are gives evidence that
// verifies, and opens the answer; once a register changed, it does not.
func TestAzureGuest(t *testing.T) {
	sim := swtpm.Start(t)
	m, logs := openTPM(t, sim, evidencetest.NewBoot(events...))
	extend(t, m, events)
	made, err := tpm2.CreatePrimary{
		PrimaryHandle: tpm2.TPMRHEndorsement,
		InPublic:      tpm2.New2B(akTemplate),
	}.Execute(m.t)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (tpm2.EvictControl{
		Auth:             tpm2.TPMRHOwner,
		ObjectHandle:     &tpm2.NamedHandle{Handle: made.ObjectHandle, Name: made.Name},
		PersistentHandle: azureAK,
	}).Execute(m.t); err != nil {
		t.Fatal(err)
	}
	if _, err := (tpm2.FlushContext{FlushHandle: made.ObjectHandle}).Execute(m.t); err != nil {
		t.Fatal(err)
	}
	a, err := OpenAzure(sim.Address)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	authority := evidencetest.NewTPMCA(time.Now())
	write(t, m, azureAKCert, append(authority.CertifyAK(a.m.AttestationKey(), time.Now()), make([]byte, 400)...))
	if kind := Detect(sim.Address); kind != evidence.AzureGuest {
		t.Errorf("detected %s", kind)
	}
	roots, err := tpmca.Parse(authority.PEM())
	if err != nil {
		t.Fatal(err)
	}
	amd := evidencetest.NewAMD(evidencetest.AMDConfig{Now: time.Now()})
	chip := amd.Chip(evidencetest.ChipConfig{})
	v := azureguest.New(snp.New(snp.Config{Roots: amd.Roots()}), nil, azureguest.Config{Authorities: roots})
	check := func() []byte {
		t.Helper()
		raw, err := a.Info(t.Context(), logs, []byte(`{"a":"b"}`))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := v.Verify(t.Context(), evidence.Evidence{Raw: raw, Time: time.Now()}); err != nil {
			t.Fatal(err)
		}
		return raw
	}
	check() // Trusted Launch
	guest := &evidencetest.Guest{TPM: &evidencetest.TPM{AK: fixedKey{a.m.AttestationKey()}}}
	runtime := guest.Runtime(nil)
	// The simulator's indices contain 2048 bytes, as Azure's did at first.
	write(t, m, azureHCL, evidencetest.HCL(2,
		chip.Report(evidencetest.ReportConfig{ReportData: evidencetest.BindData(runtime)}), runtime)[:2048])
	platform := httptest.NewServer(thim{string(chip.PEM()), string(amd.Chain(false))})
	defer platform.Close()
	a.Host = platform.URL
	raw := check() // SEV-SNP
	sealed, err := azureguest.Seal(rand.Reader, raw, "the.to.ken")
	if err != nil {
		t.Fatal(err)
	}
	if token, err := a.Open(sealed); err != nil || token != "the.to.ken" {
		t.Errorf("%q, %v", token, err)
	}
	released := releasedTo(t, a, raw)
	extend(t, m, []evidencetest.BootEvent{{PCR: 4, Data: []byte("later")}})
	if token, err := a.Open(sealed); err == nil {
		t.Errorf("opened in another state: %q", token)
	}
	if b, err := released(); err == nil {
		t.Errorf("unwrapped in another state: %q", b)
	}
}

// releasedTo wraps a secret to the key of the guest, unwraps it with each algorithm, and returns how the
// last one is unwrapped again.
func releasedTo(t *testing.T, a *Azure, raw []byte) (again func() ([]byte, error)) {
	t.Helper()
	key, err := a.EncryptionKey()
	if err != nil {
		t.Fatal(err)
	}
	info, err := azureguest.ParseInfo(raw)
	if err != nil {
		t.Fatal(err)
	}
	public, ok := key.Public().(*rsa.PublicKey)
	if !ok || !public.Equal(info.Key.Public.Key) {
		t.Fatal("the key is not the one that the evidence names")
	}
	for _, algorithm := range keywrap.Algorithms() {
		wrapped, err := keywrap.Wrap(rand.Reader, algorithm, public, []byte("secret"))
		if err != nil {
			t.Fatal(err)
		}
		again = func() ([]byte, error) { return keywrap.Unwrap(nil, algorithm, key, wrapped) }
		if b, err := again(); err != nil || string(b) != "secret" {
			t.Errorf("%s: %q, %v", algorithm, b, err)
		}
		wrapped[7] ^= 1
		if b, err := keywrap.Unwrap(nil, algorithm, key, wrapped); err == nil {
			t.Errorf("%s: changed, and unwrapped: %q", algorithm, b)
		}
		wrapped[7] ^= 1
	}
	for name, options := range map[string]crypto.DecrypterOpts{
		"no padding named": nil, "another padding": &rsa.PSSOptions{},
		"a label":      &rsa.OAEPOptions{Hash: crypto.SHA256, Label: []byte("x")},
		"two hashes":   &rsa.OAEPOptions{Hash: crypto.SHA256, MGFHash: crypto.SHA1},
		"another hash": &rsa.OAEPOptions{Hash: crypto.SHA512},
	} {
		if b, err := key.Decrypt(nil, make([]byte, 256), options); err == nil {
			t.Errorf("%s: %q", name, b)
		}
	}
	if b, err := key.Decrypt(nil, make([]byte, 8), &rsa.OAEPOptions{Hash: crypto.SHA256}); err == nil {
		t.Errorf("too short: %q", b)
	}
	return again
}

// write defines an index of the TPM's memory and fills it.
func write(t *testing.T, m *TPM, index tpm2.TPMHandle, b []byte) {
	t.Helper()
	public := tpm2.New2B(tpm2.TPMSNVPublic{NVIndex: index, NameAlg: tpm2.TPMAlgSHA256, DataSize: uint16(len(b)),
		Attributes: tpm2.TPMANV{
			OwnerWrite: true, OwnerRead: true, AuthRead: true, AuthWrite: true, NoDA: true,
			NT: tpm2.TPMNTOrdinary,
		}})
	owner := tpm2.AuthHandle{Handle: tpm2.TPMRHOwner, Auth: tpm2.PasswordAuth(nil)}
	if _, err := (tpm2.NVDefineSpace{AuthHandle: owner, PublicInfo: public}).Execute(m.t); err != nil {
		t.Fatal(err)
	}
	for at := 0; at < len(b); at += 512 {
		info, err := tpm2.NVReadPublic{NVIndex: index}.Execute(m.t)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := (tpm2.NVWrite{AuthHandle: owner, NVIndex: tpm2.NamedHandle{Handle: index, Name: info.NVName},
			Data:   tpm2.TPM2BMaxNVBuffer{Buffer: b[at:min(at+512, len(b))]},
			Offset: uint16(at)}).Execute(m.t); err != nil {
			t.Fatal(err)
		}
	}
}

// memory is configfs-tsm as far as the agent sees it.
type memory struct {
	files map[string]string
	left  []string
}

func (m *memory) Mkdir(path string) error  { m.left = append(m.left, path); return nil }
func (m *memory) Remove(path string) error { m.left = nil; return nil }
func (m *memory) Write(path string, b []byte) error {
	m.files[filepath.Base(path)] = string(b)
	return nil
}
func (m *memory) Read(path string) ([]byte, error) {
	text, ok := m.files[filepath.Base(path)]
	if !ok {
		return nil, os.ErrNotExist
	}
	return []byte(text), nil
}

func TestConfigfs(t *testing.T) {
	data := BindData([]byte("x"))
	f := &memory{files: map[string]string{
		"provider": "sev_guest\n", "outblob": "report", "auxblob": "table", "generation": "1\n",
	}}
	r, err := tsmReport(f, data)
	if err != nil || r.Kind != evidence.SEVSNPVM || string(r.Raw) != "report" ||
		string(r.Certificates) != "table" || f.files["inblob"] != string(data[:]) || f.left != nil {
		t.Errorf("%+v, %v", r, err)
	}
	td := &memory{files: map[string]string{"provider": "tdx_guest", "outblob": "quote", "generation": "1"}}
	if r, err := tsmReport(td, data); err != nil || r.Kind != evidence.TDXVM {
		t.Errorf("%+v, %v", r, err)
	}
	for name, files := range map[string]map[string]string{
		"another writer":   {"provider": "sev_guest", "outblob": "r", "generation": "2"},
		"another provider": {"provider": "arm_cca", "outblob": "r", "generation": "1"},
		"no report":        {"provider": "sev_guest", "generation": "1"},
		"a huge report": {
			"provider": "sev_guest", "outblob": strings.Repeat("x", maxReport+1), "generation": "1",
		},
	} {
		f := &memory{files: files}
		if r, err := tsmReport(f, data); err == nil || f.left != nil {
			t.Errorf("%s: %+v, left %v", name, r, f.left)
		}
	}
}

// TestAnErrorNeverLeavesAHostAttested: each way to fail leaves its state, and a
// refusal takes the token away.
func TestAnErrorNeverLeavesAHostAttested(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	refusal := &client.Error{
		Status: 400, Code: "x", Message: "refused", Details: []client.Detail{{Check: "tpm.event-log"}},
	}
	var result error
	l := &Loop{
		Attest: func(context.Context) (string, error) { return "tok", result }, TokenFile: file,
		Every: time.Hour, Retry: time.Minute, Log: slog.New(slog.DiscardHandler),
	}
	step := func(err error, want State, token bool) {
		t.Helper()
		result = err
		wait := l.once(t.Context())
		s := l.Status()
		_, statErr := os.Stat(file)
		if s.State != want || (statErr == nil) != token {
			t.Errorf("%+v, token there: %v", s, statErr == nil)
		}
		if (want == Healthy) != (wait == time.Hour) {
			t.Errorf("waits %s", wait)
		}
		w := httptest.NewRecorder()
		l.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
		if (w.Code == 200) != (want == Healthy) || !strings.Contains(w.Body.String(), string(want)) {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
	step(errors.New("no network"), Unreachable, false)
	step(nil, Healthy, true)
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	step(errors.New("no network"), Unreachable, true)
	step(&client.Error{Status: 503}, Unreachable, true)
	step(&client.Error{Status: 429}, Unreachable, true)
	step(refusal, Unhealthy, false)
	if s := l.Status(); s.Check == nil || s.Check.Check != "tpm.event-log" || s.Misses != 4 {
		t.Errorf("%+v", s)
	}
	step(errors.New("no network"), Unreachable, false)
	step(nil, Healthy, true)
}
