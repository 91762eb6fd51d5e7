package claims_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/probity-dev/probity/claims"
)

func claim(typ string, v claims.Value) claims.Claim {
	return claims.Claim{Type: typ, Value: v, Issuer: claims.AttestationService}
}

func TestExactDuplicatesCollapse(t *testing.T) {
	one := claim("a", claims.IntegerValue(1))
	s := claims.NewSet(one, one, claim("a", claims.StringValue("1")),
		claims.Claim{Type: "a", Value: claims.IntegerValue(1), Issuer: claims.CustomClaim})
	if s.Len() != 3 {
		t.Errorf("%d claims, want 3: type, value and issuer make the difference", s.Len())
	}
}

func TestACloneGrowsAlone(t *testing.T) {
	s := claims.NewSet(claim("a", claims.BooleanValue(true)))
	c := s.Clone()
	c.Add(claim("b", claims.BooleanValue(false)))
	if s.Len() != 1 || c.Len() != 2 || s.Has("b") || !c.Has("b") {
		t.Errorf("sets have %d and %d claims", s.Len(), c.Len())
	}
}

func TestMembersAreScalarsOrArrays(t *testing.T) {
	s := claims.NewSet(
		claim("b", claims.BooleanValue(true)), claim("n", claims.IntegerValue(-7)),
		claim("n", claims.StringValue("x")),
		claim("o", claims.JSONValue(`{"k":[1]}`)),
		claim("s", claims.StringValue(`{"k":1}`)), claim("h", claims.StringValue("<&>")),
	)
	b, err := s.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	want := `{"b":true,"h":"<&>","n":[-7,"x"],"o":{"k":[1]},"s":"{\"k\":1}"}`
	if diff := cmp.Diff(want, string(b)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestParseSet(t *testing.T) {
	for name, tc := range map[string]struct{ text, want string }{
		"scalars and arrays": {
			`{"s":"x","i":7,"b":false,"a":[1,"two",true]}`,
			`{"a":[1,"two",true],"b":false,"i":7,"s":"x"}`,
		},
		"nested object":         {`{"o":{"b":1,"a":2}}`, `{"o":{"b":1,"a":2}}`},
		"empty array":           {`{"a":[]}`, `{}`},
		"largest integer":       {`{"i":9223372036854775807}`, `{"i":9223372036854775807}`},
		"duplicate member":      {`{"a":1,"a":2}`, ""},
		"trailing data":         {`{"a":1}{}`, ""},
		"fraction":              {`{"a":1.5}`, ""},
		"exponent":              {`{"a":1e3}`, ""},
		"integer of 65 bits":    {`{"i":9223372036854775808}`, ""},
		"null":                  {`{"a":null}`, ""},
		"array inside an array": {`{"a":[[1]]}`, ""},
		"not an object":         {`[]`, ""},
		"nothing":               {``, ""},
		"not UTF-8":             {"{\"a\":\"\xff\"}", ""},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := claims.ParseSet([]byte(tc.text), claims.CustomClaim)
			if (err != nil) != (tc.want == "") {
				t.Fatalf("error = %v", err)
			}
			if err != nil {
				return
			}
			if b, _ := s.MarshalJSON(); string(b) != tc.want {
				t.Errorf("got %s, want %s", b, tc.want)
			}
		})
	}
}

func FuzzParseSet(f *testing.F) {
	f.Add([]byte(`{"s":"x","i":7,"b":false,"a":[1,"two",true],"o":{}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := claims.ParseSet(b, claims.CustomClaim)
		if err != nil {
			return
		}
		text, err := s.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		again, err := claims.ParseSet(text, claims.CustomClaim)
		if err != nil || again.Len() != s.Len() {
			t.Errorf("%s does not come back: %d claims, %v", text, again.Len(), err)
		}
	})
}

// TestLongSetsHaveNoDuplicates: long sets find duplicates by a map, and copies that grow
// apart stay apart.
func TestLongSetsHaveNoDuplicates(t *testing.T) {
	var s claims.Set
	for i := range 2000 {
		s.Add(claim("a", claims.IntegerValue(int64(i%1000))))
	}
	if s.Len() != 1000 {
		t.Fatalf("%d claims, want 1000", s.Len())
	}
	for name, other := range map[string]claims.Set{"a clone": s.Clone(), "a copy": s} {
		first, second := s, other
		x, y := claim("x", claims.StringValue(name)), claim("y", claims.StringValue(name))
		if !first.Add(x) || !second.Add(y) || !first.Add(y) || !second.Add(x) || first.Add(x) ||
			second.Add(x) || first.Add(y) || second.Add(y) {
			t.Errorf("%s: claims of one set are taken for those of the other", name)
		}
		if s.Len() != 1000 {
			t.Errorf("%s: the set that was copied has %d claims", name, s.Len())
		}
	}
}
