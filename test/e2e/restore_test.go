package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/holdfast/holdfast/test/harness"
	"github.com/holdfast/holdfast/test/servers"
)

// restorable is a kind of store, with a way to take it back to an older state while the
// nodes run.
type restorable struct {
	name  string
	start func(t *testing.T) (stanza string, snapshot func() (restore func()))
}

func restorables() []restorable {
	return []restorable{
		{"consul", func(t *testing.T) (string, func() func()) {
			s := servers.Consul(t)
			return consulStanza(s), func() func() {
				saved := s.Snapshot()
				return func() { s.Restore(saved) }
			}
		}},
		{"consul, all new", func(t *testing.T) (string, func() func()) {
			s := servers.Consul(t)
			return consulStanza(s), func() func() {
				saved := s.Snapshot()
				return func() { s.RestoreAnew(saved) }
			}
		}},
		{"etcd", func(t *testing.T) (string, func() func()) {
			s := servers.EtcdCluster(t, 1)
			return fmt.Sprintf("storage \"etcd\" {\n  address = %q\n}", s.Address()), func() func() {
				saved := s.Snapshot()
				return func() { s.Restore(saved) }
			}
		}},
		{"zookeeper", func(t *testing.T) (string, func() func()) {
			s := servers.ZooKeeper(t)
			return fmt.Sprintf("storage \"zookeeper\" {\n  address = %q\n}", s.Address), func() func() {
				saved := s.Backup()
				return func() { s.PutBack(saved) }
			}
		}},
	}
}

// TestRestoredStore takes the whole store back to a snapshot while the nodes run. The nodes that
// saw more serve nothing, and neither does one that was restarted and can not know by
// itself, as long as it reaches one that does. With the operator's word all serve the old state.
func TestRestoredStore(t *testing.T) {
	for _, r := range restorables() {
		t.Run(r.name, func(t *testing.T) { restoredStore(t, r) })
	}
}

func restoredStore(t *testing.T, r restorable) {
	stanza, snapshot := r.start(t)
	c := harness.NewCluster(t, 3, stanza+swift)
	c.Mount("kv", "1")
	writeState(t, c, "old")
	restore := snapshot()
	writeState(t, c, "new")
	writeState(t, c, "newer")
	// A node that is killed before remembers nothing after it.
	forgetful := c.Standbys()[0]
	forgetful.Kill()
	restore()
	forgetful.Start()
	c.Unseal(forgetful)

	allRefuse(t, c, "restored to an older state")
	stillRefuse(t, c, 4*time.Second) // longer than it takes to replace a dead node
	stdout, stderr, code := runClient(t, forgetful, c.RootToken, "operator", "members")
	if code != 0 || !strings.Contains(stdout, "restored to an older state") {
		t.Errorf("operator members: exit code %d\n%s%s", code, stdout, stderr)
	}
	acceptRestore(t, forgetful, c.RootToken)
	for _, n := range c.Nodes {
		harness.Eventually(t, n.Name+" serves the old state", func() error { return holdsState(n, c.RootToken, "old") })
	}
	writeState(t, c, "again")
	for _, n := range c.Nodes {
		harness.Eventually(t, n.Name+" serves what was written since", func() error {
			err := holdsState(n, c.RootToken, "again")
			if err != nil && !hasStatus(err, http.StatusServiceUnavailable) { // which says that it has not run
				t.Fatalf("after it went on: %v", err)
			}
			return err
		})
		if got := recordOf(t, n); got.Generation != 1 || got.Error != "" {
			t.Errorf("%s: %+v", n.Name, got)
		}
	}
}

// writeState writes kv/state through the first node.
func writeState(t *testing.T, c *harness.Cluster, value string) {
	t.Helper()
	client := c.Nodes[0].Client(c.RootToken)
	harness.Eventually(t, "write "+value, func() error { // the store may be on its way back from the snapshot
		_, err := client.Logical().WriteWithContext(t.Context(), "kv/state", map[string]any{"v": value})
		return err
	})
}

// holdsState returns nil if kv/state, read through n, has the value.
func holdsState(n *harness.Node, token, value string) error {
	secret, err := n.Client(token).Logical().Read("kv/state")
	if err != nil {
		return err
	}
	if secret == nil || secret.Data["v"] != value {
		return fmt.Errorf("%s: kv/state is %v, want %q", n.Name, secret, value)
	}
	return nil
}
