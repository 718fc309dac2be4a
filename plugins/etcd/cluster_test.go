package etcd

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/holdfast/holdfast/sdk/storage"
	"github.com/holdfast/holdfast/test/servers"
)

// A node that lives through the loss of one leader of the store after the other: no
// Commit that was acknowledged is lost, each is applied once, and no version comes twice.
func TestLeaderKilledDuringCommits(t *testing.T) {
	t.Parallel()
	cluster := servers.EtcdCluster(t, 3)
	b := openAt(t, cluster.Address())
	ctx, cancel := context.WithTimeout(t.Context(), 4*patience)
	defer cancel()

	w := &writer{b: b, versions: map[storage.Version]bool{}}
	stop, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- w.run(ctx, stop) }()
	watched := make(chan watched, 1)
	go func() { watched <- watchOn(ctx, b, "never", "") }()
	for range 3 {
		before := w.reached(ctx, t, 50)
		leader := cluster.Leader()
		leader.Kill()
		w.reached(ctx, t, before+50)
		leader.Restart()
	}
	close(stop)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if err := b.Write(ctx, []storage.Op{storage.Put("never", nil)}); err != nil {
		t.Fatal(err)
	}
	if got := <-watched; got.err != nil {
		t.Errorf("a key watched all the time: %v, want the change", got.err)
	}

	names, err := b.List(ctx, "log/", "", 0)
	if err != nil || len(names) != w.count {
		t.Errorf("the store has %d entries, %v, want the %d acknowledged", len(names), err, w.count)
	}
	for i, name := range names {
		if want := fmt.Sprintf("%06d", i+1); name != want {
			t.Fatalf("entry %d is %s, want %s", i, name, want)
		}
	}
	t.Logf("%d commits, %d of them resolved after an unknown outcome", w.count, w.resolved)
}

// writer commits entry after entry as the host does: what has an unknown outcome is sent
// again, byte for byte, and a conflict is resolved by reading.
type writer struct {
	b        declared
	count    int // acknowledged
	resolved int
	versions map[storage.Version]bool
}

func (w *writer) run(ctx context.Context, stop <-chan struct{}) error {
	guard := storage.Guard{Key: "guard"}
	for {
		select {
		case <-stop:
			return nil
		default:
		}
		guard.Value = fmt.Appendf(nil, "%06d", w.count+1)
		op := storage.Put("log/"+string(guard.Value), nil)
		version, err := w.commit(ctx, guard, op)
		if err != nil {
			return fmt.Errorf("commit %s: %w", guard.Value, err)
		}
		if w.versions[version] {
			return fmt.Errorf("commit %s: the version %s comes a second time", guard.Value, version)
		}
		w.versions[version] = true
		guard.Version, guard.Prev = version, guard.Value
		w.count++
	}
}

// commit returns when guard.Value is in the store.
func (w *writer) commit(ctx context.Context, guard storage.Guard, op storage.Op) (storage.Version, error) {
	unknown := false
	for {
		cctx, cancel := context.WithTimeout(ctx, time.Second)
		version, err := w.b.Commit(cctx, guard, []storage.Op{op})
		cancel()
		switch {
		case err == nil:
			return version, nil
		case ctx.Err() != nil:
			return "", err
		case errors.Is(err, storage.ErrConflict) && unknown:
			item, err := w.b.Get(ctx, guard.Key)
			if err != nil {
				continue // asked again after the next conflict
			}
			if string(item.Value) != string(guard.Value) {
				return "", fmt.Errorf("the guard has %q", item.Value)
			}
			w.resolved++
			return item.Version, nil
		case errors.Is(err, storage.ErrConflict):
			return "", err
		case storage.OutcomeOf(err) == storage.Unknown:
			unknown = true
		}
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return "", err
		}
	}
}

// reached waits until the store has n entries and returns how many it has.
func (w *writer) reached(ctx context.Context, t *testing.T, n int) (count int) {
	t.Helper()
	poll(t, fmt.Sprintf("reach %d commits", n), func(context.Context) error {
		item, err := w.b.Get(ctx, "guard")
		if err != nil {
			return err
		}
		if _, err := fmt.Sscan(string(item.Value), &count); err != nil {
			return err
		}
		if count < n {
			return fmt.Errorf("there are %d", count)
		}
		return nil
	})
	return count
}

