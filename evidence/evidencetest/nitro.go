package evidencetest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"math/big"
	"time"

	"github.com/fxamacker/cbor/v2"
)

func hexText(b []byte) string { return hex.EncodeToString(b) }

// Nitro is a hierarchy shaped like AWS's: root, region, zone, instance, enclave.
type Nitro struct {
	Chain []Signer // the root first, the enclave last

	now time.Time
}

// NitroConfig makes a hierarchy differ from a healthy one.
type NitroConfig struct {
	Now  time.Time
	Edit func(*x509.Certificate)
}

// NewNitro makes a hierarchy with fresh keys.
func NewNitro(cfg NitroConfig) *Nitro {
	n := &Nitro{now: cfg.Now}
	names := []string{
		"aws.nitro-enclaves", "region.aws.nitro-enclaves", "zone.region.aws.nitro-enclaves",
		"i-0123.region.aws.nitro-enclaves", "i-0123-enc0456.region.aws",
	}
	for i, cn := range names {
		key := newP384()
		t := &x509.Certificate{SerialNumber: big.NewInt(int64(i + 1)), Subject: pkix.Name{
			CommonName:         cn,
			Organization:       []string{"Amazon"},
			OrganizationalUnit: []string{"AWS"},
		},
			NotBefore: n.now.Add(-time.Hour), NotAfter: n.now.AddDate(0, 0, 20), BasicConstraintsValid: true,
			IsCA:     true,
			KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, SignatureAlgorithm: x509.ECDSAWithSHA384}
		if i == 0 {
			t.ExtraExtensions = []pkix.Extension{simulatedMark}
		}
		if i > 0 {
			t.MaxPathLen, t.MaxPathLenZero = len(names)-2-i, i == len(names)-2
		}
		if i == len(names)-1 {
			t.IsCA, t.MaxPathLen, t.MaxPathLenZero, t.KeyUsage = false, 0, false, x509.KeyUsageDigitalSignature
			t.NotBefore, t.NotAfter = n.now.Add(-time.Minute), n.now.Add(3*time.Hour)
		}
		if cfg.Edit != nil {
			cfg.Edit(t)
		}
		signer, issuer := key, t
		if i > 0 {
			signer, issuer = n.Chain[i-1].Key.(*ecdsa.PrivateKey), n.Chain[i-1].Cert
		}
		der, err := x509.CreateCertificate(rand.Reader, t, issuer, key.Public(), signer)
		must(err)
		cert, err := x509.ParseCertificate(der)
		must(err)
		n.Chain = append(n.Chain, Signer{key, cert})
	}
	return n
}

func newP384() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	must(err)
	return key
}

// Root returns the SHA-256 of the root.
func (n *Nitro) Root() []byte {
	sum := sha256.Sum256(n.Chain[0].Cert.Raw)
	return sum[:]
}

// DocumentConfig makes a document differ from a healthy one.
type DocumentConfig struct {
	UserData []byte
	Debug    bool
	// Edit may change the payload, EditHeader the protected header; Key replaces
	// the enclave's key.
	Edit       func(map[string]any)
	EditHeader func(map[any]any)
	Key        *ecdsa.PrivateKey
	Tagged     bool
	// Unprotected replaces the unprotected header.
	Unprotected map[any]any
}

// Document makes an attestation document.
func (n *Nitro) Document(cfg DocumentConfig) []byte {
	pcrs := map[int][]byte{}
	for i := range 16 {
		pcrs[i] = make([]byte, 48)
	}
	if !cfg.Debug {
		for i := range 3 {
			sum := sha512.Sum384([]byte{byte(i)})
			pcrs[i] = sum[:]
		}
	}
	var bundle [][]byte
	for _, s := range n.Chain[:len(n.Chain)-1] {
		bundle = append(bundle, s.Cert.Raw)
	}
	leaf := n.Chain[len(n.Chain)-1]
	payload := map[string]any{
		"module_id": "i-0123-enc0456", "digest": "SHA384", "timestamp": uint64(n.now.UnixMilli()),
		"pcrs":        pcrs,
		"certificate": leaf.Cert.Raw, "cabundle": bundle, "public_key": nil,
		"user_data": cfg.UserData, "nonce": nil,
	}
	if cfg.Edit != nil {
		cfg.Edit(payload)
	}
	header := map[any]any{int64(1): int64(-35)}
	if cfg.EditHeader != nil {
		cfg.EditHeader(header)
	}
	key := cfg.Key
	if key == nil {
		key = leaf.Key.(*ecdsa.PrivateKey)
	}
	return Sign1(key, header, cfg.Unprotected, mustCBOR(payload), cfg.Tagged)
}

// Arm is a platform with its attestation key (CPAK) and a realm with its own.
type Arm struct {
	CPAK, RAK *ecdsa.PrivateKey
}

// NewArm makes a platform and a realm with fresh keys.
func NewArm() *Arm { return &Arm{CPAK: newP384(), RAK: newP384()} }

