package node

import (
	"context"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/holdfast/holdfast/host/api"
	"github.com/holdfast/holdfast/host/internal/fakestorage"
)

// P7: what a load balancer or an operator asks is answered while the store hangs.
func TestStatusNeverWaits(t *testing.T) {
	c := newActive(t, 2)
	sealed := c.open()
	c.await("the sealed node knows the cluster", func() bool { return sealed.Status().Initialized })
	fresh := newCluster(t, 1).nodes[0]
	nodes := map[string]*testNode{"active": c.nodes[0], "standby": c.nodes[1], "sealed": sealed, "fresh": fresh}
	for _, n := range nodes {
		n.conn.FailAll(fakestorage.Hang)
	}
	c.await("suspended", func() bool { return c.nodes[0].Status().Role == api.RoleSuspended })

	// Requests and operators' calls that hang must not keep anybody else.
	busy := make(chan struct{})
	go func() {
		defer close(busy)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		c.nodes[0].requestWithin(ctx, "POST", "kv/data/a", `{"data":{"v":"1"}}`)
	}()
	unsealing := make(chan struct{})
	go func() {
		defer close(unsealing)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		_ = sealed.Unseal(ctx, c.shares[0])
		_ = sealed.Unseal(ctx, c.shares[1]) // reads the store
	}()
	took := map[string][]time.Duration{}
	until := time.Now().Add(500 * time.Millisecond)
	for time.Now().Before(until) {
		for name, n := range nodes {
			measure(took, name+": Status", func() { n.Status() })
			for _, path := range []string{"/v1/sys/health", "/v1/sys/leader", "/v1/sys/seal-status"} {
				measure(took, name+": "+path, func() { n.http(path) })
			}
		}
	}
	for what, times := range took {
		slices.Sort(times)
		// Not the slowest one: that may have waited for a processor, which is busy elsewhere.
		if got := times[len(times)*9/10]; got > 100*time.Millisecond {
			t.Errorf("%s took %v, of %d times", what, got, len(times))
		}
	}
	for name, want := range map[string]int{
		"active": http.StatusOK, "standby": http.StatusTooManyRequests,
		"sealed": http.StatusServiceUnavailable, "fresh": http.StatusNotImplemented,
	} {
		if got := nodes[name].http("/v1/sys/health"); got != want {
			t.Errorf("health of the %s node: %d, want %d", name, got, want)
		}
	}
	for _, n := range nodes {
		n.conn.Heal()
	}
	<-busy
	<-unsealing
}

// measure adds how long do takes to took.
func measure(took map[string][]time.Duration, what string, do func()) {
	started := time.Now()
	do()
	took[what] = append(took[what], time.Since(started))
}

func TestStatusOfTheRoles(t *testing.T) {
	c := newActive(t, 2)
	active, standby := c.nodes[0].Status(), c.nodes[1].Status()
	if active.Role != api.RoleActive || active.Epoch != 1 || active.ActiveSince.IsZero() || active.LeaseRemaining <= 0 ||
		active.LeaseRemaining > timing.Lease || active.LeaderAPIAddr != c.nodes[0].cfg.APIAddress || len(active.Members) != 2 {
		t.Errorf("active: %+v", active)
	}
	if standby.Role != api.RoleStandby || standby.Epoch != 1 || !standby.ActiveSince.IsZero() ||
		standby.LeaderAPIAddr != c.nodes[0].cfg.APIAddress || standby.LeaderCluster != c.nodes[0].cfg.ClusterAddress {
		t.Errorf("standby: %+v", standby)
	}
	if !active.Initialized || active.Sealed || active.Shares != 3 || active.Threshold != 2 || active.ClusterID != standby.ClusterID {
		t.Errorf("active: %+v, standby: %+v", active, standby)
	}
	c.await("the lease does not run out", func() bool { return c.nodes[0].Status().LeaseRemaining > timing.Lease-2*timing.Beat })
}
