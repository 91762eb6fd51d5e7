package e2e

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/probity-dev/probity/test/kit/swtpm"
)

// toolbox runs the tools of tpm2-tools and this program in a folder of its own.
type toolbox struct {
	t           *testing.T
	dir, binary string
	tcti        string
}

func (b toolbox) tpm2(args ...string) {
	b.t.Helper()
	for _, argv := range [][]string{args, {"tpm2_flushcontext", "-t"}} {
		cmd := exec.Command(argv[0], argv[1:]...)
		cmd.Dir, cmd.Env = b.dir, append(os.Environ(), "TPM2TOOLS_TCTI="+b.tcti)
		if out, err := cmd.CombinedOutput(); err != nil {
			b.t.Fatalf("%s: %v\n%s", strings.Join(argv, " "), err, out)
		}
	}
}

func (b toolbox) probity(args ...string) (code int, out string) {
	b.t.Helper()
	cmd := exec.Command(b.binary, args...)
	cmd.Dir = b.dir
	text, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState.ExitCode() < 0 {
		b.t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(text)
}

// TestFilesOfTPMToolsAreVerifiedAsTheyAre: what tpm2_quote writes, in the forms that it
// has, without JSON made by hand.
func TestFilesOfTPMToolsAreVerifiedAsTheyAre(t *testing.T) {
	m := swtpm.Start(t)
	if _, err := exec.LookPath("tpm2_quote"); err != nil {
		t.Skip("tpm2-tools are missing")
	}
	b := toolbox{t, t.TempDir(), newAlone(t).binary, fmt.Sprintf("swtpm:host=127.0.0.1,port=%d", m.Port)}
	nonce := make([]byte, 16)
	rand.Read(nonce)
	challenge := fmt.Sprintf("%x", nonce)
	b.tpm2("tpm2_createek", "-c", "ek.ctx", "-G", "rsa", "-u", "ek.pub")
	b.tpm2("tpm2_pcrextend", "7:sha256="+strings.Repeat("11", 32))
	for _, algorithm := range []struct {
		key, scheme string
	}{{"rsa", "rsassa"}, {"rsa", "rsapss"}, {"ecc", "ecdsa"}} {
		name := algorithm.key + "-" + algorithm.scheme
		b.tpm2("tpm2_createak", "-C", "ek.ctx", "-c", "ak.ctx", "-G", algorithm.key, "-g", "sha256", "-s",
			algorithm.scheme, "-u", "ak.pem", "-f", "pem")
		b.tpm2("tpm2_readpublic", "-c", "ak.ctx", "-o", "ak.tpm2b", "-f", "tss")
		b.tpm2("tpm2_quote", "-c", "ak.ctx", "--scheme", algorithm.scheme, "-l", "sha256:0,1,2,7", "-q",
			challenge, "-m", "q.msg", "-s", "q.sig", "-o", "q.pcrs")
		b.tpm2("tpm2_quote", "-c", "ak.ctx", "--scheme", algorithm.scheme, "-l", "sha256:0,1,2,7", "-q",
			challenge, "-m", "p.msg", "-s", "p.sig", "-f", "plain", "-o", "p.pcrs", "-F", "values")
		b.verifiesInEveryForm(name, challenge)
		b.refusesChangedFiles(name)
		for file, want := range map[string]string{
			"q.msg": "a TPM quote message", "q.sig": "a TPM signature",
			"q.pcrs": "a PCR file of tpm2_quote", "ak.tpm2b": "the public area of an attestation key",
			"ek.pub": "the public area of an endorsement key", "ak.ctx": "a saved key context",
		} {
			if code, out := b.probity("inspect", file); code != 0 || !strings.Contains(out, want) {
				t.Errorf("%s, inspect %s: exit %d\n%s", name, file, code, out)
			}
		}
		// Without structure of their own, nothing is made up of them.
		code, out := b.probity("inspect", "p.pcrs")
		if code != 2 || !strings.Contains(out, "not of a known form") {
			t.Errorf("%s, inspect p.pcrs: exit %d\n%s", name, code, out)
		}
	}
}

// verifiesInEveryForm: the files are put together in any order and form; a key that no one
// vouches for and another challenge are refused.
func (b toolbox) verifiesInEveryForm(name, challenge string) {
	b.t.Helper()
	for what, files := range map[string][]string{
		"tools' own forms":    {"q.msg", "q.sig", "q.pcrs", "ak.pem"},
		"in another order":    {"ak.tpm2b", "q.pcrs", "q.sig", "q.msg"},
		"plain and bare":      {"p.msg", "p.sig", "p.pcrs", "ak.tpm2b"},
		"the key by the flag": {"q.msg", "q.sig", "q.pcrs"},
	} {
		args := append([]string{"verify", "evidence", "Tpm"}, files...)
		trusted := append(slices.Clone(args), "--trust-key", "ak.pem", "--challenge")
		code, out := b.probity(append(slices.Clone(trusted), "hex:"+challenge)...)
		if code != 0 || !strings.Contains(out, "trusted by name") {
			b.t.Errorf("%s, %s: exit %d\n%s", name, what, code, out)
		}
		code, out = b.probity(append(slices.Clone(trusted), "hex:00")...)
		if code != 1 || !strings.Contains(out, "refused: tpm.quote.nonce") {
			b.t.Errorf("%s, %s, another challenge: exit %d\n%s", name, what, code, out)
		}
		if len(files) < 4 {
			continue
		}
		code, out = b.probity(args...)
		if code != 1 || !strings.Contains(out, "refused: tpm.ak.certificate") ||
			!strings.Contains(out, "--trust-key") {
			b.t.Errorf("%s, %s, a key that no one vouches for: exit %d\n%s", name, what, code, out)
		}
	}
}

// refusesChangedFiles: each by what it is.
func (b toolbox) refusesChangedFiles(name string) {
	b.t.Helper()
	for file, check := range map[string]string{"q.sig": "tpm.quote.signature", "q.pcrs": "tpm.quote.pcrs"} {
		whole, err := os.ReadFile(filepath.Join(b.dir, file))
		if err != nil {
			b.t.Fatal(err)
		}
		changed := bytes.Clone(whole)
		if file == "q.pcrs" {
			changed = editRegister(whole)
		} else {
			changed[len(changed)-1] ^= 1
		}
		if err := os.WriteFile(filepath.Join(b.dir, "changed"), changed, 0o600); err != nil {
			b.t.Fatal(err)
		}
		files := []string{"q.msg", "q.sig", "q.pcrs"}
		files[slices.Index(files, file)] = "changed"
		code, out := b.probity(append(append([]string{"verify", "evidence", "Tpm"}, files...),
			"--trust-key", "ak.pem")...)
		if code != 1 || !strings.Contains(out, "refused: "+check) {
			b.t.Errorf("%s, %s changed: exit %d, want %s\n%s", name, file, code, check, out)
		}
	}
}

// editRegister changes one byte of register 7 in a PCR file, which was extended and so has
// a value without equal in the file.
func editRegister(whole []byte) []byte {
	changed := bytes.Clone(whole)
	for i := len(changed) - 1; i >= 0; i-- {
		if changed[i] != 0 {
			changed[i] ^= 1
			return changed
		}
	}
	return changed
}
