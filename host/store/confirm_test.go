package store

import (
	"errors"
	"testing"
	"time"

	"github.com/holdfast/holdfast/host/clock"
	"github.com/holdfast/holdfast/host/ha"
)

func (f *fixture) confirm(strict bool) *result {
	ctx := f.begin()
	return f.start(func() error { return f.Confirm(ctx, strict) })
}

func TestConfirmWithinTheLeaseIsImmediate(t *testing.T) {
	run(t, func(f *fixture) {
		f.SetLease(bubbleNow().Add(time.Second))
		f.woken()
		f.equal("within the lease", f.Confirm(f.begin(), false), nil)
		f.equal("woken", f.woken(), false)
		time.Sleep(time.Second) // of the bubble: the lease is over at its last instant
		f.equal("at its end", f.confirm(false).pending(), true)
	})
}

func TestConfirmWaitsForACommitSentAfterIt(t *testing.T) {
	for _, mode := range []string{"lapsed", "strict request", "strict store"} {
		t.Run(mode, func(t *testing.T) {
			runWith(t, Config{Strict: mode == "strict store"}, func(f *fixture) {
				if mode == "lapsed" {
					f.SetLease(bubbleNow())
				}
				strict := mode == "strict request"
				f.Take() // in flight before the reads
				first, second := f.confirm(strict), f.confirm(strict)
				f.equal("woken", f.woken(), true)
				f.Resolve(ha.Applied, nil)
				f.equal("answered by what was in flight", first.pending() && second.pending(), true)
				f.equal("woken for the next", f.woken(), true)
				f.Take()
				third := f.confirm(strict)
				f.Resolve(ha.Again, nil)
				f.equal("answered by a Commit that was not applied", first.pending(), true)
				f.commit()
				f.equal("confirmed by one Commit", []error{first.wait(), second.wait(), third.wait()}, "[<nil> <nil> <nil>]")
			})
		})
	}
}

// While the store is away reads come and go. They must leave nothing behind.
func TestConfirmsThatGaveUpLeaveNothing(t *testing.T) {
	runWith(t, Config{Hold: 2 * time.Second}, func(f *fixture) {
		f.SetLease(bubbleNow())
		for range 100 {
			ctx, started := f.beginFor(time.Minute), time.Now()
			if err := f.Confirm(ctx, false); !errors.Is(err, ErrNotActive) {
				t.Fatalf("after the hold: %v", err)
			}
			f.equal("waited", time.Since(started), 2*time.Second)
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		if len(f.asks) > 1 {
			t.Errorf("%d reads are still waited for", len(f.asks))
		}
	})
}

// What was read in one tenure says nothing in another, even on the same node.
func TestRequestOfAnEarlierTenureGetsNoAnswer(t *testing.T) {
	run(t, func(f *fixture) {
		f.storage.set("k", "1")
		old := f.begin()
		release := f.storage.hold()
		read := f.start(func() error { _, err := f.Get(old, "k"); return err })
		confirm := f.start(func() error { return f.Confirm(old, true) })
		f.Shut()
		f.open()
		release()
		for what, err := range map[string]error{
			"read under way": read.wait(), "confirm under way": confirm.wait(),
			"confirm": f.Confirm(old, false), "put": f.Put(old, "k", nil), "delete": f.Delete(old, "k"),
		} {
			if !errors.Is(err, ErrNotActive) {
				t.Errorf("%s: %v, want %v", what, err, ErrNotActive)
			}
		}
		if _, err := f.Get(old, "k"); !errors.Is(err, ErrNotActive) {
			t.Errorf("get: %v", err)
		}
		if _, err := f.List(old, ""); !errors.Is(err, ErrNotActive) {
			t.Errorf("list: %v", err)
		}
		f.equal("nothing was sent", f.commit(), "[]")
		f.equal("a new request", f.Confirm(f.begin(), false), nil)
	})
}

func TestRequestThatWasNotBegunGetsNoAnswer(t *testing.T) {
	run(t, func(f *fixture) {
		if err := f.Put(f.t.Context(), "k", nil); !errors.Is(err, ErrNotActive) {
			t.Errorf("put: %v", err)
		}
	})
}

// The end of a lease is written before what made it end is told.
func TestLeaseEndsWithTheTenure(t *testing.T) {
	run(t, func(f *fixture) {
		f.SetLease(clock.Instant(0)) // in conflict: nothing is answered from memory (P6)
		r := f.confirm(false)
		f.equal("in conflict", r.pending(), true)
		f.Shut()
		if err := r.wait(); !errors.Is(err, ErrNotActive) {
			t.Errorf("after the conflict: %v", err)
		}
		f.SetLease(bubbleNow().Add(time.Hour)) // of nobody
		f.Open()
		f.equal("the new tenure has none yet", f.confirm(false).pending(), true)
	})
}
