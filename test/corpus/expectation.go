package main

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// demand is what the first word of an outcome asks of the verifier.
type demand int

const (
	mustAccept demand = iota
	// mustReserve: the evidence is genuine, and no provider accepts it unasked.
	mustReserve
	mustRefuse
	// mustMiss: the evidence is refused because a piece is missing.
	mustMiss
	// mustPin: the case has anchors, which must be those that the product pins.
	mustPin
	// mustRefer: the case is there to read, not to judge.
	mustRefer
)

// demands are the first words that the runner knows.
var demands = map[string]demand{
	"accept": mustAccept, "valid": mustAccept, "replay": mustAccept, "parse": mustAccept,
	"valid-if-trailing-zeros-allowed": mustAccept,
	"accept-crypto":                   mustReserve,
	"reject":                          mustRefuse,
	"incomplete":                      mustMiss, "crypto-ok-no-collateral": mustMiss,
	"trust":  mustPin,
	"claims": mustRefer, "see": mustRefer,
}

// asked are the demands that a form can be judged by; other forms know acceptance,
// reservation, refusal and a missing piece.
var asked = map[form][]demand{
	formGuest:   {mustAccept, mustRefuse, mustMiss},
	formTPM:     {mustAccept, mustRefuse, mustMiss},
	formKeys:    {mustAccept, mustRefuse},
	formLog:     {mustAccept, mustRefuse},
	formIMA:     {mustAccept, mustRefuse},
	formUVM:     {mustAccept, mustRefuse},
	formAnchors: {mustPin},
	formNVIDIA:  {mustAccept, mustReserve, mustRefuse, mustMiss, mustPin},
	formToken:   {mustAccept, mustRefuse, mustRefer},
}

// effect is what a modifier changes in how a case is judged.
type effect int

const (
	// sameVerdict: the words explain, or allow a second verdict that the product does not
	// use: where a manifest leaves a choice, the product promises to refuse.
	sameVerdict effect = iota
	production
	freshCRL
	offeredAsSNP
	unboundKey
	collateralElsewhere
	uncertifiedKey
	smallBank
)

// modifier is one phrase after the first word. A star stands for any text.
type modifier struct {
	demand demand
	phrase string
	effect effect
	// forms are those that the phrase may stand with; none stands for all.
	forms []form
}

var modifiers = []modifier{
	{demand: mustAccept, phrase: "accepted", forms: []form{formLog}},
	{demand: mustAccept, phrase: "unknown event types must be tolerated for replay and never trusted",
		forms: []form{formLog}},
	{demand: mustAccept, phrase: "aggregate pcr 10 by folding template digests", forms: []form{formIMA}},
	{demand: mustAccept, phrase: "endorsement only", forms: []form{formUVM}},
	{demand: mustAccept, phrase: "td quote checked elsewhere", effect: collateralElsewhere,
		forms: []form{formGuest}},
	{demand: mustAccept, phrase: "quote", forms: []form{formTPM}},
	{demand: mustAccept, phrase: "ak not certified", effect: uncertifiedKey, forms: []form{formTPM}},
	{demand: mustAccept, phrase: "where sha-1 pcr banks are allowed", effect: smallBank,
		forms: []form{formTPM}},
	{demand: mustAccept, phrase: "else reject", effect: smallBank, forms: []form{formTPM}},
	{demand: mustAccept, phrase: "report", forms: []form{formNVIDIA}},
	{demand: mustAccept, phrase: "rim appraisal fails with the altered rims", forms: []form{formNVIDIA}},
	{demand: mustAccept, phrase: "every attached rim must fail appraisal", forms: []form{formNVIDIA}},
	{demand: mustAccept, phrase: "each", forms: []form{formNVIDIA}},
	{demand: mustAccept, phrase: "all nonces equal", forms: []form{formNVIDIA}},
	{demand: mustAccept, phrase: "at iat", forms: []form{formToken}},

	{demand: mustReserve, phrase: "reject under any production policy", effect: production},

	{demand: mustRefuse, phrase: "under any production policy", effect: production},
	{demand: mustRefuse, phrase: "accept-crypto", effect: production},
	{demand: mustRefuse, phrase: "or find the * itself"},
	{demand: mustRefuse, phrase: "strict decoding"},
	{demand: mustRefuse, phrase: "as malformed"},
	{demand: mustRefuse, phrase: "must-be-zero"},
	{demand: mustRefuse, phrase: "or accept"},
	{demand: mustRefuse, phrase: "the signature itself still verifies"},
	{demand: mustRefuse, phrase: "where a fresh crl is required", effect: freshCRL, forms: []form{formSNP}},
	{demand: mustRefuse, phrase: "when offered as snp", effect: offeredAsSNP, forms: []form{formGuest}},

	{demand: mustMiss, phrase: "quote signature valid", effect: unboundKey, forms: []form{formGuest}},
	{demand: mustMiss, phrase: "ak not bound to hardware evidence", effect: unboundKey,
		forms: []form{formGuest}},

	{demand: mustPin, phrase: "anchor"},
	{demand: mustPin, phrase: "anchors"},
	{demand: mustPin, phrase: "list of one project"},
	{demand: mustPin, phrase: "choose your own"},

	{demand: mustRefer, phrase: "reference", forms: []form{formToken}},
	{demand: mustRefer, phrase: "signing key not in the source", forms: []form{formToken}},
	{demand: mustRefer, phrase: "jwks not in the source", forms: []form{formToken}},
	{demand: mustRefer, phrase: "checks", forms: []form{formToken}},
}

