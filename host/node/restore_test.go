package node

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast/holdfast/host/api"
	"github.com/holdfast/holdfast/host/ha"
	"github.com/holdfast/holdfast/host/internal/fakestorage"
)

// accept is the operator's word. It may have to be said again: a former active node's
// lease has to run out first.
func (n *testNode) accept() {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), 10*time.Second)
	defer cancel()
	if err := n.AcceptRestore(ctx, rootToken); err != nil {
		n.t.Fatal(err)
	}
}

// refuses reports whether n answers a read and a write with 503 and a text that says what
// happened and what to do.
func (n *testNode) refuses(what string) bool {
	for _, resp := range []*api.Response{n.request("GET", "kv/data/a", ""), n.request("POST", "kv/data/a", `{"data":{"v":"x"}}`)} {
		if text := string(resp.Body); resp.Status != http.StatusServiceUnavailable ||
			!strings.Contains(text, what) || !strings.Contains(text, "operator accept-restore") {
			return false
		}
	}
	return strings.Contains(n.Status().RecordError, what) && n.Status().Role == api.RoleStandby
}

// quick makes nodes that do not hold requests for long.
func quick(cfg *Config, _ *fakestorage.Node) { cfg.Hold = 300 * time.Millisecond }

// newQuick is newActive with one node that does not hold requests for long.
func newQuick(t *testing.T) (*testCluster, *testNode) {
	t.Helper()
	c := newCluster(t, 0)
	first := c.open(quick)
	c.nodes = append(c.nodes, first)
	c.init()
	c.unseal(first)
	c.await("active", func() bool { return first.Status().Role == api.RoleActive })
	if resp := first.request("POST", "sys/mounts/kv", `{"type":"kv","options":{"version":"2"}}`); resp.Status != http.StatusNoContent {
		t.Fatalf("mount kv/: %d %s", resp.Status, resp.Body)
	}
	return c, first
}

// join adds a node, and waits until the active one has it in its books.
func (c *testCluster) join(active *testNode) *testNode {
	c.t.Helper()
	n := c.open(quick)
	c.nodes = append(c.nodes, n)
	c.unseal(n)
	c.await("the node is attached", func() bool {
		return slices.ContainsFunc(active.Status().Members, func(m api.Member) bool { return m.APIAddress == n.cfg.APIAddress })
	})
	return n
}

// A record that was deleted, garbled or put back stops the cluster until the operator's word,
// which any node takes, and which goes on from what the store holds.
func TestDamagedRecordAndTheWayBack(t *testing.T) {
	for name, test := range map[string]struct {
		harm func(c *testCluster, older []byte)
		want string
		lost bool // the last write, with the rest of the store
	}{
		"deleted":     {func(c *testCluster, _ []byte) { c.storage.Delete(ha.RecordKey) }, "missing", false},
		"empty":       {func(c *testCluster, _ []byte) { c.storage.Put(ha.RecordKey, nil) }, "can not be read", false},
		"foreign":     {func(c *testCluster, _ []byte) { c.storage.Put(ha.RecordKey, []byte("garbage")) }, "can not be read", false},
		"truncated":   {func(c *testCluster, older []byte) { c.storage.Put(ha.RecordKey, older[:len(older)/2]) }, "can not be read", false},
		"bit flipped": {func(c *testCluster, older []byte) { older[len(older)-1] ^= 1; c.storage.Put(ha.RecordKey, older) }, "can not be read", false},
		"put back":    {func(c *testCluster, older []byte) { c.storage.Put(ha.RecordKey, older) }, "went back", false},
		"of another key": {func(c *testCluster, _ []byte) {
			item, _ := c.storage.Item("hf/cluster") // sealed by the same barrier, for another key
			c.storage.Put(ha.RecordKey, item.Value)
		}, "can not be read", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, active := newQuick(t)
			standby := c.join(active)
			older, _ := c.storage.Item(ha.RecordKey)
			if got := active.put("a", "1"); got != http.StatusOK {
				t.Fatalf("write: %d", got)
			}
			test.harm(c, slices.Clone(older.Value))
			for _, n := range c.nodes {
				c.await("the damage is named", func() bool { return n.refuses(test.want) })
			}
			if err := standby.AcceptRestore(t.Context(), "hvs.guess"); !errors.Is(err, api.ErrPermission) {
				t.Errorf("accepted by a wrong token: %v", err)
			}
			standby.accept()
			for _, n := range c.nodes {
				c.await("it goes on", func() bool { return n.holds("a", "1") && n.put("a2", "2") == http.StatusOK })
				if st := n.Status(); st.Generation != 1 || st.RecordError != "" {
					t.Errorf("after it: %+v", st)
				}
			}
			if err := active.AcceptRestore(t.Context(), rootToken); !errors.Is(err, ha.ErrNothingToAccept) {
				t.Errorf("accept what is as it should be: %v", err)
			}
			resp := active.request("GET", "sys/ha-status/terms", "")
			for _, want := range []string{"an operator accepted the store as it was", test.want, "nobody was active before"} {
				if !strings.Contains(string(resp.Body), want) {
					t.Errorf("the history does not say %q: %s", want, resp.Body)
				}
			}
		})
	}
}

