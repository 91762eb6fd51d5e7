//go:build interop

package interop

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/probity-dev/probity/client"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/eventlog"
	"github.com/probity-dev/probity/evidence/evidencetest"
	"github.com/probity-dev/probity/evidence/tpm"
	"github.com/probity-dev/probity/policy/policyjws"
	"github.com/probity-dev/probity/test/kit/swtpm"
)

// tools are Debian's tpm2-tools on a software TPM, in a folder of their own.
type tools struct {
	dir string
	sim *swtpm.TPM
}

func newTools(t *testing.T) *tools {
	t.Helper()
	if _, err := exec.LookPath("tpm2_quote"); err != nil {
		t.Fatal("tpm2-tools are missing: run `make deps`")
	}
	return &tools{t.TempDir(), swtpm.Start(t)}
}

// run runs one tool and clears what it leaves in the TPM, which has three slots.
func (x *tools) run(t *testing.T, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = x.dir
	cmd.Env = append(os.Environ(), fmt.Sprintf("TPM2TOOLS_TCTI=swtpm:host=127.0.0.1,port=%d", x.sim.Port))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	if name != "tpm2_startauthsession" && name != "tpm2_policysecret" && name != "tpm2_flushcontext" {
		x.run(t, "tpm2_flushcontext", "-t")
	}
	return string(out)
}

func (x *tools) file(t *testing.T, name string) []byte {
	t.Helper()
	return read(t, filepath.Join(x.dir, name))
}

// keys makes an endorsement key, and an attestation key under it.
func (x *tools) keys(t *testing.T) {
	t.Helper()
	x.run(t, "tpm2_createek", "-c", "ek.ctx", "-G", "rsa", "-u", "ek.pub")
	x.run(t, "tpm2_createak", "-C", "ek.ctx", "-c", "ak.ctx", "-G", "rsa", "-g", "sha256", "-s", "rsassa",
		"-u", "ak.pub", "-n", "ak.name")
}

// area is a TPMT_PUBLIC out of a file with a TPM2B_PUBLIC.
func (x *tools) area(t *testing.T, name string) []byte {
	t.Helper()
	b := x.file(t, name)
	return b[2 : 2+int(b[0])<<8+int(b[1])]
}

// TestCredentialForTPM2Tools: what we seal, tpm2-tools open; what they would seal,
// they open by the same name.
func TestCredentialForTPM2Tools(t *testing.T) {
	x := newTools(t)
	x.keys(t)
	ak, err := tpm.ParsePublic(x.area(t, "ak.pub"))
	if err != nil {
		t.Fatal(err)
	}
	if err := tpm.ValidateAK(ak); err != nil {
		t.Error(err)
	}
	if !bytes.Equal(ak.Name(), x.file(t, "ak.name")) {
		t.Errorf("name %x, tpm2-tools say %x", ak.Name(), x.file(t, "ak.name"))
	}
	secret := make([]byte, tpm.CredentialSize)
	rand.Read(secret)
	credential, err := tpm.MakeCredential(rand.Reader, x.area(t, "ek.pub"), ak.Name(), secret)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(x.dir, "cred.blob"), credential.File())
	x.run(t, "tpm2_startauthsession", "--policy-session", "-S", "session.ctx")
	x.run(t, "tpm2_policysecret", "-S", "session.ctx", "-c", "e")
	x.run(t, "tpm2_activatecredential", "-c", "ak.ctx", "-C", "ek.ctx", "-i", "cred.blob", "-o", "recovered",
		"-P", "session:session.ctx")
	if !tpm.ActivatedBy(secret, x.file(t, "recovered")) {
		t.Error("tpm2-tools recovered another secret")
	}
}

// registers reads all SHA-256 registers.
func (x *tools) registers(t *testing.T) (bank eventlog.Bank) {
	t.Helper()
	bank.Algorithm = eventlog.SHA256
	for line := range strings.Lines(x.run(t, "tpm2_pcrread", "sha256:all")) {
		var n int
		index, value, ok := strings.Cut(strings.TrimSpace(line), ":")
		if ok && strings.HasPrefix(strings.TrimSpace(value), "0x") {
			if _, err := fmt.Sscan(strings.TrimSpace(index), &n); err != nil {
				t.Fatal(err)
			}
			b, err := hex.DecodeString(strings.TrimPrefix(strings.TrimSpace(value), "0x"))
			if err != nil {
				t.Fatal(err)
			}
			bank.Values[n] = b
		}
	}
	return bank
}

