package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/holdfast/holdfast/sdk/storage"
)

// tenure is one time of being active: what is remembered from it ends with it.
type tenure struct {
	cache *otter.Cache[string, entry]
	lease atomic.Int64  // clock.Instant before which answers from memory are allowed
	ended chan struct{} // closed by Shut

	mu       sync.Mutex
	proof    *proof              // guarded by mu; the one that begins next; nil: nobody waits for one
	proving  bool                // guarded by mu; prove runs
	fills    map[string]*fill    // guarded by mu; reads of the plugin under way
	doubtful map[string]struct{} // guarded by mu; keys that may change without a Commit, see doubt
}

// entry is a sealed value as it is in the store, or the fact that there is none.
type entry struct {
	sealed []byte
	absent bool
}

func (e entry) result() ([]byte, error) {
	if e.absent {
		return nil, storage.ErrNotFound
	}
	return e.sealed, nil
}

// fill is one read of the plugin that any number of requests wait for.
type fill struct {
	done  chan struct{}
	stale bool // guarded by tenure.mu until done; a Commit of the key was sent meanwhile: do not remember the answer
	entry entry
	err   error
}

// fillTimeout bounds a read of the plugin that requests wait for. A request that
// has less time leaves earlier.
const fillTimeout = 10 * time.Second

// listPage is how many names are asked of the plugin at a time: 10,000 names
// of a hundred bytes fit its messages.
const listPage = 10_000

func newTenure(cacheBytes int) *tenure {
	return &tenure{
		cache: otter.Must(&otter.Options[string, entry]{
			MaximumWeight: uint64(cacheBytes),
			// 100 bytes for the bookkeeping of an entry.
			Weigher: func(key string, e entry) uint32 { return uint32(len(key) + len(e.sealed) + 100) },
		}),
		ended:    make(chan struct{}),
		fills:    map[string]*fill{},
		doubtful: map[string]struct{}{},
	}
}

// Get returns the value at key or storage.ErrNotFound. It may come from memory: the
// answer to the client needs a Confirm after the request's last Get or List.
func (s *Store) Get(ctx context.Context, key string) ([]byte, error) {
	t, err := s.current(ctx)
	if err != nil {
		return nil, err
	}
	e, ok := t.cache.GetIfPresent(key)
	if !ok {
		if e, err = s.miss(ctx, t, key); err != nil {
			return nil, fmt.Errorf("read from storage: %w", err)
		}
	}
	sealed, err := e.result()
	if err != nil {
		return nil, err
	}
	plain, err := s.cfg.Sealer.Open(key, sealed)
	if err != nil {
		t.cache.Invalidate(key) // what was damaged may be repaired behind this node's back
	}
	return plain, err
}

// miss asks the plugin, once for all who ask at the same time. A key of a
// Commit in flight is either old or new; its outcome is awaited first.
func (s *Store) miss(ctx context.Context, t *tenure, key string) (entry, error) {
	f, err := s.joinFill(ctx, t, key)
	if err != nil {
		return entry{}, err
	}
	select {
	case <-f.done:
	case <-t.ended:
		return entry{}, ErrNotActive
	case <-ctx.Done():
		return entry{}, ctx.Err()
	}
	if f.err != nil || !f.stale {
		return f.entry, f.err
	}
	// The answer may show a Commit that was sent after this read began. As long as its
	// outcome is open others are told the value before it, so this one is not told yet.
	s.mu.Lock()
	defer s.mu.Unlock()
	return f.entry, s.awaitTurn(ctx, t, func() bool { return s.flight != nil && s.flight.touches(key) })
}

// joinFill returns the fill of key that is under way, or starts one.
func (s *Store) joinFill(ctx context.Context, t *tenure, key string) (*fill, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.awaitTurn(ctx, t, func() bool { return s.flight != nil && s.flight.touches(key) }); err != nil {
		return nil, err
	}
	// No Commit of key is in flight, and none starts while s.mu is held.
	t.mu.Lock()
	defer t.mu.Unlock()
	if f, ok := t.fills[key]; ok {
		return f, nil
	}
	f := &fill{done: make(chan struct{})}
	t.fills[key] = f
	s.fills.Go(func() { s.fill(context.WithoutCancel(ctx), t, key, f) })
	return f, nil
}

