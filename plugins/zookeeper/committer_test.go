package zookeeper

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/holdfast/holdfast/sdk/storage"
)

// patience is how long a test waits for what must happen.
const patience = 30 * time.Second

// poll calls f until it succeeds.
func poll(t *testing.T, what string, f func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := f(ctx)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: %v", what, err)
		case <-tick.C:
		}
	}
}

func mustCommit(t *testing.T, b declared, guard storage.Guard, ops ...storage.Op) storage.Version {
	t.Helper()
	v, err := b.Commit(t.Context(), guard, ops)
	if err != nil {
		t.Fatalf("commit: %v", err)
	}
	return v
}

func mustWrite(t *testing.T, b declared, ops ...storage.Op) {
	t.Helper()
	if err := b.Write(t.Context(), ops); err != nil {
		t.Fatalf("write: %v", err)
	}
}

func wantConflict(t *testing.T, what string, b declared, guard storage.Guard, ops ...storage.Op) {
	t.Helper()
	_, err := b.Commit(t.Context(), guard, ops)
	if !errors.Is(err, storage.ErrConflict) || storage.OutcomeOf(err) != storage.Unapplied {
		t.Errorf("%s: %v (%v), want ErrConflict", what, err, storage.OutcomeOf(err))
	}
}

// committer commits one batch after the other as the host does: after an unknown outcome
// it makes the same call again, and what a conflict means the guard's value tells. Each
// batch puts a key of its own.
type committer struct {
	b       declared
	version storage.Version
	n       int // batches that are known to be applied
	unknown int // outcomes that were unknown at first
	seen    map[storage.Version]bool
}

func newCommitter(b declared) *committer {
	return &committer{b: b, seen: make(map[storage.Version]bool)}
}

func (c *committer) value() []byte { return fmt.Appendf(nil, "batch %d", c.n+1) }

// one commits the next batch, however long that takes.
func (c *committer) one(t *testing.T) {
	t.Helper()
	guard := storage.Guard{Key: "hf/term", Version: c.version, Value: c.value()}
	op := storage.Put(fmt.Sprintf("data/%d/%06d", c.n%7, c.n+1), c.value())
	asked := false // a conflict may be with an earlier attempt of this batch
	poll(t, "commit", func(ctx context.Context) error {
		actx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		version, err := c.b.Commit(actx, guard, []storage.Op{op})
		switch {
		case errors.Is(err, storage.ErrConflict) && asked:
			item, err := c.b.Get(ctx, guard.Key)
			if err != nil {
				return err
			}
			if string(item.Value) != string(guard.Value) {
				t.Fatalf("after an unknown outcome of batch %d the guard holds %q", c.n+1, item.Value)
			}
			version = item.Version
		case errors.Is(err, storage.ErrConflict):
			t.Fatalf("batch %d conflicts, and nobody else writes: %v", c.n+1, err)
		case storage.OutcomeOf(err) == storage.Unknown:
			asked = true
			c.unknown++
			return err
		case err != nil:
			return err
		}
		if c.seen[version] || version == "" {
			t.Fatalf("version %q was returned before", version)
		}
		c.seen[version], c.version = true, version
		c.n++
		return nil
	})
}

// check looks for every batch.
func (c *committer) check(t *testing.T) {
	t.Helper()
	var found []string
	for dir := range 7 {
		names, err := c.b.List(t.Context(), fmt.Sprintf("data/%d/", dir), "", 0)
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, names...)
	}
	slices.Sort(found)
	if len(found) != c.n {
		t.Errorf("%d batches are there, want %d", len(found), c.n)
	}
	for i, name := range found {
		if want := fmt.Sprintf("%06d", i+1); name != want {
			t.Fatalf("the batch %s is not there, next is %s", want, name)
		}
	}
	item, err := c.b.Get(t.Context(), "hf/term")
	if err != nil || item.Version != c.version {
		t.Errorf("the guard is at %q, %v, want %q", item.Version, err, c.version)
	}
}