// TestQuoteOfTPM2Tools attests a machine with tpm2-tools alone: they enrol, quote and
// certify; only the frame of the request is made here. The service's token says so.
func TestQuoteOfTPM2Tools(t *testing.T) {
	x := newTools(t)
	x.keys(t)
	boot := evidencetest.HealthyBoot(evidencetest.BootConfig{})
	l, err := eventlog.Parse(boot.Log)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range l.Events {
		x.run(t, "tpm2_pcrextend", fmt.Sprintf("%d:sha256=%x", e.Register, e.Digest(eventlog.SHA256)))
	}
	i := start(t, map[string]any{"tpm": map[string]any{"endorsementAuthorities": x.sim.Roots}})
	c, err := client.New(client.Config{URL: i.URL, Roots: i.Trust().RootCAs})
	if err != nil {
		t.Fatal(err)
	}
	setPolicy(t, i, evidence.TPM, `version=1.0;authorizationrules{[type=="secureBootEnabled", `+
		`value==true] && [type=="aikValidated", value==true] => permit();};`)
	x.enrol(t, c)

	challenge, err := c.ChallengeTPM(t.Context(), true)
	if err != nil {
		t.Fatal(err)
	}
	request, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	jwk, err := (&jose.JSONWebKey{Key: request.Public()}).MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	bound := sha256.Sum256(append(append(slices.Clone(jwk), 0), challenge.Challenge...))
	x.run(t, "tpm2_quote", "-c", "ak.ctx", "-l", "sha256:all", "-q", hex.EncodeToString(bound[:]), "-m",
		"quote.msg", "-s", "quote.sig", "-o", "quote.pcrs", "-g", "sha256")
	// A key that lives in the TPM, certified for this challenge.
	x.run(t, "tpm2_createprimary", "-C", "o", "-c", "primary.ctx")
	x.run(t, "tpm2_create", "-C", "primary.ctx", "-G", "rsa2048:rsassa-sha256:null", "-u", "key.pub",
		"-r", "key.priv")
	x.run(t, "tpm2_load", "-C", "primary.ctx", "-u", "key.pub", "-r", "key.priv", "-c", "key.ctx")
	x.run(t, "tpm2_certify", "-c", "key.ctx", "-C", "ak.ctx", "-g", "sha256", "-o", "cert.attest",
		"-s", "cert.sig")
	send := func(edit func(map[string]any)) (string, error) {
		raw := x.request(t, request, jwk, challenge, boot.Log, edit)
		return c.AttestTPM(context.Background(), raw)
	}
	compact, err := send(nil)
	if err != nil {
		t.Fatal(err)
	}
	verified, err := c.Verify(t.Context(), compact, time.Now())
	if err != nil || !strings.Contains(string(verified.Payload), `"x-ms-attestation-type":"tpm"`) {
		t.Errorf("%s, %v", verified.Payload, err)
	}
	t.Logf("a quote by tpm2-tools: %s", verified.Payload)
	// Certified without the challenge: refused by its own check.
	_, err = send(func(d map[string]any) {
		key, parseErr := tpm.ParsePublic(x.area(t, "key.pub"))
		if parseErr != nil {
			t.Fatal(parseErr)
		}
		d["other_keys"] = []any{map[string]any{
			"jwk": evidencetest.JWK(key.Key), "info": map[string]any{"tpm_certify": map[string]any{
				"public": b64(x.area(t, "key.pub")), "certification": b64(x.file(t, "cert.attest")),
				"signature": b64(x.file(t, "cert.sig"))}},
		}}
	})
	if err == nil || !strings.Contains(err.Error(), "tpm.key.certified") ||
		!strings.Contains(err.Error(), "want the challenge") {
		t.Errorf("a key certified for no challenge: %v", err)
	}
	// And the certification as such is good.
	certified := tpm.Certification{Attested: x.file(t, "cert.attest")}
	if certified.Signature, err = tpm.ParseSignature(x.file(t, "cert.sig")); err != nil {
		t.Fatal(err)
	}
	if certified.Public, err = tpm.ParsePublic(x.area(t, "key.pub")); err != nil {
		t.Fatal(err)
	}
	ak, err := tpm.ParsePublic(x.area(t, "ak.pub"))
	if err != nil {
		t.Fatal(err)
	}
	if err := certified.Verify(ak.Key, nil); err != nil {
		t.Error(err)
	}
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// enrol enrols the key of tpm2-tools.
func (x *tools) enrol(t *testing.T, c *client.Client) {
	t.Helper()
	x.run(t, "tpm2_nvread", "-C", "o", "0x01c00002", "-o", "ek.crt")
	offer, err := c.EnrolTPM(t.Context(), client.EnrolTPM{Name: "tpm2-tools", EndorsementKey: x.area(t,
		"ek.pub"), EndorsementCertificate: x.file(t, "ek.crt"), AttestationKey: x.area(t, "ak.pub")})
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(x.dir, "cred.blob"),
		(&tpm.Credential{IDObject: offer.Credential, Secret: offer.Secret}).File())
	x.run(t, "tpm2_startauthsession", "--policy-session", "-S", "session.ctx")
	x.run(t, "tpm2_policysecret", "-S", "session.ctx", "-c", "e")
	x.run(t, "tpm2_activatecredential", "-c", "ak.ctx", "-C", "ek.ctx", "-i", "cred.blob", "-o", "recovered",
		"-P", "session:session.ctx")
	x.run(t, "tpm2_flushcontext", "session.ctx")
	if _, err := c.ActivateTPM(t.Context(), offer.Context, x.file(t, "recovered")); err != nil {
		t.Fatal(err)
	}
}

