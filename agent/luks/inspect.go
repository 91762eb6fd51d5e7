package luks

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/wording/jsonerror"
)

// DefaultCipher is the cipher that is expected where an [Expectation] names none: AES-XTS, as cryptsetup
// chooses itself.
const DefaultCipher = "aes-xts-plain64"

// Expectation is what the operator knows about a disk, from elsewhere than the disk.
type Expectation struct {
	// Ciphers are those of the segment and of the key slots. Empty means [DefaultCipher]. A cipher that does
	// not encrypt is refused even if it is named.
	Ciphers []string
	// Integrity is the integrity protection of the segment as the header names it, such as "hmac(sha256)".
	// Empty means none.
	Integrity string
	// Slots are key slots that may exist beside those of enrolments, such as that of a recovery passphrase.
	Slots []int
	// TokenTypes are types of tokens that may exist beside Probity's.
	TokenTypes []string
	// Binding is where the passphrase comes from. One token must say exactly this. Nil means that any enrolment
	// is accepted, or none: for looking at a disk, not for opening it.
	Binding *Binding
}

// Device is a device whose headers are of the expected shape.
type Device struct {
	UUID, Label, Subsystem string
	// Sequence is the number of changes of the header (seqid).
	Sequence uint64
	Cipher   string
	// Integrity is that of the segment, or empty.
	Integrity string
	// DataOffset is where the data begin, in bytes.
	DataOffset int64
	// Slots are the key slots in use.
	Slots []int
	// Enrolments are the tokens of Probity.
	Enrolments []Enrolment
	// Enrolled is the one that the expectation's binding names, or nil.
	Enrolled *Enrolment
	// Digest identifies the key of the disk: it changes when the disk gets another key.
	Digest []byte

	headers []byte // both, as they were checked
	areas   []span // of key slots
	size    int64  // of headers and key slots
}

// span is a range of bytes of the device.
type span struct{ offset, end uint64 }

// inspection is the state of one [Inspect].
type inspection struct {
	evidence.Result
	r    io.ReaderAt
	size uint64
	want Expectation

	primary, secondary binaryHeader
	meta               *metadata
	segment            segment
	slots              map[int]keyslot
	// machine are the key slots whose passphrases machines made: random ones, long enough not to be tried out.
	machine map[int]bool
	device  Device
}

// Inspect reads the headers of a device of size bytes and makes every check of [Catalogue] in order. It
// returns the checks that it made, and an [evidence.Rejection] for the first that failed; other errors are
// those of reading.
func Inspect(r io.ReaderAt, size int64, want Expectation) (*Device, []evidence.Check, error) {
	i := &inspection{r: r, size: uint64(max(size, 0)), want: want, machine: map[int]bool{}}
	for _, step := range []func() error{
		i.readPrimary, i.readSecondary, i.readMetadata, i.checkConfig, i.checkSegments, i.checkSegment,
		i.checkTokens, i.checkBinding, i.checkSlots, i.checkDigest,
	} {
		if err := step(); err != nil {
			return nil, i.Checks, err
		}
	}
	return &i.device, i.Checks, nil
}

