package dcap

import (
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/collateral"
)

// maxLevels bounds the TCB levels of one document. Published ones have under
// thirty.
const maxLevels = 256

// TCBInfo is the signed statement of which TCB levels a family of platforms
// has and how Intel rates each (Intel PCS API, versions 3 and 4).
type TCBInfo struct {
	TEE              collateral.TEE
	Version          int
	IssueDate        time.Time
	NextUpdate       time.Time
	FMSPC            [6]byte
	PCEID            [2]byte
	EvaluationNumber uint32
	Levels           []Level

	names [16]string // what the SGX components are, where the document says
}

// Level is one TCB level: a platform meets it if every SVN is at least that of
// the level.
type Level struct {
	SGX        [16]uint8
	TDX        [16]uint8
	PCESVN     uint16
	Date       time.Time
	Status     Status
	Advisories []string
}

type tcbInfoJSON struct {
	ID         string         `json:"id"`
	Version    int            `json:"version"`
	IssueDate  time.Time      `json:"issueDate"`
	NextUpdate time.Time      `json:"nextUpdate"`
	FMSPC      string         `json:"fmspc"`
	PCEID      string         `json:"pceId"`
	Number     *uint32        `json:"tcbEvaluationDataNumber"`
	Levels     []tcbLevelJSON `json:"tcbLevels"`
}

type tcbLevelJSON struct {
	TCB        jsontext.Value `json:"tcb"`
	Date       time.Time      `json:"tcbDate"`
	Status     string         `json:"tcbStatus"`
	Advisories []string       `json:"advisoryIDs"`
}

// tcbV3JSON is decoded once for each level, into the same memory. The decoder
// refuses arrays of another length than sixteen.
type tcbV3JSON struct {
	SGX    [16]componentJSON `json:"sgxtcbcomponents"`
	TDX    [16]componentJSON `json:"tdxtcbcomponents"`
	PCESVN *uint16           `json:"pcesvn"`
}

type componentJSON struct {
	SVN  svn    `json:"svn"`
	Type string `json:"type"`
}

// svn is a component's number that knows whether it was there.
type svn struct {
	n   uint8
	set bool
}

// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (s *svn) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	s.set = true
	return json.UnmarshalDecode(dec, &s.n)
}

// tcbV2JSON has the sixteen components as separate members.
type tcbV2JSON struct {
	C01    *uint8  `json:"sgxtcbcomp01svn"`
	C02    *uint8  `json:"sgxtcbcomp02svn"`
	C03    *uint8  `json:"sgxtcbcomp03svn"`
	C04    *uint8  `json:"sgxtcbcomp04svn"`
	C05    *uint8  `json:"sgxtcbcomp05svn"`
	C06    *uint8  `json:"sgxtcbcomp06svn"`
	C07    *uint8  `json:"sgxtcbcomp07svn"`
	C08    *uint8  `json:"sgxtcbcomp08svn"`
	C09    *uint8  `json:"sgxtcbcomp09svn"`
	C10    *uint8  `json:"sgxtcbcomp10svn"`
	C11    *uint8  `json:"sgxtcbcomp11svn"`
	C12    *uint8  `json:"sgxtcbcomp12svn"`
	C13    *uint8  `json:"sgxtcbcomp13svn"`
	C14    *uint8  `json:"sgxtcbcomp14svn"`
	C15    *uint8  `json:"sgxtcbcomp15svn"`
	C16    *uint8  `json:"sgxtcbcomp16svn"`
	PCESVN *uint16 `json:"pcesvn"`
}

func (t *tcbV2JSON) components() [16]*uint8 {
	return [16]*uint8{t.C01, t.C02, t.C03, t.C04, t.C05, t.C06, t.C07, t.C08,
		t.C09, t.C10, t.C11, t.C12, t.C13, t.C14, t.C15, t.C16}
}

