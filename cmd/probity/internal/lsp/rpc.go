package lsp

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// maxMessage bounds one message in bytes; policies are at most 64 KiB.
const maxMessage = 4 << 20

// message is a JSON-RPC 2.0 request, notification or response.
type message struct {
	Version string         `json:"jsonrpc"`
	ID      jsontext.Value `json:"id,omitzero"`
	Method  string         `json:"method,omitzero"`
	Params  jsontext.Value `json:"params,omitzero"`
	Result  jsontext.Value `json:"result,omitzero"`
	Error   *rpcError      `json:"error,omitzero"`
}

type rpcError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

// Error codes of JSON-RPC.
const (
	codeParse          = -32700
	codeMethodNotFound = -32601
	codeInvalidParams  = -32602
)

// errMessage is a message that cannot be read although its frame could.
var errMessage = errors.New("malformed message")

// readMessage reads one message with its header. io.EOF means that the editor
// closed the stream between messages.
func readMessage(r *bufio.Reader) (*message, error) {
	length := -1
	for first := true; ; first = false {
		raw, err := r.ReadSlice('\n') // a line that is longer than the reader's buffer ends in an error
		if err != nil {
			if first && errors.Is(err, io.EOF) && len(raw) == 0 {
				return nil, io.EOF
			}
			return nil, fmt.Errorf("lsp: header: %w", err)
		}
		line := strings.TrimRight(string(raw), "\r\n")
		if line == "" {
			break
		}
		name, value, _ := strings.Cut(line, ":")
		if strings.EqualFold(name, "Content-Length") {
			if length, err = strconv.Atoi(strings.TrimSpace(value)); err != nil {
				return nil, errors.New("lsp: header: Content-Length is not a number")
			}
		}
	}
	if length < 0 || length > maxMessage {
		return nil, fmt.Errorf("lsp: header: a message of %d bytes, at most %d are read", length, maxMessage)
	}
	body := make([]byte, length)
	if _, err := io.ReadFull(r, body); err != nil {
		return nil, fmt.Errorf("lsp: body: %w", err)
	}
	var m message
	if err := json.Unmarshal(body, &m); err != nil {
		return nil, fmt.Errorf("%w: %w", errMessage, err)
	}
	return &m, nil
}

func writeMessage(w io.Writer, m *message) error {
	m.Version = "2.0"
	body, err := json.Marshal(m)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "Content-Length: %d\r\n\r\n%s", len(body), body)
	return err
}
