package inmem

import (
	"bytes"
	"context"
	"crypto/rand"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/holdfast/holdfast/sdk/storage"
)

// store is a sorted map whose keys have versions. It is safe for concurrent use.
type store struct {
	// id begins every version, so that none of an earlier process is taken for one
	// of this.
	id string

	mu      sync.RWMutex // guards the fields below
	items   map[string]storage.Item
	keys    []string      // the keys of items in byte order
	counter uint64        // versions given so far
	changed chan struct{} // closed at the next change; nil while nobody waits
}

func newStore() *store {
	return &store{id: rand.Text(), items: make(map[string]storage.Item)}
}

func (s *store) get(key string) (storage.Item, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.lookup(key)
}

// lookup is get for callers that hold mu. Values are never changed in place, but the
// caller of a Backend may change what it got.
func (s *store) lookup(key string) (storage.Item, error) {
	item, ok := s.items[key]
	if !ok {
		return storage.Item{}, storage.ErrNotFound
	}
	return storage.Item{Value: bytes.Clone(item.Value), Version: item.Version}, nil
}

func (s *store) write(ops []storage.Op) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.apply(ops)
	s.wake()
}

func (s *store) commit(guard storage.Guard, ops []storage.Op) (storage.Version, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.items[guard.Key].Version != guard.Version { // both are zero if it is absent
		return "", storage.ErrConflict
	}
	s.apply(ops)
	s.put(guard.Key, guard.Value)
	s.wake()
	return s.items[guard.Key].Version, nil
}

// apply, put, remove and wake need mu.
func (s *store) apply(ops []storage.Op) {
	for _, op := range ops {
		switch op.Kind {
		case storage.OpPut:
			s.put(op.Key, op.Value)
		case storage.OpDelete:
			s.remove(op.Key)
		}
	}
}

func (s *store) put(key string, value []byte) {
	if _, ok := s.items[key]; !ok {
		i, _ := slices.BinarySearch(s.keys, key)
		s.keys = slices.Insert(s.keys, i, key)
	}
	s.counter++
	version := storage.Version(s.id + "." + strconv.FormatUint(s.counter, 10))
	s.items[key] = storage.Item{Value: bytes.Clone(value), Version: version}
}

func (s *store) remove(key string) {
	if _, ok := s.items[key]; !ok {
		return
	}
	delete(s.items, key)
	i, _ := slices.BinarySearch(s.keys, key)
	s.keys = slices.Delete(s.keys, i, i+1)
}

func (s *store) wake() {
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

// watch waits on a channel that all watchers share: whoever waits looks again after
// every change, and one that gives up leaves nothing behind.
func (s *store) watch(ctx context.Context, key string, seen storage.Version) (storage.Item, error) {
	for {
		changed, item, err := s.poll(key, seen)
		if changed == nil {
			return item, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return storage.Item{}, ctx.Err()
		}
	}
}

// poll returns what key is now, or, while it is at version seen, the channel to wait on.
func (s *store) poll(key string, seen storage.Version) (changed <-chan struct{}, item storage.Item, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.items[key].Version != seen {
		item, err = s.lookup(key)
		return nil, item, err
	}
	if s.changed == nil {
		s.changed = make(chan struct{})
	}
	return s.changed, storage.Item{}, nil
}

// list seeks from name to name, so its cost depends on the length of the answer and
// not on the number of keys below it.
func (s *store) list(prefix, after string, limit int) []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var names []string
	next, _ := slices.BinarySearch(s.keys, prefix+after)
	for next < len(s.keys) && strings.HasPrefix(s.keys[next], prefix) && (limit <= 0 || len(names) < limit) {
		name, _, isDir := strings.Cut(s.keys[next][len(prefix):], "/")
		next++
		if isDir {
			name += "/"
			next = s.seekPast(prefix + name)
		}
		if name > after {
			names = append(names, name)
		}
	}
	return names
}

// seekPast returns the index of the first key after all that begin with dir, which ends
// in a slash.
func (s *store) seekPast(dir string) int {
	past := dir[:len(dir)-1] + string(rune('/'+1))
	i, _ := slices.BinarySearch(s.keys, past)
	return i
}
