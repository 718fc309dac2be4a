package examples

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/holdfast/holdfast/test/harness"
)

// failover kills the active one of three nodes, and its plugin, while a client writes through
// a standby. Another node takes over, and what was acknowledged is there.
func failover(t *testing.T, storage string) {
	c := harness.NewCluster(t, 3, storage)
	c.Mount("kv", "1")
	active, standby := c.Active(), c.Standbys()[0]
	client := standby.Client(c.RootToken)

	w := &writer{client: client}
	ctx, stop := context.WithCancel(t.Context())
	var writing sync.WaitGroup
	writing.Go(func() { w.run(ctx) })
	defer writing.Wait()
	defer stop()
	harness.Eventually(t, "writes succeed", w.atLeast(20))
	active.KillBoth()
	killed, before := time.Now(), w.acked.Load()
	harness.Eventually(t, "writes succeed again", w.atLeast(before+2)) // one may be on its way
	t.Logf("%d writes acknowledged before the kill; the next two %v after it", before, time.Since(killed).Round(time.Millisecond))
	harness.Eventually(t, "writes go on", w.atLeast(before+20))
	stop()
	writing.Wait()
	if w.err != nil {
		t.Fatalf("a write failed in another way than 503 or 504: %v", w.err)
	}
	if c.Active() == active {
		t.Errorf("the node that was killed is active")
	}
	for i := range w.acked.Load() {
		secret, err := client.Logical().ReadWithContext(t.Context(), path(i))
		if err != nil || secret == nil || fmt.Sprint(secret.Data["n"]) != fmt.Sprint(i) {
			t.Errorf("acknowledged write %d: read %v, %v", i, secret, err)
		}
	}
}

// writer writes one key after the other, each until it is acknowledged.
type writer struct {
	client *api.Client
	acked  atomic.Int64
	err    error // of a write that failed in another way; read it after run
}

func path(i int64) string { return fmt.Sprintf("kv/w/%d", i) }

func (w *writer) run(ctx context.Context) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		i := w.acked.Load()
		_, err := w.client.Logical().WriteWithContext(ctx, path(i), map[string]any{"n": i})
		response, answered := errors.AsType[*api.ResponseError](err)
		switch {
		case err == nil:
			w.acked.Add(1)
		case ctx.Err() != nil:
			return
		case !answered || response.StatusCode != http.StatusServiceUnavailable && response.StatusCode != http.StatusGatewayTimeout:
			w.err = err
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (w *writer) atLeast(n int64) func() error {
	return func() error {
		if got := w.acked.Load(); got < n {
			return fmt.Errorf("%d acknowledged, want %d", got, n)
		}
		return nil
	}
}
