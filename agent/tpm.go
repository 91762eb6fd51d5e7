package agent

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/go-json-experiment/json"
	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"github.com/probity-dev/probity/evidence/eventlog"
	"github.com/probity-dev/probity/evidence/tpm"
	"github.com/probity-dev/probity/strict/base64text"
)

// TPM is an open TPM with the keys that the agent uses. It is not safe for
// concurrent use.
type TPM struct {
	t       transport.TPMCloser
	ek, ak  *key
	ekCert  []byte
	pcrMask uint32
}

// key is a key that is loaded.
type key struct {
	handle tpm2.TPMHandle
	name   tpm2.TPM2BName
	public []byte // TPMT_PUBLIC
	parsed *tpm.Public
	// transient keys are flushed at the end.
	transient bool
}

// Handles and indices (TCG EK Credential Profile; TCG TPM v2.0 Provisioning
// Guidance).
const (
	handleEK    = tpm2.TPMHandle(0x81010001)
	indexEKCert = tpm2.TPMHandle(0x01c00002)

	akFile        = "attestation-key.json"
	chunk         = 1024
	maxQuoteTries = 8
)

// OpenTPM opens the TPM at a device or socket. Its attestation key is kept in the
// folder state, encrypted by the TPM, and made there the first time.
func OpenTPM(address, state string) (*TPM, error) {
	t, err := openTransport(address)
	if err != nil {
		return nil, err
	}
	m := &TPM{t: t, pcrMask: 0xffffff}
	if err := m.load(state); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

// Close flushes the keys and closes the device.
func (m *TPM) Close() error {
	for _, k := range []*key{m.ak, m.ek} {
		if k != nil && k.transient {
			_, _ = tpm2.FlushContext{FlushHandle: k.handle}.Execute(m.t) // the resource manager does it too
		}
	}
	return m.t.Close()
}

func (m *TPM) load(state string) (err error) {
	if m.ek, err = m.endorsementKey(); err != nil {
		return fmt.Errorf("endorsement key: %w", err)
	}
	m.ekCert, _ = m.readIndex(indexEKCert) // many TPMs have none
	if m.ak, err = m.attestationKey(filepath.Join(state, akFile)); err != nil {
		return fmt.Errorf("attestation key: %w", err)
	}
	return nil
}

func newKey(
	handle tpm2.TPMHandle, name tpm2.TPM2BName, public tpm2.TPM2BPublic, transient bool,
) (*key, error) {
	parsed, err := tpm.ParsePublic(public.Bytes())
	return &key{handle, name, public.Bytes(), parsed, transient}, err
}

// endorsementKey uses the key that the platform keeps, or makes it again from the
// standard template.
func (m *TPM) endorsementKey() (*key, error) {
	if kept, err := (tpm2.ReadPublic{ObjectHandle: handleEK}).Execute(m.t); err == nil {
		return newKey(handleEK, kept.Name, kept.OutPublic, false)
	}
	made, err := tpm2.CreatePrimary{
		PrimaryHandle: tpm2.TPMRHEndorsement,
		InPublic:      tpm2.New2B(tpm2.RSAEKTemplate),
	}.Execute(m.t)
	if err != nil {
		return nil, err
	}
	return newKey(made.ObjectHandle, made.Name, made.OutPublic, true)
}

// asEK authorises the use of the endorsement key (PolicySecret of the endorsement
// hierarchy).
func (m *TPM) asEK() tpm2.AuthHandle {
	return tpm2.AuthHandle{Handle: m.ek.handle, Name: m.ek.name, Auth: tpm2.Policy(tpm2.TPMAlgSHA256, 16,
		func(t transport.TPM, session tpm2.TPMISHPolicy, nonce tpm2.TPM2BNonce) error {
			_, err := tpm2.PolicySecret{
				AuthHandle:    tpm2.TPMRHEndorsement,
				PolicySession: session,
				NonceTPM:      nonce,
			}.Execute(t)
			return err
		})}
}

func (k *key) auth() tpm2.AuthHandle {
	return tpm2.AuthHandle{Handle: k.handle, Name: k.name, Auth: tpm2.PasswordAuth(nil)}
}

// akTemplate is a restricted RSA-2048 key that signs with RSASSA and SHA-256. It is
// a child of the endorsement key, so that its quotes tell the true counters.
var akTemplate = tpm2.TPMTPublic{
	Type: tpm2.TPMAlgRSA, NameAlg: tpm2.TPMAlgSHA256,
	ObjectAttributes: tpm2.TPMAObject{
		FixedTPM: true, FixedParent: true, SensitiveDataOrigin: true, UserWithAuth: true, NoDA: true,
		Restricted: true, SignEncrypt: true,
	},
	Parameters: tpm2.NewTPMUPublicParms(tpm2.TPMAlgRSA, &tpm2.TPMSRSAParms{
		Scheme: tpm2.TPMTRSAScheme{
			Scheme: tpm2.TPMAlgRSASSA,
			Details: tpm2.NewTPMUAsymScheme(tpm2.TPMAlgRSASSA,
				&tpm2.TPMSSigSchemeRSASSA{HashAlg: tpm2.TPMAlgSHA256}),
		},
		KeyBits: 2048,
	}),
}

// keptKey is an attestation key as it is in its file.
type keptKey struct {
	Public  base64text.Bytes `json:"public"`
	Private base64text.Bytes `json:"private"`
}

func (m *TPM) attestationKey(path string) (*key, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		if b, err = m.makeKey(path); err != nil {
			return nil, err
		}
	}
	if err != nil {
		return nil, err
	}
	var kept keptKey
	if err := json.Unmarshal(b, &kept); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	public := tpm2.BytesAs2B[tpm2.TPMTPublic](kept.Public)
	loaded, err := tpm2.Load{
		ParentHandle: m.asEK(),
		InPrivate:    tpm2.TPM2BPrivate{Buffer: kept.Private},
		InPublic:     public,
	}.Execute(m.t)
	if err != nil {
		return nil, fmt.Errorf(
			"%s is the key of another TPM, or of one that was cleared; remove the file, and enrol again: %w",
			path, err,
		)
	}
	return newKey(loaded.ObjectHandle, loaded.Name, public, true)
}

