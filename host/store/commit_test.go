package store

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/holdfast/holdfast/host/ha"
	"github.com/holdfast/holdfast/sdk/storage"
)

func TestCommitTakesWhatFits(t *testing.T) {
	run(t, func(f *fixture) {
		var puts []*result
		for _, key := range []string{"a", "b", "c", "d", "e", "f"} {
			puts = append(puts, f.put(key, "1"))
		}
		f.equal("woken", f.woken(), true)
		f.equal("first batch: four ops at most", f.commit(), "[a=1 b=1 c=1 d=1]")
		f.equal("woken for the rest", f.woken(), true)
		f.equal("second batch", f.commit(), "[e=1 f=1]")
		f.equal("third batch: a heartbeat", f.commit(), "[]")
		for _, r := range puts {
			f.equal("put", r.wait(), nil)
		}

		large := strings.Repeat("x", 400)
		f.put("g", large)
		f.put("h", large)
		f.put("i", large) // a kilobyte is full
		f.put("j", "1")   // would fit, but order is kept
		f.equal("ops of the first batch by bytes", len(f.commit()), 2)
		f.equal("ops of the second", len(f.commit()), 2)
	})
}

func TestCommitMergesBlindWritesOfOneKey(t *testing.T) {
	run(t, func(f *fixture) {
		ctx := f.begin()
		first := f.put("k", "1")
		second := f.put("other", "2")
		third := f.start(func() error { return f.Delete(ctx, "k") })
		fourth := f.put("k", "4")
		f.equal("batch", f.commit(), "[k=4 other=2]")
		for _, r := range []*result{first, second, third, fourth} {
			f.equal("write", r.wait(), nil)
		}
	})
}

func TestCommitRefusesWhatNeverFits(t *testing.T) {
	run(t, func(f *fixture) {
		for name, test := range map[string]struct {
			key, value string
			want       error
		}{
			"value":   {"k", strings.Repeat("x", 1000), storage.ErrTooLarge},
			"key":     {strings.Repeat("k", 513), "", storage.ErrTooLarge},
			"bad key": {"a//b", "", storage.ErrInvalidKey},
		} {
			if err := f.Put(f.begin(), test.key, []byte(test.value)); !errors.Is(err, test.want) {
				t.Errorf("%s: %v, want %v", name, err, test.want)
			}
		}
		err := f.Update(f.begin(), []string{"dir"}, func(tx Tx) error {
			for _, name := range []string{"1", "2", "3", "4", "5"} {
				tx.Put("dir/"+name, nil)
			}
			return nil
		})
		if !errors.Is(err, storage.ErrTooLarge) {
			t.Errorf("five ops: %v, want %v", err, storage.ErrTooLarge)
		}
		f.equal("nothing is queued", f.commit(), "[]")
		f.equal("the key is free", f.put("dir", "1").pending(), true)
	})
}

func TestWriteNotSentByItsDeadlineIsNotApplied(t *testing.T) {
	run(t, func(f *fixture) {
		started := time.Now()
		err := f.put("k", "1").wait()
		if !errors.Is(err, ErrNotActive) || errors.Is(err, ErrOutcomeUnknown) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("after the deadline: %v", err)
		}
		f.equal("waited", time.Since(started), time.Second)
		f.equal("batch after it", f.commit(), "[]")
	})
}

func TestWriteIsHeldWhileTheStoreIsAway(t *testing.T) {
	runWith(t, Config{Hold: 3 * time.Second}, func(f *fixture) {
		ctx, started := f.beginFor(time.Minute), time.Now()
		if err := f.Put(ctx, "k", nil); !errors.Is(err, ErrNotActive) {
			t.Errorf("after the hold: %v", err)
		}
		f.equal("waited", time.Since(started), 3*time.Second)
		f.equal("batch after it", f.commit(), "[]")
	})
}

func TestWriteInFlightAtItsDeadlineIsUnknown(t *testing.T) {
	for what, outcome := range map[string]ha.Result{"applied": ha.Applied, "not applied": ha.Again} {
		t.Run(what, func(t *testing.T) {
			run(t, func(f *fixture) {
				r := f.put("k", "1")
				f.equal("in flight", describe(f.Take()), "[k=1]")
				if err := r.wait(); !errors.Is(err, ErrOutcomeUnknown) || errors.Is(err, ErrNotActive) {
					t.Errorf("at the deadline: %v, want only %v", err, ErrOutcomeUnknown)
				}
				f.Resolve(outcome, nil)
				f.equal("the client is gone: not sent again", f.commit(), "[]")
				f.equal("the key is free", f.put("k", "2").pending(), true)
			})
		})
	}
}

