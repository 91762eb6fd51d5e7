package house

import (
	"regexp"
	"strings"
)

// word is an expression that must not come back in what people read, and what to write instead.
// A legitimate use, such as a lock that is held, does not match.
type word struct {
	pattern *regexp.Regexp
	instead string
}

// say makes a word. A space in the pattern matches any white space, so that a phrase is
// found across the lines of a comment; case is ignored.
func say(pattern, instead string) word {
	return word{regexp.MustCompile(`(?i)` + strings.ReplaceAll(pattern, " ", `\s+`)), instead}
}

var words = []word{
	// Archaic forms.
	say(`\banew\b`, "again, or: from the start"),
	say(`\bfor ever\b`, "permanently, always, or: without a limit"),
	say(`\b(mend|mends|mended|mending)\b`, "fix, repair"),
	say(`\b(thereof|therein|thereby|thereto|therewith|therefrom|thereupon|hence|henceforth|whence|`+
		`thence|hereby|herein|hitherto|`+
		`wherein|whereof|whereby|whereupon|lest|unto|upon|albeit|whilst|amongst|naught|nought|`+
		`forthwith|notwithstanding|whatsoever|thrice|shall)\b`,
		"so, by which, in it, after that: today's words"),
	say(`(, save |\bsave (for|that|which|when|where|if)\b)`, "except"),
	say(`\b(such as it is|as it were|come what may)\b`, "leave it out"),
	say(`\b(lie|lies|lain|lying) (as|at|in|on|under|beside|behind|before|within|inside|outside|`+
		`there|anywhere|between|below|above|elsewhere|`+
		`for|from|about|\d)`, "is in, is at, is stored"),
	say(`\bstands? (in|at|on|beside|behind|before|between|under|there|here|where|outside|first|`+
		`alone|elsewhere|as|within|twice)\b`,
		"is in, is at, is written"),
	say(`\bat hand\b`, "available"),
	say(`\bstands? (above|side)\b`, "is above, is beside"),
	say(`\bbehind (--|the (command|flag))`, "after"),
	say(`\bkeep what holds\b|\bthat holds it\b`, "verifies; contains"),
	say(`\b(of|for|than|is|are) ours\b|\bof theirs\b|; ours\b`,
		"name the owner: this module's, the service's"),

	say(`\b(bytes?|bits|data|zeros?|padding|entry|entries|nothing|anything|something|text|`+
		`what is) behind\b|\bbehind (it|the last|the end|the hash)\b`, "after"),

	// Riddles: a sentence whose subject is found only by thinking.
	say(`\bnobody\b`, "no one, or better the thing itself: no caller, no client, no key"),
	say(`\b(whoever|whomever|whosoever)\b`, "anyone who, or name the person: an attacker who"),
	say(`\b(somebody|anybody|everybody)\b`, "someone, anyone, everyone; or name the person or program"),
	say(`\b(say|says|said|saying) of\b`, "says about"),
	say(`\b(is|are) not so( that)?\b`, "not"),
	say(`\bnothing but\b`, "only"),
	say(`\bfor good\b`, "permanently"),
	say(`\b(be|cannot be|could be) had\b`, "is available"),
	say(`\b(is|are) away\b`, "is unavailable"),

	// Counts, meaning: is accepted, has effect.
	say(`\bcounts? (as|only|here|twice|alone|if|where|while|too|against|no more|no longer|at)\b|`+
		`\bcounts? for (nothing|more)\b`,
		"is accepted, is treated as, has effect"),
	say(`\b(that|which|what|who|does not|do not|always|never|still|not|longer|while they|byte|`+
		`value|key|answer|must) counts?([.,;:)"]| of | no |$)`,
		"is accepted, matters, has effect"),
	say(`\bwhat counts\b|\bwho counts\b|\bcounts no longer\b`, "what is accepted, is protected"),

	// Holds, meaning: verifies, passes, is true; held, meaning: stored.
	say(`\b(does|do|did) not hold([.,;:)"]|$| here)`, "is invalid, does not verify, is not true"),
	say(`\b(signatures?|chains?|checks?|proofs?|preconditions?|comparison|seals?|facts?|`+
		`statements?|limits)( \w+)?( that)? (still )?holds?([.,;:)"|]|$| for\b| here\b)`,
		"verifies, is valid, passes"),
	say(`\b(must|can never|never|cannot|whose signatures?|those that|the worse one|`+
		`negation) holds?([.,;:)"|]|$)`, "is true, verifies, passes"),
	say(`\b(hold|holds|held) (\S+ ){0,6}against\b`, "compares with, checks against"),
	say(`\b(what|that|which|nothing|newest one|the one|pieces?|sets?|chains?|those|chips) (that |`+
		`which )?(is |are |was |not |is not |are not )?held\b`,
		"stored, cached, available"),
	say(`\b(is|are) not held\b|\bheld locally\b`, "is not stored, is not available"),
	say(`\b(answer|header|payload|text|x5c|token|document|report|message|certificate|it|file|`+
		`folder|folder may) holds? `+
		`(a|an|no|one|any|the|two|bytes|nothing|what)\b`, "contains, has"),
}

// found are the values of a check that say nothing by themselves: what was found must be shown.
var found = say(`^(none|another|others?|some|more|less|neither|no|yes|(none|one|ones|some) (that|`+
	`without|with|by|of the|signed|over|whose|on)\b.*|`+
	`none of .*|it (at|on|is|has|was)\b.*|others than .*|another \w+ than .*|not so|the same|that of .*|`+
	`an unknown one|the wrong one)$`,
	`what was found: its value, its name, or "not found" with what was looked for`)
