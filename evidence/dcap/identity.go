package dcap

import (
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
)

// Identity is the signed statement of which quoting enclave is Intel's, and of
// its TCB levels (Intel PCS API, enclave identity version 2). Byte fields are
// in memory order, as in a report.
type Identity struct {
	ID               string // QE, TD_QE, QVE or QAE
	IssueDate        time.Time
	NextUpdate       time.Time
	EvaluationNumber uint32
	MiscSelect       [4]byte
	MiscSelectMask   [4]byte
	Attributes       [16]byte
	AttributesMask   [16]byte
	MRSigner         [32]byte
	ISVProdID        uint16
	Levels           []IdentityLevel
}

// IdentityLevel is one TCB level of an enclave.
type IdentityLevel struct {
	ISVSVN     uint16
	Date       time.Time
	Status     Status
	Advisories []string
}

type identityJSON struct {
	ID             string              `json:"id"`
	Version        int                 `json:"version"`
	IssueDate      time.Time           `json:"issueDate"`
	NextUpdate     time.Time           `json:"nextUpdate"`
	Number         *uint32             `json:"tcbEvaluationDataNumber"`
	MiscSelect     string              `json:"miscselect"`
	MiscSelectMask string              `json:"miscselectMask"`
	Attributes     string              `json:"attributes"`
	AttributesMask string              `json:"attributesMask"`
	MRSigner       string              `json:"mrsigner"`
	ISVProdID      *uint16             `json:"isvprodid"`
	Levels         []identityLevelJSON `json:"tcbLevels"`
}

type identityLevelJSON struct {
	TCB struct {
		ISVSVN *uint16 `json:"isvsvn"`
	} `json:"tcb"`
	Date       time.Time `json:"tcbDate"`
	Status     string    `json:"tcbStatus"`
	Advisories []string  `json:"advisoryIDs"`
}

// ParseIdentity reads an enclave identity of version 2. It does not check the
// signature. Duplicate or missing members, trailing data, unknown statuses and
// levels that are not in descending order are refused.
func ParseIdentity(b []byte) (*Identity, error) {
	var j identityJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return nil, err
	}
	if j.Version != 2 {
		return nil, fmt.Errorf("version %d, want 2", j.Version)
	}
	if j.Number == nil || j.ISVProdID == nil || j.IssueDate.IsZero() || j.NextUpdate.IsZero() {
		return nil, errors.New("tcbEvaluationDataNumber, isvprodid, issueDate or nextUpdate is missing")
	}
	id := &Identity{
		ID: j.ID, IssueDate: j.IssueDate, NextUpdate: j.NextUpdate, EvaluationNumber: *j.Number,
		ISVProdID: *j.ISVProdID,
	}
	for _, field := range []struct {
		name string
		dst  []byte
		text string
	}{
		{"miscselect", id.MiscSelect[:], j.MiscSelect},
		{"miscselectMask", id.MiscSelectMask[:], j.MiscSelectMask},
		{"attributes", id.Attributes[:], j.Attributes},
		{"attributesMask", id.AttributesMask[:], j.AttributesMask},
		{"mrsigner", id.MRSigner[:], j.MRSigner},
	} {
		if err := decodeHex(field.dst, field.text); err != nil {
			return nil, fmt.Errorf("%s: %w", field.name, err)
		}
	}
	var err error
	id.Levels, err = readIdentityLevels(j.Levels)
	return id, err
}

// readIdentityLevels reads the levels of an enclave or module, highest first.
func readIdentityLevels(list []identityLevelJSON) ([]IdentityLevel, error) {
	if len(list) == 0 || len(list) > maxLevels {
		return nil, fmt.Errorf("%d TCB levels, want 1 to %d", len(list), maxLevels)
	}
	levels := make([]IdentityLevel, 0, len(list))
	for i, l := range list {
		status, err := parseStatus(l.Status)
		if err != nil {
			return nil, fmt.Errorf("TCB level %d: %w", i+1, err)
		}
		if l.TCB.ISVSVN == nil || l.Date.IsZero() {
			return nil, fmt.Errorf("TCB level %d: isvsvn or tcbDate is missing", i+1)
		}
		if i > 0 && *l.TCB.ISVSVN >= levels[i-1].ISVSVN {
			return nil, fmt.Errorf("TCB level %d is not below level %d: the list is not sorted", i+1, i)
		}
		levels = append(levels, IdentityLevel{*l.TCB.ISVSVN, l.Date, status, l.Advisories})
	}
	return levels, nil
}

// mismatch compares a report with the identity and returns what differs, or "".
func (id *Identity) mismatch(r *Report) (field, expected, found string) {
	masked := func(value, mask []byte) []byte {
		out := make([]byte, len(value))
		for i := range value {
			out[i] = value[i] & mask[i]
		}
		return out
	}
	misc := masked(r.MiscSelect[:], id.MiscSelectMask[:])
	attributes := masked(r.Attributes[:], id.AttributesMask[:])
	switch {
	case r.MRSigner != id.MRSigner:
		return "MRSIGNER", fmt.Sprintf("%x", id.MRSigner), fmt.Sprintf("%x", r.MRSigner)
	case r.ISVProdID != id.ISVProdID:
		return "ISVPRODID", fmt.Sprint(id.ISVProdID), fmt.Sprint(r.ISVProdID)
	case [4]byte(misc) != id.MiscSelect:
		return "MISCSELECT", fmt.Sprintf("%x", id.MiscSelect), fmt.Sprintf("%x", misc)
	case [16]byte(attributes) != id.Attributes:
		return "ATTRIBUTES", fmt.Sprintf("%x", id.Attributes), fmt.Sprintf("%x", attributes)
	}
	return "", "", ""
}

// meets returns the first level that an enclave or module of the given SVN
// meets.
func meets(levels []IdentityLevel, isvsvn uint16) (IdentityLevel, bool) {
	for _, l := range levels {
		if isvsvn >= l.ISVSVN {
			return l, true
		}
	}
	return IdentityLevel{}, false
}
