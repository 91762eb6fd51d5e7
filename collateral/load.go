package collateral

import (
	"bytes"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/wording/jsonerror"
)

// Bounds of what is read from a path: bytes of one file, files of a folder, and how
// deep its subfolders go.
const (
	maxFile    = 16 << 20
	maxFiles   = 4096
	maxFolders = 6
)

// Loader reads collateral from files. Its functions read forms that only the packages
// of a kind of evidence know; they may be nil.
type Loader struct {
	// Endorsements reads the blobs of a quote verification library.
	Endorsements func([]byte) (*Intel, error)
	// VCEK tells which chip and TCB a certificate is for.
	VCEK func(*x509.Certificate) (*VCEK, error)
}

// Load reads collateral with the zero [Loader].
func Load(fsys fs.FS, name string) (*Bundle, error) { return Loader{}.Load(fsys, name) }

// Load reads collateral from a file or a folder of a file system, for instance "collateral" in
// os.DirFS("/etc/probity"); "." is the file system's whole.
//
// A file contains a bundle (see [ParseBundle]), sets (see [ParseSet]), the file of
// Intel's PCCS admin tool (platform_collaterals.json), responses of Intel's service
// with their headers or without, a CRL, or certificates; text may be JSON, hex,
// base64 or percent-encoded.
//
// A folder contains any number of such files, for any number of platforms, in subfolders
// or not. Loose pieces are told apart by content. For every TCB info a set is made
// with the other pieces, those of its own folder first, then those of the folders
// above, then others. Of two pieces that may both be meant the newer one is used; two
// that differ and are of the same date are an error that names both. What was not
// used is named in [Bundle.Notes].
func (l Loader) Load(fsys fs.FS, name string) (*Bundle, error) {
	st, err := fs.Stat(fsys, name)
	if err != nil {
		return nil, err
	}
	p := &pieces{loader: l, root: name, files: fsys}
	if !st.IsDir() {
		b, err := readFile(fsys, name)
		if err != nil {
			return nil, err
		}
		if found, err := p.take(name, b); err != nil || !found {
			if err == nil {
				err = errors.New("not a known form of collateral")
			}
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		return p.bundle()
	}
	if err := p.folder(name); err != nil {
		return nil, err
	}
	return p.bundle()
}

// folder takes every file below a folder.
func (p *pieces) folder(folder string) error {
	files, cleaned := 0, path.Clean(folder) // what is in "./x" is "x/y"
	return fs.WalkDir(p.files, folder, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			below := strings.TrimPrefix(strings.TrimPrefix(file, cleaned), "/")
			if strings.Count(below, "/") >= maxFolders {
				p.ignore(file, fmt.Sprintf("deeper than %d folders", maxFolders))
				return fs.SkipDir
			}
			return nil
		}
		if files++; files > maxFiles {
			return fmt.Errorf("%s: more than %d files", folder, maxFiles)
		}
		st, err := fs.Stat(p.files, file) // follows links, as mounted secrets are
		switch {
		case err != nil:
			return err
		case st.IsDir():
			return nil // Kubernetes' ..data, whose files have links of their own
		case !st.Mode().IsRegular():
			p.ignore(file, "not a regular file")
			return nil
		case st.Size() > maxFile:
			p.ignore(file, fmt.Sprintf("larger than %d bytes", maxFile))
			return nil
		}
		b, err := readFile(p.files, file)
		if err != nil {
			return err
		}
		found, err := p.take(file, b)
		if err != nil {
			p.ignore(file, err.Error())
		} else if !found {
			p.ignore(file, "not a form of collateral")
		}
		return nil
	})
}

func readFile(fsys fs.FS, name string) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxFile {
		return nil, fmt.Errorf("%s: larger than %d bytes", name, maxFile)
	}
	return b, nil
}

// take reads one file, and reports whether it held collateral.
func (p *pieces) take(file string, b []byte) (bool, error) {
	before := p.taken
	if err := p.text(file, b, 0, false); err != nil {
		return false, err
	}
	if p.taken > before {
		return true, nil
	}
	if p.loader.Endorsements != nil && len(trim(b)) > 0 {
		set, err := p.loader.Endorsements(b)
		if err == nil {
			p.add(file, &Bundle{Intel: []*Intel{set}})
			return true, nil
		}
		if len(b) >= 8 && binary.LittleEndian.Uint32(b) == endorsementsVersion && !printable(b) {
			return false, err
		}
	}
	return false, nil
}

// endorsementsVersion begins the endorsements of Open Enclave (little-endian): what begins
// otherwise are none.
const endorsementsVersion = 1

// printable reports whether b is text.
func printable(b []byte) bool {
	return bytes.IndexFunc(trim(b),
		func(r rune) bool { return r < ' ' && r != '\n' && r != '\r' && r != '\t' || r == 0xfffd }) < 0
}

// jsonMembers reads a JSON object.
func jsonMembers(text []byte) (map[string]jsontext.Value, error) {
	var members map[string]jsontext.Value
	if err := json.Unmarshal(text, &members); err != nil {
		return nil, errors.New("JSON: " + jsonerror.Text(err))
	}
	return members, nil
}
