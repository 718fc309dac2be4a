package failover

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/holdfast/holdfast/test/harness"
)

// interval is how often a write is begun, whether the ones before have ended or not.
const interval = 5 * time.Millisecond

// writers write through one node, each request once.
type writers struct {
	cancel  context.CancelFunc
	running sync.WaitGroup

	mu       sync.Mutex
	times    []time.Time // guarded by mu; of the acknowledgements
	failures int         // guarded by mu
}

func startWriters(b *testing.B, through *harness.Node, token string) *writers {
	ctx, cancel := context.WithCancel(b.Context())
	w := &writers{cancel: cancel}
	client := through.Client(token)
	w.running.Go(func() {
		tick := time.NewTicker(interval)
		defer tick.Stop()
		for n := 0; ; n++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				w.running.Go(func() { w.write(context.WithoutCancel(ctx), client, n) })
			}
		}
	})
	return w
}

func (w *writers) write(ctx context.Context, client *api.Client, n int) {
	_, err := client.Logical().WriteWithContext(ctx, fmt.Sprintf("kv/%d", n%1000), map[string]any{"n": n})
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
