package store

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast/holdfast/host/clock"
	"github.com/holdfast/holdfast/sdk/storage"
)

// Reader is what the store reads from: the storage plugin.
type Reader interface {
	Get(ctx context.Context, key string) (storage.Item, error)
	List(ctx context.Context, prefix, after string, limit int) ([]string, error)
}

// Sealer encrypts values, each bound to its key.
type Sealer interface {
	Seal(key string, plain []byte) ([]byte, error)
	Open(key string, sealed []byte) ([]byte, error)
}

// Config of a Store. All fields but Prove, Now, CacheBytes and Hold are required.
type Config struct {
	Reader Reader
	Sealer Sealer
	Limits storage.Limits // of the plugin; every Commit leaves room for the term record

	// Wake is called, without blocking, when something waits for Take.
	Wake func()

	// Prove reads the term record, linearizably, and returns nil if it says that this node
	// is active in the tenure that it was in when Prove was called. Nil: there is no record.
	Prove func(ctx context.Context) error

	Strict     bool                 // confirm every read with the store instead of trusting the lease
	Now        func() clock.Instant // clock.Now if nil
	CacheBytes int                  // bound of the cache: DefaultCacheBytes if 0
	Hold       time.Duration        // how long a write or read waits while the store is away: DefaultHold if 0
}

// Defaults of Config.
const (
	DefaultCacheBytes = 64 << 20
	DefaultHold       = 5 * time.Second
)

// Store reads and writes on the active node. It is safe for concurrent use. Its
// clients use Begin and what takes a context; the driver of the term record uses
// Open, SetLease, Take, Resolve and Shut, all from one goroutine.
type Store struct {
	cfg    Config
	locks  locks
	fills  sync.WaitGroup         // reads under way on behalf of any number of requests
	tenure atomic.Pointer[tenure] // nil while this node is not active

	mu     sync.Mutex
	queue  []*write      // guarded by mu; in the order of submission
	asks   []*ask        // guarded by mu; to be answered by the next Commit
	flight *flight       // guarded by mu; nil when nothing is in flight
	cause  error         // guarded by mu; why the last Commit was not applied; nil if it was
	lists  []*listing    // guarded by mu; Lists under way
	turn   chan struct{} // guarded by mu; closed and replaced when the flight or a List ends
}

// New returns a Store that is shut until Open is called.
func New(cfg Config) *Store {
	if cfg.Now == nil {
		cfg.Now = clock.Now
	}
	if cfg.CacheBytes == 0 {
		cfg.CacheBytes = DefaultCacheBytes
	}
	if cfg.Hold == 0 {
		cfg.Hold = DefaultHold
	}
	return &Store{cfg: cfg, locks: locks{patience: cfg.Hold, keys: map[string]*keyLock{}}, turn: make(chan struct{})}
}

type tenureKey struct{}

// Begin ties a request to the present tenure: everything done with the context it
// returns fails with ErrNotActive once that tenure has ended, even if this
// node has become active again since. What was read in one tenure says nothing in
// another.
func (s *Store) Begin(ctx context.Context) (context.Context, error) {
	t := s.tenure.Load()
	if t == nil {
		return nil, ErrNotActive
	}
	return context.WithValue(ctx, tenureKey{}, t), nil
}

// Ended returns a channel that is closed when the tenure that ctx was begun in has ended; a
// closed one if it was not begun.
func (s *Store) Ended(ctx context.Context) <-chan struct{} {
	t, ok := ctx.Value(tenureKey{}).(*tenure)
	if !ok {
		closed := make(chan struct{})
		close(closed)
		return closed
	}
	return t.ended
}

// current returns the tenure ctx was begun in, if it still lasts.
func (s *Store) current(ctx context.Context) (*tenure, error) {
	t, ok := ctx.Value(tenureKey{}).(*tenure)
	if !ok {
		return nil, fmt.Errorf("%w: the request was not begun", ErrNotActive)
	}
	if s.tenure.Load() != t {
		return nil, ErrNotActive
	}
	return t, nil
}

// Put sets key to value, whatever it was before. See Update for errors.
func (s *Store) Put(ctx context.Context, key string, value []byte) error {
	sealed, err := s.cfg.Sealer.Seal(key, value)
	if err != nil {
		return err
	}
	return s.blind(ctx, storage.Put(key, sealed))
}

// Delete removes key, whatever it was before. See Update for errors.
func (s *Store) Delete(ctx context.Context, key string) error {
	return s.blind(ctx, storage.Delete(key))
}

func (s *Store) blind(ctx context.Context, op storage.Op) error {
	release, err := s.locks.acquire(ctx, shared, op.Key)
	if err != nil {
		return fmt.Errorf("%w: wait for the key: %w", ErrNotActive, err)
	}
	return s.submit(ctx, []storage.Op{op}, release)
}

// Update runs fn, which may read and write, and commits what it wrote in one
// atomic batch. From fn's first read until the outcome of that batch is known
// no other Update that names one of the keys in lock, and no Put or Delete of
// one, runs; fn must stay among keys that these locks protect.
//
// fn's own error is returned as it is, and nothing is written then. Whatever fn
// decides, nil or an error, is returned only once this node is known to
// have been active after fn's last read. ErrOutcomeUnknown means that the batch
// may have been or may be applied; after any other error it never will be.
func (s *Store) Update(ctx context.Context, lock []string, fn func(Tx) error) error {
	release, err := s.locks.acquire(ctx, exclusive, lock...)
	if err != nil {
		return fmt.Errorf("%w: wait for the key: %w", ErrNotActive, err)
	}
	mine := true
	defer func() {
		if mine { // also when fn panics
			release()
		}
	}()
	tx := &tx{ctx: ctx, store: s, writes: map[string]int{}}
	decision := fn(tx)
	if decision == nil {
		decision = tx.err
	}
	mine = false
	if decision != nil || len(tx.ops) == 0 {
		release()
		if err := s.Confirm(ctx, false); err != nil {
			return err
		}
		return decision
	}
	return s.submit(ctx, tx.ops, release)
}

// tx implements Tx.
type tx struct {
	ctx    context.Context // of the Update; a tx does not outlive it
	store  *Store
	ops    []storage.Op
	writes map[string]int // key to index in ops
	err    error          // of sealing
}

func (t *tx) Get(key string) ([]byte, error) {
	i, written := t.writes[key]
	switch {
	case !written:
		return t.store.Get(t.ctx, key)
	case t.ops[i].Kind == storage.OpDelete:
		return nil, storage.ErrNotFound
	default:
		return t.store.cfg.Sealer.Open(key, t.ops[i].Value)
	}
}

func (t *tx) Put(key string, value []byte) {
	sealed, err := t.store.cfg.Sealer.Seal(key, value)
	if err != nil {
		t.err = err
		return
	}
	t.add(storage.Put(key, sealed))
}

func (t *tx) Delete(key string) { t.add(storage.Delete(key)) }

func (t *tx) add(op storage.Op) {
	if i, written := t.writes[op.Key]; written {
		t.ops[i] = op
		return
	}
	t.writes[op.Key] = len(t.ops)
	t.ops = append(t.ops, op)
}
