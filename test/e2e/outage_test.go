package e2e

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/holdfast/holdfast/test/harness"
)

// outage is how long the store is away: for longer than a standby waits for a silent node, 12 s
// with the steady lease.
const outage = 14 * time.Second

// TestStoreOutage takes the store away from all nodes while a client writes. The active
// node is suspended, says so at once when asked, refuses or loses no write that it
// acknowledged, and goes on in the same term when the store is back.
func TestStoreOutage(t *testing.T) {
	onEveryStore(t, func(t *testing.T, b backend) {
		t.Run("frozen", func(t *testing.T) { storeOutage(t, b, store.Pause, store.Resume) })
		t.Run("killed and restarted", func(t *testing.T) { storeOutage(t, b, store.Kill, store.Restart) })
	})
}

func storeOutage(t *testing.T, b backend, away, again func(store)) {
	s, stanza := b.start(t)
	c := harness.NewCluster(t, 3, stanza+steady)
	c.Mount("kv", "1")
	active, standby := c.Active(), c.Standbys()[0]
	epoch := epochOf(t, active)

	w := &writer{client: standby.Client(c.RootToken)}
	ctx, stop := context.WithCancel(t.Context())
	var writing sync.WaitGroup
	writing.Go(func() { w.run(ctx) })
	defer writing.Wait()
	defer stop()
	harness.Eventually(t, "writes succeed", w.atLeast(time.Time{}, 20))

	away(s)
	back := time.NewTimer(outage)
	defer back.Stop()
	harness.Eventually(t, "the active node says that it is suspended", func() error {
		if role := leaderOf(t, active).Role; role != "suspended" {
			return errors.New(role)
		}
		return nil
	})
	statusAtOnce(t, c)
	<-back.C
	again(s)
	restored := time.Now()
	harness.Eventually(t, "writes succeed again", w.atLeast(restored, 50))
	stop()
	writing.Wait()

	t.Logf("first write acknowledged %v after the store was back; %d acknowledged, %d refused (503), %d unknown (504)",
		w.firstAfter(restored).Round(time.Millisecond), len(w.acked), w.refused, w.unknown)
	for _, err := range w.errs {
		t.Errorf("a write failed in another way than 503 or 504: %v", err)
	}
	if got := epochOf(t, active); got != epoch || c.Active() != active {
		t.Errorf("epoch %d is now %d: the outage changed the active node", epoch, got)
	}
	checkWritten(t, standby.Client(c.RootToken), w.acked)
}

// statusAtOnce asks every node how it is, which must not wait for the store. The promise
// is 100 ms (P7), measured by the tests of host/node; this only tells "at once" from
// "after a time-out" on a busy machine.
func statusAtOnce(t *testing.T, c *harness.Cluster) {
	t.Helper()
	client := &http.Client{Timeout: time.Second}
	for _, n := range c.Nodes {
		for _, path := range []string{"health?standbyok=true", "leader", "seal-status"} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+n.Address+"/v1/sys/"+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := client.Do(req)
			if err != nil {
				t.Errorf("%s: sys/%s while the store is away: %v", n.Name, path, err)
				continue
			}
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				t.Errorf("%s: sys/%s while the store is away: status %d", n.Name, path, resp.StatusCode)
			}
		}
	}
}
