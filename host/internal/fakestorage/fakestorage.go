// Package fakestorage is a storage plugin in memory for tests of the host. Any number
// of nodes share one Store, each through a Node of its own, whose connection can fail
// in every way that a real one can.
package fakestorage

import (
	"bytes"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/holdfast/holdfast/sdk/storage"
)

// Store is what the nodes share. It is safe for concurrent use.
type Store struct {
	late sync.WaitGroup // calls carried out after their caller left

	mu      sync.Mutex
	items   map[string]storage.Item // guarded by mu
	version uint64                  // guarded by mu; of the last state of any key
	changed chan struct{}           // guarded by mu; closed and replaced at every change
}

// New returns an empty Store.
func New() *Store {
	return &Store{items: map[string]storage.Item{}, changed: make(chan struct{})}
}

// Wait returns when no call is still to be carried out. No Node is used any more.
func (s *Store) Wait() { s.late.Wait() }

// Item returns what is at key.
func (s *Store) Item(key string) (storage.Item, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	item, ok := s.items[key]
	item.Value = bytes.Clone(item.Value)
	return item, ok
}

// Put sets key to value, as somebody who knows nothing of guards.
func (s *Store) Put(key string, value []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.apply([]storage.Op{storage.Put(key, value)})
}

// Delete removes key likewise.
func (s *Store) Delete(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.apply([]storage.Op{storage.Delete(key)})
}

// Snapshot returns a function that brings the present state back, as restoring a backup
// does: versions and values are the old ones.
func (s *Store) Snapshot() (restore func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	saved := maps.Clone(s.items)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.items = maps.Clone(saved)
		s.apply(nil)
	}
}

// apply carries ops out and wakes every Watch. s.mu is held.
func (s *Store) apply(ops []storage.Op) {
	for _, op := range ops {
		if op.Kind == storage.OpDelete {
			delete(s.items, op.Key)
			continue
		}
		s.version++
		s.items[op.Key] = storage.Item{
			Value:   bytes.Clone(op.Value),
			Version: storage.Version(strconv.FormatUint(s.version, 10)),
		}
	}
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *Store) commit(guard storage.Guard, ops []storage.Op) (storage.Version, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	item := s.items[guard.Key]
	if item.Version != guard.Version || guard.Version != "" && !bytes.Equal(item.Value, guard.Prev) {
		return "", storage.ErrConflict
	}
	s.apply(append(slices.Clone(ops), storage.Put(guard.Key, guard.Value)))
	return s.items[guard.Key].Version, nil
}

func (s *Store) list(prefix, after string, limit int) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return storage.OneLevel(maps.Keys(s.items), prefix, after, limit)
}

// state returns what is at key, and what is closed when anything changes.
func (s *Store) state(key string) (item storage.Item, ok bool, changed <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	item, ok = s.items[key]
	item.Value = bytes.Clone(item.Value)
	return item, ok, s.changed
}

// later carries do out after d, though nobody waits for it.
func (s *Store) later(d time.Duration, do func()) {
	s.late.Go(func() {
		<-time.After(d)
		do()
	})
}
