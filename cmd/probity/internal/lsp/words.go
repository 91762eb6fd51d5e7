package lsp

import (
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/probity-dev/probity/policy"
)

// toPosition turns an offset in bytes into a line and UTF-16 units, as the
// protocol counts.
func toPosition(text string, offset int) position {
	offset = min(max(offset, 0), len(text))
	before := text[:offset]
	line := strings.Count(before, "\n")
	return position{line, units(before[strings.LastIndexByte(before, '\n')+1:])}
}

func units(s string) int {
	n := 0
	for _, r := range s {
		n += max(utf16.RuneLen(r), 1)
	}
	return n
}

// toOffset is the reverse; places outside the text are moved into it.
func toOffset(text string, p position) int {
	offset := 0
	for range p.Line {
		next := strings.IndexByte(text[offset:], '\n')
		if next < 0 {
			return len(text)
		}
		offset += next + 1
	}
	for n := 0; n < p.Character && offset < len(text) && text[offset] != '\n'; {
		r, size := utf8.DecodeRuneInString(text[offset:])
		n += max(utf16.RuneLen(r), 1)
		offset += size
	}
	return offset
}

// literal is the text of a string between its quotes, and where that is.
type literal struct {
	value    string
	from, to int
}

// stringAt returns the string literal around an offset, or nil if there is none.
func stringAt(text string, offset int) *literal {
	start := strings.LastIndexByte(text[:offset], '\n') + 1
	inside, open := false, 0
	for i := start; i < len(text) && text[i] != '\n'; i++ {
		switch {
		case text[i] == '\\' && inside:
			i++
		case text[i] == '"' && inside:
			if offset <= i {
				if offset < open {
					return nil
				}
				return &literal{text[open:i], open, i}
			}
			inside = false
		case text[i] == '"':
			inside, open = true, i+1
		}
		if i >= offset && !inside {
			break
		}
	}
	if inside && offset >= open { // not closed yet
		end := open
		for end < len(text) && isName(text[end]) {
			end++
		}
		return &literal{text[open:max(end, min(offset, len(text)))], open, end}
	}
	return nil
}

func isName(c byte) bool {
	return c == '-' || c == '_' || c == '$' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' ||
		'A' <= c && c <= 'Z'
}

// keywords are what hover explains besides claims.
var keywords = map[string]string{
	"configurationrules": "Rules that run before the evidence is looked at; " +
		"they set how it is appraised (version 1.1).",
	"authorizationrules": "Rules that decide: any deny wins whatever the order, " +
		"and without a permit the answer is no.",
	"issuancerules": "Rules that put claims into the token.",
	"permit":        "The claims may go on to issuance.",
	"deny":          "The evidence is refused, whatever else permits it.",
	"add":           "Adds a claim that later rules can read; it does not appear in the token.",
	"issue":         "Puts a claim into the token; later rules can read it too.",
	"issueproperty": "Sets a property that steers the appraisal or the token.",
	"JmesPath": "JmesPath(json, query): what a JMESPath query finds, as JSON text; " +
		"null if nothing (version 1.2).",
	"JsonToClaimValue": "JsonToClaimValue(json): JSON text as a claim value, " +
		"an array as a set (version 1.2).",
	"IsSubsetOf":   "IsSubsetOf(a, b): whether every value of a is one of b (version 1.2).",
	"AppendString": "AppendString(a, b): a followed by b (version 1.2).",
	"NegateBool":   "NegateBool(b): the opposite of b (version 1.2).",
	"ContainsOnlyValue": "ContainsOnlyValue(set, v): whether the set is not empty and every value is v " +
		"(version 1.2).",
}

// hover explains the claim or keyword at a place; nil if there is none.
func (s *session) hover(uri string, at position) any {
	text := s.texts[uri]
	offset := toOffset(text, at)
	answer := func(markdown string, from, to int) any {
		return map[string]any{"contents": map[string]string{"kind": "markdown", "value": markdown},
			"range": span{toPosition(text, from), toPosition(text, to)}}
	}
	if in := stringAt(text, offset); in != nil {
		for _, term := range policy.Vocabulary(s.kindOf(text)) {
			if term.Name == in.value {
				return answer("**"+term.Name+"** · "+string(term.Type)+"\n\n"+term.Meaning, in.from, in.to)
			}
		}
		return nil
	}
	from, to := offset, offset
	for from > 0 && isName(text[from-1]) {
		from--
	}
	for to < len(text) && isName(text[to]) {
		to++
	}
	if meaning, ok := keywords[text[from:to]]; ok {
		return answer("**"+text[from:to]+"**\n\n"+meaning, from, to)
	}
	return nil
}

type completion struct {
	Label         string `json:"label"`
	Kind          int    `json:"kind"`
	Detail        string `json:"detail"`
	Documentation string `json:"documentation"`
	TextEdit      edit   `json:"textEdit"`
}

// complete offers claim names inside a string, and keywords elsewhere.
func (s *session) complete(uri string, at position) []completion {
	const kindValue, kindKeyword = 12, 14
	text := s.texts[uri]
	offset := toOffset(text, at)
	list := []completion{}
	if in := stringAt(text, offset); in != nil {
		typed := strings.ToLower(text[in.from:offset])
		for _, term := range policy.Vocabulary(s.kindOf(text)) {
			if strings.Contains(strings.ToLower(term.Name), typed) {
				list = append(list, completion{term.Name, kindValue, string(term.Type), term.Meaning,
					edit{span{toPosition(text, in.from), toPosition(text, in.to)}, term.Name}})
			}
		}
		return list
	}
	from := offset
	for from > 0 && isName(text[from-1]) {
		from--
	}
	for name, meaning := range keywords {
		if strings.HasPrefix(strings.ToLower(name), strings.ToLower(text[from:offset])) {
			list = append(list, completion{
				name, kindKeyword, "", meaning,
				edit{span{toPosition(text, from), toPosition(text, offset)}, name},
			})
		}
	}
	slices.SortFunc(list, func(a, b completion) int { return strings.Compare(a.Label, b.Label) })
	return list
}
