package keys

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"sync"

	"github.com/go-json-experiment/json"

	"github.com/probity-dev/probity/internal/store"
	"github.com/probity-dev/probity/internal/store/anchor"
)

// memoryName is the name of the file of a [Memory].
const memoryName = "signing-keys"

// maxMemory is how many keys a [Memory] knows. Those whose rows are gone are
// forgotten first.
const maxMemory = 500

// Memory knows the newest version of each signing key's row, in a file outside the
// database: a seal shows that a row is the service's own, the memory that it is not
// an old one that someone put back. A nil Memory knows nothing.
type Memory struct {
	folder *anchor.Folder

	mu    sync.Mutex
	state memoryState
}

type memoryState struct {
	// Upgraded says that rows without a seal are not used.
	Upgraded bool             `json:"upgraded"`
	Versions map[string]int64 `json:"versions"`
}

// NewMemory reads the memory of a folder; an absent file is an empty memory.
func NewMemory(folder *anchor.Folder) (*Memory, error) {
	m := &Memory{folder: folder, state: memoryState{Versions: map[string]int64{}}}
	b, err := folder.Read(memoryName)
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	if json.Unmarshal(b, &m.state) != nil {
		return nil, fmt.Errorf("signing: %w", folder.Damaged(memoryName))
	}
	if m.state.Versions == nil {
		m.state.Versions = map[string]int64{}
	}
	return m, nil
}

func (m *Memory) check(k store.SigningKey) error {
	if m == nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if newest := m.state.Versions[k.ID]; k.Version < newest {
		return fmt.Errorf("signing: key %s: %w: it has version %d, and version %d was there before; "+
			"if you restored an old database, remove %s and start again",
			k.ID, ErrChanged, k.Version, newest, m.folder.Path(memoryName))
	}
	return nil
}

// learn remembers the versions of authentic rows.
func (m *Memory) learn(rows []store.SigningKey) error {
	if m == nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	next := maps.Clone(m.state.Versions)
	present := make(map[string]bool, len(rows))
	for _, k := range rows {
		next[k.ID] = max(next[k.ID], k.Version)
		present[k.ID] = true
	}
	for _, id := range slices.Sorted(maps.Keys(next)) {
		if len(next) <= maxMemory {
			break
		}
		if !present[id] {
			delete(next, id)
		}
	}
	if maps.Equal(next, m.state.Versions) {
		return nil
	}
	return m.write(memoryState{m.state.Upgraded, next})
}

func (m *Memory) upgraded() bool {
	if m == nil {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state.Upgraded
}

func (m *Memory) setUpgraded() error {
	if m == nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.write(memoryState{true, m.state.Versions})
}

// write keeps a state in the file, then in memory. The caller holds the lock.
func (m *Memory) write(s memoryState) error {
	b, err := json.Marshal(s, json.Deterministic(true))
	if err == nil {
		err = m.folder.Write(memoryName, b)
	}
	if err != nil {
		return fmt.Errorf("signing: %w", err)
	}
	m.state = s
	return nil
}
