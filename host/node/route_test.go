package node

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast/holdfast/host/api"
	"github.com/holdfast/holdfast/host/internal/fakestorage"
)

func TestStandbyForwards(t *testing.T) {
	c := newActive(t, 2)
	active, standby := c.nodes[0], c.nodes[1]
	if got := standby.put("a", "1"); got != http.StatusOK {
		t.Errorf("write on the standby: %d", got)
	}
	if !active.holds("a", "1") || !standby.holds("a", "1") {
		t.Error("the nodes do not answer alike")
	}
	if status, body := standby.get("none"); status != http.StatusNotFound {
		t.Errorf("what is absent: %d %s", status, body)
	}
	if s := standby.Status(); s.Role != api.RoleStandby || s.LeaderAPIAddr != active.cfg.APIAddress {
		t.Errorf("status of the standby: %+v", s)
	}
}

// P8: the epoch that the sender means travels along, and a mismatch runs nothing.
func TestForwardedRequestOfAnotherEpochIsRefused(t *testing.T) {
	c := newActive(t, 2)
	for epoch, want := range map[uint64]bool{0: true, 1: false, 2: true} {
		req := encodeRequest(epoch, &api.Request{Method: "GET", Path: "sys/mounts", Token: rootToken})
		if resp := c.nodes[0].session.Load().Forward(t.Context(), req); resp.GetRefused() != want || want && resp.GetEpoch() != 1 {
			t.Errorf("epoch %d: %v", epoch, resp)
		}
		if resp := c.nodes[1].session.Load().Forward(t.Context(), req); !resp.GetRefused() {
			t.Errorf("epoch %d on a standby: %v", epoch, resp)
		}
	}
}

// A request that arrives while no node is active is held, and answered by the next one.
func TestRequestIsHeldUntilANodeIsActive(t *testing.T) {
	c := newActive(t, 2)
	active, standby := c.nodes[0], c.nodes[1]
	if active.put("a", "1") != http.StatusOK {
		t.Fatal("write")
	}
	active.session.Load().cancel() // as if killed: the record stays as it is
	if got := standby.put("b", "2"); got != http.StatusOK {
		t.Errorf("a write during the failover: %d", got)
	}
	if !standby.holds("a", "1") || !standby.holds("b", "2") {
		t.Error("a write was lost")
	}
	if standby.Status().Epoch != 2 {
		t.Errorf("epoch %d", standby.Status().Epoch)
	}
}

func TestRequestIsHeldForAsLongAsConfigured(t *testing.T) {
	c := newCluster(t, 0)
	n := c.open(func(cfg *Config, _ *fakestorage.Node) { cfg.Hold = 300 * time.Millisecond })
	c.nodes = []*testNode{n}
	c.init()
	c.unseal(n)
	c.await("active", func() bool { return n.Status().Role == api.RoleActive })
	n.conn.FailAll(fakestorage.Refuse)
	c.await("suspended", func() bool { return n.Status().Role == api.RoleSuspended })
	started := time.Now()
	resp := n.request("POST", "sys/mounts/kv", `{"type":"kv"}`)
	if resp.Status != http.StatusServiceUnavailable || resp.RetryAfter == 0 {
		t.Errorf("answer: %+v", resp)
	}
	if took := time.Since(started); took < 300*time.Millisecond || took > 3*time.Second {
		t.Errorf("answered after %v", took)
	}
	n.conn.Heal()
	if resp := n.request("POST", "sys/mounts/kv", `{"type":"kv"}`); resp.Status != http.StatusNoContent {
		t.Errorf("after the outage: %d %s: the first request ran after all?", resp.Status, resp.Body)
	}
}

// P5: 504 for what may have run, wherever the client is; it is told at its deadline.
func TestUnknownOutcomeIsA504(t *testing.T) {
	c := newActive(t, 2)
	// Every Commit takes 150 ms, so that most writes are in flight 200 ms after they came.
	for _, n := range c.nodes {
		n.conn.Fail(func(call fakestorage.Call) fakestorage.Fault {
			if call == fakestorage.Commit {
				return fakestorage.Fault{Delay: 150 * time.Millisecond}
			}
			return fakestorage.Fault{}
		})
	}
	var refused []string
	for i, n := range c.nodes {
		unknown := 0
		for j := 0; unknown < 3; j++ {
			if j == 200 {
				t.Fatalf("on node %d: of %d writes %d had an unknown outcome, want 3", i, j, unknown)
			}
			key := fmt.Sprintf("u%d-%d", i, j)
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			resp := n.requestWithin(ctx, "POST", "kv/data/"+key, `{"data":{"v":"1"}}`)
			cancel()
			switch resp.Status {
			case http.StatusGatewayTimeout:
				unknown++
			case http.StatusOK:
			case http.StatusServiceUnavailable: // on a busy machine it was not sent in time
				refused = append(refused, key)
			default:
				t.Errorf("on node %d: %d %s", i, resp.Status, resp.Body)
			}
		}
	}
	for _, n := range c.nodes {
		n.conn.Heal()
	}
	for _, key := range refused {
		if status, body := c.nodes[0].get(key); status != http.StatusNotFound {
			t.Errorf("a write that was answered 503 was made: %d %s", status, body)
		}
	}
}