// Security: the first block is read once. What follows is appended to those bytes, so that no byte of a header
// is checked in one reading and used from another.
func (i *inspection) readPrimary() error {
	if i.size < 2*minHeader {
		return i.Fail(CheckSize, fmt.Sprintf("at least %d bytes", 2*minHeader), fmt.Sprintf("%d bytes", i.size))
	}
	i.Pass(CheckSize, fmt.Sprintf("at least %d bytes", 2*minHeader), fmt.Sprintf("%d bytes", i.size))
	first := make([]byte, binarySize)
	if _, err := i.r.ReadAt(first, 0); err != nil {
		return err
	}
	if found := string(first[:atVersion]); found != magicPrimary {
		return i.Fail(CheckMagic, "LUKS", fmt.Sprintf("the bytes %x", found))
	}
	i.Pass(CheckMagic, "LUKS", "LUKS")
	version := fmt.Sprint(int(first[atVersion])<<8 | int(first[atVersion+1]))
	if version != "2" {
		return i.Fail(CheckVersion, "2", "version "+version)
	}
	i.Pass(CheckVersion, "2", "version 2")
	const sizes = "16384 bytes, or twice as often up to 4 MiB, and room for two"
	h := parseBinary(first)
	if !validSize(h.size) || 2*h.size > i.size {
		return i.Fail(CheckHeaderSize, sizes, fmt.Sprintf("%d bytes", h.size))
	}
	i.Pass(CheckHeaderSize, sizes, fmt.Sprintf("%d bytes each", h.size))
	i.device.headers = make([]byte, 2*h.size)
	copy(i.device.headers, first)
	if _, err := i.r.ReadAt(i.device.headers[binarySize:], binarySize); err != nil {
		return err
	}
	i.primary = parseBinary(i.device.headers[:h.size])
	i.secondary = parseBinary(i.device.headers[h.size:])
	return i.checkHeader(&i.primary, "the primary header", 0)
}

// checkHeader makes the checks that both headers must pass.
func (i *inspection) checkHeader(h *binaryHeader, name string, at uint64) error {
	if h.offset != at {
		return i.Fail(CheckOffset, fmt.Sprint(at), fmt.Sprintf("%s says %d", name, h.offset))
	}
	i.Pass(CheckOffset, fmt.Sprint(at), fmt.Sprintf("%s says %d", name, h.offset))
	algorithm, ok := text(h.raw[atAlgorithm:atSalt])
	if !ok || algorithm != "sha256" {
		return i.Fail(CheckAlgorithm, "sha256", fmt.Sprintf("%s says %.40q", name, algorithm))
	}
	i.Pass(CheckAlgorithm, "sha256", fmt.Sprintf("%s says sha256", name))
	if !h.checksum() {
		return i.Fail(CheckChecksum, "the checksum that the header states", "another one, of "+name)
	}
	i.Pass(CheckChecksum, "the checksum that the header states", fmt.Sprintf("%x, of %s", sum256(h.raw), name))
	const clean = "text that ends, a UUID, and zeros"
	if fault := h.fields(); fault != "" {
		return i.Fail(CheckFields, clean, fault+", in "+name)
	}
	id, _ := text(h.uuid)
	i.Pass(CheckFields, clean, "UUID "+id)
	return nil
}

func (i *inspection) readSecondary() error {
	h, p := &i.secondary, &i.primary
	const same = "the contents of the primary header"
	if string(h.raw[:atVersion]) != magicSecondary || h.raw[atVersion] != 0 || h.raw[atVersion+1] != 2 {
		return i.Fail(CheckSecondary, "the mark of a secondary header, version 2",
			fmt.Sprintf("the bytes %x", h.raw[:atSize]))
	}
	if h.size != p.size {
		return i.Fail(CheckSecondary, fmt.Sprintf("%d bytes", p.size), fmt.Sprintf("%d bytes", h.size))
	}
	if err := i.checkHeader(h, "the secondary header", p.size); err != nil {
		return err
	}
	for _, f := range []struct {
		name string
		same bool
	}{
		{"sequence number", h.sequence == p.sequence},
		{"label", bytes.Equal(h.label, p.label)},
		{"UUID", bytes.Equal(h.uuid, p.uuid)},
		{"subsystem", bytes.Equal(h.subsystem, p.subsystem)},
		{"metadata", bytes.Equal(h.json(), p.json())},
	} {
		if !f.same {
			return i.Fail(CheckSecondary, same, "another "+strings.ReplaceAll(f.name, "metadata", "text of metadata"))
		}
	}
	i.Pass(CheckSecondary, same, fmt.Sprintf("the same, change number %d", p.sequence))
	d := &i.device
	d.Sequence = p.sequence
	d.Label, _ = text(p.label)
	d.UUID, _ = text(p.uuid)
	d.Subsystem, _ = text(p.subsystem)
	return nil
}

