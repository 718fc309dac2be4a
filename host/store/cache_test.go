package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/holdfast/holdfast/host/ha"
	"github.com/holdfast/holdfast/sdk/storage"
)

// read is a Get in the background; its text is the value, or the error.
func (f *fixture) read(key string) (text *string, r *result) {
	ctx := f.begin()
	text = new(string)
	return text, f.start(func() error {
		value, err := f.Get(ctx, key)
		*text = string(value)
		if err != nil {
			*text = err.Error()
		}
		return nil
	})
}

// get returns what a Get returns that need not wait for the driver.
func (f *fixture) get(key string) string {
	f.t.Helper()
	text, r := f.read(key)
	_ = r.wait()
	return *text
}

func TestGetComesFromMemory(t *testing.T) {
	run(t, func(f *fixture) {
		f.storage.set("k", "1")
		f.equal("value", []string{f.get("k"), f.get("k")}, "[1 1]")
		f.equal("reads of a value", f.storage.reads(), 1)
		f.equal("absent", []string{f.get("none"), f.get("none")}, "[not found not found]")
		f.equal("reads of what is absent", f.storage.reads(), 2)

		f.put("k", "2")
		f.put("none", "3")
		f.commit()
		f.equal("written", []string{f.get("k"), f.get("none")}, "[2 3]")
		ctx := f.begin()
		f.start(func() error { return f.Delete(ctx, "k") })
		f.commit()
		f.equal("deleted", f.get("k"), "not found")
		f.equal("reads after writes", f.storage.reads(), 2)

		f.Shut()
		f.open()
		f.equal("in the next tenure", []string{f.get("k"), f.get("none")}, "[not found 3]")
		f.equal("reads: nothing is kept", f.storage.reads(), 4)
	})
}

func TestGetsOfOneKeyAreOneRead(t *testing.T) {
	run(t, func(f *fixture) {
		f.storage.set("k", "1")
		release := f.storage.hold()
		impatient, cancel := context.WithCancel(f.begin())
		first := f.start(func() error { _, err := f.Get(impatient, "k"); return err })
		texts, results := []*string{}, []*result{}
		for range 5 {
			text, r := f.read("k")
			texts, results = append(texts, text), append(results, r)
		}
		cancel()
		if err := first.wait(); !errors.Is(err, context.Canceled) {
			t.Errorf("who leaves: %v", err)
		}
		release()
		for i := range texts {
			_ = results[i].wait()
			f.equal("who stays", *texts[i], "1")
		}
		f.equal("reads", f.storage.reads(), 1)
	})
}

// The answer to a read that began before a Commit may be older than the Commit. It must
// not be remembered, whatever became of the Commit.
func TestReadThatRacesACommitIsNotRemembered(t *testing.T) {
	for _, outcome := range []ha.Result{ha.Applied, ha.Again} {
		t.Run(fmt.Sprint(outcome), func(t *testing.T) {
			run(t, func(f *fixture) {
				f.storage.set("k", "1")
				release := f.storage.hold()
				early, r := f.read("k")
				f.put("k", "2")
				ops := f.Take()
				if outcome == ha.Applied {
					f.storage.apply(ops)
				}
				f.Resolve(outcome, nil)
				release()
				_ = r.wait()
				f.equal("the read under way", *early, "1")
				want := "1"
				if outcome == ha.Applied {
					want = "2"
				}
				f.storage.set("k", "behind our back") // a read of the store would show it
				if outcome == ha.Again {
					want = "behind our back" // nothing was remembered
				}
				f.equal("from then on", f.get("k"), want)
			})
		})
	}
}

// A key of a Commit in flight is either old or new.
func TestGetOfAKeyInFlightWaitsForTheOutcome(t *testing.T) {
	run(t, func(f *fixture) {
		f.put("k", "2")
		f.storage.apply(f.Take())
		text, r := f.read("k")
		f.equal("waits", r.pending(), true)
		f.equal("reads", f.storage.reads(), 0)
		f.Resolve(ha.Applied, nil)
		_ = r.wait()
		f.equal("afterwards", *text, "2")
	})
}

