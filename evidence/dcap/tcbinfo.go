package dcap

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
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
	// Module is the TDX module of version 1.0, Modules are the later ones;
	// both only for TDX.
	Module  *ModuleIdentity
	Modules []*ModuleIdentity

	labels labels // what the components are, where the document says
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
	Module     *moduleJSON    `json:"tdxModule"`
	Modules    []moduleJSON   `json:"tdxModuleIdentities"`
}

type tcbLevelJSON struct {
	TCB        tcbJSON   `json:"tcb"`
	Date       time.Time `json:"tcbDate"`
	Status     string    `json:"tcbStatus"`
	Advisories []string  `json:"advisoryIDs"`
}

// tcbJSON is the level's TCB in both versions, packed as it is read: version 3
// has arrays of components, version 2 sixteen members. seen tells which
// numbers were there, so that an absent one is never taken for zero.
type tcbJSON struct {
	SGX, TDX, V2 [16]uint8
	seen         struct{ sgx, tdx, v2 uint16 }
	PCESVN       uint16
	hasPCESVN    bool
	labels       *labels
}

// labels are what the sixteen components of each kind are.
type labels struct{ sgx, tdx [16]label }

// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (t *tcbJSON) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	return eachMember(dec, func(name string) error { return t.member(dec, name) })
}

// eachMember reads an object and calls read for each member, which must
// consume the value.
func eachMember(dec *jsontext.Decoder, read func(name string) error) error {
	if dec.PeekKind() != '{' {
		return errors.New("not an object")
	}
	if _, err := dec.ReadToken(); err != nil {
		return err
	}
	for dec.PeekKind() != '}' {
		name, err := dec.ReadToken()
		if err != nil {
			return err
		}
		if err := read(name.String()); err != nil {
			return err
		}
	}
	_, err := dec.ReadToken()
	return err
}

func (t *tcbJSON) member(dec *jsontext.Decoder, name string) error {
	switch name {
	case "pcesvn":
		t.hasPCESVN = true
		return json.UnmarshalDecode(dec, &t.PCESVN)
	case "sgxtcbcomponents":
		return t.readComponents(dec, &t.SGX, &t.seen.sgx, false)
	case "tdxtcbcomponents":
		return t.readComponents(dec, &t.TDX, &t.seen.tdx, true)
	}
	number, ok := strings.CutPrefix(name, "sgxtcbcomp")
	number, ok2 := strings.CutSuffix(number, "svn")
	if i, err := strconv.Atoi(number); ok && ok2 && err == nil && i >= 1 && i <= 16 {
		t.seen.v2 |= 1 << (i - 1)
		return json.UnmarshalDecode(dec, &t.V2[i-1])
	}
	return dec.SkipValue()
}

// label is where the words for a component go; it is made when there are any.
func (t *tcbJSON) label(tdx bool, n int) *label {
	if t.labels == nil {
		t.labels = new(labels)
	}
	if tdx {
		return &t.labels.tdx[n]
	}
	return &t.labels.sgx[n]
}

// readComponents reads an array of exactly sixteen components.
func (t *tcbJSON) readComponents(dec *jsontext.Decoder, dst *[16]uint8, seen *uint16, tdx bool) error {
	if dec.PeekKind() != '[' {
		return errors.New("components are not an array")
	}
	if _, err := dec.ReadToken(); err != nil {
		return err
	}
	n := 0
	for ; dec.PeekKind() != ']'; n++ {
		if n == len(dst) {
			// Security: a list of another length would leave SVNs uncompared.
			return errors.New("more than 16 components")
		}
		if err := t.readComponent(dec, n, dst, seen, tdx); err != nil {
			return err
		}
	}
	_, err := dec.ReadToken()
	return err
}

func (t *tcbJSON) readComponent(dec *jsontext.Decoder, n int, dst *[16]uint8, seen *uint16, tdx bool) error {
	return eachMember(dec, func(name string) error {
		switch {
		case name == "svn":
			*seen |= 1 << n
			return json.UnmarshalDecode(dec, &dst[n])
		case name == "type":
			return json.UnmarshalDecode(dec, &t.label(tdx, n).typ)
		case name == "category":
			return json.UnmarshalDecode(dec, &t.label(tdx, n).category)
		default:
			return dec.SkipValue()
		}
	})
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
	for i := range j.Levels {
		if err := info.readLevel(i, &j.Levels[i]); err != nil {
			return nil, fmt.Errorf("TCB level %d: %w", i+1, err)
		}
	}
	if info.TEE == collateral.TDX {
		if err := info.readModules(&j); err != nil {
			return nil, err
		}
	}
	return info, info.checkOrder()
}

func (info *TCBInfo) readModules(j *tcbInfoJSON) (err error) {
	if j.Module != nil {
		if info.Module, err = j.Module.read(false); err != nil {
			return fmt.Errorf("tdxModule: %w", err)
		}
	}
	for i := range j.Modules {
		m, err := j.Modules[i].read(true)
		if err != nil {
			return fmt.Errorf("tdxModuleIdentities: %s: %w", j.Modules[i].ID, err)
		}
		if slices.ContainsFunc(info.Modules, func(other *ModuleIdentity) bool { return other.ID == m.ID }) {
			return fmt.Errorf("tdxModuleIdentities: %s is listed twice", m.ID)
		}
		info.Modules = append(info.Modules, m)
	}
	return nil
}

func (info *TCBInfo) readLevel(i int, j *tcbLevelJSON) error {
	l := &info.Levels[i]
	l.Date, l.Advisories, l.PCESVN = j.Date, j.Advisories, j.TCB.PCESVN
	var err error
	if l.Status, err = parseStatus(j.Status); err != nil {
		return err
	}
	if l.Date.IsZero() || !j.TCB.hasPCESVN {
		return errors.New("tcbDate or pcesvn is missing")
	}
	const all = 0xffff
	if info.Version == 2 {
		l.SGX = j.TCB.V2
		if j.TCB.seen.v2 != all {
			return errors.New("one of sgxtcbcomp01svn to sgxtcbcomp16svn is missing")
		}
		return nil
	}
	l.SGX = j.TCB.SGX
	if j.TCB.seen.sgx != all {
		return errors.New("sgxtcbcomponents are not 16 with an svn each")
	}
	if info.TEE == collateral.TDX {
		l.TDX = j.TCB.TDX
		if j.TCB.seen.tdx != all {
			return errors.New("tdxtcbcomponents are not 16 with an svn each")
		}
	}
	if i == 0 && j.TCB.labels != nil {
		info.labels = *j.TCB.labels
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
