package seal

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/go-json-experiment/json"

	"github.com/probity-dev/probity/internal/store/anchor"
)

// folderName is the folder of the newest versions, beside the other anchors.
const folderName = "seals"

// memory knows the newest version of each scope, in files outside the database: one
// for each first byte of the hash of a scope's name, so that ten thousand providers
// are neither ten thousand files nor one that is written whole each time.
type memory struct {
	folder *anchor.Folder

	mu       sync.Mutex
	versions map[string]int64
}

func shard(scope string) string {
	sum := sha256.Sum256([]byte(scope))
	return fmt.Sprintf("%02x", sum[0])
}

func openMemory(parent *anchor.Folder) (*memory, error) {
	folder, err := parent.Sub(folderName)
	if err != nil {
		return nil, err
	}
	m := &memory{folder: folder, versions: map[string]int64{}}
	for i := range 256 {
		name := fmt.Sprintf("%02x", i)
		b, err := folder.Read(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("seal: %w", err)
		}
		var part map[string]int64
		if json.Unmarshal(b, &part) != nil {
			return nil, fmt.Errorf("seal: %w", folder.Damaged(name))
		}
		maps.Copy(m.versions, part)
	}
	return m, nil
}

func (m *memory) path() string { return strings.TrimSuffix(m.folder.Path("00"), "/00") }

func (m *memory) version(scope string) int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.versions[scope]
}

// learn remembers versions that are newer than those that are known.
func (m *memory) learn(versions map[string]int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	changed := map[string]bool{}
	next := m.versions
	for scope, v := range versions {
		if v > next[scope] {
			if len(changed) == 0 {
				next = maps.Clone(next)
			}
			next[scope] = v
			changed[shard(scope)] = true
		}
	}
	for name := range changed {
		part := map[string]int64{}
		for scope, v := range next {
			if shard(scope) == name {
				part[scope] = v
			}
		}
		b, err := json.Marshal(part, json.Deterministic(true))
		if err == nil {
			err = m.folder.Write(name, b)
		}
		if err != nil {
			return fmt.Errorf("seal: %w", err)
		}
	}
	m.versions = next
	return nil
}

// providers are the names of providers of which a version is known.
func (m *memory) providers() (names []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for scope := range m.versions {
		if name, ok := strings.CutPrefix(scope, partProvider); ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
