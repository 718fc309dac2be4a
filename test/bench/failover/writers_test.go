package failover

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/holdfast/holdfast/sdk/storage"
	"github.com/holdfast/holdfast/test/harness"
)

// interval is how often a write is begun, whether the ones before have ended or not.
const interval = 5 * time.Millisecond

// directTimeout bounds a write to the store itself, as Holdfast bounds a Commit.
const directTimeout = time.Second

// writers write one value after another, each once.
type writers struct {
	put     func(ctx context.Context, n int) error
	cancel  context.CancelFunc
	running sync.WaitGroup

	mu       sync.Mutex
	times    []time.Time // guarded by mu; of the acknowledgements
	failures int         // guarded by mu
}

// throughNode writes through a node, with Vault's client.
func throughNode(n *harness.Node, token string) func(context.Context, int) error {
	client := n.Client(token)
	return func(ctx context.Context, n int) error {
		_, err := client.Logical().WriteWithContext(ctx, fmt.Sprintf("kv/%d", n%1000), map[string]any{"n": n})
		return err
	}
}

// direct writes to the store through a plugin of its own, without Holdfast: what that takes is
// the least that Holdfast can take.
func direct(backend storage.Backend) func(context.Context, int) error {
	return func(ctx context.Context, n int) error {
		ctx, cancel := context.WithTimeout(ctx, directTimeout)
		defer cancel()
		return backend.Write(ctx, []storage.Op{storage.Put(fmt.Sprintf("direct/%d", n%1000), fmt.Appendf(nil, "%d", n))})
	}
}

func startWriters(b *testing.B, put func(context.Context, int) error) *writers {
	ctx, cancel := context.WithCancel(b.Context())
	w := &writers{put: put, cancel: cancel}
	w.running.Go(func() {
		tick := time.NewTicker(interval)
		defer tick.Stop()
		for n := 0; ; n++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				w.running.Go(func() { w.write(context.WithoutCancel(ctx), n) })
			}
		}
	})
	return w
}

func (w *writers) write(ctx context.Context, n int) {
	err := w.put(ctx, n)
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil {
		w.times = append(w.times, time.Now())
	} else {
		w.failures++
	}
}

// stop returns when no request is under way.
func (w *writers) stop() {
	w.cancel()
	w.running.Wait()
}

// acked returns an error until want writes were acknowledged after since.
func (w *writers) acked(since time.Time, want int) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	got := 0
	for _, at := range w.times {
		if at.After(since) {
			got++
		}
	}
	if got < want {
		return fmt.Errorf("%d writes acknowledged, want %d", got, want)
	}
	return nil
}

// pause returns the longest time without an acknowledgement from began on.
func (w *writers) pause(began time.Time) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	slices.SortFunc(w.times, time.Time.Compare)
	longest, last := time.Duration(0), began
	for _, at := range w.times {
		if at.After(began) {
			longest, last = max(longest, at.Sub(last)), at
		}
	}
	return longest
}

func (w *writers) failed() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.failures
}
