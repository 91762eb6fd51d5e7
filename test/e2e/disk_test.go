package e2e

import (
	"crypto/sha256"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/probity-dev/probity/test/kit/cryptsetup"
)

// luksImage makes an encrypted image of 20 MiB, and recovery.txt with the passphrase of its slot 0: luksimage FILE.
func luksImage(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: luksimage FILE")
	}
	ts.Check(cryptsetup.Format(ts.MkAbs(args[0])))
	ts.Check(os.WriteFile(ts.MkAbs("recovery.txt"), []byte(cryptsetup.Recovery), 0o600))
	pins, err := filepath.Abs("../../deploy/disk/clevis")
	ts.Check(err)
	ts.Setenv("PINS", pins)
}

// luksEdit copies an image and changes the metadata of both headers, whose checksums it states again, as a host
// that can write to a disk does: luksedit FROM TO OLD NEW.
func luksEdit(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 4 {
		ts.Fatalf("usage: luksedit FROM TO OLD NEW")
	}
	b, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	size := int(binary.BigEndian.Uint64(b[8:]))
	for _, h := range [][]byte{b[:size], b[size : 2*size]} {
		text, _, _ := strings.Cut(string(h[4096:]), "\x00")
		if strings.Count(text, args[2]) != 1 {
			ts.Fatalf("the metadata do not have %s once:\n%s", args[2], text)
		}
		clear(h[4096:])
		copy(h[4096:], strings.Replace(text, args[2], args[3], 1))
		clear(h[448:512])
		sum := sha256.Sum256(h)
		copy(h[448:], sum[:])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), b, 0o600))
}
