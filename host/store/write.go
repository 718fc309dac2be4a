package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/holdfast/holdfast/host/clock"
	"github.com/holdfast/holdfast/host/ha"
	"github.com/holdfast/holdfast/sdk/storage"
)

// recordRoom is what every batch leaves for the term record and its key.
const recordRoom = 4 << 10

// write is a change that waits for a Commit or is part of the one in flight.
type write struct {
	ops      []storage.Op
	bytes    int
	alone    bool // goes alone, because a batch with it was refused
	heldBack bool // guarded by Store.mu; passed over because of a List
	gone     bool // guarded by Store.mu; nobody waits for it any more
	release  func()
	done     chan struct{}
	err      error // set before done is closed
}

func (w *write) touchesBelow(prefix string) bool {
	return slices.ContainsFunc(w.ops, func(op storage.Op) bool { return below(op.Key, prefix) })
}

// finish tells what became of w and lets its keys go.
func (w *write) finish(err error) {
	w.err = err
	close(w.done)
	w.release()
}

// flight is what the Commit in flight carries.
type flight struct {
	tenure *tenure
	writes []*write
	asks   []*ask
	ops    []storage.Op
	index  map[string]int // key to position in ops
}

func (f *flight) touches(key string) bool {
	_, ok := f.index[key]
	return ok
}

func (f *flight) touchesBelow(prefix string) bool {
	return slices.ContainsFunc(f.ops, func(op storage.Op) bool { return below(op.Key, prefix) })
}

// submit queues ops and waits for their outcome. It calls release when the outcome is
// known, which may be after submit returned ErrOutcomeUnknown.
func (s *Store) submit(ctx context.Context, ops []storage.Op, release func()) error {
	w := &write{ops: ops, release: release, done: make(chan struct{})}
	for _, op := range ops {
		w.bytes += len(op.Key) + len(op.Value)
	}
	limits := s.cfg.Limits
	limits.MaxBatchBytes -= recordRoom
	limits.MaxValueBytes = min(limits.MaxValueBytes, limits.MaxBatchBytes)
	if err := limits.CheckBatch(nil, ops); err != nil {
		release()
		return err
	}
	t, err := s.current(ctx)
	if err != nil {
		release()
		return err
	}
	s.mu.Lock()
	if s.tenure.Load() != t {
		s.mu.Unlock()
		release()
		return ErrNotActive
	}
	s.queue = append(s.queue, w)
	s.mu.Unlock()
	s.cfg.Wake()
	return s.await(ctx, w)
}

func (s *Store) await(ctx context.Context, w *write) error {
	hold := time.NewTimer(s.cfg.Hold)
	defer hold.Stop()
	select {
	case <-w.done:
		return w.err
	case <-hold.C:
		if s.withdraw(w) {
			return s.unsent(w)
		}
	case <-ctx.Done():
	}
	select {
	case <-w.done:
		return w.err
	case <-ctx.Done():
		if s.withdraw(w) {
			return fmt.Errorf("%w: the write was not sent: %w", ErrNotActive, ctx.Err())
		}
		return s.abandon(w)
	}
}

// unsent is the error of a write that waited in vain. It says why the store does not take
// writes, if the store has said so.
func (s *Store) unsent(w *write) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cause == nil && w.heldBack {
		return fmt.Errorf("%w: a List of the directory was under way; the write waited %v for its end and was not sent", ErrNotActive, s.cfg.Hold)
	}
	if s.cause == nil {
		return fmt.Errorf("%w: the store is away; the write waited %v and was not sent", ErrNotActive, s.cfg.Hold)
	}
	// Not %w: what the store said of that Commit is not what this write is.
	return fmt.Errorf("%w: the store does not take writes; this one waited %v and was not applied: %v", ErrNotActive, s.cfg.Hold, s.cause) //nolint:errorlint // on purpose
}

// withdraw takes w back if it has not been sent.
func (s *Store) withdraw(w *write) bool {
	s.mu.Lock()
	i := slices.Index(s.queue, w)
	if i >= 0 {
		s.queue = slices.Delete(s.queue, i, i+1)
		s.nextTurn() // a List may have waited for w
	}
	s.mu.Unlock()
	if i >= 0 {
		w.release()
	}
	return i >= 0
}

// abandon stops waiting for w, which is in flight.
func (s *Store) abandon(w *write) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-w.done:
		return w.err
	default:
		w.gone = true
		return ErrOutcomeUnknown
	}
}

// Open begins a tenure, with nothing in memory.
func (s *Store) Open() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tenure.Store(newTenure(s.cfg.CacheBytes))
}

// SetLease allows answers from memory before until.
func (s *Store) SetLease(until clock.Instant) {
	if t := s.tenure.Load(); t != nil {
		t.lease.Store(int64(until))
	}
}

