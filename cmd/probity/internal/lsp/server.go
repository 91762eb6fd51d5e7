// Package lsp serves editors of attestation policies over the Language Server
// Protocol 3.17: diagnostics, hover, completion and formatting.
//
// [Serve] is the whole of it. Documents are sent in full with each change, as
// policies are small. The attestation type, whose claims are known to hover
// and completion, comes from the editor's settings or from a comment
// "// type: SgxEnclave" in the policy.
package lsp

import (
	"bufio"
	"context"
	"errors"
	"io"
	"regexp"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/policy"
)

// errExit ends the session.
var errExit = errors.New("exit")

// Serve talks to one editor until it says exit, closes the stream, or ctx ends.
// It returns nil if the editor said goodbye properly.
func Serve(ctx context.Context, in io.Reader, out io.Writer, attestationType string) error {
	s := &session{out: out, kind: attestationType, texts: map[string]string{}}
	reader := bufio.NewReader(in)
	for ctx.Err() == nil {
		m, err := readMessage(reader)
		switch {
		case errors.Is(err, errMessage):
			err := writeMessage(out, &message{
				ID:    jsontext.Value("null"),
				Error: &rpcError{codeParse, "the message is not JSON-RPC"},
			})
			if err != nil {
				return err
			}
			continue
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		if err := s.handle(m); errors.Is(err, errExit) {
			return nil
		} else if err != nil {
			return err
		}
	}
	return nil
}

type session struct {
	out   io.Writer
	kind  string
	texts map[string]string // by document
}

type position struct {
	Line      int `json:"line"`
	Character int `json:"character"`
}

type span struct {
	Start position `json:"start"`
	End   position `json:"end"`
}

type documentParams struct {
	TextDocument struct {
		URI  string `json:"uri"`
		Text string `json:"text"`
	} `json:"textDocument"`
	Position       position `json:"position"`
	ContentChanges []struct {
		Text string `json:"text"`
	} `json:"contentChanges"`
}

// handle answers a request; notifications get no answer.
func (s *session) handle(m *message) error {
	if m.Method == "" {
		return nil // a response; we ask nothing
	}
	if m.Method == "exit" {
		return errExit
	}
	result, rpcErr, err := s.call(m)
	if err != nil || m.ID == nil {
		return err
	}
	answer := &message{ID: m.ID, Error: rpcErr}
	if rpcErr == nil {
		if answer.Result, err = json.Marshal(result); err != nil {
			return err
		}
	}
	return writeMessage(s.out, answer)
}

func (s *session) call(m *message) (any, *rpcError, error) {
	switch m.Method {
	case "initialize":
		return s.initialize(m.Params), nil, nil
	case "initialized", "shutdown", "$/cancelRequest", "$/setTrace", "textDocument/didSave",
		"workspace/didChangeConfiguration":
		return nil, nil, nil
	}
	var p documentParams
	if err := json.Unmarshal(m.Params, &p); err != nil {
		return nil, &rpcError{codeInvalidParams, "the parameters are not those of " + m.Method}, nil
	}
	uri := p.TextDocument.URI
	switch m.Method {
	case "textDocument/didOpen":
		s.texts[uri] = p.TextDocument.Text
		return nil, nil, s.publish(uri)
	case "textDocument/didChange":
		if n := len(p.ContentChanges); n > 0 {
			s.texts[uri] = p.ContentChanges[n-1].Text
		}
		return nil, nil, s.publish(uri)
	case "textDocument/didClose":
		delete(s.texts, uri)
		return nil, nil, nil
	case "textDocument/hover":
		return s.hover(uri, p.Position), nil, nil
	case "textDocument/completion":
		return s.complete(uri, p.Position), nil, nil
	case "textDocument/formatting":
		return s.format(uri), nil, nil
	}
	return nil, &rpcError{codeMethodNotFound, m.Method + " is not supported"}, nil
}

func (s *session) initialize(params jsontext.Value) any {
	var p struct {
		Options struct {
			AttestationType string `json:"attestationType"`
		} `json:"initializationOptions"`
	}
	if json.Unmarshal(params, &p) == nil && p.Options.AttestationType != "" {
		s.kind = p.Options.AttestationType
	}
	const fullSync = 1
	return map[string]any{
		"serverInfo": map[string]string{"name": "probity policy lsp"},
		"capabilities": map[string]any{
			"textDocumentSync": fullSync, "hoverProvider": true, "documentFormattingProvider": true,
			"completionProvider": map[string]any{"triggerCharacters": []string{`"`, "$", "-"}},
		},
	}
}

var typeComment = regexp.MustCompile(`(?m)^\s*//\s*type:\s*(\w+)`)

// kindOf returns the attestation type of a document.
func (s *session) kindOf(text string) string {
	if m := typeComment.FindStringSubmatch(text); m != nil {
		return m[1]
	}
	return s.kind
}

type diagnostic struct {
	Range    span   `json:"range"`
	Severity int    `json:"severity"`
	Source   string `json:"source"`
	Message  string `json:"message"`
}

// publish sends the diagnostics of a document.
func (s *session) publish(uri string) error {
	text := s.texts[uri]
	found := []policy.Diagnostic{}
	p, err := policy.Parse(text)
	var parse *policy.ParseError
	if errors.As(err, &parse) {
		found = parse.Diagnostics
	} else {
		found = append(found, policy.Lint(p, s.kindOf(text))...)
	}
	list := []diagnostic{}
	for _, d := range found {
		severity := 1
		if d.Severity == policy.Warning {
			severity = 2
		}
		message := d.Message
		if d.Expected != "" {
			message += ", expected " + d.Expected
		}
		if d.Suggestion != "" {
			message += "; " + d.Suggestion
		}
		end := d.Pos.Offset + max(len(d.Found), 1)
		list = append(list, diagnostic{
			span{toPosition(text, d.Pos.Offset), toPosition(text, end)}, severity, "probity", message,
		})
	}
	params, err := json.Marshal(map[string]any{"uri": uri, "diagnostics": list})
	if err != nil {
		return err
	}
	return writeMessage(s.out, &message{Method: "textDocument/publishDiagnostics", Params: params})
}

type edit struct {
	Range   span   `json:"range"`
	NewText string `json:"newText"`
}

// format returns the edits that format a document: none if it does not parse.
func (s *session) format(uri string) []edit {
	text := s.texts[uri]
	p, err := policy.Parse(text)
	if err != nil {
		return []edit{}
	}
	formatted := policy.Format(p)
	if formatted == text {
		return []edit{}
	}
	return []edit{{span{position{}, toPosition(text, len(text))}, formatted}}
}
