package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/holdfast/holdfast/test/audit"
	"github.com/holdfast/holdfast/test/harness"
	"github.com/holdfast/holdfast/test/history"
)

// frozen is how long the active node and its plugin are stopped: several leases.
const frozen = 10 * time.Second

// TestFrozenActive stops the active node and its plugin for ten seconds, while clients
// read and write through every node, and lets them go on. The history of all
// operations must be linearizable: a former active that writes late or answers
// from memory would break it. Meanwhile the store is audited: no data may change but
// together with the term record, and the epoch never goes back.
func TestFrozenActive(t *testing.T) { onEveryStore(t, frozenActive) }

func frozenActive(t *testing.T, b backend) {
	s, stanza := b.start(t)
	c := harness.NewCluster(t, 3, stanza)
	c.Mount("kv", "1")
	active := c.Active()
	epoch := epochOf(t, active)

	h := &registers{start: time.Now(), ops: map[string][]history.Op{}}
	ctx, stop := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	for i := range 9 {
		client := c.Nodes[i%3].Client(c.RootToken)
		clients.Go(func() { h.client(ctx, i, client) })
	}
	audit, err := audit.New(c.UnsealKey)
	if err != nil {
		t.Fatal(err)
	}
	clients.Go(func() { audit.Run(ctx, b.follow(s)) })
	defer clients.Wait()
	defer stop()

	harness.Eventually(t, "operations are answered", h.atLeast(200))
	active.Pause()
	thaw := time.NewTimer(frozen)
	defer thaw.Stop()
	// The successor changes the registers, then clients ask the frozen node for them:
	// the kernel takes their requests, and the node finds them when it goes on.
	before := h.done.Load()
	harness.Eventually(t, "a successor answers", h.atLeast(before+400))
	for i := range 64 {
		client := active.Client(c.RootToken)
		clients.Go(func() { h.one(ctx, 100+i, client, registerName(i), 0) })
	}
	<-thaw.C
	harness.Eventually(t, "a standby is active in the place of the frozen node", func() error {
		for _, n := range c.Nodes {
			if n == active {
				continue
			}
			if leader, err := n.Client("").Sys().Leader(); err == nil && leader.IsSelf {
				return nil
			}
		}
		return errors.New("none is")
	})
	active.Resume()
	before = h.done.Load()
	harness.Eventually(t, "operations are answered after the freeze", func() error {
		if n := h.done.Load() - before; n < 500 {
			return fmt.Errorf("%d operations", n)
		}
		return nil
	})
	c.AwaitMembers(3) // the former active is one of them again
	if got := epochOf(t, active); got == epoch {
		t.Errorf("the epoch is still %d", got)
	}
	stop()
	clients.Wait()

	t.Logf("%d operations, %d refused (503), %d unknown", h.done.Load(), h.refused.Load(), h.unknown.Load())
	for _, err := range h.errs {
		t.Error(err)
	}
	audit.Report(t)
	h.check(t)
}

// registers is what clients did to a few registers.
type registers struct {
	start   time.Time
	done    atomic.Int64
	refused atomic.Int64
	unknown atomic.Int64
	values  atomic.Int64

	mu   sync.Mutex
	ops  map[string][]history.Op // guarded by mu; by register
	errs []error                 // guarded by mu
}

func (h *registers) atLeast(n int64) func() error {
	return func() error {
		if got := h.done.Load(); got < n {
			return fmt.Errorf("%d operations", got)
		}
		return nil
	}
}

// registerName spreads the operations over so many registers that each history is short:
// what is unknown may come anywhere, and a long one takes forever to decide.
func registerName(i int) string { return "kv/r" + strconv.Itoa(i%32) }

// client does one operation after another until ctx ends. Requests in flight then are
// waited for: their outcome counts.
func (h *registers) client(ctx context.Context, id int, client *api.Client) {
	for n := 0; ctx.Err() == nil; n++ {
		write := 0
		if n%3 == 0 {
			write = int(h.values.Add(1))
		}
		h.one(ctx, id, client, registerName(id+n), write)
	}
}

// one writes a value, or reads if it is 0, and takes the outcome down.
func (h *registers) one(ctx context.Context, id int, client *api.Client, key string, write int) {
	op := history.Op{Client: id, Call: time.Since(h.start), Input: history.Read{}}
	got, err := do(context.WithoutCancel(ctx), client, key, write)
	op.Return, op.Output = time.Since(h.start), got
	if write != 0 {
		op.Input, op.Output = history.Write{Value: write}, nil
	}
	switch {
	case err == nil:
		h.done.Add(1)
	case statusOf(err) == http.StatusServiceUnavailable:
		h.refused.Add(1) // provably not run
		return
	case write == 0:
		return // a read that failed says nothing
	case statusOf(err) == http.StatusGatewayTimeout:
		h.unknown.Add(1)
		op.Unknown = true
	default:
		h.mu.Lock()
		defer h.mu.Unlock()
		h.errs = append(h.errs, fmt.Errorf("write %d to %s failed in another way than 503 or 504: %w", write, key, err))
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops[key] = append(h.ops[key], op)
}

func do(ctx context.Context, client *api.Client, key string, write int) (int, error) {
	if write != 0 {
		_, err := client.Logical().WriteWithContext(ctx, key, map[string]any{"v": write})
		return 0, err
	}
	secret, err := client.Logical().ReadWithContext(ctx, key)
	if err != nil || secret == nil {
		return 0, err
	}
	return strconv.Atoi(fmt.Sprint(secret.Data["v"]))
}

func statusOf(err error) int {
	if response, ok := errors.AsType[*api.ResponseError](err); ok {
		return response.StatusCode
	}
	return 0
}

func (h *registers) check(t *testing.T) {
	t.Helper()
	for key, ops := range h.ops {
		if err := history.Register().Check(key, t.ArtifactDir(), ops); err != nil {
			t.Error(err)
		}
	}
}