// ParseTCBInfo reads a TCB info of version 2 or 3. It does not check the
// signature. Duplicate members, trailing data, unknown statuses, component
// lists of another length than sixteen and levels in an order that would hide
// one are refused.
func ParseTCBInfo(b []byte) (*TCBInfo, error) {
	var j tcbInfoJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return nil, err
	}
	info := &TCBInfo{TEE: collateral.SGX, Version: j.Version, IssueDate: j.IssueDate, NextUpdate: j.NextUpdate}
	switch {
	case j.Version == 2 && j.ID == "":
	case j.Version == 3 && (j.ID == string(collateral.SGX) || j.ID == string(collateral.TDX)):
		info.TEE = collateral.TEE(j.ID)
	default:
		return nil, fmt.Errorf("version %d with id %q is not defined", j.Version, j.ID)
	}
	if err := decodeHex(info.FMSPC[:], j.FMSPC); err != nil {
		return nil, fmt.Errorf("fmspc: %w", err)
	}
	if err := decodeHex(info.PCEID[:], j.PCEID); err != nil {
		return nil, fmt.Errorf("pceId: %w", err)
	}
	if j.Number == nil || j.IssueDate.IsZero() || j.NextUpdate.IsZero() {
		return nil, errors.New("tcbEvaluationDataNumber, issueDate or nextUpdate is missing")
	}
	info.EvaluationNumber = *j.Number
	if len(j.Levels) == 0 || len(j.Levels) > maxLevels {
		return nil, fmt.Errorf("%d TCB levels, want 1 to %d", len(j.Levels), maxLevels)
	}
	info.Levels = make([]Level, len(j.Levels))
	var scratch tcbV3JSON
	for i := range j.Levels {
		if err := info.readLevel(i, &j.Levels[i], &scratch); err != nil {
			return nil, fmt.Errorf("TCB level %d: %w", i+1, err)
		}
	}
	return info, info.checkOrder()
}

func (info *TCBInfo) readLevel(i int, j *tcbLevelJSON, t *tcbV3JSON) error {
	l := &info.Levels[i]
	l.Date, l.Advisories = j.Date, j.Advisories
	var err error
	if l.Status, err = parseStatus(j.Status); err != nil {
		return err
	}
	if l.Date.IsZero() {
		return errors.New("no tcbDate")
	}
	if info.Version == 2 {
		return l.readV2(j.TCB)
	}
	*t = tcbV3JSON{}
	if err := json.Unmarshal(j.TCB, t); err != nil {
		return err
	}
	if t.PCESVN == nil {
		return errors.New("no pcesvn")
	}
	l.PCESVN = *t.PCESVN
	if err := readComponents(&l.SGX, &t.SGX); err != nil {
		return fmt.Errorf("sgxtcbcomponents: %w", err)
	}
	if info.TEE == collateral.TDX {
		if err := readComponents(&l.TDX, &t.TDX); err != nil {
			return fmt.Errorf("tdxtcbcomponents: %w", err)
		}
	}
	if i == 0 {
		for k, c := range t.SGX {
			info.names[k] = c.Type
		}
	}
	return nil
}

func (l *Level) readV2(raw []byte) error {
	var t tcbV2JSON
	if err := json.Unmarshal(raw, &t); err != nil {
		return err
	}
	for i, c := range t.components() {
		if c == nil {
			return fmt.Errorf("sgxtcbcomp%02dsvn is missing", i+1)
		}
		l.SGX[i] = *c
	}
	if t.PCESVN == nil {
		return errors.New("no pcesvn")
	}
	l.PCESVN = *t.PCESVN
	return nil
}

func readComponents(dst *[16]uint8, list *[16]componentJSON) error {
	for i, c := range list {
		// Security: an absent number would make the comparison vacuous.
		if !c.SVN.set {
			return fmt.Errorf("component %d has no svn", i+1)
		}
		dst[i] = c.SVN.n
	}
	return nil
}

// checkOrder refuses lists in which a level hides a later, higher one: the
// first level that a platform meets decides, so such a list would rate new
// platforms by old levels.
func (info *TCBInfo) checkOrder() error {
	for i := range info.Levels {
		for j := i + 1; j < len(info.Levels); j++ {
			if info.Levels[j].covers(&info.Levels[i]) {
				return fmt.Errorf("TCB level %d is not below level %d: the list is not sorted", j+1, i+1)
			}
		}
	}
	return nil
}

// covers reports whether a platform exactly at l meets other.
func (l *Level) covers(other *Level) bool {
	return atLeast(&l.SGX, &other.SGX, 0) && atLeast(&l.TDX, &other.TDX, 0) && l.PCESVN >= other.PCESVN
}

// atLeast reports whether has[i] >= needs[i] for all i from the given one.
func atLeast(has, needs *[16]uint8, from int) bool {
	for i := from; i < len(has); i++ {
		if has[i] < needs[i] {
			return false
		}
	}
	return true
}

func decodeHex(dst []byte, s string) error {
	if len(s) != 2*len(dst) {
		return fmt.Errorf("%q is not %d bytes of hex", s, len(dst))
	}
	_, err := hex.Decode(dst, []byte(s))
	return err
}
