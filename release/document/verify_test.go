package document_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/probity-dev/probity/release/document"
	"github.com/probity-dev/probity/release/keywrap"
	"github.com/probity-dev/probity/test/kit/jwstest"
)

// raw signs any header and payload with the server's key.
func (s *server) raw(t testing.TB, header, payload string) string {
	t.Helper()
	encode := base64.RawURLEncoding.EncodeToString
	text := encode([]byte(header)) + "." + encode([]byte(payload))
	digest := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(nil, s.server, crypto.SHA256, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + encode(signature)
}

func (s *server) secret(t testing.TB) string {
	t.Helper()
	return s.sign(t, s.sealed(t, "oct", &document.Material{Octets: []byte("secret")}))
}

func TestAnAnswerIsVerified(t *testing.T) {
	s := newServer(t, nil)
	d, err := document.Verify(s.secret(t), s.expectation())
	if err != nil || d.Key.KeyID != asked+"/0123456789abcdef0123456789abcdef" ||
		d.Attributes.RecoverableDays != 90 ||
		d.Request.Nonce != "ADE0101" ||
		d.Policy.Data != "e30" {
		t.Errorf("%+v, %v", d, err)
	}
	less := s.expectation()
	less.APIVersion, less.WrappingKeyID = "", ""
	if _, err := document.Verify(s.secret(t), less); err != nil {
		t.Error(err)
	}
}

// The host is one of the certificate's, or HOST:PORT is a DNS name of it as it is written.
func TestTheCertificateNamesTheHost(t *testing.T) {
	for name, tc := range map[string]struct {
		names []string
		ip    string
		host  string
		good  bool
	}{
		"the host":              {[]string{"vault.example"}, "", "vault.example", true},
		"the host, with a port": {[]string{"vault.example"}, "", "vault.example:443", true},
		"the host in capitals":  {[]string{"vault.example"}, "", "VAULT.example:443", true},
		"a wildcard":            {[]string{"*.example"}, "", "vault.example", true},
		"the host and the literal text": {
			[]string{"localhost", "localhost:18443"}, "", "localhost:18443", true,
		},
		"the literal text alone":            {[]string{"localhost:18443"}, "", "localhost:18443", true},
		"an address":                        {nil, "127.0.0.1", "127.0.0.1:8443", true},
		"an address of version 6":           {nil, "::1", "[::1]:8443", true},
		"another host":                      {[]string{"vault.example"}, "", "other.example", false},
		"a host inside":                     {[]string{"vault.example"}, "", "a.vault.example", false},
		"a host that contains the name":     {[]string{"vault.example"}, "", "vault.example.evil.example", false},
		"the literal text of another port":  {[]string{"localhost:18443"}, "", "localhost:18444", false},
		"the literal text without its port": {[]string{"localhost:18443"}, "", "localhost", false},
		"a wildcard of two names":           {[]string{"*.example"}, "", "a.vault.example", false},
		"another address":                   {nil, "127.0.0.1", "127.0.0.2:8443", false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, func(c *x509.Certificate) {
				c.DNSNames = tc.names
				if tc.ip != "" {
					c.IPAddresses = []net.IP{net.ParseIP(tc.ip)}
				}
			})
			want := s.expectation()
			want.Host = tc.host
			_, err := document.Verify(s.secret(t), want)
			if tc.good && err != nil || !tc.good && (!errors.Is(err, document.ErrCertificate) ||
				!strings.Contains(err.Error(), "expected the host")) {
				t.Error(err)
			}
		})
	}
}