// A node that has just been unsealed can not know that the store was restored. It asks those that
// do before it takes over, also those that were never active.
func TestFreshNodeOnARestoredStore(t *testing.T) {
	c, active := newQuick(t)
	witness := c.join(active)
	c.await("the store knows of the witness", func() bool {
		s := active.session.Load()
		plain, err := direct{active.conn, s.barrier, s.reloadKeyring}.Get(t.Context(), rosterKey)
		return err == nil && strings.Contains(string(plain), witness.cfg.ClusterAddress)
	})
	restore := c.storage.Snapshot()
	if got := active.put("a", "1"); got != http.StatusOK {
		t.Fatalf("write: %d", got)
	}
	later := active.driverSnapshot().Seen
	c.await("the witness is as far", func() bool { return !witness.driverSnapshot().Seen.Lacks(later) })
	active.conn.FailAll(fakestorage.LoseCall) // it is lost, without a word
	restore()
	c.await("the witness knows", func() bool { return witness.Status().RecordError != "" })
	active.Close(t.Context())

	fresh := c.open(quick)
	c.unseal(fresh)
	c.await("the fresh node was told", func() bool { return fresh.refuses("went back") })
	<-time.After(5 * timing.Lease)
	if got := fresh.Status(); got.Role != api.RoleStandby || got.RecordError == "" {
		t.Errorf("it went on: %+v", got)
	}
	fresh.accept()
	for _, n := range []*testNode{fresh, witness} {
		c.await("the old state is served", func() bool { status, _ := n.get("a"); return status == http.StatusNotFound })
	}
}

// When nobody who knows can be reached, a node goes on from the restored store. It stops as soon
// as one can.
func TestRestoreThatBecomesKnown(t *testing.T) {
	c, active := newQuick(t)
	restore := c.storage.Snapshot() // of before the witness joined: the store does not know of it
	witness := c.join(active)
	if got := active.put("a", "1"); got != http.StatusOK {
		t.Fatalf("write: %d", got)
	}
	later := active.driverSnapshot().Seen
	c.await("the witness is as far", func() bool { return !witness.driverSnapshot().Seen.Lacks(later) })
	witness.conn.FailAll(fakestorage.Hang)
	active.conn.FailAll(fakestorage.LoseCall)
	active.Close(t.Context())
	restore()

	fresh := c.open(quick)
	c.unseal(fresh)
	c.await("the fresh node goes on from the old state", func() bool { return fresh.Status().Role == api.RoleActive })
	witness.conn.Heal()
	for _, n := range []*testNode{fresh, witness} {
		c.await("it is known and nothing is served", func() bool { return n.refuses("restored to an older state") })
	}
	witness.accept()
	for _, n := range []*testNode{fresh, witness} {
		c.await("it goes on", func() bool { return n.put("b", "2") == http.StatusOK })
	}
}

// The keys were rotated after the backup was made: what nodes sealed with a key that the restored
// store does not have, nobody could read after the next start.
func TestAcceptRestoreOfAnOlderKeyring(t *testing.T) {
	c, active := newQuick(t)
	standby := c.join(active)
	restore := c.storage.Snapshot()
	if resp := active.request("PUT", "sys/rotate", ""); resp.Status >= 300 {
		t.Fatalf("rotate: %d %s", resp.Status, resp.Body)
	}
	if got := active.put("a", "1"); got != http.StatusOK {
		t.Fatalf("write: %d", got)
	}
	later := active.driverSnapshot().Seen
	c.await("the standby is as far", func() bool { return !standby.driverSnapshot().Seen.Lacks(later) })
	restore()
	for i, n := range []*testNode{active, standby} {
		c.await("the restore is named", func() bool { return strings.Contains(n.Status().RecordError, "restored") })
		if err := n.AcceptRestore(t.Context(), rootToken); !errors.Is(err, ha.ErrNothingToAccept) || !strings.Contains(err.Error(), "seal this node") {
			t.Errorf("accept with a newer keyring: %v", err)
		}
		if err := n.Seal(t.Context(), rootToken); err != nil {
			t.Fatal(err)
		}
		c.unseal(n)
		if i == 0 {
			c.await("the other one told it", func() bool { return n.Status().RecordError != "" })
			n.accept()
			c.await("the other one is told to do likewise", func() bool { return strings.Contains(standby.Status().RecordError, "seal this node") })
		}
		c.await("it goes on", func() bool { return n.put("b", "2") == http.StatusOK })
	}
}

