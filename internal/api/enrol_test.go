package api

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/probity-dev/probity/evidence/evidencetest"
	"github.com/probity-dev/probity/evidence/tpm"
	"github.com/probity-dev/probity/internal/api/data"
)

// enrolling enrols new attestation keys of TPMs.
type enrolling struct {
	*tpmBench
	ek *rsa.PrivateKey
}

// enrol goes through both rounds under a bearer token, and returns the last answer.
func (b *enrolling) enrol(t *testing.T, bearer, path, name string) *httptest.ResponseRecorder {
	t.Helper()
	ak, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	area := evidencetest.RSAPublicArea(&ak.PublicKey, evidencetest.GuestAK, 0x14, nil)
	public, err := tpm.ParsePublic(area)
	if err != nil {
		t.Fatal(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	send := func(members map[string]string) *httptest.ResponseRecorder {
		body, err := json.Marshal(members)
		if err != nil {
			t.Fatal(err)
		}
		return b.as(bearer, "POST", path, string(body))
	}
	w := send(map[string]string{
		"name":           name,
		"endorsementKey": encode(evidencetest.EndorsementArea(&b.ek.PublicKey)),
		"attestationKey": encode(area),
	})
	if w.Code != 200 {
		return w
	}
	var answer map[string]string
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		t.Fatal(err)
	}
	object, _ := base64.RawURLEncoding.DecodeString(answer["credential"])
	secret, _ := base64.RawURLEncoding.DecodeString(answer["secret"])
	return send(map[string]string{
		"context": answer["context"],
		"answer":  encode(evidencetest.Activate(b.ek, public.Name(), object, secret)),
	})
}

func newEnrolling(t *testing.T) *enrolling {
	t.Helper()
	ek, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	id := fingerprint(t, ek.Public())
	return &enrolling{newTPMBench(t, bootPolicy,
		func(c *Config) { c.TPM.Enrolment = &data.Enrolment{Keys: []string{id}} }), ek}
}

func TestEnrolmentAsksForACallerWhereAttestationDoes(t *testing.T) {
	b := newEnrolling(t)
	b.provider(t, "strict", `"tpmAttestationAuthentication":"Enabled"`)
	b.provider(t, "silent", ``)
	b.provider(t, "open", `"tpmAttestationAuthentication":"Disabled"`)
	reader, other := b.token(t, "reader", "strict", "silent"), b.token(t, "owner", "open")
	for _, tc := range []struct {
		bearer, provider string
		status           int
	}{
		{"", "strict", 401}, {"", "silent", 401}, {"wrong", "strict", 401}, {other, "strict", 403},
		{other, "silent", 403},
		{reader, "strict", 200}, {reader, "silent", 200}, {"", "open", 200},
	} {
		if w := b.enrol(t, tc.bearer, "/p/"+tc.provider+"/tpm/enroll", "host"); w.Code != tc.status {
			t.Errorf("%s with %.8q: %d %s", tc.provider, tc.bearer, w.Code, w.Body)
		}
	}
	// The second round asks as well.
	if w := b.as("", "POST", "/p/strict/tpm/enroll", `{"context":"AAAA","answer":"AAAA"}`); w.Code != 401 {
		t.Errorf("the second round: %d %s", w.Code, w.Body)
	}
}

func TestOneTPMEnrolsAFewKeysAtAProvider(t *testing.T) {
	b := newEnrolling(t)
	const most = 8
	for i := range most + 2 {
		w := b.enrol(t, "", "/tpm/enroll", fmt.Sprintf("web-%d", i))
		if i < most && w.Code != 200 {
			t.Fatalf("key %d: %d %s", i, w.Code, w.Body)
		}
		if i >= most {
			wantCheck(t, w, 409, "tpm.enrolment")
			if !strings.Contains(w.Body.String(), "probity tpm keys remove") {
				t.Errorf("the answer does not say what to do: %s", w.Body)
			}
		}
	}
}

// fingerprint is the SHA-256 of a key's SubjectPublicKeyInfo, as the configuration lists it.
func fingerprint(t *testing.T, key any) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}
