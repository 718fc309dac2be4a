package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/holdfast/holdfast/test/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// writer writes a new key every 20 ms through one node, each request once, and keeps what
// was acknowledged, failed and left unknown.
type writer struct {
	client *api.Client
	first  int // number of the first key; writers at the same time need ranges of their own

	mu      sync.Mutex
	acked   []int       // guarded by mu
	times   []time.Time // guarded by mu; of the acknowledgements
	refused int         // guarded by mu; 503: provably not run
	unknown int         // guarded by mu
	errs    []error     // guarded by mu; anything else
}

func (w *writer) run(ctx context.Context) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var requests sync.WaitGroup
	defer requests.Wait()
	for i := w.first; ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			requests.Go(func() { w.write(context.WithoutCancel(ctx), i) })
		}
	}
}

func (w *writer) write(ctx context.Context, i int) {
	_, err := w.client.Logical().WriteWithContext(ctx, fmt.Sprintf("kv/w/%d", i), map[string]any{"n": i})
	w.mu.Lock()
	defer w.mu.Unlock()
	var response *api.ResponseError
	switch {
	case err == nil:
		w.acked = append(w.acked, i)
		w.times = append(w.times, time.Now())
	case errors.As(err, &response) && response.StatusCode == http.StatusServiceUnavailable:
		w.refused++
	case errors.As(err, &response) && response.StatusCode == http.StatusGatewayTimeout:
		w.unknown++
	default:
		w.errs = append(w.errs, err)
	}
}

// firstAfter returns how long after since the first write was acknowledged.
func (w *writer) firstAfter(since time.Time) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	first := time.Duration(1<<63 - 1)
	for _, at := range w.times {
		if at.After(since) {
			first = min(first, at.Sub(since))
		}
	}
	return first
}

func (w *writer) ackedSince(t time.Time) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, at := range w.times {
		if at.After(t) {
			n++
		}
	}
	return n
}

// gap returns the longest time between two acknowledgements from fault on.
func (w *writer) gap(fault time.Time) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	longest, last := time.Duration(0), fault
	for _, at := range slices.SortedFunc(slices.Values(w.times), time.Time.Compare) {
		if at.After(fault) {
			longest, last = max(longest, at.Sub(last)), at
		}
	}
	return longest
}

// TestFailover loses the active node, or its plugin, in several ways while a client
// writes through a standby. Nothing that was acknowledged may be lost, and writes must
// succeed again; in an orderly hand-over no request may fail.
func TestFailover(t *testing.T) {
	onEveryStore(t, func(t *testing.T, b backend) {
		for _, f := range faults() {
			t.Run(f.name, func(t *testing.T) { failover(t, b, f) })
		}
	})
}

// fault is a way to lose the active node or its plugin.
type fault struct {
	name     string
	inject   func(t *testing.T, c *harness.Cluster, active *harness.Node)
	timing   string // ha stanza; empty: the defaults
	sameTerm bool   // the active node stays
	orderly  bool   // no request through another node fails
}

func faults() []fault {
	return []fault{
		{name: "step-down", timing: patient, orderly: true, inject: func(t *testing.T, c *harness.Cluster, active *harness.Node) {
			if err := active.Client(c.RootToken).Sys().StepDown(); err != nil {
				t.Error(err)
			}
		}},
		{name: "SIGTERM", timing: patient, orderly: true, inject: func(t *testing.T, _ *harness.Cluster, active *harness.Node) {
			if code := active.Stop(); code != 0 {
				t.Errorf("exit code %d after SIGTERM, want 0", code)
			}
		}},
		{name: "kill -9 of the plugin", timing: steady, sameTerm: true, inject: func(_ *testing.T, _ *harness.Cluster, active *harness.Node) {
			active.KillPlugin()
		}},
		{name: "kill -9 of the host", inject: func(_ *testing.T, _ *harness.Cluster, active *harness.Node) {
			active.Kill()
		}},
		{name: "kill -9 of both", inject: func(_ *testing.T, _ *harness.Cluster, active *harness.Node) {
			active.KillBoth()
		}},
	}
}

func failover(t *testing.T, b backend, f fault) {
	_, stanza := b.start(t)
	c := harness.NewCluster(t, 3, stanza+f.timing)
	c.Mount("kv", "1")
	active, standby := c.Active(), c.Standbys()[0]
	epoch := epochOf(t, standby)

	w := &writer{client: standby.Client(c.RootToken)}
	ctx, stop := context.WithCancel(t.Context())
	var writing sync.WaitGroup
	writing.Go(func() { w.run(ctx) })
	defer writing.Wait()
	defer stop()
	harness.Eventually(t, "writes succeed", w.atLeast(time.Time{}, 20))
	began := time.Now()
	f.inject(t, c, active)
	harness.Eventually(t, "writes succeed again", w.atLeast(time.Now(), 50))
	stop()
	writing.Wait()

	t.Logf("longest pause between two acknowledged writes: %v; %d acknowledged, %d refused (503), %d unknown (504)",
		w.gap(began).Round(time.Millisecond), len(w.acked), w.refused, w.unknown)
	for _, err := range w.errs {
		t.Errorf("a write failed in another way than 503 or 504: %v", err)
	}
	if f.orderly && w.refused+w.unknown > 0 {
		t.Errorf("%d requests were refused and %d unknown in an orderly hand-over, want none", w.refused, w.unknown)
	}
	if got := epochOf(t, standby); (got == epoch) != f.sameTerm {
		t.Errorf("epoch was %v and is %v; want the same: %v", epoch, got, f.sameTerm)
	}
	checkWritten(t, standby.Client(c.RootToken), w.acked)
}

func (w *writer) atLeast(since time.Time, n int) func() error {
	return func() error {
		if got := w.ackedSince(since); got < n {
			return fmt.Errorf("%d acknowledged, want %d", got, n)
		}
		return nil
	}
}

// checkWritten checks that what was acknowledged is there. A read is made again if it has not run (503).
func checkWritten(t *testing.T, client *api.Client, acked []int) {
	t.Helper()
	for _, i := range acked {
		var secret *api.Secret
		harness.Eventually(t, fmt.Sprintf("write %d is read back", i), func() (err error) {
			secret, err = client.Logical().ReadWithContext(t.Context(), fmt.Sprintf("kv/w/%d", i))
			if err != nil && !hasStatus(err, http.StatusServiceUnavailable) {
				t.Fatalf("read write %d back: %v", i, err)
			}
			return err
		})
		if secret == nil || fmt.Sprint(secret.Data["n"]) != fmt.Sprint(i) {
			t.Errorf("acknowledged write %d is lost: %v", i, secret)
		}
	}
}

// leader is the part of sys/leader that is Holdfast's own.
type leader struct {
	Epoch uint64 `json:"epoch"`
	Role  string `json:"role"`
}

// leaderOf returns what a node's sys/leader shows.
func leaderOf(t *testing.T, n *harness.Node) leader {
	t.Helper()
	secret, err := n.Client("").Logical().ReadRawWithContext(t.Context(), "sys/leader")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = secret.Body.Close() }()
	var l leader
	if err := secret.DecodeJSON(&l); err != nil {
		t.Fatal(err)
	}
	return l
}

func epochOf(t *testing.T, n *harness.Node) uint64 {
	t.Helper()
	return leaderOf(t, n).Epoch
}
