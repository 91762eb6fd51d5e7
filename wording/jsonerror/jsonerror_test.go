package jsonerror

import (
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
)

func TestTextHasNoGoInIt(t *testing.T) {
	for text, want := range map[string]string{
		`[]`:            "at the top: a JSON value of the wrong type",
		`{"a":"x"}`:     "at /a: a JSON value of the wrong type",
		`{"b":1}`:       `at /b: unknown member`,
		`{"a":1,"a":1}`: "duplicate member",
		`{"a":1`:        "it ends early",
		`{"a":1} x`:     "at byte 8",
		``:              "it ends early",
	} {
		var v struct {
			A int `json:"a"`
		}
		err := json.Unmarshal([]byte(text), &v, json.RejectUnknownMembers(true))
		if err == nil {
			t.Fatalf("%s is accepted", text)
		}
		got := Text(err)
		if !strings.Contains(got, want) || strings.Contains(got, "Go ") || strings.Contains(got, "struct") {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}
