package eventlog

import (
	"encoding/base64"
	"encoding/hex"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// writer makes JSON by appending: the events of a boot are the largest text that
// an appraisal makes.
type writer struct{ b []byte }

func (w *writer) raw(text string) { w.b = append(w.b, text...) }

func (w *writer) text(s string) {
	if b, err := jsontext.AppendQuote(w.b, s); err == nil {
		w.b = b
		return
	}
	w.b, _ = jsontext.AppendQuote(w.b, strings.ToValidUTF8(s, "\ufffd")) // valid now
}

func (w *writer) name(s string) {
	if last := w.b[len(w.b)-1]; last != '{' && last != '[' {
		w.b = append(w.b, ',')
	}
	// Names are constants of this package.
	w.b = append(append(append(w.b, '"'), s...), '"', ':')
}

// next begins another element of an array.
func (w *writer) next() {
	if last := w.b[len(w.b)-1]; last != '[' {
		w.b = append(w.b, ',')
	}
}

func (w *writer) number(n uint64) { w.b = strconv.AppendUint(w.b, n, 10) }

func (w *writer) boolean(v bool) { w.b = strconv.AppendBool(w.b, v) }

func (w *writer) base64(b []byte) {
	w.b = append(w.b, '"')
	w.b = base64.RawURLEncoding.AppendEncode(w.b, b)
	w.b = append(w.b, '"')
}

func (w *writer) hex(b []byte) {
	w.b = append(w.b, '"')
	w.b = hex.AppendEncode(w.b, b)
	w.b = append(w.b, '"')
}

func (w *writer) pair(name string, b []byte) {
	w.name(name)
	w.base64(b)
}

func (w *writer) textPair(name, s string) {
	w.name(name)
	w.text(s)
}

// items writes tagged events as members of an object, one for each tag, where it first
// stands.
func (w *writer) items(list []Item) {
	var same []*Item
	first, next := sameTags(list)
	for i := range list {
		if !first[i] {
			continue
		}
		same = same[:0]
		for j := i; j >= 0; j = int(next[j]) {
			same = append(same, &list[j])
		}
		w.group(list[i].Tag, same)
	}
}

// sameTags tells of each item whether it is the first one of its tag, and where the next
// one is, or -1.
func sameTags(list []Item) (first []bool, next []int32) {
	first, next = make([]bool, len(list)), make([]int32, len(list))
	var last map[uint32]int32
	if len(list) > fewItems {
		last = make(map[uint32]int32, len(list))
	}
	for i := range list {
		before := int32(-1)
		if last != nil {
			if at, ok := last[list[i].Tag]; ok {
				before = at
			}
			last[list[i].Tag] = int32(i) // at most maxItems
		} else {
			for j := i - 1; j >= 0 && before < 0; j-- {
				if list[j].Tag == list[i].Tag {
					before = int32(j)
				}
			}
		}
		if first[i], next[i] = before < 0, -1; before >= 0 {
			next[before] = int32(i)
		}
	}
	return first, next
}

// fewItems are compared with each other; of more a map is made.
const fewItems = 16

// group writes the items of one tag.
func (w *writer) group(tag uint32, same []*Item) {
	w.name(tagName(tag))
	info := tags[tag]
	if len(same) > 1 && !info.list {
		same = weakest(info, same)
	}
	if len(same) == 1 && !info.list {
		w.item(info, same[0])
		return
	}
	w.raw("[")
	for _, item := range same {
		w.next()
		w.item(info, item)
	}
	w.raw("]")
}

// weakest picks the one that the others cannot make good, where there is such
// an order.
func weakest(info tagInfo, same []*Item) []*Item {
	if info.worst == keepAll {
		return same
	}
	worst := same[0]
	for _, item := range same[1:] {
		a, ok := worst.number()
		b, also := item.number()
		if !ok || !also {
			return same // not of the form that the tag has
		}
		if info.worst == keepFalse && b != 1 || info.worst == keepTrue && b != 0 ||
			info.worst == keepLeast && b < a {
			worst = item
		}
	}
	return []*Item{worst}
}

// item writes the payload of one tag in the form that policies expect; payloads
// of another size than the form's are written raw.
func (w *writer) item(info tagInfo, item *Item) {
	n, isNumber := item.number()
	switch {
	case info.form == asParts:
		w.raw("{")
		w.items(item.Items)
		w.raw("}")
	case info.form == asBoolean && len(item.Data) == 1 && n < 2:
		w.boolean(n == 1)
	case info.form == asInteger && isNumber && n < 1<<53:
		w.number(n)
	case info.form == asInteger && isNumber:
		w.text(strconv.FormatUint(n, 10)) // more than JSON numbers represent exactly
	case info.form == asText:
		w.text(utf16Text(item.Data))
	case info.form == asValue && isNumber && n < 1<<53:
		w.raw(`{"Value":`)
		w.number(n)
		w.raw("}")
	case info.form == asNamed && isNumber && n < 1<<53:
		w.raw("{")
		w.textPair("String", numberName(item.Tag, n))
		w.name("Value")
		w.number(n)
		w.raw("}")
	default:
		w.raw("{")
		w.pair("RawData", item.Data)
		w.raw("}")
	}
}

// numberName names the values of the two tags that policies read by name.
func numberName(tag uint32, n uint64) string {
	if tag == tagHVCIPolicy {
		names := []string{}
		for bit, name := range []string{
			hvciEnabled,
			"HypervisorEnforcedCodeIntegrityStrictMode",
			"HypervisorEnforcedCodeIntegrityDebugMode",
		} {
			if n&(1<<bit) != 0 {
				names = append(names, name)
			}
		}
		return strings.Join(names, ",")
	}
	// The values of the group policy "Boot-Start Driver Initialization Policy".
	switch n {
	case 1:
		return "GoodAndUnknown"
	case 3:
		return "GoodUnknownAndBadCritical"
	case 7:
		return "All"
	case 8:
		return "GoodOnly"
	}
	return ""
}

// PCRs writes the registers of banks in the form that policies query, lower-case
// hex: {"PCRs":[{"Index":0,"Digests":{"SHA256":"…"}}]}.
func PCRs(banks []Bank) string {
	w := &writer{}
	w.raw(`{"PCRs":[`)
	for i := range Registers {
		open := false
		for _, bank := range banks {
			value := bank.Values[i]
			if value == nil {
				continue
			}
			if !open {
				w.next()
				w.raw(`{"Index":`)
				w.number(uint64(i))
				w.raw(`,"Digests":{`)
				open = true
			}
			w.name(bank.Algorithm.String())
			w.hex(value)
		}
		if open {
			w.raw("}}")
		}
	}
	w.raw("]}")
	return string(w.b)
}
