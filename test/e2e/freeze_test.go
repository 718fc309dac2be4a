package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/hashicorp/vault/api"

	"github.com/holdfast/holdfast/test/harness"
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

	h := &history{start: time.Now()}
	ctx, stop := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	for i := range 9 {
		client := c.Nodes[i%3].Client(c.RootToken)
		clients.Go(func() { h.client(ctx, i, client) })
	}
	var audit *audit
	if b.states != nil {
		audit = newAudit(t, b.states(t, s), c.UnsealKey)
		clients.Go(func() { audit.run(ctx) })
	}
	defer clients.Wait()
	defer stop()

	harness.Eventually(t, "operations are answered", h.atLeast(200))
	active.Pause()
	thaw := time.NewTimer(frozen)
	defer thaw.Stop()
	// The successor changes every register, then clients ask the frozen node for them:
	// the kernel takes their requests, and the node finds them when it goes on.
	before := h.done.Load()
	harness.Eventually(t, "a successor answers", h.atLeast(before+200))
	for i := range 64 {
		client := active.Client(c.RootToken)
		clients.Go(func() { h.one(ctx, 100+i, client, registerOp{key: registerName(i)}) })
	}
	<-thaw.C
	active.Resume()
	before = h.done.Load()
	harness.Eventually(t, "operations are answered after the freeze", func() error {
		if n := h.done.Load() - before; n < 500 {
			return fmt.Errorf("%d operations", n)
		}
		return nil
	})
	c.AwaitMembers(3) // the former active is a standby, attached to its successor
	if now := c.Active(); now == active {
		t.Error("the frozen node is still active; want that another took over")
	}
	if got := epochOf(t, active); got == epoch {
		t.Errorf("the epoch is still %d", got)
	}
	stop()
	clients.Wait()

	t.Logf("%d operations, %d refused (503), %d unknown", h.done.Load(), h.refused.Load(), h.unknown.Load())
	for _, err := range h.errs {
		t.Error(err)
	}
	if audit != nil {
		audit.report(t)
	}
	h.check(t)
}

// history is what clients did to a few registers.
type history struct {
	start   time.Time
	done    atomic.Int64
	refused atomic.Int64
	unknown atomic.Int64
	values  atomic.Int64

	mu   sync.Mutex
	ops  []porcupine.Operation // guarded by mu
	errs []error               // guarded by mu
}

// registerOp reads a register, or writes a value that is written only once.
type registerOp struct {
	key   string
	write int // 0: read
}

func (h *history) atLeast(n int64) func() error {
	return func() error {
		if got := h.done.Load(); got < n {
			return fmt.Errorf("%d operations", got)
		}
		return nil
	}
}

func registerName(i int) string { return "kv/r" + strconv.Itoa(i%4) }

// client does one operation after another until ctx ends. Requests in flight then are
// waited for: their outcome counts.
func (h *history) client(ctx context.Context, id int, client *api.Client) {
	for n := 0; ctx.Err() == nil; n++ {
		op := registerOp{key: registerName(id + n)}
		if n%3 == 0 {
			op.write = int(h.values.Add(1))
		}
		h.one(ctx, id, client, op)
	}
}

// one does one operation and takes its outcome down.
func (h *history) one(ctx context.Context, id int, client *api.Client, op registerOp) {
	call := time.Since(h.start)
	got, err := do(context.WithoutCancel(ctx), client, op)
	ret := time.Since(h.start)
	switch {
	case err == nil:
		h.done.Add(1)
	case statusOf(err) == http.StatusServiceUnavailable:
		h.refused.Add(1) // provably not run
		return
	case op.write == 0:
		return // a read that failed says nothing
	case statusOf(err) == http.StatusGatewayTimeout:
		h.unknown.Add(1)
		ret = time.Hour // it may take effect at any time from now on
	default:
		h.mu.Lock()
		defer h.mu.Unlock()
		h.errs = append(h.errs, fmt.Errorf("%+v failed in another way than 503 or 504: %w", op, err))
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, porcupine.Operation{ClientId: id, Input: op, Output: got, Call: int64(call), Return: int64(ret)})
}

func do(ctx context.Context, client *api.Client, op registerOp) (int, error) {
	if op.write != 0 {
		_, err := client.Logical().WriteWithContext(ctx, op.key, map[string]any{"v": op.write})
		return 0, err
	}
	secret, err := client.Logical().ReadWithContext(ctx, op.key)
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

func (h *history) check(t *testing.T) {
	t.Helper()
	model := porcupine.Model{
		Partition: func(ops []porcupine.Operation) [][]porcupine.Operation {
			byKey := map[string][]porcupine.Operation{}
			for _, o := range ops {
				key := o.Input.(registerOp).key
				byKey[key] = append(byKey[key], o)
			}
			var parts [][]porcupine.Operation
			for _, part := range byKey {
				parts = append(parts, part)
			}
			return parts
		},
		Init: func() any { return 0 },
		Step: func(state, input, output any) (bool, any) {
			if w := input.(registerOp).write; w != 0 {
				return true, w
			}
			return output.(int) == state.(int), state
		},
	}
	result, info := porcupine.CheckOperationsVerbose(model, h.ops, time.Minute)
	if result != porcupine.Ok {
		path := filepath.Join(t.ArtifactDir(), "history.html")
		t.Errorf("the history is %s; see %s (%v)", result, path, porcupine.VisualizePath(model, info, path))
	}
}