// A read of the store may be so slow that it shows a Commit that was sent after it began.
// While the outcome of that is open, others are told the value before.
func TestSlowReadOfAKeyInFlightWaitsForTheOutcome(t *testing.T) {
	run(t, func(f *fixture) {
		f.storage.set("k", "2") // what the Commit that comes will have written
		release := f.storage.hold()
		text, r := f.read("k")
		f.put("k", "2")
		f.Take()
		release()
		f.equal("waits", r.pending(), true)
		f.Resolve(ha.Applied, nil)
		_ = r.wait()
		f.equal("afterwards", *text, "2")
	})
}

func TestGetOfAKeyInFlightIsHeld(t *testing.T) {
	runWith(t, Config{Hold: 3 * time.Second}, func(f *fixture) {
		f.put("k", "2")
		f.Take()
		ctx, started := f.beginFor(time.Minute), time.Now()
		if _, err := f.Get(ctx, "k"); !errors.Is(err, ErrNotActive) {
			t.Errorf("after the hold: %v", err)
		}
		f.equal("waited", time.Since(started), 3*time.Second)
		other, r := f.read("other")
		_ = r.wait()
		f.equal("another key does not wait", *other, "not found")
		f.Resolve(ha.Again, nil)
	})
}

// Without a guard a tenure goes on after a write of unknown outcome, which may
// change the store at any time.
func TestDoubtfulWriteIsNotAnsweredFromMemory(t *testing.T) {
	run(t, func(f *fixture) {
		f.storage.set("k", "1")
		f.equal("before", f.get("k"), "1")
		f.put("k", "2")
		ops := f.Take()
		f.Resolve(ha.Doubtful, errors.New("the connection was lost"))
		f.equal("still the old value", f.get("k"), "1")
		f.storage.apply(ops)
		f.equal("applied late", f.get("k"), "2")
		f.put("k", "3")
		f.commit()
		reads := f.storage.reads()
		f.equal("written again", []string{f.get("k"), f.get("k")}, "[3 3]")
		f.equal("reads: remembered again", f.storage.reads(), reads)
	})
}

func TestFailedReadIsNotRemembered(t *testing.T) {
	run(t, func(f *fixture) {
		f.storage.set("k", "1")
		f.storage.hold()
		ctx := f.beginFor(time.Minute)
		started := time.Now()
		if _, err := f.Get(ctx, "k"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a store that hangs: %v", err)
		}
		f.equal("waited", time.Since(started), fillTimeout)
		f.storage.hold()() // no more
		f.equal("afterwards", f.get("k"), "1")
	})
}

func TestValueMovedToAnotherKeyDoesNotOpen(t *testing.T) {
	run(t, func(f *fixture) {
		f.storage.set("a", "1")
		f.storage.apply([]storage.Op{storage.Put("b", []byte("a|1"))})
		if got := f.get("b"); !strings.Contains(got, "not sealed for it") {
			t.Errorf("got %q", got)
		}
	})
}

func TestCacheIsBounded(t *testing.T) {
	runWith(t, Config{CacheBytes: 2000}, func(f *fixture) {
		for i := range 100 {
			key := fmt.Sprintf("k%d", i)
			f.put(key, strings.Repeat("x", 50)+key)
			f.commit()
		}
		for i := range 100 {
			key := fmt.Sprintf("k%d", i)
			f.equal(key, f.get(key), strings.Repeat("x", 50)+key)
		}
		if got := f.storage.reads(); got < 80 {
			t.Errorf("%d reads: a cache of 2000 bytes holds more than 20 entries of 150", got)
		}
	})
}

// Close waits for reads under way, which nobody needs any more.
func TestShutCutsReadsOff(t *testing.T) {
	run(t, func(f *fixture) {
		f.storage.hold()
		_, r := f.read("k")
		started := time.Now()
		f.Shut()
		f.Close()
		_ = r.wait()
		f.equal("waited", time.Since(started), time.Duration(0))
	})
}
