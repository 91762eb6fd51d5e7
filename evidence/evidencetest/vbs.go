package evidencetest

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
)

// SecureKernel is Windows's secure kernel: the key with which it signs reports of
// enclaves, as it is measured at boot.
type SecureKernel struct{ Key *rsa.PrivateKey }

// NewSecureKernel makes one.
func NewSecureKernel() *SecureKernel {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	must(err)
	return &SecureKernel{key}
}

// Measured is the item of Windows's log that names the key (VSM_IDKS_INFO).
func (k *SecureKernel) Measured() []byte {
	var b []byte
	for _, n := range []uint32{1, 2048, 3, 256} {
		b = binary.LittleEndian.AppendUint32(b, n)
	}
	b = append(append(b, 1, 0, 1), k.Key.N.Bytes()...)
	return SIPA(0x00050023, b)
}

// EnclaveReport describes an enclave.
type EnclaveReport struct {
	SVN, Flags uint32
	// Edit may change the statement before it is signed.
	Edit func([]byte)
}

// Report makes the report of an enclave over the bytes of TPM evidence.
func (k *SecureKernel) Report(signed []byte, cfg EnclaveReport) []byte {
	le := binary.LittleEndian
	sum := sha512.Sum512(signed)
	s := append(le.AppendUint32(le.AppendUint32(nil, 0), 1), sum[:]...)
	for i := range 4 {
		id := sha256.Sum256([]byte{byte(i)})
		s = append(s, id[:]...)
	}
	for _, n := range []uint32{cfg.SVN, 3, 2, cfg.Flags, 0, 0} {
		s = le.AppendUint32(s, n)
	}
	module := append(le.AppendUint32(le.AppendUint32(nil, 1), 0), make([]byte, 96)...)
	module = append(le.AppendUint32(module, 1), UTF16("enclave.dll")...)
	le.PutUint32(module[4:], uint32(len(module)))
	s = append(s, module...)
	le.PutUint32(s, uint32(len(s)))
	if cfg.Edit != nil {
		cfg.Edit(s)
	}
	digest := sha256.Sum256(s)
	signature, err := rsa.SignPSS(rand.Reader, k.Key, crypto.SHA256, digest[:], &rsa.PSSOptions{SaltLength: 32})
	must(err)
	var b []byte
	for _, n := range []uint32{
		uint32(24 + len(s) + len(signature)), 1, 1, uint32(len(s)), uint32(len(signature)), 0,
	} {
		b = le.AppendUint32(b, n)
	}
	return append(append(b, s...), signature...)
}