func (m *TPM) makeKey(path string) ([]byte, error) {
	made, err := tpm2.Create{ParentHandle: m.asEK(), InPublic: tpm2.New2B(akTemplate)}.Execute(m.t)
	if err != nil {
		return nil, err
	}
	b, err := json.Marshal(keptKey{made.OutPublic.Bytes(), made.OutPrivate.Buffer})
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	return b, WriteSecret(path, b)
}

// readIndex reads an index of the TPM's memory: as its owner, or, where the owner has
// a password, with the index's own.
func (m *TPM) readIndex(index tpm2.TPMHandle) ([]byte, error) {
	info, err := tpm2.NVReadPublic{NVIndex: index}.Execute(m.t)
	if err != nil {
		return nil, err
	}
	contents, err := info.NVPublic.Contents()
	if err != nil {
		return nil, err
	}
	owner := tpm2.AuthHandle{Handle: tpm2.TPMRHOwner, Auth: tpm2.PasswordAuth(nil)}
	own := tpm2.AuthHandle{Handle: index, Name: info.NVName, Auth: tpm2.PasswordAuth(nil)}
	for _, auth := range []tpm2.AuthHandle{owner, own} {
		var b []byte
		b, err = m.readWhole(auth, tpm2.NamedHandle{Handle: index, Name: info.NVName}, int(contents.DataSize))
		if err == nil {
			return b, nil
		}
	}
	return nil, err
}

func (m *TPM) readWhole(auth tpm2.AuthHandle, index tpm2.NamedHandle, size int) (out []byte, err error) {
	for len(out) < size {
		part, err := tpm2.NVRead{
			AuthHandle: auth,
			NVIndex:    index,
			Size:       uint16(min(chunk, size-len(out))),
			Offset:     uint16(len(out)),
		}.Execute(m.t)
		if err != nil {
			return nil, err
		}
		if len(part.Data.Buffer) == 0 {
			return nil, errors.New("an index that ends early")
		}
		out = append(out, part.Data.Buffer...)
	}
	return out, nil
}

