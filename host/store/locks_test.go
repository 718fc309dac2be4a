package store

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func newLocks() *locks { return &locks{patience: time.Minute, keys: map[string]*keyLock{}} }

// waiting is a request for keys.
type waiting struct {
	release func()
	err     error
	done    chan struct{}
}

func (l *locks) request(ctx context.Context, m mode, keys ...string) *waiting {
	w := &waiting{done: make(chan struct{})}
	go func() {
		defer close(w.done)
		w.release, w.err = l.acquire(ctx, m, keys...)
	}()
	synctest.Wait()
	return w
}

func (w *waiting) granted() bool {
	synctest.Wait()
	select {
	case <-w.done:
		return w.err == nil
	default:
		return false
	}
}

func grants(all ...*waiting) []bool {
	var granted []bool
	for _, w := range all {
		granted = append(granted, w.granted())
	}
	return granted
}

func TestLocksAreFirstComeFirstServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLocks()
		want := func(when string, got, want []bool) {
			t.Helper()
			if !slices.Equal(got, want) {
				t.Errorf("%s: granted %v, want %v", when, got, want)
			}
		}
		a, b := l.request(t.Context(), shared, "k"), l.request(t.Context(), shared, "k")
		c := l.request(t.Context(), exclusive, "k")
		d, e := l.request(t.Context(), shared, "k"), l.request(t.Context(), shared, "k")
		f := l.request(t.Context(), exclusive, "k", "other")
		want("at first", grants(a, b, c, d, e, f), []bool{true, true, false, false, false, false})
		a.release()
		want("one is left", grants(c, d), []bool{false, false})
		b.release()
		want("the exclusive one", grants(c, d, e), []bool{true, false, false})
		c.release()
		want("the shared ones behind it", grants(d, e, f), []bool{true, true, false})
		d.release()
		e.release()
		want("the last", grants(f), []bool{true})
		f.release()
		if len(l.keys) != 0 {
			t.Errorf("%d keys are left", len(l.keys))
		}
	})
}

func TestLocksGiveUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLocks()
		holder := l.request(t.Context(), shared, "b")
		ctx, cancel := context.WithCancel(t.Context())
		leaver := l.request(ctx, exclusive, "a", "b") // has a, waits for b
		behind := l.request(t.Context(), shared, "b")
		onA := l.request(t.Context(), exclusive, "a")
		cancel()
		synctest.Wait()
		if !errors.Is(leaver.err, context.Canceled) {
			t.Errorf("who leaves: %v", leaver.err)
		}
		if !behind.granted() || !onA.granted() {
			t.Errorf("who waited for the one that left: %v", grants(behind, onA))
		}
		late := l.request(t.Context(), exclusive, "b")
		time.Sleep(time.Minute) // of the bubble
		synctest.Wait()
		if !errors.Is(late.err, errHeld) {
			t.Errorf("after the patience: %v", late.err)
		}
		for _, w := range []*waiting{holder, behind, onA} {
			w.release()
		}
		if len(l.keys) != 0 {
			t.Errorf("%d keys are left", len(l.keys))
		}
	})
}

// Any number of requests for any keys, some of which leave: never two that exclude each
// other, and never a standstill.
func TestLocksUnderStress(t *testing.T) {
	l := newLocks()
	names := []string{"a", "b", "c", "d"}
	var readers, writers [4]atomic.Int32
	var held atomic.Int32
	var all sync.WaitGroup
	for worker := range uint64(16) {
		all.Go(func() {
			rnd := rand.New(rand.NewPCG(worker, 0))
			for range 500 {
				m := mode(rnd.IntN(2) == 0)
				keys := rnd.Perm(len(names))[:1+rnd.IntN(3)]
				var wanted []string
				for _, k := range keys {
					wanted = append(wanted, names[k])
				}
				ctx, cancel := context.WithCancel(t.Context())
				if rnd.IntN(3) == 0 {
					ctx, cancel = context.WithTimeout(t.Context(), time.Duration(rnd.IntN(100))*time.Microsecond)
				}
				release, err := l.acquire(ctx, m, wanted...)
				if err == nil {
					held.Add(1)
					for _, k := range keys {
						checkExclusion(t, m, &readers[k], &writers[k])
					}
					release()
				}
				cancel()
			}
		})
	}
	all.Wait()
	if len(l.keys) != 0 || held.Load() == 0 {
		t.Errorf("%d keys are left, %d requests held theirs", len(l.keys), held.Load())
	}
}

func checkExclusion(t *testing.T, m mode, readers, writers *atomic.Int32) {
	if m == exclusive {
		if writers.Add(1) != 1 || readers.Load() != 0 {
			t.Error("an exclusive holder is not alone")
		}
		writers.Add(-1)
		return
	}
	readers.Add(1)
	if writers.Load() != 0 {
		t.Error("a shared holder beside an exclusive one")
	}
	readers.Add(-1)
}