// expectation is how a case must come out.
type expectation struct {
	demand  demand
	effects map[effect]bool
	// checks are patterns of the ids that may refuse the case.
	checks []string
}

func (e expectation) has(f effect) bool { return e.effects[f] }

// expect reads the outcome of a case, whose evidence is of the given form. It refuses
// words, modifiers and reasons that the runner does not know.
func expect(e expectedJSON, f form) (expectation, error) {
	word, phrases := split(e.words())
	d, ok := demands[word]
	if !ok {
		return expectation{}, fmt.Errorf("unknown outcome word %q; the runner knows %s",
			word, strings.Join(slices.Sorted(maps.Keys(demands)), ", "))
	}
	out := expectation{demand: d, effects: map[effect]bool{}}
	for _, phrase := range phrases {
		m, err := modify(d, phrase, f)
		if err != nil {
			return expectation{}, fmt.Errorf("%w (outcome %q)", err, e.words())
		}
		out.effects[m.effect] = true
	}
	if out.has(production) {
		out.demand = mustReserve
	}
	known, limited := asked[f]
	if !limited {
		known = []demand{mustAccept, mustReserve, mustRefuse, mustMiss}
	}
	if !slices.Contains(known, out.demand) {
		return out, fmt.Errorf("the outcome %q does not go with evidence of the form %s", e.words(), f)
	}
	switch out.demand {
	case mustRefuse, mustReserve:
		var err error
		out.checks, err = checksOf(e.why())
		return out, err
	case mustMiss:
		out.checks = []string{"*.collateral"}
		if out.has(unboundKey) {
			out.checks = []string{"azureguest.ak.certificate"}
		}
	default: // no check is named
	}
	return out, nil
}

func modify(d demand, phrase string, f form) (modifier, error) {
	for _, m := range modifiers {
		if fits, err := path.Match(m.phrase, phrase); err != nil || !fits || m.demand != d {
			continue
		}
		if len(m.forms) > 0 && !slices.Contains(m.forms, f) {
			return m, fmt.Errorf("the modifier %q does not go with evidence of the form %s", phrase, f)
		}
		return m, nil
	}
	return modifier{}, fmt.Errorf("unknown modifier %q", phrase)
}

// split takes the first word of an outcome and the phrases after it, in small letters.
func split(outcome string) (word string, phrases []string) {
	text := strings.ToLower(strings.TrimSpace(outcome))
	end := strings.IndexFunc(text, func(r rune) bool {
		return r != '-' && (r < 'a' || r > 'z') && (r < '0' || r > '9')
	})
	if end < 0 {
		return text, nil
	}
	separators := func(r rune) bool { return strings.ContainsRune(";:,()", r) }
	for phrase := range strings.FieldsFuncSeq(text[end:], separators) {
		if phrase = strings.TrimSpace(phrase); phrase != "" {
			phrases = append(phrases, phrase)
		}
	}
	return text[:end], phrases
}
