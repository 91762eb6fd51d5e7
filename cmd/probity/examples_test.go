package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/probity-dev/probity/cmd/probity/internal/cli"
	"github.com/probity-dev/probity/cmd/probity/internal/term"
)

// TestMain is the program itself where it is called by its name.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "probity" {
		main()
	}
	os.Exit(m.Run())
}

// elsewhere are the commands whose examples need what a test does not have. A vendor's root and
// the files of tpm2-tools are missing, too.
var elsewhere = map[string]string{
	"serve":               "it runs until it is stopped",
	"sidecar":             "it runs until it is stopped",
	"attest":              "a TPM or a guest",
	"agent run":           "a TPM or a guest",
	"key unlock":          "a guest",
	"agent enroll":        "a TPM",
	"disk check":          "an encrypted disk",
	"disk enroll":         "an encrypted disk",
	"disk unlock":         "an encrypted disk",
	"disk clevis encrypt": "a guest",
	"disk clevis decrypt": "a guest",
	"tpm ek":              "a certificate of a vendor of TPMs",
	"collateral fetch":    "the vendors' services",
	"policy lsp":          "an editor",
	"tpm keys remove":     "an enrolled TPM",
	"ledger rotate-key":   "a service that is stopped",
	"ledger accept":       "a ledger that is stopped",
}

// refused are examples whose answer is no here, by their beginning.
var refused = map[string]string{
	"verify evidence":                           "evidence under a test root",
	"policy eval enclave.policy --evidence":     "evidence under a test root",
	"policy eval aci.policy":                    "evidence under a test root",
	"collateral import":                         "collateral under a test root",
	"collateral verify":                         "collateral under a test root",
	"policy diff":                               "the policies differ",
	"policy reset SgxEnclave --provider team-a": "another version is in force",
	"policy rollback SgxEnclave 2 --if-version": "another version is in force",
	"policy approve":                            "no proposal has this id",
	"key purge":                                 "the key was recovered",
	"key restore":                               "the key is there",
	"keys retire":                               "no key has this id",
	"keys rotate --algorithm":                   "the example before made a key that waits",
	"ledger search --outcome refused":           "no evidence was refused",
}

const examplesFolder = `
set -e
for kind in SgxEnclave OpenEnclave TdxVm SevSnpVm Tpm AzureGuest NitroEnclave ArmCca; do
  probity -q simulate $kind --out $kind > simulated.txt
done
probity -q simulate SgxEnclave --machine-key --out SgxEnclave > simulated.txt
cp SgxEnclave/evidence.bin quote.bin; cp SgxEnclave/machine-key.pem .
head -c 32 /dev/urandom > volume.key
echo '{"disks":[{"name":"data","device":"/dev/sdb1","url":"https://attest.example.org","key":"disk"}]}' > disks.json
cat > release.json << END
{"version": "1.0.0", "anyOf": [{"authority": "$PROBITY_URL",
 "allOf": [{"claim": "x-ms-attestation-type", "equals": "sgx"}]}]}
END
echo '{"x-ms-attestation-type": "sgx"}' > guest-claims.json
for name in collateral.json bundle.json endorsements.bin; do cp TdxVm/bundle.json $name; done
cp OpenEnclave/evidence.bin oe-report.bin
cp TdxVm/evidence.bin tdquote.bin
cp TdxVm/eventlog.bin CCEL
cp SevSnpVm/report.bin report.bin; cp report.bin outblob
mkdir certs policies recorded
cp SevSnpVm/certs.pem certs/; cp certs/certs.pem auxblob
cp SevSnpVm/reference_info.cose SevSnpVm/probity.json .
cp SevSnpVm/security-policy.rego policy.rego
cp SevSnpVm/runtime-data.json runtime.json
cp Tpm/evidence.json Tpm/boot.policy .
for name in ak-authorities.pem roots.pem site-root.pem; do cp Tpm/root.pem $name; done
cp AzureGuest/evidence.json attestation-info.json
cp NitroEnclave/evidence.bin document.cbor
cp ArmCca/evidence.bin token.cbor; cp ArmCca/cpak.pem .
for name in enclave aci old policies/one; do
  printf 'version=1.0;\nauthorizationrules{ [type=="x-ms-sgx-svn", value>=3] => permit(); };\n' > $name.policy
done
probity policy fmt -w policies/*.policy
printf 'version=1.0;\nauthorizationrules{ => permit(); };\n' > new.policy
echo '{"x-ms-sgx-svn": 3}' > claims.json; cp claims.json recorded/; echo '{}' > recorded/none.json
cat > enclave.test.json << END
{"policyFile": "enclave.policy", "claims": {"a": {"x-ms-sgx-svn": 3}},
 "cases": [{"claims": "a", "want": "permit"}]}
END
sed 's/enclave.policy/one.policy/' enclave.test.json > policies/one.test.json
for name in signer new-signer old-signer; do
  openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=$name -keyout $name-key.pem -out $name.pem 2> openssl.txt
done
cp signer.pem policy-signer.pem; cp signer-key.pem key.pem; chmod 600 *-key.pem
echo '{}' > payments.json; cp payments.json team-a.json
probity policy sign enclave.policy > enclave.jws
for kind in TdxVm SevSnpVm; do
  probity collateral import $kind/bundle.json --config $kind/probity.json --data probity-data > imported.txt
done
echo '{"dataDir": "probity-data", "tls": {"certificate": "signer.pem", "key": "signer-key.pem"}}' > probity.json
`