// Operators ask who is there above all when no node is active.
func TestMembersWithoutAnActiveNode(t *testing.T) {
	c, active := newQuick(t)
	standby := c.join(active)
	c.await("the standby was told of both", func() bool { return len(standby.Status().Members) == 2 })
	members := standby.Status().Members
	if members[0].InstanceID == members[1].InstanceID || !members[1].Active || members[1].Role != api.RoleActive ||
		members[0].Attached.IsZero() || members[0].Epoch != 1 || members[1].Epoch != 1 {
		t.Errorf("members: %+v", members)
	}
	c.storage.Delete(ha.RecordKey)
	for _, n := range c.nodes {
		c.await("the damage is named", func() bool { return n.Status().RecordError != "" })
		started := time.Now()
		resp := n.request("GET", "sys/ha-status", "")
		for _, want := range []string{active.cfg.APIAddress, standby.cfg.APIAddress, "record_error", "last_reason"} {
			if resp.Status != http.StatusOK || !strings.Contains(string(resp.Body), want) {
				t.Errorf("members: %d %s, want %q in it", resp.Status, resp.Body, want)
			}
		}
		t.Logf("answered in %v", time.Since(started))
		if resp := n.Route(t.Context(), &api.Request{Method: "GET", Path: "sys/ha-status", Token: "hvs.guess"}); resp.Status != http.StatusForbidden {
			t.Errorf("members for a wrong token: %d", resp.Status)
		}
	}
}

func TestStepDownToANamedNode(t *testing.T) {
	c := newActive(t, 3)
	active, to := c.nodes[0], c.nodes[2]
	for _, name := range []string{"http://nobody", active.cfg.APIAddress} {
		resp := active.request("PUT", "sys/step-down", `{"to":"`+name+`"}`)
		if resp.Status != http.StatusBadRequest || !strings.Contains(string(resp.Body), name) {
			t.Errorf("step down to %s: %d %s", name, resp.Status, resp.Body)
		}
	}
	for _, name := range []string{to.cfg.APIAddress, c.nodes[1].cfg.ClusterAddress, c.nodes[0].Status().Members[0].InstanceID} {
		target := slices.IndexFunc(c.nodes, func(n *testNode) bool {
			return n.cfg.APIAddress == name || n.cfg.ClusterAddress == name || n.Status().Members[0].InstanceID == name
		})
		c.await("the others are attached", func() bool { return len(c.active().Status().Members) == 3 })
		if resp := active.request("PUT", "sys/step-down", `{"node":"`+name+`"}`); resp.Status != http.StatusNoContent {
			t.Fatalf("step down to %s: %d %s", name, resp.Status, resp.Body)
		}
		c.await("it is active", func() bool {
			if c.nodes[target].Status().Role == api.RoleActive {
				return true
			}
			// When the one it is meant for is slow, another node takes over after 200 ms.
			if slices.ContainsFunc(c.nodes, func(n *testNode) bool { return n.Status().Role == api.RoleActive }) {
				active.request("PUT", "sys/step-down", `{"node":"`+name+`"}`)
			}
			return false
		})
		if got := c.nodes[target].Status().LastReason; !strings.Contains(got, "handed over") {
			t.Errorf("reason: %q", got)
		}
	}
	resp := active.request("GET", "sys/ha-status/terms", "")
	if got := strings.Count(string(resp.Body), "an operator asked it to step down"); got < 3 {
		t.Errorf("the history: %s", resp.Body)
	}
}

// active waits until a node is.
func (c *testCluster) active() *testNode {
	c.t.Helper()
	var active *testNode
	c.await("a node is active", func() bool {
		i := slices.IndexFunc(c.nodes, func(n *testNode) bool { return n.Status().Role == api.RoleActive })
		if i >= 0 {
			active = c.nodes[i]
		}
		return i >= 0
	})
	return active
}

func (n *testNode) driverSnapshot() ha.Snapshot { return n.session.Load().driver.Snapshot() }