func TestCertificatesThatAreNotTrustedAreRefused(t *testing.T) {
	good := newServer(t, nil)
	at := func(when time.Time) document.Expectation {
		want := good.expectation()
		want.Time = when
		return want
	}
	strange := good.expectation()
	strange.Roots = x509.NewCertPool()
	between := good.expectation()
	between.Roots = x509.NewCertPool()
	between.Roots.AddCert(good.chain[0])
	for name, tc := range map[string]struct {
		s    *server
		want document.Expectation
		text string
	}{
		"no root": {good, strange, "leads to no trusted authority"},
		"expired": {good, at(now.AddDate(2, 0, 0)), "not valid at this time"},
		"not yet": {good, at(now.AddDate(-1, 0, 0)), "not valid at this time"},
		"for clients": {newServer(t, func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		}), good.expectation(), "incompatible key usage"},
	} {
		_, err := document.Verify(tc.s.raw(t, header(tc.s.chain), "{}"), tc.want)
		if !errors.Is(err, document.ErrCertificate) || !strings.Contains(err.Error(), tc.text) {
			t.Errorf("%s: %v, want %s", name, err, tc.text)
		}
	}
	// Without its intermediate the chain does not lead to the root.
	alone := good.raw(t, header(good.chain[:1]), "{}")
	if _, err := document.Verify(alone, good.expectation()); !errors.Is(err, document.ErrCertificate) {
		t.Error(err)
	}
	// A certificate that is itself trusted needs no more.
	if _, err := document.Verify(good.secret(t), between); err != nil {
		t.Error(err)
	}
}

// header is a header with the given chain.
func header(chain []*x509.Certificate) string {
	var x5c []string
	for _, cert := range chain {
		x5c = append(x5c, base64.StdEncoding.EncodeToString(cert.Raw))
	}
	text, _ := json.Marshal(map[string]any{"alg": "RS256", "x5c": x5c})
	return string(text)
}

func TestHeadersThatNoReleasedKeyHasAreRefused(t *testing.T) {
	s := newServer(t, nil)
	good := header(s.chain)
	one := base64.StdEncoding.EncodeToString(s.chain[0].Raw)
	for name, tc := range map[string]struct{ header, want string }{
		"alg none":     {strings.Replace(good, "RS256", "none", 1), "RS256"},
		"alg HS256":    {strings.Replace(good, "RS256", "HS256", 1), "RS256"},
		"alg PS256":    {strings.Replace(good, "RS256", "PS256", 1), "RS256"},
		"no alg":       {strings.Replace(good, `"alg"`, `"al"`, 1), "RS256"},
		"another typ":  {strings.Replace(good, "{", `{"typ":"JOSE",`, 1), "expected typ JWT"},
		"crit":         {strings.Replace(good, "{", `{"crit":["x"],`, 1), "crit"},
		"b64":          {strings.Replace(good, "{", `{"crit":["b64"],"b64":false,`, 1), "crit or b64"},
		"no x5c":       {`{"alg":"RS256"}`, "found 0"},
		"an empty x5c": {`{"alg":"RS256","x5c":[]}`, "found 0"},
		"nine certificates": {
			`{"alg":"RS256","x5c":["` + strings.Repeat(one+`","`, 8) + one + `"]}`, "found 9",
		},
		"x5t of something else":  {strings.Replace(good, "{", `{"x5t":"AQ",`, 1), "x5t is not that of the first"},
		"x5t#S256 of another":    {strings.Replace(good, "{", `{"x5t#S256":"AQ",`, 1), "x5t#S256 is not that"},
		"x5t that is not base64": {strings.Replace(good, "{", `{"x5t":"*",`, 1), "x5t is not that"},
		"a member twice":         {strings.Replace(good, "{", `{"x5c":[],`, 1), ""},
		"x5c of numbers":         {`{"alg":"RS256","x5c":[1]}`, ""},
		"x5c that is not base64": {`{"alg":"RS256","x5c":["*"]}`, ""},
		"x5c of no certificate":  {`{"alg":"RS256","x5c":["AQ=="]}`, ""},
	} {
		d, err := document.Verify(s.raw(t, tc.header, "{}"), s.expectation())
		if d != nil || !errors.Is(err, document.ErrFormat) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %s", name, err, tc.want)
		}
	}
}