func TestResolveAgainSendsAnew(t *testing.T) {
	run(t, func(f *fixture) {
		first := f.put("a", "1")
		f.Take()
		second := f.put("b", "2")
		f.woken()
		f.Resolve(ha.Again, nil)
		f.equal("woken", f.woken(), true)
		f.equal("neither has an outcome", first.pending() && second.pending(), true)
		f.equal("batch: what was first comes first", f.commit(), "[a=1 b=2]")
		f.equal("writes", []error{first.wait(), second.wait()}, "[<nil> <nil>]")
	})
}

// A batch that the store refuses says that one of its writes is to blame. Only that one may
// fail, and with the store's own reason.
func TestRefusedIsolatesTheGuiltyWrite(t *testing.T) {
	run(t, func(f *fixture) {
		first, guilty, third := f.put("a", "1"), f.put("b", "bad"), f.put("c", "3")
		cause := &storage.OpError{Index: 1, Err: storage.ErrTooLarge}
		f.equal("together", describe(f.Take()), "[a=1 b=bad c=3]")
		f.Resolve(ha.Refused, cause)
		late := f.put("d", "4")
		f.equal("alone", f.commit(), "[a=1]")
		f.equal("alone", describe(f.Take()), "[b=bad]")
		f.Resolve(ha.Refused, cause)
		f.equal("alone", f.commit(), "[c=3]")
		f.equal("then as usual", f.commit(), "[d=4]")
		if err := guilty.wait(); !errors.Is(err, storage.ErrTooLarge) {
			t.Errorf("the guilty write: %v, want the cause", err)
		}
		for _, r := range []*result{first, third, late} {
			f.equal("an innocent write", r.wait(), nil)
		}
	})
}

func TestDoubtfulIsUnknown(t *testing.T) {
	run(t, func(f *fixture) {
		first := f.put("a", "1")
		f.Take()
		queued := f.put("b", "2")
		f.Resolve(ha.Doubtful, nil)
		if err := first.wait(); !errors.Is(err, ErrOutcomeUnknown) {
			t.Errorf("in flight: %v", err)
		}
		f.equal("queued", queued.pending(), true)
		f.Shut()
		if err := queued.wait(); !errors.Is(err, ErrNotActive) || errors.Is(err, ErrOutcomeUnknown) {
			t.Errorf("queued: %v", err)
		}
	})
}

func TestShutFailsAllThatWaits(t *testing.T) {
	run(t, func(f *fixture) {
		strict, lists := f.begin(), f.begin()
		write := f.put("dir/a", "1")
		confirm := f.start(func() error { return f.Confirm(strict, true) })
		f.Take()
		again := f.put("dir/b", "2")
		miss := f.start(func() error { _, err := f.Get(strict, "dir/a"); return err })
		list := f.start(func() error { _, err := f.List(lists, "dir/"); return err })
		f.Resolve(ha.Again, nil)
		f.Take()
		f.Resolve(ha.Again, nil) // what the demotion says of the Commit in flight comes first
		release := f.storage.hold()
		defer release()
		fill := f.start(func() error { _, err := f.Get(strict, "cold"); return err })
		f.Shut()
		for what, r := range map[string]*result{"write": write, "requeued": again, "confirm": confirm, "fill": fill} {
			if err := r.wait(); !errors.Is(err, ErrNotActive) || errors.Is(err, ErrOutcomeUnknown) {
				t.Errorf("%s: %v, want %v", what, err, ErrNotActive)
			}
		}
		_, _ = miss.wait(), list.wait() // answered in between
		if _, err := f.Begin(t.Context()); !errors.Is(err, ErrNotActive) {
			t.Errorf("begin: %v", err)
		}
	})
}

// A Commit of unknown outcome is sent again for those who wait for it only.
func TestWantedIsWhatARequestWaitsFor(t *testing.T) {
	run(t, func(f *fixture) {
		f.equal("nothing is in flight", f.Wanted(), false)
		f.Take()
		f.equal("a heartbeat", f.Wanted(), false)
		f.Resolve(ha.Applied, nil)
		ctx, leave := context.WithCancel(f.begin())
		r := f.start(func() error { return f.Put(ctx, "k", []byte("1")) })
		f.Take()
		f.equal("a write", f.Wanted(), true)
		leave()
		if err := r.wait(); !errors.Is(err, ErrOutcomeUnknown) {
			t.Errorf("who leaves: %v", err)
		}
		f.equal("a write that nobody waits for", f.Wanted(), false)
		f.Resolve(ha.Again, nil)
	})
}
