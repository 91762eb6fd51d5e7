package lsp

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// editor is a conversation with the server.
type editor struct {
	t   *testing.T
	in  *io.PipeWriter
	out *bufio.Reader
	id  int
	end chan error
}

func start(t *testing.T, options string) *editor {
	t.Helper()
	inReader, inWriter := io.Pipe()
	outReader, outWriter := io.Pipe()
	e := &editor{t: t, in: inWriter, out: bufio.NewReader(outReader), end: make(chan error, 1)}
	go func() {
		e.end <- Serve(context.Background(), inReader, outWriter, "")
		outWriter.Close()
	}()
	var result struct {
		Capabilities map[string]any `json:"capabilities"`
	}
	e.ask("initialize", `{"initializationOptions":`+options+`}`, &result)
	if result.Capabilities["hoverProvider"] != true {
		t.Fatalf("capabilities = %v", result.Capabilities)
	}
	return e
}

// send may run beside the test: a session that ended is seen in its answers.
func (e *editor) send(body string) {
	if _, err := fmt.Fprintf(e.in, "Content-Length: %d\r\n\r\n%s", len(body), body); err != nil {
		e.t.Error(err)
	}
}

func (e *editor) notify(method, params string) {
	e.send(`{"jsonrpc":"2.0","method":"` + method + `","params":` + params + `}`)
}

