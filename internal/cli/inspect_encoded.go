package cli

import (
	"fmt"

	"github.com/probity-dev/probity/evidence/forms"
	"github.com/probity-dev/probity/wording/plainerror"
)

// inspectEncoded looks at evidence in a text encoding, and at evidence that was cut
// off, which no other recogniser may read as something else.
func inspectEncoded(b []byte) fields {
	if f := forms.Recognize(b); f.Cut != "" {
		return inspectForm(b)
	}
	d, ok, err := forms.Decode("", b)
	if err != nil {
		return fields{{"what", "text with more than one piece of evidence"}, {"problem", plainerror.Text(err)}}
	}
	if !ok {
		return nil
	}
	inner := inspect(d.Bytes)
	if inner == nil {
		return nil
	}
	return append(inner, field{"encoding", d.How()})
}

// inspectForm names what has a known form and is not decoded further.
func inspectForm(b []byte) fields {
	f := forms.Recognize(b)
	if f.Name == "" {
		return nil
	}
	out := fields{{"what", f.Name}}
	switch {
	case f.Cut != "":
		out.add("problem", f.Cut)
	case f.Behind > 0:
		out.add("problem", fmt.Sprintf("%s too many at its end", plural(f.Behind, "byte")))
	}
	if f.Hint != "" {
		out.add("hint", f.Hint)
	}
	return out
}
