package store

import (
	"context"
	"fmt"
	"time"

	"github.com/holdfast/holdfast/host/clock"
)

// ask is what any number of reads wait for: the next Commit sent after them.
type ask struct {
	done chan struct{}
	err  error // set before done is closed
}

// Confirm returns nil once this node is known to have been active, without a break
// since Begin, at some moment after Confirm was called. Within the lease that
// is known at once; otherwise, and always if strict, it takes a Commit sent
// from now on, or a read of the term record that begins from now on: a store may take
// no writes and still answer. ErrNotActive: it is not, or nothing was heard from the
// store in time.
func (s *Store) Confirm(ctx context.Context, strict bool) error {
	t, err := s.current(ctx)
	if err != nil {
		return err
	}
	if !strict && !s.cfg.Strict && s.cfg.Now() < clock.Instant(t.lease.Load()) {
		return nil
	}
	s.mu.Lock()
	if s.tenure.Load() != t {
		s.mu.Unlock()
		return ErrNotActive
	}
	if len(s.asks) == 0 {
		s.asks = []*ask{{done: make(chan struct{})}}
	}
	a := s.asks[0] // not in flight: the Commit that answers it is still to be sent
	patience := proofPause
	if s.cause != nil {
		patience = 0 // the store does not take Commits now
	}
	s.mu.Unlock()
	s.cfg.Wake()

	hold := time.NewTimer(s.cfg.Hold)
	defer hold.Stop()
	for {
		p := s.joinProof(ctx, t, patience)
		select {
		case <-p.done:
			if p.err == nil {
				return nil
			}
			patience = proofPause
			continue // it says nothing of this moment: perhaps the next one does
		case <-a.done:
			err = a.err
		case <-hold.C:
			err = fmt.Errorf("%w: the store did not confirm it for %v", ErrNotActive, s.cfg.Hold)
		case <-ctx.Done():
			err = fmt.Errorf("%w: %w", ErrNotActive, ctx.Err())
		}
		t.leaveProof(p)
		return err
	}
}

// proofPause is how long a Commit is given to answer before the record is read: it answers
// sooner unless the store does not take it.
const proofPause = 100 * time.Millisecond

// proof is one read of the term record, for all who waited when it began.
type proof struct {
	waiting int           // guarded by tenure.mu
	due     time.Time     // not before then
	done    chan struct{} // nil: there will be none
	err     error         // set before done is closed; nil: this node is active, in the same tenure
}

// joinProof returns the proof that begins next, in patience at the latest if it can. Who stops waiting for it says so with
// leaveProof.
func (s *Store) joinProof(ctx context.Context, t *tenure, patience time.Duration) *proof {
	if s.cfg.Prove == nil {
		return &proof{}
	}
	s.mu.Lock() // nothing is begun after Shut, which Close relies on
	defer s.mu.Unlock()
	if s.tenure.Load() != t {
		return &proof{} // the ask is answered instead
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.proof == nil {
		t.proof = &proof{due: time.Now().Add(patience), done: make(chan struct{})}
	}
	t.proof.waiting++
	if !t.proving {
		t.proving = true
		s.fills.Go(func() { s.prove(context.WithoutCancel(ctx), t) })
	}
	return t.proof
}

// leaveProof drops p if nobody else waits for it and it has not begun.
func (t *tenure) leaveProof(p *proof) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p.waiting--
	if t.proof == p && p.waiting == 0 {
		t.proof = nil
	}
}

// prove runs one proof after the other until none is waited for.
func (s *Store) prove(ctx context.Context, t *tenure) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.fills.Go(func() {
		select {
		case <-t.ended:
			cancel()
		case <-ctx.Done():
		}
	})
	for {
		p, wait := t.takeProof()
		switch {
		case p == nil:
			return
		case wait > 0:
			pause(ctx, wait)
		default:
			p.err = s.proveOnce(ctx, t)
			close(p.done)
		}
	}
}

// takeProof returns the proof that is to begin, or for how long it can wait. Nil: nobody
// waits for one.
func (t *tenure) takeProof() (p *proof, wait time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p = t.proof
	if p == nil {
		t.proving = false
		return nil, 0
	}
	select {
	case <-t.ended:
	default:
		wait = time.Until(p.due)
	}
	if wait <= 0 {
		t.proof = nil
	}
	return p, wait
}

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

func (s *Store) proveOnce(ctx context.Context, t *tenure) error {
	ctx, cancel := context.WithTimeout(ctx, fillTimeout)
	defer cancel()
	if err := s.cfg.Prove(ctx); err != nil {
		return err
	}
	// It was about this tenure only if there was no other since.
	if s.tenure.Load() != t {
		return ErrNotActive
	}
	return nil
}
