package storefaults

import (
	"errors"
	"fmt"
	"testing"

	hostplugin "github.com/holdfast/holdfast/host/plugin"
	"github.com/holdfast/holdfast/sdk/storage"
	"github.com/holdfast/holdfast/test/harness"
	"github.com/holdfast/holdfast/test/servers"
)

// restorable is a store that can be taken back to an older state.
type restorable struct {
	site
	save    func() (state string)
	restore func(state string)
	// repeats: after the restore, versions are given a second time.
	repeats bool
}

// A store that is taken back to an older state while a node lives: the node's guard, which is
// from a future that never was, matches nothing any more, whatever others have written
// since. The node is told of a conflict, reads, and can go on from what is there.
func TestRestoredToAnOlderState(t *testing.T) {
	for _, row := range []struct {
		name  string
		start func(t *testing.T) restorable
	}{
		{"consul, snapshot restored", func(t *testing.T) restorable {
			t.Helper()
			s := servers.Consul(t, servers.CheckTokens)
			s.Policy("holdfast", consulRules)
			return restorable{consulSite(s).with("token", s.Token("holdfast")), s.Snapshot, s.Restore, false}
		}},
		{"consul, snapshot restored into a new cluster", func(t *testing.T) restorable {
			t.Helper()
			s := servers.Consul(t, servers.CheckTokens)
			s.Policy("holdfast", consulRules)
			return restorable{consulSite(s).with("token", s.Token("holdfast")), s.Snapshot, s.RestoreAnew, true}
		}},
		{"etcd, snapshot restored", func(t *testing.T) restorable {
			t.Helper()
			c := servers.EtcdCluster(t, 1)
			return restorable{etcdSite(c), c.Snapshot, c.Restore, true}
		}},
		{"zookeeper, data directory put back", func(t *testing.T) restorable {
			t.Helper()
			s := servers.ZooKeeper(t)
			return restorable{zookeeperSite(s), s.Backup, s.PutBack, true}
		}},
	} {
		t.Run(row.name, func(t *testing.T) { row.start(t).check(t) })
	}
}

// lostCommits are made after the state that is restored.
const lostCommits = 40

func (r restorable) check(t *testing.T) {
	t.Helper()
	node := r.open(t)
	guard := storage.Guard{Key: "record", Value: []byte("old")}
	guard = mustCommit(t, node, guard, storage.Put("kept", []byte("kept")))
	old := guard
	state := r.save()

	for i := range lostCommits {
		guard.Value = fmt.Appendf(nil, "mine %d", i)
		guard = mustCommit(t, node, guard, storage.Put("forgotten", nil))
	}
	watched := watchFor(t, node, "record", guard.Version)
	r.restore(state)

	// Somebody else changes the record: where versions repeat, up to the one that the node
	// believes in.
	other := r.open(t)
	theirs := old
	for i := 0; i < 4*lostCommits && theirs.Version != guard.Version; i++ {
		theirs.Value = fmt.Appendf(nil, "theirs %d", i)
		theirs = mustCommit(t, other, theirs)
	}
	t.Logf("the node believes in %q; the record is at %q", guard.Version, theirs.Version)
	if !r.repeats && theirs.Version == guard.Version {
		t.Errorf("version %q was given a second time", theirs.Version)
	}

	guard.Value = []byte("late")
	var err error
	harness.Eventually(t, "the node's commit is answered", func() error {
		_, err = node.Commit(within(t), guard, []storage.Op{storage.Put("late", nil)})
		if errors.Is(err, storage.ErrUnavailable) {
			return err
		}
		return nil
	})
	if !errors.Is(err, storage.ErrConflict) {
		t.Errorf("commit at a version from before the restore: %v, want ErrConflict", err)
	}
	if err := <-watched; err != nil && !typed(err) {
		t.Errorf("the watch that the restore overtook: %v", err)
	}
	for key, want := range map[string]error{"kept": nil, "forgotten": storage.ErrNotFound, "late": storage.ErrNotFound} {
		if _, err := node.Get(within(t), key); !errors.Is(err, want) {
			t.Errorf("get %q after the restore: %v, want %v", key, err, want)
		}
	}
	item, err := node.Get(within(t), "record")
	if err != nil || string(item.Value) != string(theirs.Value) || item.Version != theirs.Version {
		t.Errorf("the record is %q at %q, %v, want what the other wrote, at %q", item.Value, item.Version, err, theirs.Version)
	}
	mustCommit(t, node, storage.Guard{Key: "record", Version: item.Version, Prev: item.Value, Value: []byte("go on")})
}

// mustCommit returns the guard as it is after a Commit, which may have to wait for the store
// to come up.
func mustCommit(t *testing.T, node *hostplugin.Storage, guard storage.Guard, ops ...storage.Op) storage.Guard {
	t.Helper()
	unknown := false
	harness.Eventually(t, "commit", func() error {
		version, err := node.Commit(within(t), guard, ops)
		if errors.Is(err, storage.ErrConflict) && unknown {
			version, err = settle(within(t), node, guard, err)
		}
		if err == nil {
			guard.Version, guard.Prev = version, guard.Value
		}
		unknown = unknown || storage.OutcomeOf(err) == storage.Unknown
		return err
	})
	return guard
}
