package zookeeper

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/holdfast/holdfast/sdk/storage"
	"github.com/holdfast/holdfast/test/servers"
)

func quick(c *Config) { c.SessionTimeout, c.RecordRotation = minSession, 40 }

// No acknowledged commit is lost and no version comes twice while the leader of the store
// dies, again and again.
func TestLeaderKilledUnderLoad(t *testing.T) {
	t.Parallel()
	cluster := servers.ZooKeeperEnsemble(t, 3)
	c := newCommitter(openAt(t, cluster.Address(), quick))
	for range 4 {
		for range 100 {
			c.one(t)
		}
		leader := cluster.Leader()
		killed := time.Now()
		leader.Kill()
		c.one(t)
		t.Logf("first commit %v after the leader was killed", time.Since(killed).Round(time.Millisecond))
		for range 20 {
			c.one(t)
		}
		leader.Restart()
	}
	c.check(t)
	t.Logf("%d commits, %d outcomes unknown at first", c.n, c.unknown)
}

// A member that is frozen is left for another; its sessions expire meanwhile, and when it
// goes on nothing old comes out of it.
func TestSessionExpiresDuringCommits(t *testing.T) {
	t.Parallel()
	cluster := servers.ZooKeeperEnsemble(t, 3, "syncLimit=2") // a frozen leader is replaced after a second
	c := newCommitter(openAt(t, cluster.Address(), quick))
	for range 4 {
		poll(t, "wait until all members serve", func(context.Context) error {
			for _, m := range cluster.Members {
				if m.Mode() == "" {
					return errors.New(m.Address + " does not")
				}
			}
			return nil
		})
		for range 30 {
			c.one(t)
		}
		s, err := c.b.link.session(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var member *servers.ZooKeeperServer
		for _, m := range cluster.Members {
			if m.Address == s.address {
				member = m
			}
		}
		id, mode := fmt.Sprintf("0x%x", s.zc.SessionID()), member.Mode()
		member.Pause()
		frozen := time.Now()
		c.one(t)
		t.Logf("first commit %v after the member, a %s, was frozen", time.Since(frozen).Round(time.Millisecond), mode)
		for range 20 {
			c.one(t)
		}
		poll(t, "wait until the session has expired", func(context.Context) error {
			if strings.Contains(cluster.Leader().Ask("dump"), id) {
				return errors.New("it is still there")
			}
			return nil
		})
		member.Resume()
		c.one(t)
	}
	c.check(t)
	t.Logf("%d commits, %d outcomes unknown at first", c.n, c.unknown)
}

func TestFrozenServer(t *testing.T) {
	t.Parallel()
	server := servers.ZooKeeper(t)
	b := openAt(t, server.Address, quick)
	v := mustCommit(t, b, storage.Guard{Key: "guard", Value: []byte("1")})
	watched := make(chan error, 1)
	go func() {
		_, err := b.Watch(t.Context(), "guard", v)
		watched <- err
	}()
	server.Pause()
	started := time.Now()
	_, err := b.Get(t.Context(), "guard")
	if !errors.Is(err, storage.ErrUnavailable) || !strings.Contains(err.Error(), server.Address) {
		t.Errorf("get: %v, want ErrUnavailable that names the server", err)
	}
	// The server is known to be gone now: the kernel takes connections, so nothing was sent.
	_, err = b.Commit(t.Context(), storage.Guard{Key: "guard", Version: v, Value: []byte("2")}, nil)
	if storage.OutcomeOf(err) != storage.Unapplied || !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("commit: %v (%v), want ErrUnavailable, not applied", err, storage.OutcomeOf(err))
	}
	if err := <-watched; !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("watch: %v, want ErrUnavailable", err)
	}
	if took := time.Since(started); took > 5*time.Second {
		t.Errorf("it took %v to give up on a frozen server", took)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := b.Get(ctx, "guard"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("get with a deadline: %v, want context.DeadlineExceeded", err)
	}
	server.Resume()
	poll(t, "commit again", func(ctx context.Context) error {
		_, err := b.Commit(ctx, storage.Guard{Key: "guard", Version: v, Value: []byte("3")}, nil)
		return err
	})
}

func TestCommitToFrozenServerIsUnknown(t *testing.T) {
	t.Parallel()
	server := servers.ZooKeeper(t)
	b := openAt(t, server.Address) // with time enough to send the commit
	guard := storage.Guard{Key: "guard", Value: []byte("1")}
	guard.Version = mustCommit(t, b, guard)
	server.Pause()
	_, err := b.Commit(t.Context(), guard, nil) // nothing to read first: it is sent at once
	if storage.OutcomeOf(err) != storage.Unknown || !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("commit: %v (%v), want ErrUnavailable, outcome unknown", err, storage.OutcomeOf(err))
	}
	server.Resume()
	var item storage.Item
	poll(t, "get", func(ctx context.Context) (err error) {
		item, err = b.Get(ctx, "guard")
		return err
	})
	if _, err := b.Commit(t.Context(), guard, nil); (item.Version == guard.Version) != (err == nil) {
		t.Errorf("the guard is at %q, it was at %q, and the same commit again gives %v", item.Version, guard.Version, err)
	}
}