// CCAConfig makes a token differ from a healthy one.
type CCAConfig struct {
	Challenge, Personalization [64]byte
	Lifecycle                  int // 0x3000
	// Legacy makes the form before the profile had a name: the key as a bare
	// point.
	Legacy bool
	// EditPlatform and EditRealm may change the claims before they are signed;
	// values of nil in the result are left out.
	EditPlatform, EditRealm func(map[int64]any)
	PlatformKey, RealmKey   *ecdsa.PrivateKey
}

// CCA makes a token of platform and realm.
func (a *Arm) CCA(cfg CCAConfig) []byte {
	lifecycle := cfg.Lifecycle
	if lifecycle == 0 {
		lifecycle = 0x3000
	}
	point, err := a.RAK.PublicKey.Bytes()
	must(err)
	rak, platformProfile := point, "http://arm.com/CCA-SSD/1.0.0"
	measurement := func(text string) []byte { sum := sha256.Sum256([]byte(text)); return sum[:] }
	realm := map[int64]any{
		10:    cfg.Challenge[:],
		44235: cfg.Personalization[:],
		44236: "sha-256",
		44240: "sha-256",
		44238: measurement("realm"),
		44239: [][]byte{make([]byte, 32), make([]byte, 32), make([]byte, 32), make([]byte, 32)},
	}
	if !cfg.Legacy {
		platformProfile = "tag:arm.com,2023:cca_platform#1.0.0"
		realm[265] = "tag:arm.com,2023:realm#1.0.0"
		rak = mustCBOR(map[int64]any{1: 2, -1: 2, -2: point[1:49], -3: point[49:]})
	}
	realm[44237] = rak
	platform := map[int64]any{
		265: platformProfile, 10: measurement(string(rak)),
		256: append([]byte{1}, measurement("instance")...), 2396: measurement("implementation"),
		2395: lifecycle,
		2399: []any{map[int64]any{
			1: "BL", 2: measurement("boot loader"), 4: "1.0", 5: measurement("signer"), 6: "sha-256",
		}},
		2401: []byte{1, 2, 3}, 2402: "sha-256",
	}
	for _, item := range []struct {
		edit   func(map[int64]any)
		claims map[int64]any
	}{{cfg.EditPlatform, platform}, {cfg.EditRealm, realm}} {
		if item.edit != nil {
			item.edit(item.claims)
		}
	}
	keys := []*ecdsa.PrivateKey{cfg.PlatformKey, cfg.RealmKey}
	if keys[0] == nil {
		keys[0] = a.CPAK
	}
	if keys[1] == nil {
		keys[1] = a.RAK
	}
	header := map[any]any{int64(1): int64(-35)}
	return mustCBOR(cbor.Tag{Number: 399, Content: map[int64][]byte{
		44234: Sign1(keys[0], header, nil, mustCBOR(platform), true),
		44241: Sign1(keys[1], header, nil, mustCBOR(realm), true)}})
}

// PSA makes a PSA token of the platform.
func (a *Arm) PSA(challenge [32]byte, edit func(map[int64]any)) []byte {
	sum := sha256.Sum256([]byte("x"))
	claims := map[int64]any{265: "tag:psacertified.org,2023:psa#tfm", 10: challenge[:], 256: append([]byte{1},
		sum[:]...), 2396: sum[:], 2395: 0x3000, 2394: 1,
		2399: []any{map[int64]any{2: sum[:], 5: sum[:]}}}
	if edit != nil {
		edit(claims)
	}
	return Sign1(a.CPAK, map[any]any{int64(1): int64(-35)}, nil, mustCBOR(claims), true)
}

// PSA1 makes a PSA token of the platform in the first profile, PSA_IOT_PROFILE_1.
func (a *Arm) PSA1(challenge [32]byte, edit func(map[int64]any)) []byte {
	sum := sha256.Sum256([]byte("x"))
	claims := map[int64]any{
		-75000: "PSA_IOT_PROFILE_1", -75001: 2, -75002: 0x3000, -75003: sum[:], -75004: sum[:],
		-75005: "0604565272829-10010",
		-75006: []any{map[int64]any{1: "BL", 2: sum[:], 4: "1.2", 5: sum[:], 6: "sha-256"}},
		-75008: challenge[:],
		-75009: append([]byte{1}, sum[:]...),
		-75010: "https://psa-verifier.example",
	}
	if edit != nil {
		edit(claims)
	}
	return Sign1(a.CPAK, map[any]any{int64(1): int64(-35)}, nil, mustCBOR(claims), true)
}

// PlatformKeyPEM returns the platform's public key.
func (a *Arm) PlatformKeyPEM() []byte {
	der, err := x509.MarshalPKIXPublicKey(&a.CPAK.PublicKey)
	must(err)
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// IDs returns the platform's implementation id and instance id in hex.
func (a *Arm) IDs() (implementation, instance string) {
	first, second := sha256.Sum256([]byte("implementation")), sha256.Sum256([]byte("instance"))
	return hexText(first[:]), "01" + hexText(second[:])
}
