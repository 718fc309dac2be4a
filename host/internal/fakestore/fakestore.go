// Package fakestore is an in-memory stand-in for host/store in tests of the
// packages above it. It keeps the promises they rely on (key locks, atomic
// batches, one-level lists) and fails loudly where one of them breaks the rules:
// an invalid key, a key outside the locks held, a batch over the portable size.
package fakestore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/holdfast/holdfast/host/store"
	"github.com/holdfast/holdfast/sdk/storage"
)

// Store is safe for concurrent use. Set the exported fields before the first call.
type Store struct {
	// Fault is asked before every operation ("begin", "get", "list", "put", "delete",
	// "update", "commit", "confirm"); an error it returns is the operation's. A
	// "commit" comes once per Update, with nothing applied yet; key is its first lock.
	Fault func(op, key string) error
	// MaxValueBytes is the largest value; 0 means storage.MinValueBytes.
	MaxValueBytes int
	// RequireBegin fails what is done with a context that does not come from Begin.
	RequireBegin bool

	mu       sync.Mutex // guards what follows
	data     map[string][]byte
	locks    map[string]chan struct{} // held lock -> closed when it is released
	confirms int
	batches  []int // ops in each Update that wrote
}

// New returns an empty store.
func New() *Store {
	return &Store{data: map[string][]byte{}, locks: map[string]chan struct{}{}}
}

type begunKey struct{}

// Begin marks the context as begun.
func (s *Store) Begin(ctx context.Context) (context.Context, error) {
	ctx = context.WithValue(ctx, begunKey{}, true)
	return ctx, s.fault(ctx, "begin", "")
}

// Ended returns a channel that is never closed: there is one tenure.
func (s *Store) Ended(context.Context) <-chan struct{} { return nil }

// Get returns a copy of the value at key.
func (s *Store) Get(ctx context.Context, key string) ([]byte, error) {
	if err := s.fault(ctx, "get", key); err != nil {
		return nil, err
	}
	if err := storage.ValidateKey(key); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	value, ok := s.data[key]
	if !ok {
		return nil, storage.ErrNotFound
	}
	return bytes.Clone(value), nil
}

// List returns the names directly below prefix in byte order.
func (s *Store) List(ctx context.Context, prefix string) ([]string, error) {
	if err := s.fault(ctx, "list", prefix); err != nil {
		return nil, err
	}
	if err := storage.ValidatePrefix(prefix); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for key := range s.data {
		rest, ok := strings.CutPrefix(key, prefix)
		if !ok {
			continue
		}
		if i := strings.IndexByte(rest, '/'); i >= 0 {
			rest = rest[:i+1]
		}
		names = append(names, rest)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// Put sets key to value.
func (s *Store) Put(ctx context.Context, key string, value []byte) error {
	if err := s.fault(ctx, "put", key); err != nil {
		return err
	}
	return s.apply([]storage.Op{storage.Put(key, bytes.Clone(value))})
}

// Delete removes key.
func (s *Store) Delete(ctx context.Context, key string) error {
	if err := s.fault(ctx, "delete", key); err != nil {
		return err
	}
	return s.apply([]storage.Op{storage.Delete(key)})
}

// Update runs fn with the names in lock held and applies its writes in one step.
func (s *Store) Update(ctx context.Context, lock []string, fn func(store.Tx) error) error {
	if err := s.fault(ctx, "update", lock[0]); err != nil {
		return err
	}
	release, err := s.acquire(ctx, lock)
	if err != nil {
		return err
	}
	defer release()
	t := &tx{store: s, lock: lock}
	if err := fn(t); err != nil {
		return err
	}
	if t.err != nil {
		return t.err
	}
	if len(t.ops) == 0 {
		return s.Confirm(ctx, false)
	}
	if err := s.fault(ctx, "commit", lock[0]); err != nil {
		return err
	}
	s.mu.Lock()
	s.batches = append(s.batches, len(t.ops))
	s.mu.Unlock()
	return s.apply(t.ops)
}

// Confirm counts the call.
func (s *Store) Confirm(ctx context.Context, _ bool) error {
	if err := s.fault(ctx, "confirm", ""); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.confirms++
	return nil
}

// Confirms returns how often Confirm succeeded.
func (s *Store) Confirms() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.confirms
}

// Batches returns the number of ops of each Update that wrote, in order.
func (s *Store) Batches() []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.batches)
}