// Only RSA keys within bounds sign.
func TestKeysOfCertificatesHaveBounds(t *testing.T) {
	s := newServer(t, nil)
	short := &rsa.PublicKey{N: new(big.Int).SetBit(new(big.Int).SetBit(new(big.Int), 1023, 1), 0, 1), E: 65537}
	long := &rsa.PublicKey{N: new(big.Int).SetBit(new(big.Int).SetBit(new(big.Int), 9000, 1), 0, 1), E: 65537}
	for name, tc := range map[string]struct {
		public any
		want   error
	}{
		"1024 bits": {short, document.ErrCertificate}, "9001 bits": {long, document.ErrFormat},
		"EC": {s.ec.Public(), document.ErrCertificate},
	} {
		template := &x509.Certificate{DNSNames: []string{"vault.example"}}
		cert := issue(t, template, tc.public, s.chain[1], s.between)
		text := s.raw(t, header([]*x509.Certificate{cert}), "{}")
		if _, err := document.Verify(text, s.expectation()); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPayloadsThatNoReleasedKeyHasAreRefused(t *testing.T) {
	s := newServer(t, nil)
	good := part(t, s.secret(t), 1)
	if _, err := document.Verify(s.raw(t, header(s.chain), good), s.expectation()); err != nil {
		t.Fatal(err)
	}
	// Members that other services add do not matter.
	more := strings.Replace(good, `"enabled"`, `"hsmPlatform":"2","enabled"`, 1)
	if _, err := document.Verify(s.raw(t, header(s.chain), more), s.expectation()); err != nil {
		t.Error(err)
	}
	for name, tc := range map[string]struct{ payload, want string }{
		"nothing":         {"", "payload"},
		"no object":       {"[]", "payload"},
		"an empty object": {"{}", "expected the member request.kid"},
		"no enc":          {strings.Replace(good, `"enc"`, `"encx"`, 1), "request.enc"},
		"no kid of the key": {
			strings.Replace(good, `"key":{"key":{"kid"`, `"key":{"key":{"kidx"`, 1), "response.key.key.kid",
		},
		"no kty":         {strings.Replace(good, `"kty"`, `"ktyx"`, 1), "response.key.key.kty"},
		"no key_hsm":     {strings.Replace(good, `"key_hsm"`, `"key_hs"`, 1), "response.key.key.key_hsm"},
		"a single key":   {strings.Replace(good, `"key":{"key"`, `"key":{"k"`, 1), "response.key.key.kid"},
		"a member twice": {strings.Replace(good, `"kty"`, `"kid":"x","kty"`, 1), "duplicate member"},
		"a text as time": {strings.Replace(good, `"created":1772366400`, `"created":"x"`, 1), "payload"},
		"more text":      {good + "{}", "payload"},
		"key_hsm of something": {
			strings.Replace(good, `"key_hsm":"`, `"key_hsm":"*`, 1), "key_hsm is not base64url",
		},
	} {
		d, err := document.Verify(s.raw(t, header(s.chain), tc.payload), s.expectation())
		if d != nil || !errors.Is(err, document.ErrFormat) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %s", name, err, tc.want)
		}
	}
}

func TestTheAnswerToAnotherRequestIsRefused(t *testing.T) {
	s := newServer(t, nil)
	compact := s.secret(t)
	for name, change := range map[string]func(*document.Expectation){
		"another key":              func(e *document.Expectation) { e.KeyID = "https://vault.example:8443/keys/other" },
		"the beginning of its URL": func(e *document.Expectation) { e.KeyID = "https://vault.example:8443/keys/dis" },
		"a folder above":           func(e *document.Expectation) { e.KeyID = "https://vault.example:8443/keys" },
		"a slash more":             func(e *document.Expectation) { e.KeyID = asked + "/" },
		"a version":                func(e *document.Expectation) { e.KeyID = asked + "/ffffffffffffffffffffffffffffffff" },
		"another host":             func(e *document.Expectation) { e.KeyID = strings.Replace(asked, "vault", "other", 1) },
		"another nonce":            func(e *document.Expectation) { e.Nonce = "ADE0102" },
		"no nonce":                 func(e *document.Expectation) { e.Nonce = "" },
		"another algorithm":        func(e *document.Expectation) { e.Algorithm = keywrap.RSAAESKeyWrap384 },
		"the default algorithm":    func(e *document.Expectation) { e.Algorithm = "" },
		"an unknown algorithm":     func(e *document.Expectation) { e.Algorithm = "RSA-OAEP" },
		"another API version":      func(e *document.Expectation) { e.APIVersion = "7.3" },
		"another wrapping key":     func(e *document.Expectation) { e.WrappingKeyID = "HCLAkPub" },
		"no roots":                 func(e *document.Expectation) { e.Roots = nil },
		"no host":                  func(e *document.Expectation) { e.Host = "" },
		"no time":                  func(e *document.Expectation) { e.Time = time.Time{} },
		"no key":                   func(e *document.Expectation) { e.KeyID = "" },
	} {
		want := s.expectation()
		change(&want)
		if d, err := document.Verify(compact, want); d != nil || !errors.Is(err, document.ErrRequest) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A key that was asked for with its version is that version.
	d := s.sealed(t, "oct", &document.Material{Octets: []byte("secret")})
	d.Request.KeyID = d.Key.KeyID
	want := s.expectation()
	want.KeyID = d.Key.KeyID
	if _, err := document.Verify(s.sign(t, d), want); err != nil {
		t.Error(err)
	}
	// The wrapping that key_hsm names is that of the request.
	d.Request.Algorithm = keywrap.RSAAESKeyWrap384
	want.Algorithm = keywrap.RSAAESKeyWrap384
	if _, err := document.Verify(s.sign(t, d), want); !errors.Is(err, document.ErrRequest) ||
		!strings.Contains(err.Error(), "enc of key_hsm") {
		t.Error(err)
	}
}

func TestAnyOtherTextIsRefused(t *testing.T) {
	s := newServer(t, nil)
	good, want := s.secret(t), s.expectation()
	n := 0
	for text := range jwstest.Neighbours(good) {
		// A signature check for each of them would take minutes: a sample.
		if n++; n%53 != 0 {
			continue
		}
		if d, err := document.Verify(text, want); err == nil {
			t.Errorf("accepted: %.80s… %+v", text, d)
		}
	}
	parts := strings.Split(good, ".")
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		t.Fatal(err)
	}
	for i := range signature {
		changed := bytes.Clone(signature)
		changed[i] ^= 0x80
		text := parts[0] + "." + parts[1] + "." + base64.RawURLEncoding.EncodeToString(changed)
		if _, err := document.Verify(text, want); !errors.Is(err, document.ErrSignature) {
			t.Errorf("byte %d: %v", i, err)
		}
	}
	for _, text := range []string{"", ".", "..", "a.b", good + ".", strings.Repeat("A", document.MaxSize+1)} {
		if _, err := document.Verify(text, want); !errors.Is(err, document.ErrFormat) {
			t.Errorf("%.20s: %v", text, err)
		}
	}
}

func TestCertificatesThatClientsRefuseDoNotSign(t *testing.T) {
	s := newServer(t, nil)
	short, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	other := func(change func(*x509.Certificate)) []*x509.Certificate { return newServer(t, change).chain }
	named := &x509.Certificate{DNSNames: []string{"vault.example"}}
	nine := make([]*x509.Certificate, 9)
	for i := range nine {
		nine[i] = s.chain[2]
	}
	for name, tc := range map[string]struct {
		key   crypto.Signer
		chain []*x509.Certificate
		want  string
	}{
		"no certificate":    {s.server, nil, "found 0"},
		"nine certificates": {s.server, nine, "found 9"},
		"another key":       {s.root, s.chain, "not that of the signing key"},
		"an EC key": {
			s.ec, []*x509.Certificate{issue(t, named, s.ec.Public(), s.chain[1], s.between)}, "RS256 only",
		},
		"1024 bits": {short, []*x509.Certificate{issue(t, named, short.Public(), s.chain[1], s.between)},
			"found one of 1024 bits"},
		"the wrong order": {
			s.server, []*x509.Certificate{s.chain[0], s.chain[2], s.chain[1]}, "certificate 2 of the chain",
		},
		"a gap": {s.server, []*x509.Certificate{s.chain[0], s.chain[2]}, "did not issue"},
		"for clients": {s.server, other(func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		}), "not for server authentication"},
		"no host": {s.server, other(func(c *x509.Certificate) { c.DNSNames = nil }), "names no host"},
	} {
		_, err := document.NewSigner(tc.key, tc.chain)
		if !errors.Is(err, document.ErrSigner) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %s", name, err, tc.want)
		}
	}
	if _, err := document.NewSigner(s.server, s.chain[:2]); err != nil {
		t.Errorf("without the root: %v", err)
	}
}

