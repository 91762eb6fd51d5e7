package agent

import (
	"crypto"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
)

// azureKey is the ephemeral key of an Azure guest, which tokens name TpmEphemeralEncryptionKey.
type azureKey struct {
	azure  *Azure
	public *rsa.PublicKey
}

// EncryptionKey returns the key that tokens of the guest name in x-ms-runtime.keys, to which released keys
// are wrapped. Its private part never leaves the TPM, which uses it only while the registers have
// the values that they have now. It decrypts RSAES-OAEP, with the options [rsa.OAEPOptions].
func (a *Azure) EncryptionKey() (crypto.Decrypter, error) {
	bank, err := a.m.registers(a.m.pcrMask)
	if err != nil {
		return nil, err
	}
	k, err := a.ephemeral(bank)
	if err != nil {
		return nil, fmt.Errorf("ephemeral key: %w", err)
	}
	defer func() { _, _ = tpm2.FlushContext{FlushHandle: k.handle}.Execute(a.m.t) }()
	public, ok := k.parsed.Key.(*rsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("ephemeral key: expected an RSA key, found %T", k.parsed.Key)
	}
	return &azureKey{a, public}, nil
}

// Public implements crypto.Decrypter.
func (k *azureKey) Public() crypto.PublicKey { return k.public }

// Decrypt implements crypto.Decrypter. Randomness is the TPM's own.
func (k *azureKey) Decrypt(_ io.Reader, ciphertext []byte, options crypto.DecrypterOpts) ([]byte, error) {
	oaep, ok := options.(*rsa.OAEPOptions)
	if !ok || len(oaep.Label) > 0 || oaep.MGFHash != 0 && oaep.MGFHash != oaep.Hash {
		return nil, fmt.Errorf("the key of the TPM: expected OAEP with one hash and no label, found %T", options)
	}
	hash, ok := map[crypto.Hash]tpm2.TPMAlgID{
		crypto.SHA1: tpm2.TPMAlgSHA1, crypto.SHA256: tpm2.TPMAlgSHA256, crypto.SHA384: tpm2.TPMAlgSHA384,
	}[oaep.Hash]
	if !ok {
		return nil, fmt.Errorf("the key of the TPM: expected SHA-1, SHA-256 or SHA-384, found %s", oaep.Hash)
	}
	if len(ciphertext) != k.public.Size() {
		return nil, fmt.Errorf("the key of the TPM: expected %d bytes, found %d", k.public.Size(), len(ciphertext))
	}
	return k.azure.decrypt(ciphertext, tpm2.TPMTRSADecrypt{
		Scheme:  tpm2.TPMAlgOAEP,
		Details: tpm2.NewTPMUAsymScheme(tpm2.TPMAlgOAEP, &tpm2.TPMSEncSchemeOAEP{HashAlg: hash}),
	})
}

// decrypt decrypts with the ephemeral key, which can be used in the state that was attested alone.
func (a *Azure) decrypt(ciphertext []byte, scheme tpm2.TPMTRSADecrypt) ([]byte, error) {
	bank, err := a.m.registers(a.m.pcrMask)
	if err != nil {
		return nil, err
	}
	k, err := a.ephemeral(bank)
	if err != nil {
		return nil, err
	}
	defer func() { _, _ = tpm2.FlushContext{FlushHandle: k.handle}.Execute(a.m.t) }()
	policy := tpm2.Policy(tpm2.TPMAlgSHA256, 16,
		func(t transport.TPM, session tpm2.TPMISHPolicy, _ tpm2.TPM2BNonce) error {
			_, err := tpm2.PolicyPCR{PolicySession: session, Pcrs: selection(a.m.pcrMask)}.Execute(t)
			return err
		})
	opened, err := tpm2.RSADecrypt{
		KeyHandle:  tpm2.AuthHandle{Handle: k.handle, Name: k.name, Auth: policy},
		CipherText: tpm2.TPM2BPublicKeyRSA{Buffer: ciphertext},
		InScheme:   scheme,
	}.Execute(a.m.t)
	if err != nil {
		return nil, fmt.Errorf(
			"the TPM does not open the answer: its registers changed since, or it is for another machine: %w",
			err,
		)
	}
	if len(opened.Message.Buffer) == 0 {
		return nil, errors.New("the TPM opened the answer, which is empty")
	}
	return opened.Message.Buffer, nil
}
