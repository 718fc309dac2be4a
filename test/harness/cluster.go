package harness

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"

	"github.com/hashicorp/vault/api"
)

// Cluster is several nodes on one store.
type Cluster struct {
	Nodes     []*Node
	RootToken string
	UnsealKey string

	t testing.TB
}

// NewSealed starts size nodes with storage, a stanza in HCL, and initialises nothing: the
// token and the key are the caller's to set.
func NewSealed(t testing.TB, size int, storage string) *Cluster {
	t.Helper()
	return newSealed(t, slices.Repeat([]string{storage}, size))
}

func newSealed(t testing.TB, storage []string) *Cluster {
	t.Helper()
	c := &Cluster{t: t}
	for i, stanza := range storage {
		c.Nodes = append(c.Nodes, NewNode(t, fmt.Sprintf("n%d", i+1), stanza))
	}
	return c
}

// NewCluster starts size nodes with storage, a stanza in HCL, initialises the first, unseals
// all, and waits until one is active and the others are attached to it.
func NewCluster(t testing.TB, size int, storage string) *Cluster {
	t.Helper()
	return NewClusterOn(t, slices.Repeat([]string{storage}, size)...)
}

// NewClusterOn is NewCluster with a stanza for each node: all of the same store, reached
// in different ways.
func NewClusterOn(t testing.TB, storage ...string) *Cluster {
	t.Helper()
	return form(t, newSealed(t, storage))
}

// Form makes a cluster of sealed nodes: it initialises the first, unseals all, and waits
// until one is active and the others are attached to it.
func Form(t testing.TB, nodes ...*Node) *Cluster {
	t.Helper()
	return form(t, &Cluster{t: t, Nodes: nodes})
}

func form(t testing.TB, c *Cluster) *Cluster {
	t.Helper()
	keys, err := c.Nodes[0].Client("").Sys().Init(&api.InitRequest{SecretShares: 1, SecretThreshold: 1})
	if err != nil {
		t.Fatalf("initialise: %v", err)
	}
	c.RootToken, c.UnsealKey = keys.RootToken, keys.KeysB64[0]
	for _, n := range c.Nodes {
		c.Unseal(n)
	}
	c.AwaitMembers(len(c.Nodes))
	return c
}

// Unseal unseals a node, for example after a restart.
func (c *Cluster) Unseal(n *Node) {
	c.t.Helper()
	// The node may not have heard yet that another one has initialised the cluster.
	Eventually(c.t, n.Name+" is unsealed", func() error {
		status, err := n.Client("").Sys().Unseal(c.UnsealKey)
		if err == nil && status.Sealed {
			err = fmt.Errorf("still sealed")
		}
		return err
	})
}

// AwaitMembers waits until the active node knows of size members, itself among them.
func (c *Cluster) AwaitMembers(size int) {
	c.t.Helper()
	Eventually(c.t, fmt.Sprintf("the cluster has %d members", size), func() error {
		status, err := c.Active().Client(c.RootToken).Sys().HAStatus()
		if err == nil && len(status.Nodes) != size {
			err = fmt.Errorf("%d members", len(status.Nodes))
		}
		return err
	})
}

// Active waits until exactly one of the running nodes is active, and returns it.
func (c *Cluster) Active() *Node {
	c.t.Helper()
	var active *Node
	Eventually(c.t, "one node is active", func() error {
		active = nil
		for _, n := range c.Nodes {
			if n.proc.Ended() {
				continue
			}
			leader, err := n.Client("").Sys().Leader()
			if err != nil || !leader.IsSelf {
				continue
			}
			if active != nil {
				return fmt.Errorf("%s and %s both say that they are active", active.Name, n.Name)
			}
			active = n
		}
		if active == nil {
			return fmt.Errorf("none is")
		}
		return nil
	})
	return active
}

// Standbys returns the running nodes that are not active.
func (c *Cluster) Standbys() []*Node {
	c.t.Helper()
	active := c.Active()
	var others []*Node
	for _, n := range c.Nodes {
		if n != active && !n.proc.Ended() {
			others = append(others, n)
		}
	}
	return others
}

// Mount enables KV of a version ("1" or "2") at path.
func (c *Cluster) Mount(path, version string) {
	c.t.Helper()
	Eventually(c.t, "mount "+path, func() error {
		err := c.Active().Client(c.RootToken).Sys().Mount(path, &api.MountInput{Type: "kv", Options: map[string]string{"version": version}})
		// 503: it has not run. With a short hold a busy machine is late for it.
		if response, ok := errors.AsType[*api.ResponseError](err); err != nil && (!ok || response.StatusCode != http.StatusServiceUnavailable) {
			c.t.Fatalf("mount %s: %v", path, err)
		}
		return err
	})
}
