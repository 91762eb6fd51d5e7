package collateral

import (
	"encoding/hex"
	"strconv"
	"time"
)

// Item describes a piece of collateral that is stored, for people and metrics.
type Item struct {
	// Key names the piece, for instance "intel/TDX/00806f050000/platform".
	Key    string `json:"key"`
	Vendor string `json:"vendor"` // "intel" or "amd"
	// EvaluationNumber is Intel's TCB evaluation data number, else zero.
	EvaluationNumber uint32 `json:"evaluationDataNumber,omitzero"`
	// Issued is when the vendor made it, Fetched when it came here, NextUpdate
	// until when it counts.
	Issued     time.Time `json:"issued"`
	Fetched    time.Time `json:"fetched"`
	NextUpdate time.Time `json:"nextUpdate"`
	// Problem says why it was not renewed, if a try failed.
	Problem string `json:"problem,omitzero"`
}

// Key names what a query asks for.
func (q Query) Key() string {
	key := "intel/" + string(q.TEE) + "/" + hex.EncodeToString(q.FMSPC[:]) + "/" + q.CA
	if q.EvaluationNumber != 0 {
		key += "/" + strconv.FormatUint(uint64(q.EvaluationNumber), 10)
	}
	return key
}

// Key names what a query asks for.
func (q AMDQuery) Key() string { return "amd/" + q.Branch() + "/" + q.Line }

// Key names what a query asks for.
func (q VCEKQuery) Key() string { return "amd/" + q.String() }