// A node that is sealed does not keep those waiting who asked it before.
func TestSealAnswersWhoIsHeld(t *testing.T) {
	c := newCluster(t, 0)
	n := c.open(func(cfg *Config, _ *fakestorage.Node) { cfg.Hold = 8 * time.Second })
	c.nodes = []*testNode{n}
	c.init()
	c.unseal(n)
	c.await("active", func() bool { return n.Status().Role == api.RoleActive })
	c.storage.Delete("hf/term") // no node can be active
	c.await("standby", func() bool { return n.Status().Role == api.RoleStandby })
	var held atomic.Bool
	answer := make(chan *api.Response, 1)
	go func() {
		held.Store(true)
		answer <- n.request("GET", "sys/mounts", "")
	}()
	c.await("a request", held.Load)
	started := time.Now()
	if err := n.Seal(t.Context(), rootToken); err != nil {
		t.Fatal(err)
	}
	if resp := <-answer; resp.Status != http.StatusServiceUnavailable {
		t.Errorf("answer: %d %s", resp.Status, resp.Body)
	}
	if took := time.Since(started); took > 3*time.Second {
		t.Errorf("answered %v after the seal", took)
	}
}

// Stepping down fails no request, on whichever node it arrives.
func TestStepDownFailsNoRequest(t *testing.T) {
	c := newActive(t, 3)
	ctx, cancel := context.WithCancel(t.Context())
	var written, failed atomic.Int64
	var clients sync.WaitGroup
	for id := range 9 {
		clients.Go(func() {
			n := c.nodes[id%len(c.nodes)]
			for i := 0; ctx.Err() == nil; i++ {
				key := fmt.Sprintf("c%d/%d", id, i%5)
				if got := n.put(key, fmt.Sprint(i)); got != http.StatusOK {
					failed.Add(1)
					t.Errorf("write: %d", got)
				}
				if !n.holds(key, fmt.Sprint(i)) {
					failed.Add(1)
					t.Errorf("what was written is not there")
				}
				written.Add(1)
				if failed.Load() > 5 {
					return
				}
			}
		})
	}
	for i := range 4 {
		before := written.Load()
		c.await("requests run", func() bool { return written.Load() > before+50 || failed.Load() > 0 })
		epoch := c.nodes[0].Status().Epoch
		resp := c.nodes[i%3].request("POST", "sys/step-down", "")
		if resp.Status != http.StatusNoContent {
			t.Errorf("step-down: %d %s", resp.Status, resp.Body)
		}
		c.await("a new epoch", func() bool { return c.nodes[0].Status().Epoch > epoch })
	}
	cancel()
	clients.Wait()
	t.Logf("%d requests over %d epochs", written.Load()*2, c.nodes[0].Status().Epoch)
}

// Closing the active node, as SIGTERM does, fails no request on the others.
func TestCloseHandsOver(t *testing.T) {
	c := newActive(t, 2)
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		c.nodes[0].Close(t.Context())
	}()
	for i := range 200 {
		if got := c.nodes[1].put("a", fmt.Sprint(i)); got != http.StatusOK {
			t.Errorf("write %d: %d", i, got)
		}
	}
	<-closed
	if s := c.nodes[1].Status(); s.Role != api.RoleActive || s.Epoch != 2 {
		t.Errorf("status: %+v", s)
	}
}

// A node that becomes active and finds the mount table damaged says so, on every node, and
// goes on when it has been repaired.
func TestDamagedMountTable(t *testing.T) {
	c := newActive(t, 2)
	if got := c.nodes[0].put("a", "1"); got != http.StatusOK {
		t.Fatalf("write: %d", got)
	}
	table, ok := c.storage.Item("hf/mounts")
	if !ok {
		t.Fatal("there is no mount table")
	}
	damaged := slices.Clone(table.Value)
	damaged[len(damaged)-1] ^= 1
	c.storage.Put("hf/mounts", damaged)
	c.nodes[0].HandOver(t.Context(), "test")
	for i, n := range c.nodes {
		c.await("the damage is named", func() bool {
			status, body := n.get("a")
			return status == http.StatusInternalServerError && strings.Contains(body, "hf/mounts")
		})
		if code := n.http("/v1/sys/health?standbyok=true"); code != http.StatusOK {
			t.Errorf("health of node %d: %d", i, code)
		}
	}
	c.storage.Put("hf/mounts", table.Value)
	for _, n := range c.nodes {
		c.await("the repaired table is used", func() bool { return n.holds("a", "1") })
	}
}
