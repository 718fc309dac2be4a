package store

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast/holdfast/host/ha"
)

// A pair of names, one on the first page and one on the last, comes and goes in one batch.
// However the pages of Lists and the batches interleave, no List shows half a pair.
func TestListNeverShowsHalfAPair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, Config{})
		f.open()
		for i := range listPage + 1 {
			f.storage.items[fmt.Sprintf("dir/m%06d", i)] = nil
		}
		f.storage.delay = 7 * time.Millisecond // for each page
		stop := make(chan struct{})
		var others sync.WaitGroup
		others.Go(func() { commitAll(f, stop) })
		pairs := 0
		others.Go(func() {
			for ; !closed(stop); pairs++ {
				if err := movePair(f, pairs%2 == 0); err != nil && !closed(stop) {
					t.Errorf("update: %v", err)
					return
				}
			}
		})
		seen := map[bool]int{}
		for range 16 {
			names, err := f.List(f.begin(), "dir/")
			if err != nil {
				t.Fatal(err)
			}
			first, last := names[0] == "a", names[len(names)-1] == "z"
			if first != last {
				t.Errorf("the list has the first of the pair: %t, the last: %t", first, last)
			}
			seen[first]++
			time.Sleep(3 * time.Millisecond) // of the bubble: time for some batches
		}
		close(stop)
		others.Wait()
		f.Shut()
		f.Close()
		if pairs < 16 || seen[true] == 0 || seen[false] == 0 {
			t.Errorf("%d changes, %d lists with the pair and %d without: they did not meet", pairs, seen[true], seen[false])
		}
	})
}

// movePair makes the pair, or takes it away.
func movePair(f *fixture, there bool) error {
	ends := []string{"dir/a", "dir/z"}
	return f.Update(f.begin(), ends, func(tx Tx) error {
		for _, key := range ends {
			if there {
				tx.Put(key, nil)
			} else {
				tx.Delete(key)
			}
		}
		return nil
	})
}

// commitAll is a driver whose Commits take a millisecond and succeed.
func commitAll(f *fixture, stop <-chan struct{}) {
	for !closed(stop) {
		ops := f.Take()
		time.Sleep(time.Millisecond) // of the bubble
		f.storage.apply(ops)
		f.Resolve(ha.Applied, nil)
	}
	f.Shut() // whoever waits still
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
