package ha_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/holdfast/holdfast/host/ha"
	"github.com/holdfast/holdfast/host/internal/fakestorage"
	"github.com/holdfast/holdfast/host/store"
	"github.com/holdfast/holdfast/sdk/storage"
)

// TestLinearizable runs three real nodes on one store whose connections fail in every way,
// while nodes are killed and step down, and checks what the clients saw.
func TestLinearizable(t *testing.T) {
	const lasts = 6 * time.Second
	x := &chaos{cluster: newCluster(t), began: time.Now(), nodes: make([]atomic.Pointer[member], 3)}
	for i := range x.nodes {
		x.nodes[i].Store(x.start())
	}
	ctx, cancel := context.WithTimeout(t.Context(), lasts)
	defer cancel()
	var running sync.WaitGroup
	running.Go(func() { x.nemesis(ctx) })
	for id := range 16 {
		running.Go(func() { x.client(ctx, id) })
	}
	running.Wait()
	x.check()
}

type chaos struct {
	*cluster
	began  time.Time
	nodes  []atomic.Pointer[member]
	values atomic.Int64 // given out so far: every write has its own

	mu      sync.Mutex
	history []porcupine.Operation // guarded by mu
	acked   int                   // guarded by mu
}

// nemesis harms one node after another.
func (x *chaos) nemesis(ctx context.Context) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for ctx.Err() == nil {
		i := rnd.IntN(len(x.nodes))
		for j := range x.nodes { // mostly the one it matters for
			if x.nodes[j].Load().active() && rnd.IntN(3) > 0 {
				i = j
			}
		}
		m := x.nodes[i].Load()
		switch rnd.IntN(7) {
		case 0: // cut off
			m.conn.FailAll([]fakestorage.Failure{fakestorage.Hang, fakestorage.Refuse, fakestorage.LoseCall}[rnd.IntN(3)])
		case 1: // answers are lost: the worst that can happen to a leader
			m.conn.FailAll(fakestorage.LoseAnswer)
		case 2, 3:
			m.conn.Fail(flaky)
		case 4:
			m.kill()
			x.nodes[i].Store(x.start())
		case 5:
			stepCtx, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
			_ = m.StepDown(stepCtx, x.nodes[rnd.IntN(len(x.nodes))].Load().id, "the nemesis") // it may be cut off
			cancel()
		}
		sleep(ctx, time.Duration(100+rnd.IntN(600))*time.Millisecond)
		m.conn.Heal()
		sleep(ctx, time.Duration(rnd.IntN(100))*time.Millisecond)
	}
}

