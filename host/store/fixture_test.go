package store

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/holdfast/holdfast/host/clock"
	"github.com/holdfast/holdfast/host/ha"
	"github.com/holdfast/holdfast/sdk/storage"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// limits leave room for four ops, or for 1000 bytes of keys and sealed values.
var limits = storage.Limits{MaxKeyBytes: 512, MaxValueBytes: 900, MaxOps: 4, MaxBatchBytes: recordRoom + 1000}

// fixture is a Store whose driver is the test. It runs in a synctest bubble.
type fixture struct {
	*Store
	t       *testing.T
	storage *fakeStorage
	wakes   chan struct{} // one element if Wake was called since it was last drained
}

// run calls test with a Store that is open and has a lease of an hour, in a bubble.
func run(t *testing.T, test func(*fixture)) { runWith(t, Config{}, test) }

func runWith(t *testing.T, cfg Config, test func(*fixture)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, cfg)
		f.open()
		test(f)
		f.Shut()
		f.Close()
	})
}

func newFixture(t *testing.T, cfg Config) *fixture {
	f := &fixture{t: t, storage: &fakeStorage{items: map[string][]byte{}}, wakes: make(chan struct{}, 1)}
	cfg.Reader, cfg.Sealer, cfg.Now = f.storage, plainSealer{}, bubbleNow
	if cfg.Limits == (storage.Limits{}) {
		cfg.Limits = limits
	}
	cfg.Wake = func() {
		select {
		case f.wakes <- struct{}{}:
		default:
		}
	}
	f.Store = New(cfg)
	return f
}

// bubbleNow reads the bubble's clock.
func bubbleNow() clock.Instant { return clock.Instant(time.Now().UnixNano()) }

func (f *fixture) open() {
	f.Open()
	f.SetLease(bubbleNow().Add(time.Hour))
}

// woken reports whether Wake was called since the last call of woken.
func (f *fixture) woken() bool {
	select {
	case <-f.wakes:
		return true
	default:
		return false
	}
}

// begin returns the context of a request that has a second.
func (f *fixture) begin() context.Context { return f.beginFor(time.Second) }

func (f *fixture) beginFor(d time.Duration) context.Context {
	f.t.Helper()
	ctx, err := f.Begin(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(ctx, d)
	f.t.Cleanup(cancel)
	return ctx
}

// result is what a call made in the background will return.
type result struct {
	t    *testing.T
	done chan struct{}
	err  error
}

// start calls do in the background and returns when it waits for something.
func (f *fixture) start(do func() error) *result {
	r := &result{t: f.t, done: make(chan struct{})}
	go func() {
		defer close(r.done)
		r.err = do()
	}()
	synctest.Wait()
	return r
}

func (f *fixture) put(key, value string) *result {
	ctx := f.begin()
	return f.start(func() error { return f.Put(ctx, key, []byte(value)) })
}

// pending reports whether r has not returned, once everything else waits.
func (r *result) pending() bool {
	synctest.Wait()
	select {
	case <-r.done:
		return false
	default:
		return true
	}
}

// wait returns r's error.
func (r *result) wait() error {
	r.t.Helper()
	select {
	case <-r.done:
		return r.err
	case <-time.After(time.Hour): // of the bubble
		r.t.Fatal("the call does not return")
		return nil
	}
}

// commit carries one batch to the storage, as a driver does, once everything else
// waits, and returns it.
func (f *fixture) commit() []string {
	synctest.Wait()
	ops := f.Take()
	f.storage.apply(ops)
	f.Resolve(ha.Applied, nil)
	return describe(ops)
}

// describe returns "key=value" or "-key" for each of ops.
func describe(ops []storage.Op) []string {
	texts := []string{}
	for _, op := range ops {
		if op.Kind == storage.OpDelete {
			texts = append(texts, "-"+op.Key)
			continue
		}
		plain, err := plainSealer{}.Open(op.Key, op.Value)
		texts = append(texts, op.Key+"="+string(plain))
		if err != nil {
			texts = append(texts, err.Error())
		}
	}
	return texts
}

func (f *fixture) equal(what string, got, want any) {
	f.t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		f.t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// plainSealer binds a value to its key and hides nothing.
type plainSealer struct{}

func (plainSealer) Seal(key string, plain []byte) ([]byte, error) {
	return append([]byte(key+"|"), plain...), nil
}

func (plainSealer) Open(key string, sealed []byte) ([]byte, error) {
	plain, ok := bytes.CutPrefix(sealed, []byte(key+"|"))
	if !ok {
		return nil, fmt.Errorf("the value at %s is not sealed for it", key)
	}
	return bytes.Clone(plain), nil
}

// fakeStorage is what the Store reads from.
type fakeStorage struct {
	mu    sync.Mutex
	items map[string][]byte // guarded by mu; sealed
	gets  int               // guarded by mu
	gate  chan struct{}     // guarded by mu; what a read waits for after it has looked; nil = nothing
	delay time.Duration     // of a List, before it looks; set before the first one
}

func (s *fakeStorage) apply(ops []storage.Op) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, op := range ops {
		if op.Kind == storage.OpDelete {
			delete(s.items, op.Key)
		} else {
			s.items[op.Key] = op.Value
		}
	}
}

// set puts the plaintext value at key.
func (s *fakeStorage) set(key, value string) {
	s.apply([]storage.Op{storage.Put(key, []byte(key+"|"+value))})
}

// hold makes every read from now on wait, after it has looked, until the function returned
// is called.
func (s *fakeStorage) hold() (release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	gate := make(chan struct{})
	s.gate = gate
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.gate = nil
		close(gate)
	}
}

func (s *fakeStorage) reads() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.gets
}

func (s *fakeStorage) Get(ctx context.Context, key string) (storage.Item, error) {
	s.mu.Lock()
	s.gets++
	value, ok := s.items[key]
	gate := s.gate
	s.mu.Unlock()
	if err := pass(ctx, gate); err != nil {
		return storage.Item{}, err
	}
	if !ok {
		return storage.Item{}, storage.ErrNotFound
	}
	return storage.Item{Value: bytes.Clone(value)}, nil
}

func (s *fakeStorage) List(ctx context.Context, prefix, after string, limit int) ([]string, error) {
	if s.delay > 0 {
		time.Sleep(s.delay) // of the bubble
	}
	s.mu.Lock()
	names := map[string]struct{}{}
	for key := range s.items {
		if rest, ok := strings.CutPrefix(key, prefix); ok && rest > after {
			names[rest] = struct{}{}
		}
	}
	gate := s.gate
	s.mu.Unlock()
	sorted := slices.Sorted(maps.Keys(names))
	return sorted[:min(limit, len(sorted))], pass(ctx, gate)
}

func pass(ctx context.Context, gate <-chan struct{}) error {
	if gate == nil {
		return nil
	}
	select {
	case <-gate:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
