package etcd

import (
	"context"
	"errors"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/holdfast/holdfast/sdk/storage"
)

type watched struct {
	item storage.Item
	err  error
}

// watch calls Watch in the background.
func watch(ctx context.Context, b declared, key string, seen storage.Version) <-chan watched {
	done := make(chan watched, 1)
	go func() {
		item, err := b.Watch(ctx, key, seen)
		done <- watched{item, err}
	}()
	return done
}

// watchOn calls Watch again when it finds the store unavailable, as the host does.
func watchOn(ctx context.Context, b declared, key string, seen storage.Version) watched {
	for {
		item, err := b.Watch(ctx, key, seen)
		if !errors.Is(err, storage.ErrUnavailable) || pause(ctx, 20*time.Millisecond) != nil {
			return watched{item, err}
		}
	}
}

// A watch whose revisions are compacted away while it waits still sees what comes.
func testWatchCompaction(t *testing.T, b declared, client *clientv3.Client) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	guard := storage.Guard{Key: "guard", Value: []byte("1")}
	guard.Version = mustCommit(t, b, guard)
	guard.Prev = guard.Value
	done := watch(ctx, b, "guard", guard.Version)
	for deadline := time.Now().Add(2*watchWait + watchWait/2); time.Now().Before(deadline); {
		if err := b.Write(ctx, []storage.Op{storage.Put("other", nil)}); err != nil {
			t.Fatal(err)
		}
		reply, err := client.Get(ctx, "none")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.Compact(ctx, reply.Header.Revision); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case w := <-done:
		t.Fatalf("watch returned %+v while others changed", w)
	default:
	}
	changed := time.Now()
	v := mustCommit(t, b, guard)
	if w := <-done; w.err != nil || w.item.Version != v {
		t.Errorf("watch: at %q, %v, want %q", w.item.Version, w.err, v)
	}
	if took := time.Since(changed); took > watchWait/2 {
		t.Errorf("the change was noticed after %v", took)
	}
	// From a revision that is gone already.
	if w := <-watch(ctx, b, "guard", guard.Version); w.err != nil || w.item.Version != v {
		t.Errorf("watch from a compacted version: at %q, %v, want %q", w.item.Version, w.err, v)
	}
	if item, changed := b.follow(ctx, "guard", v, 1); changed {
		t.Errorf("following from a compacted revision finds %q", item.Version)
	}
}

func testWatchEphemeral(t *testing.T, b declared, _ *clientv3.Client) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	done := watch(ctx, b, "late", "")
	v := mustCommit(t, b, storage.Guard{Key: "late", Value: []byte("1")})
	if w := <-done; w.err != nil || w.item.Version != v || string(w.item.Value) != "1" {
		t.Errorf("watch of an absent key: %q at %q, %v, want %q at %q", w.item.Value, w.item.Version, w.err, "1", v)
	}
	done = watch(ctx, b, "late", v)
	if err := b.Write(ctx, []storage.Op{storage.Delete("late")}); err != nil {
		t.Fatal(err)
	}
	if w := <-done; !errors.Is(w.err, storage.ErrNotFound) {
		t.Errorf("watch of a key that is deleted: %q, %v, want ErrNotFound", w.item.Version, w.err)
	}

	short, stop := context.WithTimeout(ctx, 50*time.Millisecond)
	defer stop()
	if w := <-watch(short, b, "late", ""); !errors.Is(w.err, context.DeadlineExceeded) {
		t.Errorf("watch when nothing changes: %v, want the context's error", w.err)
	}
}

// After a restore a key may be at a lower version than the one seen, or at none.
func testWatchVersionFromElsewhere(t *testing.T, b declared, _ *clientv3.Client) {
	v := mustCommit(t, b, storage.Guard{Key: "guard", Value: []byte("1")})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, seen := range []storage.Version{v + "000", "x", ""} {
		started := time.Now()
		if w := <-watch(ctx, b, "guard", seen); w.err != nil || w.item.Version != v {
			t.Errorf("watch with version %q: at %q, %v, want %q", seen, w.item.Version, w.err, v)
		}
		if took := time.Since(started); took > patience/4 {
			t.Errorf("watch with version %q took %v, want an answer at once", seen, took)
		}
	}
	if w := <-watch(ctx, b, "none", v); !errors.Is(w.err, storage.ErrNotFound) {
		t.Errorf("watch of a key that is gone: %v, want ErrNotFound", w.err)
	}
}
