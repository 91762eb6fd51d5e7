package agent

import (
	"context"
	"fmt"

	"github.com/probity-dev/probity/client"
)

// Enrol binds the agent's attestation key to the TPM's endorsement key at a
// service, under the machine's name.
func Enrol(ctx context.Context, c *client.Client, m *TPM, name string) (*client.Enrolled, error) {
	offer, err := c.EnrolTPM(ctx, client.EnrolTPM{
		Name:                   name,
		EndorsementKey:         m.ek.public,
		EndorsementCertificate: m.ekCert,
		AttestationKey:         m.ak.public,
	})
	if err != nil {
		return nil, err
	}
	answer, err := m.activate(offer.Credential, offer.Secret)
	if err != nil {
		return nil, err
	}
	done, err := c.ActivateTPM(ctx, offer.Context, answer)
	if err != nil {
		return nil, fmt.Errorf("the TPM opened the credential, and %w", err)
	}
	return done, nil
}
