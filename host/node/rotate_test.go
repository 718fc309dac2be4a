package node

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast/holdfast/host/api"
	"github.com/holdfast/holdfast/host/barrier"
	"github.com/holdfast/holdfast/host/ha"
	"github.com/holdfast/holdfast/host/internal/fakestorage"
)

// keyTerm returns the term of the key that the active node seals with.
func (n *testNode) keyTerm() string {
	body := string(n.request("GET", "sys/key-status", "").Body)
	_, rest, _ := strings.Cut(body, `"term":`)
	term, _, _ := strings.Cut(rest, "}")
	return term
}

// sealedWith returns the key term of what the store has at key.
func (c *testCluster) sealedWith(key string) uint32 {
	c.t.Helper()
	item, ok := c.storage.Item(key)
	if !ok {
		c.t.Fatalf("%s is missing", key)
	}
	term, err := barrier.TermOf(item.Value)
	if err != nil {
		c.t.Fatal(err)
	}
	return term
}

// A standby follows a rotation, forwards all the time, and can take over after it.
func TestStandbyFollowsARotation(t *testing.T) {
	c := newActive(t, 2)
	active, standby := c.nodes[0], c.nodes[1]
	active.put("before", "1")
	for range 3 {
		if resp := standby.request("POST", "sys/rotate", ""); resp.Status != http.StatusNoContent {
			t.Fatalf("rotate: %d %s", resp.Status, resp.Body)
		}
	}
	active.put("after", "2")
	c.await("the record is sealed with the newest key", func() bool { return c.sealedWith(ha.RecordKey) == 4 })
	if !standby.holds("before", "1") || !standby.holds("after", "2") {
		t.Error("the standby does not forward")
	}
	active.conn.FailAll(fakestorage.Hang)
	c.await("the standby takes over", func() bool { return standby.Status().Role == api.RoleActive })
	if !standby.holds("before", "1") || !standby.holds("after", "2") {
		t.Error("a value was lost")
	}
	if got := standby.keyTerm(); got != "4" {
		t.Errorf("it seals with term %s, want 4", got)
	}
	active.conn.Heal()
	c.await("the first one comes back", func() bool { return active.holds("after", "2") })
	if err := active.Seal(t.Context(), rootToken); err != nil {
		t.Errorf("seal a standby: %v", err)
	}
}

// The active node dies at every Commit around a rotation, which is applied or not. The
// next one opens everything, and can rotate.
func TestRotationAndDeath(t *testing.T) {
	for _, failure := range []fakestorage.Failure{fakestorage.LoseCall, fakestorage.LoseAnswer} {
		for commit := range int32(4) {
			t.Run(fmt.Sprintf("failure %d from Commit %d on", failure, commit), func(t *testing.T) {
				c := newActive(t, 2)
				active, next := c.nodes[0], c.nodes[1]
				if status := active.put("before", "1"); status != http.StatusOK {
					t.Fatalf("put: %d", status)
				}
				var commits atomic.Int32
				dead := func() bool { return commits.Load() > commit }
				active.conn.Fail(func(call fakestorage.Call) fakestorage.Fault {
					if call != fakestorage.Commit {
						if dead() {
							return fakestorage.Fault{Failure: fakestorage.Hang}
						}
						return fakestorage.Fault{}
					}
					switch n := commits.Add(1) - 1; {
					case n < commit:
						return fakestorage.Fault{}
					case n == commit:
						return fakestorage.Fault{Failure: failure}
					default:
						return fakestorage.Fault{Failure: fakestorage.Hang}
					}
				})
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				rotated := active.requestWithin(ctx, "POST", "sys/rotate", "").Status == http.StatusNoContent
				during := active.requestWithin(ctx, "POST", "kv/data/during", `{"data":{"v":"2"}}`).Status == http.StatusOK
				c.await("the first node is cut off", dead)
				c.await("the other takes over", func() bool { return next.Status().Role == api.RoleActive })
				term := next.keyTerm()
				if rotated && term != "2" {
					t.Errorf("the rotation was acknowledged, and the next node seals with term %s", term)
				}
				if !next.holds("before", "1") || during && !next.holds("during", "2") {
					t.Error("a value that was acknowledged is lost")
				}
				if resp := next.request("POST", "sys/rotate", ""); resp.Status != http.StatusNoContent {
					t.Fatalf("rotate again: %d %s", resp.Status, resp.Body)
				}
				if status := next.put("after", "3"); status != http.StatusOK {
					t.Errorf("put: %d", status)
				}
				active.conn.Heal()
				c.await("the first node forwards", func() bool { return active.holds("after", "3") && active.holds("before", "1") })
				// A node that knows nothing of all this opens everything.
				fresh := c.open()
				c.unseal(fresh)
				c.await("a fresh node reads", func() bool { return fresh.holds("before", "1") && fresh.holds("after", "3") })
				t.Logf("rotation acknowledged: %t; the next node took over with term %s", rotated, term)
			})
		}
	}
}

// Without high availability there is no guard, and the order is the same.
func TestRotationWithoutHA(t *testing.T) {
	c := newCluster(t, 0)
	start := func() *testNode {
		n := c.open(func(_ *Config, conn *fakestorage.Node) { conn.NoHA = true })
		c.nodes = append(c.nodes, n)
		return n
	}
	first := start()
	c.init()
	c.unseal(first)
	c.await("active", func() bool { return first.Status().Role == api.RoleActive })
	if resp := first.request("POST", "sys/mounts/kv", `{"type":"kv","options":{"version":"2"}}`); resp.Status != http.StatusNoContent {
		t.Fatalf("mount kv/: %d %s", resp.Status, resp.Body)
	}
	first.put("before", "1")
	if resp := first.request("POST", "sys/rotate", ""); resp.Status != http.StatusNoContent {
		t.Fatalf("rotate: %d %s", resp.Status, resp.Body)
	}
	first.put("after", "2")
	first.Close(t.Context())
	second := start()
	c.unseal(second)
	c.await("the values are there", func() bool { return second.holds("before", "1") && second.holds("after", "2") })
	if got := second.keyTerm(); got != "2" {
		t.Errorf("it seals with term %s, want 2", got)
	}
}