func selection(mask uint32) tpm2.TPMLPCRSelection {
	return tpm2.TPMLPCRSelection{PCRSelections: []tpm2.TPMSPCRSelection{{
		Hash:      tpm2.TPMAlgSHA256,
		PCRSelect: []byte{byte(mask), byte(mask >> 8), byte(mask >> 16)},
	}}}
}

// registers reads the SHA-256 registers of a mask.
func (m *TPM) registers(mask uint32) (eventlog.Bank, error) {
	bank := eventlog.Bank{Algorithm: eventlog.SHA256}
	for left := mask; left != 0; {
		read, err := tpm2.PCRRead{PCRSelectionIn: selection(left)}.Execute(m.t)
		if err != nil {
			return bank, err
		}
		values := read.PCRValues.Digests
		for _, s := range read.PCRSelectionOut.PCRSelections {
			for i := range eventlog.Registers {
				if s.PCRSelect[i/8]&(1<<(i%8)) == 0 {
					continue
				}
				if len(values) == 0 {
					return bank, errors.New("fewer registers than were said to be read")
				}
				bank.Values[i], values = values[0].Buffer, values[1:]
				left &^= 1 << i
			}
		}
		if len(read.PCRValues.Digests) == 0 {
			return bank, errors.New("the TPM has no bank of SHA-256: turn it on in the firmware")
		}
	}
	return bank, nil
}

// quote quotes registers with the attestation key. Registers that change between
// quoting and reading (IMA) are quoted again.
func (m *TPM) quote(mask uint32, qualifying []byte) (*tpm.Quote, []byte, error) {
	for range maxQuoteTries {
		quoted, err := tpm2.Quote{SignHandle: m.ak.auth(), QualifyingData: tpm2.TPM2BData{Buffer: qualifying},
			InScheme: tpm2.TPMTSigScheme{Scheme: tpm2.TPMAlgNull}, PCRSelect: selection(mask)}.Execute(m.t)
		if err != nil {
			return nil, nil, fmt.Errorf("quote: %w", err)
		}
		bank, err := m.registers(mask)
		if err != nil {
			return nil, nil, fmt.Errorf("registers: %w", err)
		}
		signature := tpm2.Marshal(quoted.Signature)
		attested, err := tpm.ParseAttestation(quoted.Quoted.Bytes())
		if err != nil {
			return nil, nil, fmt.Errorf("quote: %w", err)
		}
		var all []byte
		for _, value := range bank.Values {
			all = append(all, value...)
		}
		parsed, err := tpm.ParseSignature(signature)
		if err != nil {
			return nil, nil, fmt.Errorf("quote: %w", err)
		}
		if bytes.Equal(attested.PCRDigest, parsed.Hash.Sum(nil, all)) {
			return &tpm.Quote{
				Attested:  quoted.Quoted.Bytes(),
				Signature: parsed,
				Banks:     []eventlog.Bank{bank},
			}, signature, nil
		}
	}
	return nil, nil, errors.New("the registers change faster than they can be quoted")
}

// AttestationKey is the public part of the agent's attestation key.
func (m *TPM) AttestationKey() crypto.PublicKey { return m.ak.parsed.Key }

// activate opens a credential.
func (m *TPM) activate(object, secret []byte) ([]byte, error) {
	opened, err := tpm2.ActivateCredential{ActivateHandle: m.ak.auth(), KeyHandle: m.asEK(),
		CredentialBlob: tpm2.TPM2BIDObject{Buffer: object},
		Secret:         tpm2.TPM2BEncryptedSecret{Buffer: secret}}.Execute(m.t)
	if err != nil {
		return nil, fmt.Errorf("the credential is not for this TPM and key: %w", err)
	}
	return opened.CertInfo.Buffer, nil
}

// WriteSecret writes a file that its owner alone may read, whole or not at all.
func WriteSecret(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}
