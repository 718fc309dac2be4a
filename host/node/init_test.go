package node

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast/holdfast/host/api"
	"github.com/holdfast/holdfast/host/ha"
	"github.com/holdfast/holdfast/host/internal/fakestorage"
	"github.com/holdfast/holdfast/host/store"
	"github.com/holdfast/holdfast/sdk/storage"
)

func TestExactlyOneOfManyInitsSucceeds(t *testing.T) {
	c := newCluster(t, 4)
	var succeeded atomic.Int32
	var all sync.WaitGroup
	for _, n := range c.nodes {
		all.Go(func() {
			result, err := n.Init(t.Context(), api.InitRequest{Shares: 3, Threshold: 2})
			switch {
			case err == nil && succeeded.Add(1) == 1:
				c.shares = result.Shares
			case !errors.Is(err, api.ErrInitialized):
				t.Errorf("init: %v", err)
			}
		})
	}
	all.Wait()
	if got := succeeded.Load(); got != 1 {
		t.Fatalf("%d inits succeeded", got)
	}
	for _, n := range c.nodes {
		c.await("the node knows", func() bool { return n.Status().Initialized })
		c.unseal(n)
		if n.Status().Sealed {
			t.Error("the keys of the one that succeeded do not unseal every node")
		}
	}
}

// first makes the first calls of Commit on n fail like that, one after the other.
func (n *testNode) first(failures ...fakestorage.Failure) {
	var calls atomic.Int32
	n.conn.Fail(func(call fakestorage.Call) fakestorage.Fault {
		if call != fakestorage.Commit {
			return fakestorage.Fault{}
		}
		if i := int(calls.Add(1)) - 1; i < len(failures) {
			return fakestorage.Fault{Failure: failures[i]}
		}
		return fakestorage.Fault{}
	})
}

func TestInitSettlesAnUnknownOutcome(t *testing.T) {
	for name, failures := range map[string][]fakestorage.Failure{
		"the call was lost":                {fakestorage.LoseCall},
		"the answer was lost":              {fakestorage.LoseAnswer},
		"and then the store was away":      {fakestorage.LoseAnswer, fakestorage.Refuse},
		"and then the call was lost again": {fakestorage.LoseAnswer, fakestorage.LoseCall},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, 1)
			c.nodes[0].first(failures...)
			c.init()
			c.unseal(c.nodes[0])
			if c.nodes[0].Status().Sealed {
				t.Error("the keys do not unseal")
			}
		})
	}
}

// What may have happened must not be reported as not having happened: a cluster whose
// keys nobody has seen would stay behind.
func TestInitReportsAnUnknownOutcome(t *testing.T) {
	c := newCluster(t, 1)
	n := c.nodes[0]
	n.first(fakestorage.LoseAnswer, fakestorage.Refuse, fakestorage.Refuse, fakestorage.Refuse, fakestorage.Refuse, fakestorage.Refuse)
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if _, err := n.Init(ctx, api.InitRequest{Shares: 1, Threshold: 1}); !errors.Is(err, store.ErrOutcomeUnknown) {
		t.Errorf("init = %v, want %v", err, store.ErrOutcomeUnknown)
	}

	refused := newCluster(t, 1).nodes[0]
	refused.conn.FailAll(fakestorage.Refuse)
	_, err := refused.Init(t.Context(), api.InitRequest{Shares: 1, Threshold: 1})
	if !errors.Is(err, storage.ErrUnavailable) || errors.Is(err, store.ErrOutcomeUnknown) {
		t.Errorf("init = %v, want %v alone", err, storage.ErrUnavailable)
	}
}

func TestInitOverwritesNothing(t *testing.T) {
	for name, test := range map[string]struct {
		key  string
		want error
	}{
		"Vault's data":     {"core/keyring", api.ErrNotEmpty},
		"anything":         {"something/else", api.ErrNotEmpty},
		"a damaged one":    {ha.RecordKey, api.ErrNotEmpty},
		"a cluster's seal": {sealKey, api.ErrInitialized},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, 1)
			c.storage.Put(test.key, []byte("theirs"))
			if _, err := c.nodes[0].Init(t.Context(), api.InitRequest{Shares: 1, Threshold: 1}); !errors.Is(err, test.want) {
				t.Errorf("init = %v, want %v", err, test.want)
			}
			if item, _ := c.storage.Item(test.key); string(item.Value) != "theirs" {
				t.Error("it was overwritten")
			}
		})
	}
}

func TestUnsealAndSeal(t *testing.T) {
	c := newCluster(t, 1)
	n := c.nodes[0]
	if err := n.Unseal(t.Context(), []byte("share")); !errors.Is(err, api.ErrNotInitialized) {
		t.Errorf("before init: %v", err)
	}
	c.init()
	if err := n.Unseal(t.Context(), []byte("no share")); !errors.Is(err, api.ErrBadShare) {
		t.Errorf("a bad share: %v", err)
	}
	for range 2 { // the same share again changes nothing
		if err := n.Unseal(t.Context(), c.shares[0]); err != nil {
			t.Fatal(err)
		}
	}
	if s := n.Status(); s.Progress != 1 || s.Threshold != 2 || !s.Sealed || s.Nonce == "" {
		t.Errorf("after one share: %+v", s)
	}
	n.ResetUnseal()
	if got := n.Status().Progress; got != 0 {
		t.Errorf("progress %d after a reset", got)
	}
	c.unseal(n)
	c.await("active", func() bool { return n.Status().Role == api.RoleActive })

	if err := n.Seal(t.Context(), "wrong"); !errors.Is(err, api.ErrPermission) || n.Status().Sealed {
		t.Errorf("seal with a wrong token: %v", err)
	}
	if err := n.Seal(t.Context(), rootToken); err != nil || !n.Status().Sealed {
		t.Fatalf("seal: %v", err)
	}
	if resp := n.request("GET", "sys/mounts", ""); resp.Status != 503 {
		t.Errorf("a request to a sealed node: %d", resp.Status)
	}
	c.unseal(n)
	c.await("active again: the record was handed over", func() bool { return n.Status().Role == api.RoleActive })
}

func TestNodeWithoutHighAvailability(t *testing.T) {
	c := newCluster(t, 0)
	plain := func(cfg *Config, conn *fakestorage.Node) {
		conn.NoHA = true
		cfg.APIAddress, cfg.ClusterAddress, cfg.ClusterBind = "", "", ""
	}
	n := c.open(plain)
	c.nodes = []*testNode{n}
	c.init()
	c.unseal(n)
	c.await("active", func() bool { return n.Status().Role == api.RoleActive })
	if resp := n.request("POST", "sys/mounts/kv", `{"type":"kv","options":{"version":"2"}}`); resp.Status != 204 {
		t.Fatalf("mount: %d %s", resp.Status, resp.Body)
	}
	if n.put("a", "1") != 200 || !n.holds("a", "1") {
		t.Error("it does not serve")
	}
	if _, err := c.tryOpen(plain); !errors.Is(err, ha.ErrRefused) {
		t.Errorf("a second node: %v, want %v", err, ha.ErrRefused)
	}
}
