package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/holdfast/holdfast/test/harness"
	"github.com/holdfast/holdfast/test/servers"
)

// TestSpaceAlarm fills etcd until it takes no writes. Through every node, writes are refused
// as not run, with what the operator must do; reads go on, long after every lease has
// ended; the active node stays. When there is room again, all goes on in the same term.
func TestSpaceAlarm(t *testing.T) {
	store := servers.EtcdCluster(t, 1, fmt.Sprintf("--quota-backend-bytes=%d", 16<<20))
	c := harness.NewCluster(t, 3, fmt.Sprintf("storage \"etcd\" {\n  address = %q\n}\nha {\n  lease = %q\n}", store.Address(), lease))
	c.Mount("kv", "1")
	active, epoch := c.Active(), epochOf(t, c.Active())
	const written = 10
	for i := range written {
		mustWrite(t, active.Client(c.RootToken), fmt.Sprintf("kv/before/%d", i), i)
	}

	store.Fill()
	for i, n := range c.Nodes {
		_, err := n.Client(c.RootToken).Logical().WriteWithContext(t.Context(), fmt.Sprintf("kv/during/%d", i), map[string]any{"n": i})
		if !hasStatus(err, http.StatusServiceUnavailable) {
			t.Errorf("a write through %s: %v, want status 503", n.Name, err)
			continue
		}
		for _, want := range []string{"does not take writes", "NOSPACE", "--quota-backend-bytes", "etcdctl alarm disarm"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("a write through %s: the message does not say %q: %v", n.Name, want, err)
			}
		}
	}
	began, reads := time.Now(), 0
	for ; time.Since(began) < 3*lease; reads++ {
		readAll(t, c.Nodes[reads%len(c.Nodes)].Client(c.RootToken), written)
	}
	t.Logf("%d rounds of reads in %v while the store takes no writes", reads, time.Since(began).Round(time.Millisecond))
	if now := leaderOf(t, active); now.Epoch != epoch || now.Role != "suspended" {
		t.Errorf("the active node is %q in epoch %d, want suspended in epoch %d", now.Role, now.Epoch, epoch)
	}

	store.MakeRoom()
	harness.Eventually(t, "writes succeed again", func() error {
		_, err := c.Standbys()[0].Client(c.RootToken).Logical().WriteWithContext(t.Context(), "kv/after", map[string]any{"n": 1})
		return err
	})
	if now := c.Active(); now != active || epochOf(t, now) != epoch {
		t.Errorf("%s is active in epoch %d, want %s in epoch %d", now.Name, epochOf(t, now), active.Name, epoch)
	}
	readAll(t, active.Client(c.RootToken), written)
	refused, err := active.Client(c.RootToken).Logical().ListWithContext(t.Context(), "kv/during")
	if err != nil || refused != nil {
		t.Errorf("what was refused as not run: %v, %v, want nothing", refused, err)
	}
}

// lease is twice the default one: a busy machine is not to be taken for a dead node.
const lease = 4 * time.Second

// readAll reads what was written, what is not there, and a list.
func readAll(t *testing.T, client *api.Client, written int) {
	t.Helper()
	for i := range written {
		secret, err := client.Logical().ReadWithContext(t.Context(), fmt.Sprintf("kv/before/%d", i))
		if err != nil || secret == nil || fmt.Sprint(secret.Data["n"]) != fmt.Sprint(i) {
			t.Fatalf("read %d: %v, %v", i, secret, err)
		}
	}
	if secret, err := client.Logical().ReadWithContext(t.Context(), "kv/none"); err != nil || secret != nil {
		t.Fatalf("read what is not there: %v, %v", secret, err)
	}
	secret, err := client.Logical().ListWithContext(t.Context(), "kv/before")
	if err != nil || secret == nil {
		t.Fatalf("list: %v, %v", secret, err)
	}
	if names, ok := secret.Data["keys"].([]any); !ok || len(names) != written {
		t.Fatalf("list: %v, want %d names", secret.Data["keys"], written)
	}
}

func mustWrite(t *testing.T, client *api.Client, path string, n int) {
	t.Helper()
	if _, err := client.Logical().WriteWithContext(t.Context(), path, map[string]any{"n": n}); err != nil {
		t.Fatalf("write %s: %v", path, err)
	}
}
