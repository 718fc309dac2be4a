package e2e

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/holdfast/holdfast/test/harness"
)

const (
	// loadInterval is how often a request is begun: 500 in a second.
	loadInterval = 2 * time.Millisecond
	// loadInFlight bounds the requests at a time: a machine that can not do as many in a
	// second does what it can, and the rate is logged.
	loadInFlight = 16
)

// load is clients that read and write through all nodes of a cluster. Each request is sent
// once, and every one must succeed.
type load struct {
	t       *testing.T
	clients []*api.Client
	strict  []*api.Client // whose reads the store confirms
	began   time.Time
	cancel  context.CancelFunc
	running sync.WaitGroup

	mu     sync.Mutex // guards the following
	done   int
	failed []error
}

// startLoad begins to load c, which has version 1 of KV at kv/.
func startLoad(t *testing.T, c *harness.Cluster) *load {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	l := &load{t: t, cancel: cancel}
	for _, n := range c.Nodes {
		strict := n.Client(c.RootToken)
		strict.SetHeaders(http.Header{"X-Holdfast-Consistency": []string{"strict"}})
		l.clients, l.strict = append(l.clients, n.Client(c.RootToken)), append(l.strict, strict)
	}
	write(t, l.clients[0], "kv/seed", map[string]any{"v": "kept"})
	l.began = time.Now()
	l.running.Go(func() { l.run(ctx) })
	t.Cleanup(func() { // also when the test has failed
		cancel()
		l.running.Wait()
	})
	return l
}

func (l *load) run(ctx context.Context) {
	tick := time.NewTicker(loadInterval)
	defer tick.Stop()
	free := make(chan struct{}, loadInFlight)
	begun := 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C: // may be late
		}
		for due := int(time.Since(l.began) / loadInterval); begun < due && ctx.Err() == nil; begun++ {
			free <- struct{}{}
			i := begun
			l.running.Go(func() {
				defer func() { <-free }()
				l.once(context.WithoutCancel(ctx), i)
			})
		}
	}
}

// once makes the i-th request and keeps its outcome.
func (l *load) once(ctx context.Context, i int) {
	err := l.request(ctx, i)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.done++
	if err != nil {
		l.failed = append(l.failed, err)
	}
}

// request makes the i-th request: half are writes, of the reads every other one is strict.
func (l *load) request(ctx context.Context, i int) error {
	node := i / 4 % len(l.clients)
	client := l.clients[node]
	if i%2 == 0 {
		_, err := client.Logical().WriteWithContext(ctx, fmt.Sprintf("kv/load/%d", i%1000), map[string]any{"n": i})
		return err
	}
	if i%4 == 1 {
		client = l.strict[node]
	}
	secret, err := client.Logical().ReadWithContext(ctx, "kv/seed")
	if err == nil && (secret == nil || secret.Data["v"] != "kept") {
		return fmt.Errorf("read %+v, want what was written", secret)
	}
	return err
}

// awaitMore waits until n more requests are done.
func (l *load) awaitMore(n int) {
	l.t.Helper()
	l.mu.Lock()
	want := l.done + n
	l.mu.Unlock()
	harness.Eventually(l.t, "requests are answered", func() error {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.done < want {
			return fmt.Errorf("%d of %d", l.done, want)
		}
		return nil
	})
}

// stop ends the load, and fails the test if a request has failed.
func (l *load) stop() {
	l.t.Helper()
	l.cancel()
	l.running.Wait()
	l.t.Logf("%d requests, %.0f in a second, %d failed", l.done, float64(l.done)/time.Since(l.began).Seconds(), len(l.failed))
	if len(l.failed) > 0 {
		l.t.Errorf("%d requests failed, the first one: %v", len(l.failed), l.failed[0])
	}
}
