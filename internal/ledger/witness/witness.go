// Package witness shows the checkpoints of ledgers to a witness, a service of
// someone else that signs only what extends the checkpoint that it saw before
// (C2SP tlog-witness, request add-checkpoint; C2SP tlog-cosignature, version 1). A
// cosigned checkpoint shows that the service showed no other history.
//
// A [Client] makes one request. A [Keeper] offers new checkpoints in the
// background, keeps the cosignatures, and raises an alarm when the witness knows
// more entries than the database has. The package does not decide what is signed;
// attestations do not wait for it.
package witness

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// algorithm is the type of cosignatures of version 1: Ed25519 with a time.
const algorithm = 0x04

// Verifier verifies cosignatures of version 1. It implements [note.Verifier].
type Verifier struct {
	name string
	hash uint32
	key  ed25519.PublicKey
}

// NewVerifier reads a verifier key (C2SP signed-note): name, key hash in hex, and
// the algorithm byte 4 with an Ed25519 public key in base64, separated by "+".
func NewVerifier(vkey string) (*Verifier, error) {
	parts := strings.SplitN(vkey, "+", 3)
	if len(parts) != 3 || parts[0] == "" || strings.ContainsAny(parts[0], " \t\r\n") {
		return nil, errors.New("witness: a key has the form NAME+HASH+KEY")
	}
	hash, err := strconv.ParseUint(parts[1], 16, 32)
	key, keyErr := base64.StdEncoding.DecodeString(parts[2])
	if err != nil || len(parts[1]) != 8 || keyErr != nil || len(key) != 1+ed25519.PublicKeySize {
		return nil, errors.New("witness: the hash of a key is 8 hex digits, the key 33 bytes in base64")
	}
	if key[0] != algorithm {
		return nil, fmt.Errorf("witness: the key has algorithm %d; want 4, cosignatures with a time", key[0])
	}
	if want := keyHash(parts[0], key); uint32(hash) != want {
		return nil, fmt.Errorf("witness: the hash of the key is %08x, not %s", want, parts[1])
	}
	return &Verifier{parts[0], uint32(hash), key[1:]}, nil
}

func keyHash(name string, key []byte) uint32 {
	sum := sha256.Sum256(append([]byte(name+"\n"), key...))
	return binary.BigEndian.Uint32(sum[:])
}

// Name implements [note.Verifier].
func (v *Verifier) Name() string { return v.name }

// KeyHash implements [note.Verifier].
func (v *Verifier) KeyHash() uint32 { return v.hash }

// Verify implements [note.Verifier]: 8 bytes of seconds since 1970, then an Ed25519
// signature of that time and the checkpoint.
func (v *Verifier) Verify(text, signature []byte) bool {
	if len(signature) != 8+ed25519.SignatureSize {
		return false
	}
	at := binary.BigEndian.Uint64(signature)
	return ed25519.Verify(v.key, message(at, text), signature[8:])
}

// message is what a witness signs.
func message(at uint64, text []byte) []byte {
	return append(fmt.Appendf(nil, "cosignature/v1\ntime %d\n", at), text...)
}

// maxAnswer bounds the answer of a witness, in bytes.
const maxAnswer = 16 << 10

// Conflict is returned when the witness saw a checkpoint of another size last.
type Conflict struct{ Size int64 }

// Error gives the size.
func (c *Conflict) Error() string {
	return fmt.Sprintf("the witness has a checkpoint of %d entries", c.Size)
}

// Client talks to one witness.
type Client struct {
	// URL is the submission prefix: requests go to URL/add-checkpoint.
	URL  string
	Key  *Verifier
	HTTP *http.Client
}

// Add shows a checkpoint to the witness, with the proof that it extends the one of
// size old, and returns it with the witness's cosignature. log verifies the log's
// own signature. The error is a [*Conflict] if the witness's size is another one.
func (c *Client) Add(
	ctx context.Context, log note.Verifier, old int64, proof tlog.TreeProof, checkpoint string,
) (string, error) {
	var body bytes.Buffer
	fmt.Fprintf(&body, "old %d\n", old)
	for _, h := range proof {
		fmt.Fprintln(&body, h)
	}
	body.WriteString("\n" + checkpoint)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost,
		strings.TrimSuffix(c.URL, "/")+"/add-checkpoint", &body)
	if err != nil {
		return "", fmt.Errorf("witness: %w", err)
	}
	answer, err := c.HTTP.Do(r)
	if err != nil {
		return "", fmt.Errorf("witness: %w", err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer+1))
	if err != nil {
		return "", fmt.Errorf("witness: %w", err)
	}
	switch {
	case len(text) > maxAnswer:
		return "", fmt.Errorf("witness: the answer is longer than %d bytes", maxAnswer)
	case answer.StatusCode == http.StatusConflict:
		return "", conflict(answer.Header.Get("Content-Type"), string(text))
	case answer.StatusCode != http.StatusOK:
		return "", fmt.Errorf("witness: it answered %d, %q", answer.StatusCode, text[:min(len(text), 200)])
	}
	cosigned := checkpoint + string(text)
	n, err := note.Open([]byte(cosigned), note.VerifierList(log, c.Key))
	if err != nil {
		return "", fmt.Errorf("witness: the answer is not a cosignature: %w", err)
	}
	for _, s := range n.Sigs {
		if s.Name == c.Key.name && s.Hash == c.Key.hash {
			return cosigned, nil
		}
	}
	return "", fmt.Errorf("witness: the answer has no cosignature of %s", c.Key.name)
}

// conflict reads the size that the witness has.
func conflict(kind, text string) error {
	number, found := strings.CutSuffix(text, "\n")
	size, err := strconv.ParseInt(number, 10, 64)
	if kind != "text/x.tlog.size" || !found || err != nil || size < 0 || strconv.FormatInt(size, 10) != number {
		return errors.New("witness: it has another checkpoint, and does not say about which size")
	}
	return &Conflict{size}
}