// A member that stands still costs one request its deadline, then the others are asked.
func TestMemberFrozen(t *testing.T) {
	t.Parallel()
	cluster := servers.EtcdCluster(t, 3)
	leader := cluster.Leader()
	var frozen *servers.EtcdServer
	for _, m := range cluster.Members {
		if m != leader {
			frozen = m
		}
	}
	// The one that will stand still is the one that is asked.
	b := openAt(t, frozen.Address+","+cluster.Address())
	guard := storage.Guard{Key: "guard", Value: []byte("1")}
	guard.Version = mustCommit(t, b, guard)
	guard.Prev, guard.Value = guard.Value, []byte("2")
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	watched := watch(ctx, b, "guard", guard.Version)

	frozen.Pause()
	short, stop := context.WithTimeout(ctx, time.Second)
	_, err := b.Commit(short, guard, nil)
	stop()
	if storage.OutcomeOf(err) != storage.Unknown || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("commit to a frozen member: %v (%v), want the deadline, outcome unknown", err, storage.OutcomeOf(err))
	}
	started := time.Now()
	guard.Version = mustCommit(t, b, guard)
	if took := time.Since(started); took > time.Second {
		t.Errorf("the commit after that took %v, want another member to answer", took)
	}
	if w := <-watched; w.err != nil || w.item.Version != guard.Version {
		t.Errorf("watch at a frozen member: at %q, %v, want %q", w.item.Version, w.err, guard.Version)
	}

	// A read is made of another member within its deadline.
	b.members.current.Store(0)
	short, stop = context.WithTimeout(ctx, time.Second)
	defer stop()
	if item, err := b.Get(short, "guard"); err != nil || item.Version != guard.Version {
		t.Errorf("get while a member is frozen: at %q, %v, want %q", item.Version, err, guard.Version)
	}
	frozen.Resume()
	frozen.Kill()
	b.members.current.Store(0)
	guard.Prev, guard.Value = guard.Value, []byte("after the kill")
	poll(t, "a commit after a member was killed", func(ctx context.Context) error {
		_, err := b.Commit(ctx, guard, nil)
		if errors.Is(err, storage.ErrConflict) {
			return nil // the one before, which broke off with the connection, was applied
		}
		return err
	})
}

// Without a majority nothing is read and nothing written, and afterwards all goes on.
func TestNoMajority(t *testing.T) {
	t.Parallel()
	cluster := servers.EtcdCluster(t, 3)
	b := openAt(t, cluster.Address(), func(c *Config) { c.RequestTimeout = time.Second })
	guard := storage.Guard{Key: "guard", Value: []byte("1")}
	guard.Version = mustCommit(t, b, guard)
	guard.Prev = guard.Value
	cluster.Members[0].Kill()
	cluster.Members[1].Kill()
	if _, err := b.Get(t.Context(), "guard"); !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("get without a majority: %v, want ErrUnavailable", err)
	}
	poll(t, "a commit that is refused for want of a leader", func(ctx context.Context) error {
		_, err := b.Commit(ctx, guard, nil)
		switch {
		case err == nil || !errors.Is(err, storage.ErrUnavailable):
			t.Fatalf("commit without a majority: %v, want ErrUnavailable", err)
		case storage.OutcomeOf(err) != storage.Unapplied:
			return err // the member still hopes for the leader it had
		}
		return nil
	})
	cluster.Restart()
	poll(t, "a commit after the majority is back", func(ctx context.Context) error {
		_, err := b.Commit(ctx, guard, nil)
		if errors.Is(err, storage.ErrConflict) {
			return nil // one of those with an unknown outcome was applied
		}
		return err
	})
}

// A watch notices that the store was taken back to a state in which the version it waits
// at is not reached yet.
func TestWatchAcrossRestore(t *testing.T) {
	t.Parallel()
	cluster := servers.EtcdCluster(t, 1)
	b := openAt(t, cluster.Address())
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	guard := storage.Guard{Key: "guard", Value: []byte("1")}
	first := mustCommit(t, b, guard)
	snapshot := cluster.Snapshot()
	guard.Version, guard.Prev = first, guard.Value
	second := mustCommit(t, b, guard)
	watched := make(chan watched, 1)
	go func() { watched <- watchOn(ctx, b, "guard", second) }()
	cluster.Restore(snapshot)
	if w := <-watched; w.err != nil || w.item.Version != first {
		t.Errorf("watch: at %q, %v, want the older %q", w.item.Version, w.err, first)
	}
}

// sync finds the members that the configuration does not name.
func TestSync(t *testing.T) {
	t.Parallel()
	cluster := servers.EtcdCluster(t, 3)
	one := cluster.Members[0]
	for _, sync := range []bool{false, true} {
		c := configured(one.Address)
		c.Sync = sync
		b := openWith(t, hclog.NewNullLogger(), c)
		want := 1
		if sync {
			want = 3
		}
		if got := len(b.members.list); got != want {
			t.Errorf("sync %t: %d members are used, want %d", sync, got, want)
		}
	}
}
