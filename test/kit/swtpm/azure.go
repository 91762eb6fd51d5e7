package swtpm

import (
	"crypto"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/google/go-tpm/tpm2"

	"github.com/probity-dev/probity/evidence/tpm"
)

// What the platform provisions in the TPM of an Azure guest.
const (
	azureAK     = tpm2.TPMHandle(0x81000003)
	azureAKCert = tpm2.TPMHandle(0x01c101d0)
)

// ProvisionAzure gives the TPM what that of an Azure guest without isolation has: an attestation key, and a
// certificate of it that certify makes.
func (m *TPM) ProvisionAzure(certify func(public crypto.PublicKey) []byte) error {
	t := commands(fmt.Sprintf("127.0.0.1:%d", m.Port))
	made, err := tpm2.CreatePrimary{
		PrimaryHandle: tpm2.TPMRHEndorsement,
		InPublic: tpm2.New2B(tpm2.TPMTPublic{
			Type: tpm2.TPMAlgRSA, NameAlg: tpm2.TPMAlgSHA256,
			ObjectAttributes: tpm2.TPMAObject{
				FixedTPM: true, FixedParent: true, SensitiveDataOrigin: true, UserWithAuth: true,
				NoDA: true, Restricted: true, SignEncrypt: true,
			},
			Parameters: tpm2.NewTPMUPublicParms(tpm2.TPMAlgRSA, &tpm2.TPMSRSAParms{
				Scheme: tpm2.TPMTRSAScheme{
					Scheme: tpm2.TPMAlgRSASSA,
					Details: tpm2.NewTPMUAsymScheme(tpm2.TPMAlgRSASSA,
						&tpm2.TPMSSigSchemeRSASSA{HashAlg: tpm2.TPMAlgSHA256}),
				},
				KeyBits: 2048,
			}),
		}),
	}.Execute(t)
	if err != nil {
		return fmt.Errorf("attestation key: %w", err)
	}
	owner := tpm2.AuthHandle{Handle: tpm2.TPMRHOwner, Auth: tpm2.PasswordAuth(nil)}
	if _, err := (tpm2.EvictControl{
		Auth:             tpm2.TPMRHOwner,
		ObjectHandle:     &tpm2.NamedHandle{Handle: made.ObjectHandle, Name: made.Name},
		PersistentHandle: azureAK,
	}).Execute(t); err != nil {
		return fmt.Errorf("attestation key: %w", err)
	}
	if _, err := (tpm2.FlushContext{FlushHandle: made.ObjectHandle}).Execute(t); err != nil {
		return err
	}
	key, err := tpm.ParsePublic(made.OutPublic.Bytes())
	if err != nil {
		return err
	}
	cert := certify(key.Key)
	_, err = tpm2.NVDefineSpace{AuthHandle: owner, PublicInfo: tpm2.New2B(tpm2.TPMSNVPublic{
		NVIndex: azureAKCert, NameAlg: tpm2.TPMAlgSHA256, DataSize: uint16(len(cert)),
		Attributes: tpm2.TPMANV{OwnerWrite: true, OwnerRead: true, AuthRead: true, AuthWrite: true, NoDA: true,
			NT: tpm2.TPMNTOrdinary},
	})}.Execute(t)
	if err != nil {
		return fmt.Errorf("certificate: %w", err)
	}
	const chunk = 512
	for at := 0; at < len(cert); at += chunk {
		info, err := tpm2.NVReadPublic{NVIndex: azureAKCert}.Execute(t)
		if err != nil {
			return fmt.Errorf("certificate: %w", err)
		}
		_, err = tpm2.NVWrite{AuthHandle: owner,
			NVIndex: tpm2.NamedHandle{Handle: azureAKCert, Name: info.NVName},
			Data:    tpm2.TPM2BMaxNVBuffer{Buffer: cert[at:min(at+chunk, len(cert))]},
			Offset:  uint16(at)}.Execute(t)
		if err != nil {
			return fmt.Errorf("certificate: %w", err)
		}
	}
	return nil
}

// commands sends each command over a connection of its own.
type commands string

// Send implements transport.TPM.
func (c commands) Send(command []byte) ([]byte, error) {
	conn, err := net.DialTimeout("tcp", string(c), 5*time.Second)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return nil, err
	}
	if _, err := conn.Write(command); err != nil {
		return nil, err
	}
	head := make([]byte, 10)
	if _, err := io.ReadFull(conn, head); err != nil {
		return nil, err
	}
	size := int(head[2])<<24 | int(head[3])<<16 | int(head[4])<<8 | int(head[5])
	if size < len(head) || size > 4096 {
		return nil, fmt.Errorf("an answer of %d bytes", size)
	}
	answer := append(head, make([]byte, size-len(head))...)
	_, err = io.ReadFull(conn, answer[len(head):])
	return answer, err
}