func TestASigningKeyThatFailsIsAnError(t *testing.T) {
	s := newServer(t, nil)
	signer, err := document.NewSigner(broken{tpm{s.server}}, s.chain)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := signer.Sign(unsealed("oct")); err == nil ||
		!strings.HasPrefix(err.Error(), "document: sign: ") {
		t.Error(err)
	}
	d := unsealed("oct")
	d.Request.Nonce = "\xff"
	if _, err := signer.Sign(d); !errors.Is(err, document.ErrFormat) {
		t.Errorf("a nonce that is not UTF-8: %v", err)
	}
}

// broken is a key whose token was pulled out.
type broken struct{ tpm }

func (broken) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, errors.New("the token is not there")
}

// A key that was made in an HSM is of type RSA in the documents of Managed HSM, which have neither
// typ, x5t nor tags, and whose kid is x5t#S256.
func TestDocumentsOfManagedHSMAreRead(t *testing.T) {
	s := newServer(t, nil)
	d := s.sealed(t, "RSA", &document.Material{RSA: s.released})
	text, err := d.Payload()
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(s.chain[0].Raw)
	thumbprint := base64.RawURLEncoding.EncodeToString(sum[:])
	head := strings.Replace(header(s.chain), "{", `{"kid":"`+thumbprint+`","x5t#S256":"`+thumbprint+`",`, 1)
	payload := strings.Replace(string(text), `"tags":{},`, "", 1)
	got, err := document.Verify(s.raw(t, head, payload), s.expectation())
	if err != nil || len(got.Tags) != 0 {
		t.Fatalf("%+v, %v", got, err)
	}
	if m, err := got.Open(nil, s.machine); err != nil || !m.RSA.Equal(s.released) {
		t.Errorf("%v", err)
	}
}

// The nonce, nbf and exp are in a document only if the request or the key has them.
func TestMembersThatAreNotSetAreLeftOut(t *testing.T) {
	d := unsealed("oct")
	d.Request.Nonce, d.Key.Operations = "", nil
	text, err := d.Payload()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"nonce", "nbf", `"exp"`, `"n"`, `"x"`, "crv", "null"} {
		if strings.Contains(string(text), name) {
			t.Errorf("%s has %s", text, name)
		}
	}
	d.Request.Nonce, d.Attributes.NotBefore, d.Attributes.Expires = "n1", 5, 6
	d.Tags = map[string]string{"b": "2", "a": "1"}
	if text, err = d.Payload(); err != nil {
		t.Fatal(err)
	}
	for _, member := range []string{`"nonce":"n1"`, `"nbf":5,"exp":6`, `"tags":{"a":"1","b":"2"}`, `"key_ops":[]`} {
		if !strings.Contains(string(text), member) {
			t.Errorf("%s lacks %s", text, member)
		}
	}
}
