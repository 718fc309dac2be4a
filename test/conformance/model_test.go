package conformance

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"

	"github.com/holdfast/holdfast/sdk/storage"
)

// model is the contract, as a map: what every plugin's answers are compared with. It is used
// by one goroutine.
type model struct {
	items map[string]state
	// given are the versions that a plugin gave to the states of each key, by state; the
	// states of a key are numbered.
	given map[string]map[storage.Version]int
	count int
}

// state is what a key holds.
type state struct {
	value []byte
	// number is never used for another state of any key. rewritten is the state before, if a
	// Write put the same value again: a store may take the two for one.
	number, rewritten int
	// version is the plugin's, once it was observed.
	version storage.Version
}

func newModel() *model {
	return &model{items: map[string]state{}, given: map[string]map[storage.Version]int{}}
}

func (m *model) get(limits storage.Limits, key string) (state, error) {
	if err := limits.CheckKey(key); err != nil {
		return state{}, err
	}
	item, ok := m.items[key]
	if !ok {
		return state{}, storage.ErrNotFound
	}
	return item, nil
}

func (m *model) list(prefix, after string, limit int) ([]string, error) {
	if err := storage.ValidatePrefix(prefix); err != nil {
		return nil, err
	}
	return storage.OneLevel(maps.Keys(m.items), prefix, after, limit), nil
}

func (m *model) write(limits storage.Limits, ops []storage.Op) error {
	if err := limits.CheckBatch(nil, ops); err != nil {
		return err
	}
	m.apply(ops)
	return nil
}

func (m *model) commit(limits storage.Limits, guard storage.Guard, ops []storage.Op) error {
	if err := limits.CheckBatch(&guard, ops); err != nil {
		return err
	}
	if m.version(guard.Key) != guard.Version {
		return storage.ErrConflict
	}
	m.apply(ops)
	m.count++
	m.items[guard.Key] = state{value: guard.Value, number: m.count} // always a new state
	return nil
}

func (m *model) apply(ops []storage.Op) {
	for _, op := range ops {
		before, was := m.items[op.Key]
		if op.Kind == storage.OpDelete {
			delete(m.items, op.Key)
			continue
		}
		m.count++
		after := state{value: op.Value, number: m.count}
		if was && string(before.value) == string(op.Value) {
			after.rewritten = before.number
			if before.version == "" && before.rewritten != 0 {
				after.rewritten = before.rewritten
			}
		}
		m.items[op.Key] = after
	}
}

// version is the plugin's version of key now, which was observed; zero if it is absent.
func (m *model) version(key string) storage.Version { return m.items[key].version }

// someVersion is a version that key had at some time, or never.
func (m *model) someVersion(rng *rand.Rand, key string) storage.Version {
	versions := append(slices.Sorted(maps.Keys(m.given[key])), "", "none such", "1")
	return versions[rng.IntN(len(versions))]
}

// observe compares a version that the plugin gave for the present state of key: it is the same
// as long as the state stays, and was never another state's.
func (m *model) observe(key string, version storage.Version) string {
	item := m.items[key]
	if item.version != "" {
		if item.version != version {
			return fmt.Sprintf("%q is at version %q, and was at %q though nothing changed it", key, version, item.version)
		}
		return ""
	}
	if m.given[key] == nil {
		m.given[key] = map[storage.Version]int{}
	}
	if before, used := m.given[key][version]; version == "" || used && before != item.rewritten {
		return fmt.Sprintf("%q is at version %q, which another state of it had", key, version)
	}
	m.given[key][version] = item.number
	item.version = version
	m.items[key] = item
	return ""
}