func (e *editor) ask(method, params string, result any) {
	e.t.Helper()
	e.id++
	go e.send(fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":%q,"params":%s}`, e.id, method, params))
	m, err := readMessage(e.out)
	if err != nil || string(m.ID) != fmt.Sprint(e.id) || m.Error != nil {
		e.t.Fatalf("%s: %+v, %v", method, m, err)
	}
	if err := json.Unmarshal(m.Result, result); err != nil {
		e.t.Fatal(err)
	}
}

type published struct {
	Diagnostics []diagnostic `json:"diagnostics"`
}

// open sends a document and returns its diagnostics.
func (e *editor) open(method, text string) []diagnostic {
	e.t.Helper()
	quoted, _ := json.Marshal(text)
	params := `{"textDocument":{"uri":"file:///p","text":` + string(quoted) + `},"contentChanges":[{"text":` +
		string(quoted) + `}]}`
	go e.notify(method, params)
	m, err := readMessage(e.out)
	if err != nil || m.Method != "textDocument/publishDiagnostics" {
		e.t.Fatalf("%+v, %v", m, err)
	}
	var p published
	if err := json.Unmarshal(m.Params, &p); err != nil {
		e.t.Fatal(err)
	}
	return p.Diagnostics
}

func at(line, character int) string {
	return fmt.Sprintf(`{"textDocument":{"uri":"file:///p"},"position":{"line":%d,"character":%d}}`,
		line, character)
}

func TestASessionWithAnEditor(t *testing.T) {
	e := start(t, `{"attestationType":"SgxEnclave"}`)
	got := e.open("textDocument/didOpen", "version=1.0;\nauthorizationrules{ [type=\"𝄞\"] => permit(); };")
	if len(got) != 1 || got[0].Severity != 1 ||
		got[0].Range.Start != (position{1, 25}) || !strings.Contains(got[0].Message, `did you mean "=="`) {
		t.Errorf("diagnostics = %+v", got)
	}
	if got := e.open(
		"textDocument/didChange",
		"version=1.0;\nauthorizationrules{ [type==\"x-ms-sgx-mrsiner\"] => permit(); };",
	); len(got) != 1 || got[0].Severity != 2 ||
		!strings.Contains(got[0].Message, "did you mean x-ms-sgx-mrsigner") {
		t.Errorf("diagnostics = %+v", got)
	}
	text := "version=1.0;\nauthorizationrules{ [type==\"𝄞\", issuer==\"CustomClaim\"] && " +
		"[type==\"$svn\", value>=1] => permit(); };"
	if got := e.open("textDocument/didChange", text); len(got) != 0 {
		t.Errorf("diagnostics = %+v", got)
	}
	var hover struct {
		Contents struct {
			Value string `json:"value"`
		} `json:"contents"`
	}
	// The clef is two UTF-16 units: one more than the characters.
	inSVN := toPosition(text, strings.Index(text, "$svn")+2)
	want := utf8.RuneCountInString(text[strings.Index(text, "\n")+1:strings.Index(text, "$svn")]) + 3
	if inSVN != (position{1, want}) {
		t.Errorf("position = %v, want 1, %d", inSVN, want)
	}
	e.ask("textDocument/hover", at(inSVN.Line, inSVN.Character), &hover)
	if !strings.Contains(hover.Contents.Value, "**$svn** · Integer") {
		t.Errorf("hover = %+v", hover)
	}
	e.ask("textDocument/hover", at(1, 3), &hover)
	if !strings.Contains(hover.Contents.Value, "any deny wins") {
		t.Errorf("hover = %+v", hover)
	}
	var completions []completion
	e.ask("textDocument/completion", at(inSVN.Line, inSVN.Character), &completions)
	if len(completions) != 3 || completions[2].Label != "$svn" {
		t.Errorf("completions = %+v", completions)
	}
	var edits []edit
	e.ask("textDocument/formatting", at(0, 0), &edits)
	if len(edits) != 1 || !strings.HasPrefix(edits[0].NewText, "version= 1.0;\nauthorizationrules{\n\t[") ||
		edits[0].Range.End.Line != 1 {
		t.Errorf("edits = %+v", edits)
	}
	e.open("textDocument/didChange", edits[0].NewText)
	e.ask("textDocument/formatting", at(0, 0), &edits)
	if len(edits) != 0 {
		t.Errorf("formatting twice: %+v", edits)
	}
	var nothing jsontext.Value
	e.ask("shutdown", "null", &nothing)
	e.notify("exit", "null")
	if err := <-e.end; err != nil {
		t.Error(err)
	}
}

func TestACommentNamesTheType(t *testing.T) {
	e := start(t, `null`)
	got := e.open("textDocument/didOpen",
		"// type: Tpm\nversion=1.0;\nauthorizationrules{ [type==\"aikValidatd\"] => permit(); };")
	if len(got) != 1 ||
		!strings.Contains(got[0].Message, "aikValidated") {
		t.Errorf("diagnostics = %+v", got)
	}
}

func TestCompletionWhileTyping(t *testing.T) {
	e := start(t, `{"attestationType":"SgxEnclave"}`)
	e.open("textDocument/didOpen", "version=1.0;\nauthorizationrules{ [type==\"mrsig")
	var completions []completion
	e.ask("textDocument/completion", at(1, 33), &completions)
	var labels []string
	for _, c := range completions {
		labels = append(labels, c.Label)
	}
	if strings.Join(labels, " ") != "$sgx-mrsigner x-ms-sgx-mrsigner" {
		t.Errorf("labels = %v", labels)
	}
	e.ask("textDocument/completion", at(1, 5), &completions)
	if len(completions) != 1 || completions[0].Label != "authorizationrules" {
		t.Errorf("completions = %+v", completions)
	}
}

func TestMessagesThatAreRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		in, want string
		fails    bool
	}{
		"unknown method": {frame(`{"jsonrpc":"2.0","id":1,"method":"x","params":{}}`), "-32601", false},
		"bad parameters": {
			frame(`{"jsonrpc":"2.0","id":1,"method":"textDocument/hover","params":[]}`), "-32602",
			false,
		},
		"not JSON": {frame(`{`), "-32700", false},
		"unknown document": {
			frame(`{"jsonrpc":"2.0","id":1,"method":"textDocument/hover","params":` + at(99, 99) + `}`),
			`"result":null`, false,
		},
		"negative position": {
			frame(`{"jsonrpc":"2.0","id":1,"method":"textDocument/completion","params":` + at(-1, -1) + `}`),
			`"result":[`, false,
		},
		"no length":           {"X: 1\r\n\r\n", "", true},
		"length not a number": {"Content-Length: x\r\n\r\n", "", true},
		"length too large":    {"Content-Length: 99999999\r\n\r\n", "", true},
		"cut short":           {"Content-Length: 10\r\n\r\n{}", "", true},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			err := Serve(context.Background(), strings.NewReader(tc.in), &out, "")
			if (err != nil) != tc.fails || !strings.Contains(out.String(), tc.want) || errors.Is(err, errExit) {
				t.Errorf("%q, %v", &out, err)
			}
		})
	}
}

// endless is a header line without an end.
type endless struct{ given int }

func (e *endless) Read(b []byte) (int, error) {
	if e.given > 1<<20 {
		return 0, io.EOF
	}
	for i := range b {
		b[i] = 'x'
	}
	e.given += len(b)
	return len(b), nil
}

func TestHeaderLinesAreBounded(t *testing.T) {
	in := &endless{}
	if err := Serve(context.Background(), in, io.Discard, ""); err == nil || in.given > 64<<10 {
		t.Errorf("error = %v after %d bytes", err, in.given)
	}
}

func frame(body string) string { return fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body) }

func FuzzServe(f *testing.F) {
	f.Add(frame(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}`))
	f.Add(frame(`{"jsonrpc":"2.0","method":"textDocument/didOpen","params":{"textDocument":{"uri":"a",`+
		`"text":"version=1.0;\"𝄞"}}}`) +
		frame(`{"jsonrpc":"2.0","id":2,"method":"textDocument/hover","params":{"textDocument":{"uri":"a"}`+
			`,"position":{"line":0,"character":14}}}`))
	f.Fuzz(func(t *testing.T, in string) {
		Serve(context.Background(), strings.NewReader(in), io.Discard, "SgxEnclave")
	})
}