const examplesService = `
set -e
for n in 1 2 3 4; do
  probity policy set SgxEnclave new.policy
  probity policy set SgxEnclave new.policy --provider team-a
done
probity policy signers add old-signer.pem --provider payments --cert signer.pem --key signer-key.pem
curl -sf --cacert $PROBITY_CA "$PROBITY_URL/attest/SgxEnclave?api-version=2022-08-01" \
  -d "{\"quote\":\"$(base64 -w0 quote.bin)\",\"runtimeData\":{\"dataType\":\"JSON\",
    \"data\":\"$(base64 -w0 SgxEnclave/runtime-data.json)\"}}" | sed 's/.*"token":"\([^"]*\)".*/\1/' > token.jwt
probity ledger export --provider team-a > ledger.ndjson
probity ledger key --provider team-a > kept.txt 2> key.txt
`

// TestTheExamplesOfTheHelpWork runs the examples of --help in a folder with the files that they
// name, beside a running service.
func TestTheExamplesOfTheHelpWork(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir, bin := t.TempDir(), t.TempDir()
	if err := os.Symlink(self, filepath.Join(bin, "probity")); err != nil {
		t.Fatal(err)
	}
	address := freeAddress(t)
	env := []string{
		"PATH=" + bin + ":" + os.Getenv("PATH"), "HOME=" + dir,
		"PROBITY_ADMIN_TOKEN=administrator-of-the-examples", "PROBITY_TOKEN=administrator-of-the-examples",
		"PROBITY_URL=https://" + address, "PROBITY_CA=probity-data/ca.pem",
		"SSL_CERT_FILE=probity-data/ca.pem", "KEY=",
	}
	sh := func(script string) (int, string) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, "bash", "-c", script)
		cmd.Dir, cmd.Env = dir, env
		out, _ := cmd.CombinedOutput()
		return cmd.ProcessState.ExitCode(), string(out)
	}
	if code, out := sh(examplesFolder); code != 0 {
		t.Fatal(out)
	}
	service := exec.CommandContext(t.Context(), filepath.Join(bin, "probity"), "serve", "--dev",
		"--config", "SgxEnclave/probity.json", "--listen", address)
	service.Dir, service.Env = dir, env
	if err := service.Start(); err != nil {
		t.Fatal(err)
	}
	defer service.Wait()
	defer service.Process.Kill()
	ready := "for i in $(seq 100); do curl -skf %s/readyz > ready.txt && exit; sleep 0.1; done; exit 1"
	if code, out := sh(fmt.Sprintf(ready, "https://"+address)); code != 0 {
		t.Fatal(out)
	}
	first, lines, last := exampleLines(t)
	here := strings.NewReplacer("/var/lib/probity-service", "probity-data", "/etc/probity/", "",
		"/sys/firmware/acpi/tables/data/", "", "--follow ", "", "~/.local/share/bash-completion/completions/", "",
		"~/.zfunc/", "", "~/.config/fish/completions/", "", "/usr/local/share/man/man1", "man1", "man -l -", "cat",
		"https://attest.example.org", "https://"+address, "https://localhost:8443", "https://"+address,
		"probity-demo/token.jwt", "token.jwt", "probity-demo/ca.pem", "probity-data/ca.pem",
		"localhost:9443", freeAddress(t))
	said := map[string]bool{}
	try := func(line string) {
		t.Helper()
		want := 0
		for start := range refused {
			if strings.HasPrefix(line, "probity "+start) {
				want, said[start] = 1, true
			}
		}
		code, out := sh(here.Replace(line))
		if code < 0 || code > want {
			t.Errorf("%s: exit %d\n%.400s", line, code, out)
		}
	}
	for _, line := range first {
		try(line)
	}
	if code, out := sh(examplesService); code != 0 {
		t.Fatal(out)
	}
	key, err := os.ReadFile(filepath.Join(dir, "key.txt"))
	if err != nil {
		t.Fatal(err)
	}
	env[len(env)-1] = "KEY=" + strings.TrimSpace(string(key))

	for _, line := range append(lines, last...) {
		try(line)
	}
	for start := range refused {
		if !said[start] {
			t.Errorf("no example begins with %s", start)
		}
	}
}

// freeAddress returns an address of this host at which nothing listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return "localhost:" + strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

// exampleLines returns the examples that run here: those that make providers, most, and those
// that remove providers.
func exampleLines(t *testing.T) (first, lines, last []string) {
	t.Helper()
	model, err := cli.Model()
	if err != nil {
		t.Fatal(err)
	}
	for _, node := range model.Leaves(false) {
		name := strings.TrimPrefix(node.FullPath(), "probity ")
		for _, line := range term.PageOf(node).Lines() {
			switch {
			case elsewhere[name] != "":
			case strings.Contains(line, "infineon.pem") || strings.Contains(line, "quote.msg"):
			case line == "probity demo": // it runs until it is stopped
			case name == "provider create":
				first = append(first, line)
			case name == "provider delete":
				last = append(last, line)
			default:
				lines = append(lines, line)
			}
		}
	}
	if len(lines) < 90 {
		t.Errorf("only %d examples run", len(lines))
	}
	return first, lines, last
}
