package luks

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/strict/bounds"
)

// maxObjects bounds the key slots, tokens, segments and digests of a header, as cryptsetup does (32).
const maxObjects = 32

// metadata is the JSON of a header (section 3 of the specification). What depends on a type stays raw until
// the type was checked.
type metadata struct {
	Keyslots map[string]jsontext.Value `json:"keyslots"`
	Tokens   map[string]jsontext.Value `json:"tokens"`
	Segments map[string]jsontext.Value `json:"segments"`
	Digests  map[string]jsontext.Value `json:"digests"`
	Config   config                    `json:"config"`
}

type config struct {
	JSONSize     number   `json:"json_size"`
	KeyslotsSize number   `json:"keyslots_size"`
	Flags        []string `json:"flags"`
	// Requirements is {"mandatory": [...]}; what it contains is not looked at: there must be none.
	Requirements jsontext.Value `json:"requirements"`
}

type segment struct {
	Type       string     `json:"type"`
	Offset     number     `json:"offset"`
	Size       length     `json:"size"`
	Tweak      number     `json:"iv_tweak"`
	Encryption string     `json:"encryption"`
	SectorSize int        `json:"sector_size"`
	Integrity  *integrity `json:"integrity"`
	Flags      []string   `json:"flags"`
}

type integrity struct {
	Type              string `json:"type"`
	JournalEncryption string `json:"journal_encryption"`
	JournalIntegrity  string `json:"journal_integrity"`
	KeySize           int    `json:"key_size"`
}

type keyslot struct {
	Type     string `json:"type"`
	KeySize  int    `json:"key_size"`
	Priority *int   `json:"priority"`
	AF       split  `json:"af"`
	Area     area   `json:"area"`
	KDF      kdf    `json:"kdf"`
}

type split struct {
	Type    string `json:"type"`
	Stripes int    `json:"stripes"`
	Hash    string `json:"hash"`
}

type area struct {
	Type       string `json:"type"`
	Offset     number `json:"offset"`
	Size       number `json:"size"`
	Encryption string `json:"encryption"`
	KeySize    int    `json:"key_size"`
}

type kdf struct {
	Type       string `json:"type"`
	Salt       []byte `json:"salt"`
	Time       int64  `json:"time"`
	Memory     int64  `json:"memory"`
	CPUs       int64  `json:"cpus"`
	Hash       string `json:"hash"`
	Iterations int64  `json:"iterations"`
}

type digest struct {
	Type       string   `json:"type"`
	Keyslots   []string `json:"keyslots"`
	Segments   []string `json:"segments"`
	Hash       string   `json:"hash"`
	Iterations int64    `json:"iterations"`
	Salt       []byte   `json:"salt"`
	Digest     []byte   `json:"digest"`
}

// number is a count of bytes, which JSON has as text of digits.
type number uint64

var digits = regexp.MustCompile(`^(0|[1-9][0-9]{0,17})$`)

// UnmarshalText reads decimal digits without a leading zero, at most 18 of them.
func (n *number) UnmarshalText(b []byte) error {
	if !digits.Match(b) {
		return fmt.Errorf("%.40q instead of a number of bytes", b)
	}
	v, err := strconv.ParseUint(string(b), 10, 63)
	*n = number(v)
	return err
}

// length is a number, or "dynamic": to the end of the device.
type length struct {
	dynamic bool
	bytes   number
}

// UnmarshalText reads either form.
func (l *length) UnmarshalText(b []byte) error {
	if l.dynamic = string(b) == "dynamic"; l.dynamic {
		return nil
	}
	return l.bytes.UnmarshalText(b)
}

var errMetadata = errors.New("no JSON object that a zero byte ends, with zeros after it")

// parseMetadata reads the area of the metadata.
func parseMetadata(raw []byte) (*metadata, error) {
	s, ok := text(raw)
	if !ok || s == "" {
		return nil, errMetadata
	}
	if err := bounds.Nesting([]byte(s)); err != nil {
		return nil, err
	}
	m := &metadata{}
	if err := strictly([]byte(s), m); err != nil {
		return nil, err
	}
	if err := noNull([]byte(s)); err != nil {
		return nil, err
	}
	for _, objects := range []map[string]jsontext.Value{m.Keyslots, m.Tokens, m.Segments, m.Digests} {
		if objects == nil {
			return nil, errors.New("one of keyslots, tokens, segments, digests is missing")
		}
		for name := range objects {
			if _, err := slotNumber(name); err != nil {
				return nil, err
			}
		}
	}
	return m, nil
}

// noNull refuses null, which readers take for a member that is there, or for one that is not.
func noNull(b []byte) error {
	d := jsontext.NewDecoder(bytes.NewReader(b))
	for {
		switch t, err := d.ReadToken(); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case t.Kind() == 'n':
			return fmt.Errorf("null at %.100s", d.StackPointer())
		}
	}
}

// strictly decodes JSON in which each member is known and comes once.
func strictly(b []byte, v any) error {
	return json.Unmarshal(b, v, json.RejectUnknownMembers(true))
}

// typeOf returns the type of an object, or "".
func typeOf(raw jsontext.Value) string {
	var object struct {
		Type string `json:"type"`
	}
	if json.Unmarshal(raw, &object) != nil {
		return ""
	}
	return object.Type
}

// slotNumber reads the name of a key slot or of another object: 0 to 31.
func slotNumber(name string) (int, error) {
	n, err := strconv.Atoi(name)
	if err != nil || !digits.MatchString(name) || n >= maxObjects {
		return 0, fmt.Errorf("an object with the name %.20q instead of a number from 0 to %d", name, maxObjects-1)
	}
	return n, nil
}

// numbers returns the names of objects as numbers, in order. The names have been checked.
func numbers[T any](objects map[string]T) []int {
	list := make([]int, 0, len(objects))
	for name := range objects {
		n, _ := strconv.Atoi(name)
		list = append(list, n)
	}
	slices.Sort(list)
	return list
}
