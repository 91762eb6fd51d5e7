package collateral

import (
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/probity-dev/probity/wording/jsonerror"
)

// About is what a set claims to be for. It is read without verification, to
// find the right set; the verifier then checks it.
type About struct {
	TEE   TEE
	FMSPC [6]byte
	CA    string
	// EvaluationNumber is the lower one of TCB info and QE identity. Mixed says that they
	// are of different releases.
	EvaluationNumber uint32
	Mixed            bool
	Issued           time.Time
	// NextUpdate is that of the piece that expires first: TCB info, QE identity or a CRL.
	NextUpdate time.Time
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

// About reads what the set is for from its TCB info and its PCK CRL, and how new it is from
// all of its pieces.
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
		return About{}, fmt.Errorf("TCB info: %s", jsonerror.Text(err))
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
	for i, der := range [][]byte{c.PCKCRL, c.RootCRL} {
		crl, err := x509.ParseRevocationList(der)
		if err != nil {
			continue
		}
		about.NextUpdate = earliest(about.NextUpdate, crl.NextUpdate)
		if i == 0 {
			about.CA = CAType(crl.Issuer.CommonName)
		}
	}
	if len(c.QEIdentity) == 0 {
		return about, nil
	}
	identity, err := c.identity()
	if err != nil {
		return About{}, err
	}
	about.NextUpdate = earliest(about.NextUpdate, identity.NextUpdate)
	about.Mixed = identity.Number != info.Number
	about.EvaluationNumber = min(info.Number, identity.Number)
	return about, nil
}

func earliest(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

type identityDates struct {
	Number     uint32    `json:"tcbEvaluationDataNumber"`
	Issued     time.Time `json:"issueDate"`
	NextUpdate time.Time `json:"nextUpdate"`
}

func (c *Intel) identity() (d identityDates, err error) {
	if err := json.Unmarshal(c.QEIdentity, &d); err != nil {
		return d, fmt.Errorf("QE identity: %s", jsonerror.Text(err))
	}
	return d, nil
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