// Keys returns every key below prefix, sorted.
func (s *Store) Keys(prefix string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var keys []string
	for key := range s.data {
		if strings.HasPrefix(key, prefix) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

func (s *Store) fault(ctx context.Context, op, key string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.RequireBegin && ctx.Value(begunKey{}) == nil {
		return fmt.Errorf("%w: the request was not begun", store.ErrNotActive)
	}
	if s.Fault != nil {
		return s.Fault(op, key)
	}
	return nil
}

// acquire takes all names or waits until none of them is held.
func (s *Store) acquire(ctx context.Context, names []string) (release func(), err error) {
	for {
		s.mu.Lock()
		var held chan struct{}
		for _, name := range names {
			if ch, ok := s.locks[name]; ok {
				held = ch
				break
			}
		}
		if held == nil {
			done := make(chan struct{})
			for _, name := range names {
				s.locks[name] = done
			}
			s.mu.Unlock()
			return func() { s.release(names, done) }, nil
		}
		s.mu.Unlock()
		select {
		case <-held:
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", store.ErrNotActive, ctx.Err())
		}
	}
}

func (s *Store) release(names []string, done chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range names {
		delete(s.locks, name)
	}
	close(done)
}

func (s *Store) apply(ops []storage.Op) error {
	limit := s.MaxValueBytes
	if limit == 0 {
		limit = storage.MinValueBytes
	}
	limits := storage.Limits{
		MaxKeyBytes: storage.MaxKeyBytes, MaxValueBytes: limit, MaxOps: storage.MinOps, MaxBatchBytes: 64 * limit,
	}
	if err := limits.CheckBatch(nil, ops); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, op := range ops {
		if op.Kind == storage.OpDelete {
			delete(s.data, op.Key)
			continue
		}
		s.data[op.Key] = op.Value
	}
	return nil
}

var errOutsideLock = errors.New("fakestore: key is not among or below the locked ones")

type tx struct {
	store *Store
	lock  []string
	ops   []storage.Op
	err   error
}

func (t *tx) Get(key string) ([]byte, error) {
	if !t.covers(key) {
		return nil, errOutsideLock
	}
	if i := t.find(key); i >= 0 {
		if t.ops[i].Kind == storage.OpDelete {
			return nil, storage.ErrNotFound
		}
		return bytes.Clone(t.ops[i].Value), nil
	}
	t.store.mu.Lock()
	defer t.store.mu.Unlock()
	value, ok := t.store.data[key]
	if !ok {
		return nil, storage.ErrNotFound
	}
	return bytes.Clone(value), nil
}

func (t *tx) Put(key string, value []byte) { t.set(storage.Put(key, bytes.Clone(value))) }

func (t *tx) Delete(key string) { t.set(storage.Delete(key)) }

func (t *tx) set(op storage.Op) {
	if !t.covers(op.Key) {
		t.err = errOutsideLock
	}
	if i := t.find(op.Key); i >= 0 {
		t.ops[i] = op
		return
	}
	t.ops = append(t.ops, op)
}

func (t *tx) find(key string) int {
	return slices.IndexFunc(t.ops, func(op storage.Op) bool { return op.Key == key })
}

func (t *tx) covers(key string) bool {
	return slices.ContainsFunc(t.lock, func(name string) bool {
		return key == name || strings.HasPrefix(key, strings.TrimSuffix(name, "/")+"/")
	})
}
