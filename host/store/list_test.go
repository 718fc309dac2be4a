package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/holdfast/holdfast/host/ha"
)

// list is a List in the background.
func (f *fixture) list(prefix string) (names *[]string, r *result) {
	ctx := f.begin()
	names = new([]string)
	return names, f.start(func() error {
		var err error
		*names, err = f.List(ctx, prefix)
		return err
	})
}

func TestListHoldsBackWritesBelowItsPrefix(t *testing.T) {
	run(t, func(f *fixture) {
		f.storage.set("dir/a", "1")
		release := f.storage.hold()
		names, r := f.list("dir/")
		below, beside := f.put("dir/b", "2"), f.put("elsewhere", "3")
		f.equal("batch during the List", f.commit(), "[elsewhere=3]")
		f.equal("beside", beside.wait(), nil)
		f.equal("below", below.pending(), true)

		f.woken()
		f.commit()
		f.equal("woken: nothing can be committed", f.woken(), false)
		release()
		f.equal("list", r.wait(), nil)
		f.equal("names", *names, "[a]")
		f.equal("woken when the List ends", f.woken(), true)
		f.equal("batch after it", f.commit(), "[dir/b=2]")
		f.equal("below", below.wait(), nil)
	})
}

func TestListWaitsForWritesInFlight(t *testing.T) {
	run(t, func(f *fixture) {
		f.put("dir/b", "2")
		f.storage.apply(f.Take())
		names, r := f.list("dir/")
		_, other := f.list("other/")
		f.equal("another directory does not wait", other.pending(), false)
		f.equal("waits", r.pending(), true)
		f.Resolve(ha.Applied, nil)
		f.equal("list", r.wait(), nil)
		f.equal("names", *names, "[b]")
	})
}

// Lists without a break must not keep a write back for ever, nor writes a List.
func TestListAndWritesTakeTurns(t *testing.T) {
	run(t, func(f *fixture) {
		release := f.storage.hold()
		_, first := f.list("dir/")
		write := f.put("dir/a", "1")
		f.equal("held back", f.commit(), "[]")
		second, r := f.list("dir/") // comes after the write
		release()
		f.equal("first List", first.wait(), nil)
		f.equal("second List waits for the write", r.pending(), true)
		f.storage.apply(f.Take())
		next := f.put("dir/b", "2")
		f.Resolve(ha.Applied, nil)
		f.equal("write", write.wait(), nil)
		f.equal("second List", r.wait(), nil)
		f.equal("names", *second, "[a]")
		f.equal("next batch", f.commit(), "[dir/b=2]")
		f.equal("next write", next.wait(), nil)
	})
}

func TestListIsNotKeptByAWriteThatLeft(t *testing.T) {
	run(t, func(f *fixture) {
		release := f.storage.hold()
		_, first := f.list("dir/")
		ctx, cancel := context.WithCancel(f.begin())
		write := f.start(func() error { return f.Put(ctx, "dir/a", nil) })
		f.commit()
		_, second := f.list("dir/")
		release()
		f.equal("first List", first.wait(), nil)
		f.equal("second List waits for the write", second.pending(), true)
		cancel()
		if err := write.wait(); !errors.Is(err, ErrNotActive) {
			t.Errorf("write: %v", err)
		}
		f.equal("second List waits", second.pending(), false)
		f.equal("second List", second.wait(), nil)
	})
}

func TestListIsOneStateOverItsPages(t *testing.T) {
	run(t, func(f *fixture) {
		const n = 2*listPage + 1
		for i := range n {
			f.storage.items[fmt.Sprintf("dir/%06d", i)] = nil
		}
		names, r := f.list("dir/")
		f.equal("list", r.wait(), nil)
		f.equal("names", len(*names), n)
		f.equal("last", (*names)[n-1], fmt.Sprintf("%06d", n-1))
	})
}

func TestListErrors(t *testing.T) {
	run(t, func(f *fixture) {
		f.storage.hold()
		_, r := f.list("dir/")
		if err := r.wait(); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a store that hangs: %v", err)
		}
		write := f.put("dir/a", "1")
		f.equal("writes go on", f.commit(), "[dir/a=1]")
		f.equal("write", write.wait(), nil)
	})
}

// A List that hangs ends with its tenure, and holds nothing back in the next.
func TestListEndsWithItsTenure(t *testing.T) {
	run(t, func(f *fixture) {
		release := f.storage.hold()
		_, r := f.list("dir/")
		f.Shut()
		if err := r.wait(); !errors.Is(err, ErrNotActive) {
			t.Errorf("list: %v, want %v", err, ErrNotActive)
		}
		release()
		f.open()
		write := f.put("dir/a", "1")
		f.equal("batch of the next tenure", f.commit(), "[dir/a=1]")
		f.equal("write", write.wait(), nil)
	})
}

// A write that a List holds back for too long says so.
func TestWriteHeldBackByAListSaysSo(t *testing.T) {
	run(t, func(f *fixture) {
		defer f.storage.hold()()
		ctx := f.beginFor(2 * DefaultHold)
		f.start(func() error { _, err := f.List(ctx, "dir/"); return err })
		write := f.start(func() error { return f.Put(ctx, "dir/a", []byte("1")) })
		f.commit()
		if err := write.wait(); !errors.Is(err, ErrNotActive) || !strings.Contains(err.Error(), "List") {
			t.Errorf("write: %v, want one that names the List", err)
		}
	})
}