// Take returns what the next Commit is to carry: as many of the waiting writes as fit,
// in order, or none. It answers for all reads that wait as well. Exactly one
// Resolve follows before the next Take.
func (s *Store) Take() []storage.Op {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := &flight{tenure: s.tenure.Load(), asks: s.asks, index: map[string]int{}}
	s.asks = nil
	bytes, full := 0, false
	s.queue = slices.DeleteFunc(s.queue, func(w *write) bool {
		if full {
			return false
		}
		if s.listed(w) {
			w.heldBack = true
			return false
		}
		first := len(f.writes) == 0
		if !first && (w.alone || len(f.ops)+len(w.ops) > s.cfg.Limits.MaxOps || bytes+w.bytes > s.cfg.Limits.MaxBatchBytes-recordRoom) {
			full = true
			return false
		}
		f.add(w)
		bytes, full = bytes+w.bytes, w.alone
		return true
	})
	s.flight = f
	if f.tenure != nil {
		f.tenure.forget(f.ops)
	}
	return f.ops
}

// listed reports whether a List is under way that w must not change. s.mu is held.
func (s *Store) listed(w *write) bool {
	return slices.ContainsFunc(s.lists, func(l *listing) bool { return w.touchesBelow(l.prefix) })
}

// add puts w into the batch. Of two blind writes to one key the later one counts: both
// were under way at once, so that order is as good as the other.
func (f *flight) add(w *write) {
	f.writes = append(f.writes, w)
	for _, op := range w.ops {
		if i, dup := f.index[op.Key]; dup {
			f.ops[i] = op
			continue
		}
		f.index[op.Key] = len(f.ops)
		f.ops = append(f.ops, op)
	}
}

// Resolve tells what became of the Commit whose writes the last Take returned. cause is
// why it was refused, or, if known, why it was not applied this time.
func (s *Store) Resolve(result ha.Result, cause error) {
	s.mu.Lock()
	f := s.flight
	s.flight = nil
	if f == nil {
		s.mu.Unlock()
		return
	}
	s.cause = nil
	if result == ha.Again {
		s.cause = cause
	}
	if f.tenure != nil {
		switch result {
		case ha.Applied:
			f.tenure.remember(f.ops)
		case ha.Doubtful:
			f.tenure.doubt(f.ops)
		}
	}
	finished := s.sort(f, result, cause)
	// What a List holds back is no reason for a Commit; the List wakes when it ends.
	wake := len(s.asks) > 0 || slices.ContainsFunc(s.queue, func(w *write) bool { return !s.listed(w) })
	s.nextTurn()
	s.mu.Unlock()
	for _, done := range finished {
		done()
	}
	if wake {
		s.cfg.Wake()
	}
}

// Wanted reports whether a request still waits for a write that the last Take returned.
func (s *Store) Wanted() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.flight != nil && slices.ContainsFunc(s.flight.writes, func(w *write) bool { return !w.gone })
}

// sort puts what may be sent again back into the queue and returns how to finish the
// rest. s.mu is held.
func (s *Store) sort(f *flight, result ha.Result, cause error) (finished []func()) {
	var again []*write
	for _, w := range f.writes {
		switch {
		case result == ha.Applied:
			finished = append(finished, func() { w.finish(nil) })
		case result == ha.Doubtful:
			finished = append(finished, func() { w.finish(ErrOutcomeUnknown) })
		case w.gone:
			finished = append(finished, func() { w.finish(ErrNotActive) })
		case result == ha.Refused && len(f.writes) == 1:
			finished = append(finished, func() { w.finish(cause) })
		default: // Again; or Refused, and it is not known yet because of which
			w.alone = w.alone || result == ha.Refused
			again = append(again, w)
		}
	}
	s.queue = append(again, s.queue...)
	switch result {
	case ha.Applied:
		for _, a := range f.asks {
			finished = append(finished, func() { close(a.done) })
		}
	default:
		s.asks = append(f.asks, s.asks...) // Shut answers them if this is the end
	}
	return finished
}

// Shut ends the tenure. What waits fails with ErrNotActive.
func (s *Store) Shut() {
	s.mu.Lock()
	t := s.tenure.Swap(nil)
	queue, asks := s.queue, s.asks
	for _, l := range s.lists {
		l.cancel()
	}
	s.queue, s.asks, s.lists, s.cause = nil, nil, nil, nil
	s.nextTurn()
	s.mu.Unlock()
	for _, w := range queue {
		w.finish(ErrNotActive)
	}
	for _, a := range asks {
		a.err = ErrNotActive
		close(a.done)
	}
	if t != nil {
		t.lease.Store(0)
		close(t.ended)
	}
}

// Close waits for reads of the plugin under way, which Shut, that comes first, has cut off.
func (s *Store) Close() { s.fills.Wait() }
