// Command holdfast-storage-shelf is a storage plugin that is developed outside of
// Holdfast's repository: a map with versions, in the memory of the plugin.
package main

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/holdfast/holdfast/sdk"
	"github.com/holdfast/holdfast/sdk/storage"
)

func main() {
	sdk.Main(sdk.Plugin[Config, *Shelf]{
		Name:     "shelf",
		Version:  "0.1.0",
		Defaults: Config{Boards: 1000},
		Open: func(_ context.Context, c Config, env sdk.Env) (*Shelf, storage.Capabilities, error) {
			env.Logger.Info("opened a shelf", "boards", c.Boards)
			return &Shelf{boards: c.Boards, items: map[string]storage.Item{}}, storage.Capabilities{Limits: storage.Limits{
				MaxKeyBytes: storage.MaxKeyBytes, MaxValueBytes: 1 << 20, MaxOps: 64, MaxBatchBytes: 2 << 20,
			}}, nil
		},
	})
}

// Config is the stanza storage "shelf".
type Config struct {
	Boards int `config:"boards" desc:"how many keys fit"`
}

// Shelf implements storage.HABackend.
type Shelf struct {
	boards int

	mu      sync.Mutex // guards what follows
	items   map[string]storage.Item
	counter int
}

// Get implements storage.Backend.
func (s *Shelf) Get(_ context.Context, key string) (storage.Item, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	item, ok := s.items[key]
	if !ok {
		return storage.Item{}, storage.ErrNotFound
	}
	return item, nil
}

// List implements storage.Backend.
func (s *Shelf) List(_ context.Context, prefix, after string, limit int) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return storage.OneLevel(maps.Keys(s.items), prefix, after, limit), nil
}

// Write implements storage.Backend.
func (s *Shelf) Write(_ context.Context, ops []storage.Op) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.apply(ops)
}

// Commit implements storage.HABackend.
func (s *Shelf) Commit(_ context.Context, guard storage.Guard, ops []storage.Op) (storage.Version, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.items[guard.Key].Version != guard.Version {
		return "", storage.ErrConflict
	}
	if err := s.apply(append(slices.Clone(ops), storage.Put(guard.Key, guard.Value))); err != nil {
		return "", err
	}
	return s.items[guard.Key].Version, nil
}

// Watch implements storage.HABackend.
func (s *Shelf) Watch(ctx context.Context, key string, seen storage.Version) (storage.Item, error) {
	return sdk.PollWatch(ctx, s.Get, key, seen, 200*time.Millisecond)
}

// Close implements storage.Backend.
func (s *Shelf) Close() error { return nil }

// apply needs mu.
func (s *Shelf) apply(ops []storage.Op) error {
	if len(s.items)+len(ops) > s.boards {
		return storage.NotApplied(storage.ErrUnavailable)
	}
	for _, op := range ops {
		switch op.Kind {
		case storage.OpPut:
			s.counter++
			s.items[op.Key] = storage.Item{Value: slices.Clone(op.Value), Version: storage.Version(strconv.Itoa(s.counter))}
		case storage.OpDelete:
			delete(s.items, op.Key)
		}
	}
	return nil
}
