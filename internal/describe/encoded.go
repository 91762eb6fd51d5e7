package describe

import (
	"fmt"

	"github.com/probity-dev/probity/evidence/forms"
	"github.com/probity-dev/probity/wording/phrase"
	"github.com/probity-dev/probity/wording/plainerror"
)

// inspectEncoded looks at evidence in a text encoding, and at evidence that was cut
// off, which no other recogniser may read as something else.
func inspectEncoded(b []byte) Fields {
	if f := forms.Recognize(b); f.Cut != "" {
		return inspectForm(b)
	}
	d, ok, err := forms.Decode("", b)
	if err != nil {
		return Fields{{"what", "text with more than one piece of evidence"}, {"problem", plainerror.Text(err)}}
	}
	if !ok {
		return nil
	}
	inner := File(d.Bytes)
	if inner == nil {
		return nil
	}
	return append(inner, Field{"encoding", d.How()})
}

// inspectForm names what has a known form and is not decoded further.
func inspectForm(b []byte) Fields {
	f := forms.Recognize(b)
	if f.Name == "" {
		return nil
	}
	out := Fields{{"what", f.Name}}
	switch {
	case f.Cut != "":
		out.Add("problem", f.Cut)
	case f.Behind > 0:
		out.Add("problem", fmt.Sprintf("%s too many at its end", phrase.Plural(f.Behind, "byte")))
	}
	if f.Hint != "" {
		out.Add("hint", f.Hint)
	}
	return out
}