func (s *Store) fill(ctx context.Context, t *tenure, key string, f *fill) {
	ctx, cancel := context.WithTimeout(ctx, fillTimeout)
	defer cancel()
	s.fills.Go(func() {
		select {
		case <-t.ended:
			cancel() // nobody may use the answer
		case <-f.done:
		}
	})
	item, err := s.cfg.Reader.Get(ctx, key)
	switch {
	case err == nil:
		f.entry = entry{sealed: item.Value}
	case errors.Is(err, storage.ErrNotFound):
		f.entry = entry{absent: true}
	default:
		f.err = err
	}
	t.mu.Lock()
	if t.fills[key] == f {
		delete(t.fills, key)
	}
	if _, doubtful := t.doubtful[key]; f.err == nil && !f.stale && !doubtful {
		t.cache.Set(key, f.entry)
	}
	t.mu.Unlock()
	close(f.done)
}

// forget makes the fills of the keys in ops under way useless for those who ask
// later. s.mu is held.
func (t *tenure) forget(ops []storage.Op) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, op := range ops {
		if f, ok := t.fills[op.Key]; ok {
			f.stale = true
			delete(t.fills, op.Key)
		}
	}
}

// remember puts the outcome of a Commit into the cache.
func (t *tenure) remember(ops []storage.Op) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, op := range ops {
		delete(t.doubtful, op.Key)
		t.cache.Set(op.Key, entry{sealed: op.Value, absent: op.Kind == storage.OpDelete})
	}
}

// doubt takes in that nobody knows whether a Commit was, or will be, applied. With a guard
// the tenure ends by that; without one it goes on, and until one of the keys is
// written again its value is read from the store each time.
func (t *tenure) doubt(ops []storage.Op) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, op := range ops {
		t.doubtful[op.Key] = struct{}{}
		t.cache.Invalidate(op.Key)
	}
}

// listing is a List under way: Commits of keys below its prefix are held back, so
// that its pages are parts of one state.
type listing struct {
	prefix string
	cancel context.CancelFunc // called when the tenure ends
}

// List returns the names directly below prefix ("" or ending in "/") in byte order,
// directories with a trailing slash, as they are at one moment. Like Get, it needs a
// Confirm.
func (s *Store) List(ctx context.Context, prefix string) ([]string, error) {
	t, err := s.current(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	l := &listing{prefix: prefix, cancel: cancel}
	if err := s.enter(ctx, t, l); err != nil {
		return nil, err
	}
	defer s.leave(l)
	var names []string
	after := ""
	for {
		page, err := s.cfg.Reader.List(ctx, prefix, after, listPage)
		if s.tenure.Load() != t {
			return nil, ErrNotActive
		}
		if err != nil {
			return nil, fmt.Errorf("list storage: %w", err)
		}
		names = append(names, page...)
		if len(page) < listPage {
			return names, nil
		}
		after = page[len(page)-1]
	}
}

// enter waits until nothing below the prefix is in flight, nor has waited
// for another List to end, and holds such writes back from then on.
func (s *Store) enter(ctx context.Context, t *tenure, l *listing) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.awaitTurn(ctx, t, func() bool {
		if s.flight != nil && s.flight.touchesBelow(l.prefix) {
			return true
		}
		for _, w := range s.queue {
			if w.heldBack && w.touchesBelow(l.prefix) {
				return true
			}
		}
		return false
	})
	if err == nil {
		s.lists = append(s.lists, l)
	}
	return err
}

func (s *Store) leave(l *listing) {
	s.mu.Lock()
	for i := range s.lists {
		if s.lists[i] == l {
			s.lists = append(s.lists[:i], s.lists[i+1:]...)
			break
		}
	}
	wake := len(s.queue) > 0
	s.nextTurn()
	s.mu.Unlock()
	if wake {
		s.cfg.Wake()
	}
}

// awaitTurn waits until busy returns false, which is called with s.mu held, as awaitTurn
// is. When it returns nil the tenure t still lasts.
func (s *Store) awaitTurn(ctx context.Context, t *tenure, busy func() bool) error {
	var hold <-chan time.Time
	for busy() {
		if hold == nil {
			hold = time.After(s.cfg.Hold)
		}
		turn := s.turn
		s.mu.Unlock()
		var err error
		select {
		case <-turn:
		case <-t.ended:
			err = ErrNotActive
		case <-hold:
			err = fmt.Errorf("%w: a write has had no outcome for %v", ErrNotActive, s.cfg.Hold)
		case <-ctx.Done():
			err = ctx.Err()
		}
		s.mu.Lock()
		if err != nil {
			return err
		}
	}
	if s.tenure.Load() != t {
		return ErrNotActive
	}
	return nil
}

// nextTurn lets those go who wait for the flight or a List. s.mu is held.
func (s *Store) nextTurn() {
	close(s.turn)
	s.turn = make(chan struct{})
}

// below reports whether key is at or below the directory prefix.
func below(key, prefix string) bool { return strings.HasPrefix(key, prefix) }
