package collateral

import (
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
)

// About is what a set claims to be for. It is read without verification, to
// find the right set; the verifier then checks it.
type About struct {
	TEE              TEE
	FMSPC            [6]byte
	CA               string
	EvaluationNumber uint32
	Issued           time.Time
	NextUpdate       time.Time
}

// Matches reports whether the set is one for q.
func (a About) Matches(q Query) bool {
	return a.TEE == q.TEE && a.FMSPC == q.FMSPC && (a.CA == "" || a.CA == q.CA) &&
		(q.EvaluationNumber == 0 || a.EvaluationNumber == q.EvaluationNumber)
}

// NewerThan orders sets for one platform: by evaluation number, then by issue
// date.
func (a About) NewerThan(b About) bool {
	if a.EvaluationNumber != b.EvaluationNumber {
		return a.EvaluationNumber > b.EvaluationNumber
	}
	return a.Issued.After(b.Issued)
}

// About reads what the set is for from its TCB info and its PCK CRL.
func (c *Intel) About() (About, error) {
	if len(c.TCBInfo) == 0 {
		return About{}, errors.New("no TCB info in the set")
	}
	var info struct {
		ID         string    `json:"id"`
		FMSPC      string    `json:"fmspc"`
		Number     uint32    `json:"tcbEvaluationDataNumber"`
		IssueDate  time.Time `json:"issueDate"`
		NextUpdate time.Time `json:"nextUpdate"`
	}
	if err := json.Unmarshal(c.TCBInfo, &info); err != nil {
		return About{}, fmt.Errorf("TCB info: %w", err)
	}
	about := About{TEE: SGX, EvaluationNumber: info.Number, Issued: info.IssueDate, NextUpdate: info.NextUpdate}
	if info.ID == string(TDX) {
		about.TEE = TDX
	}
	// FMSPCs are published in both cases of hex.
	fmspc, err := hex.DecodeString(info.FMSPC)
	if err != nil || len(fmspc) != len(about.FMSPC) {
		return About{}, fmt.Errorf("TCB info: FMSPC %q is not 6 bytes of hex", info.FMSPC)
	}
	copy(about.FMSPC[:], fmspc)
	if crl, err := x509.ParseRevocationList(c.PCKCRL); err == nil {
		about.CA = CAType(crl.Issuer.CommonName)
	}
	return about, nil
}

// QENextUpdate reads until when the QE identity counts.
func (c *Intel) QENextUpdate() (time.Time, error) {
	var identity struct {
		NextUpdate time.Time `json:"nextUpdate"`
	}
	if err := json.Unmarshal(c.QEIdentity, &identity); err != nil {
		return time.Time{}, fmt.Errorf("QE identity: %w", err)
	}
	return identity.NextUpdate, nil
}

// CAType returns "processor" or "platform" for the common name of the CA that
// issues PCK certificates, and "" for any other name.
func CAType(commonName string) string {
	switch strings.TrimSpace(commonName) {
	case "Intel SGX PCK Processor CA":
		return "processor"
	case "Intel SGX PCK Platform CA":
		return "platform"
	default:
		return ""
	}
}