func (i *inspection) readMetadata() error {
	const want = "keyslots, tokens, segments, digests and config, each member known"
	var err error
	if i.meta, err = parseMetadata(i.primary.json()); err != nil {
		return i.metadataFault(want, err)
	}
	i.Pass(CheckMetadata, want, fmt.Sprintf("%d key slots, %d tokens", len(i.meta.Keyslots), len(i.meta.Tokens)))
	return nil
}

// metadataFault refuses metadata that do not decode.
func (i *inspection) metadataFault(want string, err error) error {
	found := err.Error()
	if words := jsonerror.Text(err); !strings.HasPrefix(words, "text that") {
		found = words
	}
	rejection := i.Fail(CheckMetadata, want, found)
	rejection.Cause = err
	return rejection
}

// object decodes an object of the metadata whose type was checked.
func (i *inspection) object(name string, raw []byte, v any) error {
	if err := strictly(raw, v); err != nil {
		return i.metadataFault("the members of "+name+" that the specification has", err)
	}
	return nil
}

// maxKeyslots bounds the space of key slots, as the specification does (128 MiB).
const maxKeyslots = 128 << 20

// tuning are the flags that cryptsetup keeps in a header and that change speed alone. allow-discards also
// shows which parts of the disk are free.
func tuning() []string {
	return []string{
		"allow-discards", "same-cpu-crypt", "submit-from-crypt-cpus", "no-read-workqueue", "no-write-workqueue",
	}
}

func (i *inspection) checkConfig() error {
	c := i.meta.Config
	end := 2*i.primary.size + uint64(c.KeyslotsSize)
	want := fmt.Sprintf("json_size %d, and a keyslots_size of whole blocks within the device",
		i.primary.size-binarySize)
	found := fmt.Sprintf("json_size %d, keyslots_size %d", c.JSONSize, c.KeyslotsSize)
	if uint64(c.JSONSize) != i.primary.size-binarySize || c.KeyslotsSize == 0 || c.KeyslotsSize%4096 != 0 ||
		c.KeyslotsSize > maxKeyslots || end > i.size {
		return i.Fail(CheckConfig, want, found)
	}
	i.Pass(CheckConfig, want, found)
	i.device.size = int64(end)
	for _, flag := range c.Flags {
		if !slices.Contains(tuning(), flag) {
			return i.Fail(CheckFlags, strings.Join(tuning(), ", "), fmt.Sprintf("%.60q", flag))
		}
	}
	i.Pass(CheckFlags, "flags of speed, or none", fmt.Sprintf("%d flags", len(c.Flags)))
	if c.Requirements != nil {
		return i.Fail(CheckRequirements, "no requirements", fmt.Sprintf("%.200s", c.Requirements))
	}
	i.Pass(CheckRequirements, "no requirements", "a header without the member requirements")
	return nil
}

// CopyTo writes the headers as they were checked, and the areas of the key slots as r has them, to their
// offsets. What it writes is a detached header of [Device.HeaderSize] bytes. The areas need no check: a key in
// them is encrypted with the passphrase, and the digest in the header tells whether it is the disk's.
func (d *Device) CopyTo(w io.WriterAt, r io.ReaderAt) error {
	if _, err := w.WriteAt(d.headers, 0); err != nil {
		return err
	}
	for _, a := range d.areas {
		section := io.NewSectionReader(r, int64(a.offset), int64(a.end-a.offset))
		if _, err := io.Copy(io.NewOffsetWriter(w, int64(a.offset)), section); err != nil {
			return err
		}
	}
	return nil
}

// HeaderSize is the size of both headers and the space of key slots, in bytes.
func (d *Device) HeaderSize() int64 { return d.size }
