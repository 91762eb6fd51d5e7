package bounds

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestNumbers(t *testing.T) {
	for name, tc := range map[string]struct {
		err error
		ok  bool
	}{
		"least":                {Check("n", 1, 1, 9), true},
		"most":                 {Check("n", 9, 1, 9), true},
		"below":                {Check("n", 0, 1, 9), false},
		"above":                {Check("n", 10, 1, 9), false},
		"the largest integer":  {Check[int64]("n", math.MaxInt64, 1, 9), false},
		"the smallest integer": {Check[int64]("n", math.MinInt64, 1, 9), false},
		"NaN":                  {Check("n", math.NaN(), 0, 1e6), false},
		"infinite":             {Check("n", math.Inf(1), 0, 1e6), false},
		"huge":                 {Check("n", 1e308, 0, 1e6), false},
		"not chosen":           {Optional("n", 0, 1, 9), true},
		"negative zero":        {Optional("n", math.Copysign(0, -1), 1, 9), true},
		"tiny":                 {Optional("n", 1e-300, 0.001, 9), false},
		"NaN, optional":        {Optional("n", math.NaN(), 0.001, 9), false},
		"a duration too long":  {Optional("n", 200*365*24*time.Hour, time.Second, time.Hour), false},
	} {
		if (tc.err == nil) != tc.ok {
			t.Errorf("%s: %v", name, tc.err)
		}
	}
	if err := Check("burst", 10, 1, 9); err.Error() != "burst: 10; want 1 to 9" {
		t.Error(err)
	}
}

func TestTexts(t *testing.T) {
	for s, ok := range map[string]bool{"": true, "West Europe": true, "åäö": true, strings.Repeat("x", 20): true,
		strings.Repeat("x", 21): false, "a\nb": false, "a\x00": false, "a\x7f": false, "\xff": false,
		"\u0085": false} {
		if err := Text("location", s, 20); (err == nil) != ok {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestNesting(t *testing.T) {
	for text, ok := range map[string]bool{
		`{}`: true, ``: true, strings.Repeat("[", 64): true, strings.Repeat("[", 65): false,
		strings.Repeat("[]", 100): true, strings.Repeat(`{"a":`, 65): false,
		`"` + strings.Repeat("[", 100) + `"`: true, `"\"` + strings.Repeat("[", 100) + `"`: true,
		`"\\"` + strings.Repeat("[", 65): false,
		strings.Repeat("[{", 32) + "[":   false, strings.Repeat("[ ", 65): false,
	} {
		if err := Nesting([]byte(text)); (err == nil) != ok {
			t.Errorf("%.20q, %d bytes: %v", text, len(text), err)
		}
	}
}

func TestTimes(t *testing.T) {
	from, to := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	for text, ok := range map[string]bool{
		"2026-01-01T00:00:00Z":      true,
		"2027-01-01T00:00:00Z":      true,
		"2026-12-31T23:30:00-01:00": false,
		"2027-01-01T00:30:00+01:00": true,
		"9999-12-31T23:59:59-23:00": false,
		"0000-01-01T00:00:00+23:00": false,
	} {
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		if err := Time("expires", at, from, to); (err == nil) != ok {
			t.Errorf("%s: %v", text, err)
		}
	}
}