// request frames what the tools made as the protocol wants it.
func (x *tools) request(
	t *testing.T, key *rsa.PrivateKey, jwk []byte, challenge *client.TPMChallenge, log []byte,
	edit func(map[string]any),
) []byte {
	t.Helper()
	ak, err := tpm.ParsePublic(x.area(t, "ak.pub"))
	if err != nil {
		t.Fatal(err)
	}
	var values []any
	for n, value := range x.registers(t).Values {
		values = append(values, map[string]any{"index": n, "digest": b64(value)})
	}
	data := map[string]any{"challenge": b64(challenge.Challenge), "service_context": challenge.Context,
		"request_key": map[string]any{
			"jwk":  json.RawMessage(jwk),
			"info": map[string]any{"tpm_quote": map[string]string{"hash_alg": "sha-256"}},
		},
		"tpm_att_data": map[string]any{"current_attestation": map[string]any{
			"logs":      []any{map[string]string{"type": "TCG", "log": b64(log)}},
			"aik_pub":   evidencetest.JWK(ak.Key.(crypto.PublicKey)),
			"quote":     b64(x.file(t, "quote.msg")),
			"signature": b64(x.file(t, "quote.sig")),
			"pcrs":      []any{map[string]any{"algorithm": 11, "values": values}},
		}}}
	if edit != nil {
		edit(data)
	}
	payload, err := json.Marshal(map[string]any{"att_type": "basic", "att_data": data})
	if err != nil {
		t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.PS256, Key: key},
		(&jose.SignerOptions{}).WithType("attReqV2"))
	if err != nil {
		t.Fatal(err)
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	compact, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(map[string]any{"payload": map[string]string{"request": compact}})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// setPolicy sets a policy as its owner.
func setPolicy(t *testing.T, i instance, kind evidence.Kind, text string) {
	t.Helper()
	jws, err := policyjws.Wrap(nil, text, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequest(http.MethodPut, i.URL+"/policies/"+string(kind)+"?api-version=2022-08-01",
		strings.NewReader(jws))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+adminToken)
	resp, err := (&http.Client{Transport: &http.Transport{TLSClientConfig: i.Trust()}}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatal(resp.Status)
	}
}

// TestQuotesOfAllKinds: keys and schemes of every kind, over every bank. A quote is
// refused for another key's, and SHA-1 unless it is asked for.
func TestQuotesOfAllKinds(t *testing.T) {
	x := newTools(t)
	x.run(t, "tpm2_createek", "-c", "ek.ctx", "-G", "rsa", "-u", "ek.pub")
	var other *tpm.Public
	for _, kind := range []struct{ name, algorithm, scheme, hash string }{
		{"rsassa", "rsa", "rsassa", "sha256"}, {"rsapss", "rsa", "rsapss", "sha256"},
		{"ecdsa", "ecc", "ecdsa", "sha256"}, {"ecdsa384", "ecc384", "ecdsa", "sha384"},
	} {
		x.run(t, "tpm2_createak", "-C", "ek.ctx", "-c", kind.name+".ctx", "-G", kind.algorithm, "-g",
			kind.hash, "-s", kind.scheme, "-u", kind.name+".pub")
		ak, err := tpm.ParsePublic(x.area(t, kind.name+".pub"))
		if err != nil {
			t.Fatalf("%s: %v", kind.name, err)
		}
		for _, algorithm := range []eventlog.Algorithm{
			eventlog.SHA1, eventlog.SHA256, eventlog.SHA384, eventlog.SHA512,
		} {
			bank := strings.ToLower(algorithm.String())
			x.run(t, "tpm2_quote", "-c", kind.name+".ctx", "-l", bank+":0,7,16", "-q", "0102", "-m", "q.msg",
				"-s", "q.sig", "-g", kind.hash, "--scheme", kind.scheme)
			signature, err := tpm.ParseSignature(x.file(t, "q.sig"))
			if err != nil {
				t.Fatal(err)
			}
			values := eventlog.Bank{Algorithm: algorithm}
			for _, n := range []int{0, 7, 16} {
				values.Values[n] = make([]byte, algorithm.Size()) // nothing was extended
			}
			q := tpm.Quote{Attested: x.file(t, "q.msg"), Signature: signature, Banks: []eventlog.Bank{values}}
			verify := func(key crypto.PublicKey, sha1 bool) error {
				_, err := q.Verify(&evidence.Result{}, key, sha1)
				return err
			}
			if err := verify(ak.Key, true); err != nil {
				t.Errorf("%s over %s: %v", kind.name, bank, err)
			}
			if err := verify(ak.Key, false); (err == nil) == (algorithm == eventlog.SHA1) {
				t.Errorf("%s over %s, SHA-1 not asked for: %v", kind.name, bank, err)
			}
			if other != nil && verify(other.Key, true) == nil {
				t.Errorf("%s over %s verifies with another key", kind.name, bank)
			}
		}
		other = ak
	}
}
