package tpm_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/probity-dev/probity/collateral/tpmca"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/evidencetest"
	"github.com/probity-dev/probity/evidence/tpm"
)

// Verify a machine's answer to a challenge: its quote, its attestation key and its log of measured boot.
func Example() {
	// A simulated TPM replaces a real one. In production, the PEM text is that of the authority
	// that certifies your attestation keys, such as tpmca.Named(tpmca.Azure).
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	machine := evidencetest.NewTPM(evidencetest.TPMConfig{Now: now})
	challenge := []byte("16 random bytes.")
	answer := machine.Evidence(evidencetest.TPMEvidence{
		Boot:      evidencetest.HealthyBoot(evidencetest.BootConfig{}),
		Challenge: challenge,
	})

	authorities, err := tpmca.Parse(machine.Root.PEM())
	if err != nil {
		fmt.Println(err)
		return
	}
	verifier := tpm.New(tpm.Config{Authorities: authorities})
	result, err := verifier.Verify(context.Background(), evidence.Evidence{
		Raw:       answer,
		Challenge: challenge,
		Time:      now,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	// What is measured are claims for policies, beside those of the token.
	secureBoot, _ := result.Aliases.Get("secureBootEnabled")
	kernel, _ := result.Aliases.Text("x-probity-boot-kernel-command-line")
	fmt.Println("secure boot:", secureBoot)
	fmt.Println("kernel:", kernel)
	// Output:
	// secure boot: true
	// kernel: /vmlinuz root=/dev/sda1 ro
}

// An answer to an earlier challenge is refused.
func ExampleVerifier_Verify_replayed() {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	machine := evidencetest.NewTPM(evidencetest.TPMConfig{Now: now})
	answer := machine.Evidence(evidencetest.TPMEvidence{
		Boot:      evidencetest.HealthyBoot(evidencetest.BootConfig{}),
		Challenge: []byte("yesterday's one."),
	})

	authorities, err := tpmca.Parse(machine.Root.PEM())
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = tpm.New(tpm.Config{Authorities: authorities}).Verify(context.Background(), evidence.Evidence{
		Raw:       answer,
		Challenge: []byte("today's one....."),
		Time:      now,
	})
	if errors.Is(err, tpm.CheckChallenge) {
		fmt.Println("the answer is not fresh")
	}
	// Output: the answer is not fresh
}
