package evidencetest

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
)

// GuestConfig describes an Azure guest; with a boot it is a healthy one of Trusted
// Launch.
type GuestConfig struct {
	Boot *Boot
	// Mask are the quoted registers; 0 stands for 0 to 7.
	Mask uint32
	// Extra is the qualifying data of the quote.
	Extra []byte
	// Isolation and Proof are SevSnp or Tdx with the hardware's evidence over the
	// runtime data; empty makes a machine of Trusted Launch.
	Isolation string
	Proof     func(runtime []byte) []byte
	// Runtime may change the runtime data before they are bound.
	Runtime func(map[string]any)
	// Edit may change the object before it is written.
	Edit func(map[string]any)
}

// Guest is an Azure guest: a TPM with an ephemeral key.
type Guest struct {
	*TPM
	Ephemeral *rsa.PrivateKey
}

// NewGuest makes a guest.
func NewGuest(cfg TPMConfig) *Guest {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	must(err)
	return &Guest{NewTPM(cfg), key}
}

// Paravisor is the launch measurement of the paravisor that simulated machines have.
func Paravisor() []byte {
	sum := sha512.Sum384([]byte("demo paravisor"))
	return sum[:]
}

// Attributes of an Azure guest's keys.
const (
	GuestAK        = 0x00050472
	GuestEphemeral = 0x00020432
)

// Runtime makes the runtime data of the paravisor.
func (g *Guest) Runtime(edit func(map[string]any)) []byte {
	key := map[string]any{}
	must(json.Unmarshal(JWK(g.AK.Public()), &key))
	key["kid"], key["key_ops"] = "HCLAkPub", []string{"sign"}
	runtime := map[string]any{"keys": []any{key}, "user-data": "00", "vm-configuration": map[string]any{
		"console-enabled": true, "secure-boot": true, "tpm-enabled": true,
		"vmUniqueId": "26F8BC30-774E-4290-8E7A-535F3B672AEE"}}
	if edit != nil {
		edit(runtime)
	}
	b, err := json.Marshal(runtime)
	must(err)
	return b
}

// PolicyPCR is the policy digest for SHA-256 registers of a mask.
func PolicyPCR(pcrs [24][32]byte, mask uint32) []byte {
	values := sha256.New()
	for i := range pcrs {
		if mask&(1<<i) != 0 {
			values.Write(pcrs[i][:])
		}
	}
	b := binary.BigEndian.AppendUint32(make([]byte, 32), 0x17f)
	b = append(binary.BigEndian.AppendUint32(b, 1), 0, 0x0b, 3, byte(mask), byte(mask>>8), byte(mask>>16))
	sum := sha256.Sum256(values.Sum(b))
	return sum[:]
}

// Info makes the object that guests send, decoded.
func (g *Guest) Info(cfg GuestConfig) []byte {
	if cfg.Mask == 0 {
		cfg.Mask = 0xff
	}
	std := base64.StdEncoding.EncodeToString
	ak := RSAPublicArea(&g.AK.(*rsa.PrivateKey).PublicKey, GuestAK, 0x0014, nil)
	key := RSAPublicArea(&g.Ephemeral.PublicKey, GuestEphemeral, 0x0010, PolicyPCR(cfg.Boot.PCRs, cfg.Mask))
	quote, certification := g.Quote(cfg.Boot.PCRs, cfg.Mask, cfg.Extra), g.Certify(key, nil)
	var set, pcrs []any
	for i := range cfg.Boot.PCRs {
		if cfg.Mask&(1<<i) != 0 {
			set = append(set, i)
			pcrs = append(pcrs, map[string]any{"Index": i, "Digest": std(cfg.Boot.PCRs[i][:])})
		}
	}
	isolation := map[string]any{"Type": "TrustedLaunch"}
	if cfg.Isolation != "" {
		runtime := g.Runtime(cfg.Runtime)
		isolation = map[string]any{
			"Type":     cfg.Isolation,
			"Evidence": map[string]any{"Proof": std(cfg.Proof(runtime)), "RunTimeData": std(runtime)},
		}
	}
	info := map[string]any{
		"AttestationProtocolVersion": "2.0", "OSType": std([]byte("Linux")),
		"OSDistro": std([]byte("Ubuntu")), "OSBuild": std([]byte("NotApplication")),
		"OSVersionMajor": "24", "OSVersionMinor": 4, "TcgLogs": std(cfg.Boot.Log),
		"ClientPayload": map[string]any{"nonce": std([]byte("client"))},
		"TpmInfo": map[string]any{
			"AikCert": std(append(g.AKCert.Raw, make([]byte, 300)...)), "AikPub": std(append(sized(nil, ak),
				0, 1, 2)), "PcrQuote": std(quote), "PcrSignature": std(g.RawSign(quote)),
			"EncKeyPub": std(sized(nil, key)), "EncKeyCertifyInfo": std(certification),
			"EncKeyCertifyInfoSignature": std(g.RawSign(certification)),
			"PcrSet":                     set, "PCRs": pcrs,
		},
		"IsolationInfo": isolation,
	}
	if cfg.Edit != nil {
		cfg.Edit(info)
	}
	b, err := json.Marshal(info)
	must(err)
	return b
}

// HCL makes the report of a paravisor around a hardware report.
func HCL(reportType uint32, hardware, runtime []byte) []byte {
	le := binary.LittleEndian
	b := append([]byte("HCLA"), make([]byte, 28)...)
	le.PutUint32(b[4:], 2)
	le.PutUint32(b[8:], uint32(1216+20+len(runtime)))
	le.PutUint32(b[12:], 2)
	b = append(append(b, hardware...), make([]byte, 1184-len(hardware))...)
	for _, n := range []uint32{uint32(20 + len(runtime)), 1, reportType, 1, uint32(len(runtime))} {
		b = le.AppendUint32(b, n)
	}
	b = append(b, runtime...)
	return append(b, make([]byte, max(0, 2600-len(b)))...)
}

// OpenGuestToken opens the sealed answer of a guest attestation.
func OpenGuestToken(key *rsa.PrivateKey, raw []byte) (string, error) {
	var in struct {
		JWT    []byte `json:"Jwt"`
		Inner  []byte `json:"EncryptedInnerKey"`
		Tag    []byte `json:"AuthenticationData"`
		Params struct {
			IV []byte `json:"Iv"`
		} `json:"EncryptionParams"`
	}
	if err := json.Unmarshal(raw, &in); err != nil {
		return "", err
	}
	//lint:ignore SA1019 what the clients' TPM does
	inner, err := rsa.DecryptPKCS1v15(rand.Reader, key, in.Inner)
	if err != nil {
		return "", err
	}
	block, err := aes.NewCipher(inner)
	if err != nil {
		return "", err
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return "", err
	}
	plain, err := gcm.Open(nil, in.Params.IV, append(in.JWT, in.Tag...), []byte("Transport Key"))
	return string(plain), err
}