// flaky is a connection on which three calls of ten fail, and half are slow.
func flaky(fakestorage.Call) fakestorage.Fault {
	f := fakestorage.Fault{Delay: time.Duration(rand.IntN(10)) * time.Millisecond}
	switch rand.IntN(10) {
	case 0:
		f.Failure = fakestorage.LoseAnswer
	case 1:
		f.Failure, f.Delay = fakestorage.Late, time.Duration(rand.IntN(400))*time.Millisecond
	case 2:
		f.Failure = []fakestorage.Failure{fakestorage.LoseCall, fakestorage.Refuse, fakestorage.Hang}[rand.IntN(3)]
	}
	return f
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// operation is a read, a write of value, or a write of value if old was read.
type operation struct {
	key        string
	read, cas  bool
	value, old int
}

// answer to an operation. seen is what a read, or a cas, found.
type answer struct {
	seen    int
	swapped bool
	unknown bool
}

func (x *chaos) client(ctx context.Context, id int) {
	rnd := rand.New(rand.NewPCG(uint64(id), 3))
	last := map[string]int{}
	for ctx.Err() == nil {
		op := operation{key: "k" + strconv.Itoa(rnd.IntN(4)), value: int(x.values.Add(1))}
		op.read, op.cas = rnd.IntN(2) == 0, rnd.IntN(2) == 0
		op.old = last[op.key]
		m := x.nodes[rnd.IntN(len(x.nodes))].Load()
		call := time.Since(x.began)
		got, err := m.do(ctx, op, time.Duration(50+rnd.IntN(400))*time.Millisecond)
		back := time.Since(x.began)
		got.unknown = errors.Is(err, store.ErrOutcomeUnknown)
		if err != nil && !got.unknown {
			sleep(ctx, time.Millisecond) // it has not run, and never will
			continue
		}
		if err == nil {
			last[op.key] = got.seen
			if !op.read && (!op.cas || got.swapped) {
				last[op.key] = op.value
			}
		}
		x.mu.Lock()
		x.history = append(x.history, porcupine.Operation{
			ClientId: id, Input: op, Output: got, Call: int64(call), Return: int64(back),
		})
		if err == nil {
			x.acked++
		}
		x.mu.Unlock()
	}
}

// do runs op on m, as a request that has that long.
func (m *member) do(ctx context.Context, op operation, lasts time.Duration) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, lasts)
	defer cancel()
	ctx, err := m.store.Begin(ctx)
	if err != nil {
		return answer{}, err
	}
	switch {
	case op.read:
		raw, err := m.store.Get(ctx, op.key)
		if err != nil && !errors.Is(err, storage.ErrNotFound) {
			return answer{}, err
		}
		return answer{seen: number(raw)}, m.store.Confirm(ctx, op.cas) // every other read is strict
	case !op.cas:
		return answer{}, m.store.Put(ctx, op.key, []byte(strconv.Itoa(op.value)))
	}
	var got answer
	err = m.store.Update(ctx, []string{op.key}, func(tx store.Tx) error {
		raw, err := tx.Get(op.key)
		if err != nil && !errors.Is(err, storage.ErrNotFound) {
			return err
		}
		got.seen = number(raw)
		if got.seen == op.old {
			got.swapped = true
			tx.Put(op.key, []byte(strconv.Itoa(op.value)))
		}
		return nil
	})
	return got, err
}

func number(raw []byte) int {
	n, _ := strconv.Atoi(string(raw)) // absent is zero
	return n
}

func (x *chaos) check() {
	x.t.Helper()
	epochs := uint64(0)
	for i := range x.nodes {
		epochs = max(epochs, x.nodes[i].Load().Snapshot().Record.Epoch)
	}
	unknown := len(x.history) - x.acked
	x.t.Logf("%d acknowledged operations, %d of unknown outcome, %d epochs", x.acked, unknown, epochs)
	if x.acked < 500 || epochs < 4 {
		x.t.Errorf("hardly anything happened: %d acknowledged operations, %d epochs", x.acked, epochs)
	}
	res, info := porcupine.CheckOperationsVerbose(model(), settled(x.history), 30*time.Second)
	if res != porcupine.Ok { // Unknown fails too
		path := filepath.Join(x.t.ArtifactDir(), "history.html")
		x.t.Errorf("the history is %s; see %s (%v)", res, path, porcupine.VisualizePath(model(), info, path))
	}
}

// settled leaves out the unknown writes whose value nobody saw, and lets the others return
// at the end of time.
func settled(history []porcupine.Operation) []porcupine.Operation {
	seen := map[int]bool{}
	for _, o := range history {
		seen[o.Output.(answer).seen] = true
	}
	var kept []porcupine.Operation
	for _, o := range history {
		if o.Output.(answer).unknown {
			if !seen[o.Input.(operation).value] {
				continue
			}
			o.Return = int64(time.Hour)
		}
		kept = append(kept, o)
	}
	return kept
}

// model is a register for each key. Zero means absent.
func model() porcupine.Model {
	return porcupine.Model{
		Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
			byKey := map[string][]porcupine.Operation{}
			for _, o := range history {
				key := o.Input.(operation).key
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
			at, op, got := state.(int), input.(operation), output.(answer)
			switch {
			case op.read:
				return got.seen == at, at
			case !op.cas:
				return true, op.value
			case got.unknown: // its value was seen, so it swapped
				return at == op.old, op.value
			case got.swapped:
				return at == op.old, op.value
			default:
				return at == got.seen && at != op.old, at
			}
		},
		DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v -> %+v", input, output) },
	}
}

var _ ha.Log = (*store.Store)(nil)
