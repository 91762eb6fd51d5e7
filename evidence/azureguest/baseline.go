package azureguest

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/probity-dev/probity/evidence/eventlog"
)

// Baseline says which secure boot databases are good. Entries are the SHA-256 of
// certificates, or hashes of images, lower-case hex. Empty lists stand for those of
// [DefaultBaseline].
type Baseline struct {
	// PK lists the platform keys that are accepted. Empty takes any: Azure publishes none.
	PK []string `json:"pk,omitempty"`
	// KEK and DB list the certificates, and DB the image hashes, that may be there.
	KEK []string `json:"kek,omitempty"`
	DB  []string `json:"db,omitempty"`
	// DBX lists the image hashes that must be revoked.
	DBX []string `json:"dbx,omitempty"`
}

//go:embed dbx.txt
var revoked string

// DefaultBaseline contains what Microsoft publishes: its key exchange keys of 2011 and
// 2023, its signers of Windows and of others of both years, and the revocations of
// October 2020.
func DefaultBaseline() Baseline {
	return Baseline{
		KEK: []string{
			"a1117f516a32cefcba3f2d1ace10a87972fd6bbe8fe0d0b996e09e65d802a503", // Microsoft Corporation KEK CA 2011
			"3cd3f0309edae228767a976dd40d9f4affc4fbd5218f2e8cc3c9dd97e8ac6f9d", // Microsoft Corporation KEK 2K CA 2023
		},
		DB: []string{
			// Microsoft Windows Production PCA 2011
			"e8e95f0733a55e8bad7be0a1413ee23c51fcea64b3c8fa6a786935fddcc71961",
			"48e99b991f57fc52f76149599bff0a58c47154229b9f8d603ac40d3500248507", // Microsoft Corporation UEFI CA 2011
			"076f1fea90ac29155ebf77c17682f75f1fdd1be196da302dc8461e350a9ae330", // Windows UEFI CA 2023
			"f6124e34125bee3fe6d79a574eaa7b91c0e7bd9d929c1a321178efd611dad901", // Microsoft UEFI CA 2023
		},
		DBX: slices.Clone(revocations()),
	}
}

var revocations = sync.OnceValue(func() (list []string) {
	for line := range strings.Lines(revoked) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			list = append(list, line)
		}
	}
	return list
})

// Check returns an error for entries that are not hashes.
func (b Baseline) Check() error {
	for name, list := range map[string][]string{"pk": b.PK, "kek": b.KEK, "db": b.DB, "dbx": b.DBX} {
		for _, text := range list {
			raw, err := hex.DecodeString(text)
			if err != nil || len(raw) != sha256.Size || text != strings.ToLower(text) {
				return fmt.Errorf("%s: %q is not a SHA-256 in lower-case hex", name, text)
			}
		}
	}
	return nil
}

// baseline is a Baseline as it is looked up.
type baseline struct{ pk, kek, db, dbx map[string]bool }

func (b Baseline) compile() baseline {
	standard := DefaultBaseline()
	set := func(list, standard []string) map[string]bool {
		if len(list) == 0 {
			list = standard
		}
		m := make(map[string]bool, len(list))
		for _, text := range list {
			m[text] = true
		}
		return m
	}
	return baseline{set(b.PK, nil), set(b.KEK, standard.KEK), set(b.DB, standard.DB), set(b.DBX, standard.DBX)}
}

// databases says how a guest's databases compare.
type databases struct{ keys, db, dbx bool }

func (b baseline) judge(f *eventlog.Facts) databases {
	var d databases
	d.db, d.dbx = within(f.DB, b.db), covers(f.DBX, b.dbx)
	pk := len(b.pk) == 0 && f.PK != nil || within(f.PK, b.pk)
	d.keys = pk && within(f.KEK, b.kek) && d.db && d.dbx
	return d
}

// within reports whether a database contains only what is allowed, and
// something.
func within(s *eventlog.Signatures, allowed map[string]bool) bool {
	if s == nil || s.Others > 0 || len(s.Certificates)+len(s.Hashes) == 0 {
		return false
	}
	for _, der := range s.Certificates {
		if sum := sha256.Sum256(der); !allowed[hex.EncodeToString(sum[:])] {
			return false
		}
	}
	for _, hash := range s.Hashes {
		if !allowed[hex.EncodeToString(hash)] {
			return false
		}
	}
	return true
}

// covers reports whether a database revokes all that must be revoked.
func covers(s *eventlog.Signatures, must map[string]bool) bool {
	if s == nil {
		return false
	}
	found := 0
	seen := map[string]bool{}
	for _, hash := range s.Hashes {
		if text := hex.EncodeToString(hash); must[text] && !seen[text] {
			seen[text] = true
			found++
		}
	}
	return found == len(must)
}
