package store

import (
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/holdfast/holdfast/host/ha"
	"github.com/holdfast/holdfast/sdk/storage"
)

// increment adds one to the number at key.
func (f *fixture) increment(key string) *result {
	ctx := f.begin()
	return f.start(func() error {
		return f.Update(ctx, []string{key}, func(tx Tx) error {
			raw, err := tx.Get(key)
			if err != nil && !errors.Is(err, storage.ErrNotFound) {
				return err
			}
			n, _ := strconv.Atoi(string(raw))
			tx.Put(key, []byte(strconv.Itoa(n+1)))
			return nil
		})
	})
}

// P9: from the read until the outcome of the Commit is known.
func TestUpdatesOfOneKeyAreSerial(t *testing.T) {
	run(t, func(f *fixture) {
		first, second, other := f.increment("n"), f.increment("n"), f.increment("m")
		f.equal("first batch", f.commit(), "[n=1 m=1]")
		f.equal("updates", []error{first.wait(), other.wait()}, "[<nil> <nil>]")
		f.equal("second batch", f.commit(), "[n=2]")
		f.equal("update", second.wait(), nil)
	})
}

// The client was told "outcome unknown"; the next Update must still wait, or it would read
// what the first one may be about to change.
func TestUpdateKeepsItsKeysUntilTheOutcomeIsKnown(t *testing.T) {
	for what, outcome := range map[string]ha.Result{"1": ha.Again, "2": ha.Applied} {
		t.Run(what, func(t *testing.T) {
			run(t, func(f *fixture) {
				first := f.increment("n")
				ops := f.Take()
				if err := first.wait(); !errors.Is(err, ErrOutcomeUnknown) {
					t.Fatalf("at the deadline: %v", err)
				}
				second, blind := f.increment("n"), f.put("n", "7")
				f.equal("second update waits", second.pending(), true)
				f.equal("blind write waits", blind.pending(), true)
				if outcome == ha.Applied {
					f.storage.apply(ops)
				}
				f.Resolve(outcome, nil)
				f.equal("batch", f.commit(), "[n="+what+"]")
				f.equal("update", second.wait(), nil)
				f.equal("batch", f.commit(), "[n=7]")
				f.equal("blind write", blind.wait(), nil)
			})
		})
	}
}

func TestUpdateWaitsForBlindWrites(t *testing.T) {
	run(t, func(f *fixture) {
		first, second := f.put("n", "1"), f.put("n", "5")
		update := f.increment("n")
		third := f.put("n", "9") // behind the update, for fairness
		f.equal("blind writes go together", f.commit(), "[n=5]")
		f.equal("update on what they wrote", f.commit(), "[n=6]")
		f.equal("the last", f.commit(), "[n=9]")
		for _, r := range []*result{first, second, update, third} {
			f.equal("result", r.wait(), nil)
		}
	})
}

func TestUpdateReadsItsOwnWrites(t *testing.T) {
	run(t, func(f *fixture) {
		f.storage.set("dir/old", "1")
		ctx := f.begin()
		r := f.start(func() error {
			return f.Update(ctx, []string{"dir", "dir"}, func(tx Tx) error {
				tx.Put("dir/new", []byte("1"))
				tx.Put("dir/new", []byte("2"))
				tx.Delete("dir/old")
				value, err := tx.Get("dir/new")
				f.equal("written", string(value), "2")
				f.equal("written", err, nil)
				if _, err := tx.Get("dir/old"); !errors.Is(err, storage.ErrNotFound) {
					t.Errorf("deleted: %v", err)
				}
				return nil
			})
		})
		f.equal("batch", f.commit(), "[dir/new=2 -dir/old]")
		f.equal("update", r.wait(), nil)
	})
}

// A decision is an answer about the data: it needs a confirmation, and the key's next
// Update need not wait for that.
func TestUpdateThatWritesNothingIsConfirmed(t *testing.T) {
	errDecided := errors.New("decided")
	run(t, func(f *fixture) {
		f.SetLease(bubbleNow()) // lapsed
		ctx := f.begin()
		no := f.start(func() error {
			return f.Update(ctx, []string{"k"}, func(tx Tx) error {
				tx.Put("k", []byte("never"))
				return errDecided
			})
		})
		yes := f.start(func() error { return f.Update(ctx, []string{"k"}, func(Tx) error { return nil }) })
		next := f.increment("k")
		f.equal("decisions wait for the store", no.pending() && yes.pending(), true)
		f.equal("batch", f.commit(), "[k=1]")
		f.equal("decisions", []error{no.wait(), yes.wait(), next.wait()}, "[decided <nil> <nil>]")
	})
}

func TestUpdateLetsItsKeysGo(t *testing.T) {
	run(t, func(f *fixture) {
		func() {
			defer func() { _ = recover() }()
			_ = f.Update(f.begin(), []string{"k"}, func(Tx) error { panic("a bug in a handler") })
		}()
		r := f.increment("k")
		f.equal("after a panic", f.commit(), "[k=1]")
		f.equal("after a panic", r.wait(), nil)

		if err := f.increment("k").wait(); !errors.Is(err, ErrNotActive) {
			t.Errorf("not sent: %v", err)
		}
		r = f.increment("k")
		f.equal("after one that was not sent", f.commit(), "[k=2]")
		f.equal("after one that was not sent", r.wait(), nil)

		old := f.begin()
		f.Shut()
		f.open()
		if err := f.Update(old, []string{"k"}, func(tx Tx) error { tx.Put("k", nil); return nil }); !errors.Is(err, ErrNotActive) {
			t.Errorf("of an earlier tenure: %v", err)
		}
		r = f.increment("k")
		f.equal("after one of an earlier tenure", f.commit(), "[k=3]")
		f.equal("after one of an earlier tenure", r.wait(), nil)
	})
}

// Waiting for a key is waiting for the store: it is held for as long, and provably not run.
func TestUpdateIsHeldWhileItsKeyHasNoOutcome(t *testing.T) {
	runWith(t, Config{Hold: 3 * time.Second}, func(f *fixture) {
		f.increment("k")
		f.Take()
		ctx, started := f.beginFor(time.Minute), time.Now()
		ran := false
		err := f.Update(ctx, []string{"k"}, func(Tx) error { ran = true; return nil })
		if !errors.Is(err, ErrNotActive) || ran {
			t.Errorf("after the hold: %v, ran: %t", err, ran)
		}
		f.equal("waited", time.Since(started), 3*time.Second)
		f.Resolve(ha.Doubtful, nil)
	})
}
