package storefaults

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	hostplugin "github.com/holdfast/holdfast/host/plugin"
	"github.com/holdfast/holdfast/sdk/storage"
	"github.com/holdfast/holdfast/test/servers"
)

// What is over a limit that the plugin declares is refused with the limit named, applies
// nothing, and costs no connection; what is at the limit is taken.
func TestOverTheLimits(t *testing.T) {
	for _, s := range stores() {
		t.Run(s.name, func(t *testing.T) {
			store := s.start(t).open(t)
			l := store.Capabilities().Limits
			for _, row := range []struct {
				what  string
				limit int
				ops   func(size int) []storage.Op
			}{
				{"value", l.MaxValueBytes, func(n int) []storage.Op { return []storage.Op{storage.Put("value", make([]byte, n))} }},
				{"key", l.MaxKeyBytes, func(n int) []storage.Op { return []storage.Op{storage.Put(strings.Repeat("k", n), nil)} }},
				{"ops", l.MaxOps, func(n int) []storage.Op { return puts(n, 0) }},
				{"batch", l.MaxBatchBytes, func(n int) []storage.Op { return puts(min(16, l.MaxOps), n) }},
			} {
				c := &committer{store: store, name: row.what}
				c.one(t)
				atLimit := row.ops(row.limit - room(row.what, c.next()))
				wantRefused(t, store, row.what+" over the limit", c.next(), row.ops(row.limit+1), row.limit)
				if item, err := store.Get(within(t), c.guard.Key); err != nil || item.Version != c.guard.Version {
					t.Errorf("%s over the limit: the guard has moved: %v", row.what, err)
				}
				version, err := store.Commit(within(t), c.next(), atLimit)
				if err != nil {
					t.Errorf("%s at the limit: %v", row.what, err)
					continue
				}
				c.guard.Value, c.guard.Version = c.next().Value, version
				c.n++
			}
		})
	}
}

// room is what the guard takes of a limit: bytes of a batch.
func room(what string, guard storage.Guard) int {
	if what != "batch" {
		return 0
	}
	return len(guard.Key) + len(guard.Value)
}

// puts is a batch of n puts that has size bytes, or as few as it can.
func puts(n, size int) []storage.Op {
	ops := make([]storage.Op, n)
	for i := range ops {
		ops[i] = storage.Put(fmt.Sprintf("puts/%04d", i), nil)
		size -= len(ops[i].Key)
	}
	for i := range ops {
		if share := size / (n - i); share > 0 {
			ops[i].Value = make([]byte, share)
			size -= share
		}
	}
	return ops
}

// wantRefused commits what must be refused for its size, with the limit named.
func wantRefused(t *testing.T, store *hostplugin.Storage, what string, guard storage.Guard, ops []storage.Op, limit int) {
	t.Helper()
	_, err := store.Commit(within(t), guard, ops)
	refused := errors.Is(err, storage.ErrTooLarge) || errors.Is(err, storage.ErrInvalidKey) && limit == storage.MaxKeyBytes
	if !refused || storage.OutcomeOf(err) != storage.Unapplied {
		t.Errorf("%s: %v (%v), want ErrTooLarge, not applied", what, err, storage.OutcomeOf(err))
	} else if !strings.Contains(err.Error(), fmt.Sprint(limit)) {
		t.Errorf("%s: the message does not name the limit of %d: %v", what, limit, err)
	}
}

// A server may take less than the plugin was told: that is refused too, with the server's
// setting named, and other calls go on.
func TestServersThatTakeLess(t *testing.T) {
	const most = 128 << 10
	for _, row := range []struct {
		site  func(t *testing.T) site
		words []string
	}{
		{func(t *testing.T) site {
			t.Helper()
			return consulSite(servers.Consul(t, fmt.Sprintf("limits { txn_max_req_len = %[1]d, kv_max_value_size = %[1]d }", most)))
		}, []string{"txn_max_req_len"}},
		{func(t *testing.T) site {
			t.Helper()
			return etcdSite(servers.EtcdCluster(t, 1, fmt.Sprintf("--max-request-bytes=%d", most)))
		}, []string{"--max-request-bytes"}},
		{func(t *testing.T) site {
			t.Helper()
			return zookeeperSite(servers.ZooKeeper(t, fmt.Sprintf("-Djute.maxbuffer=%d", most)))
		}, []string{"jute_maxbuffer", "jute.maxbuffer"}},
	} {
		s := row.site(t)
		t.Run(s.store, func(t *testing.T) {
			store := s.open(t)
			c := &committer{store: store, name: "main"}
			c.one(t)
			stop := work(t, store)
			for range 3 {
				_, err := store.Commit(within(t), c.next(), []storage.Op{storage.Put("large", make([]byte, 2*most))})
				if !errors.Is(err, storage.ErrTooLarge) || storage.OutcomeOf(err) != storage.Unapplied {
					t.Fatalf("commit: %v (%v), want ErrTooLarge, not applied", err, storage.OutcomeOf(err))
				}
				if wrong := s.clear(err, row.words); wrong != nil {
					t.Error(wrong)
				}
				c.one(t)
			}
			if _, err := store.Get(within(t), "large"); !errors.Is(err, storage.ErrNotFound) {
				t.Errorf("get what was refused: %v, want ErrNotFound", err)
			}
			for _, w := range append(stop(), c) {
				w.check(t)
			}
		})
	}
}
