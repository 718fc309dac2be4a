package storagetest

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
)

// checkLimit bounds the search for an order of a history. One that is not decided by
// then is a failure.
const checkLimit = time.Minute

// history is what clients saw, call by call.
type history struct {
	start time.Time

	mu  sync.Mutex // guards ops
	ops []porcupine.Operation
}

func newHistory() *history { return &history{start: time.Now()} }

// record adds the call that do makes. What do returns decides: a call whose outcome is unknown
// may take effect at any time until the end, and one that is dropped had none.
func (h *history) record(client int, input any, do func() (output any, fate fate)) {
	began := time.Since(h.start).Nanoseconds()
	output, fate := do()
	ended := time.Since(h.start).Nanoseconds()
	if fate == dropped {
		return
	}
	if fate == open {
		ended = math.MaxInt64
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, porcupine.Operation{ClientId: client, Input: input, Output: output, Call: began, Return: ended})
}

// fate is what is known of a call.
type fate int

const (
	known   fate = iota
	open         // a write with an unknown outcome
	dropped      // a read that failed, or a write that was not applied
)

// settle makes the search for an order short where writes have unknown outcomes. One whose
// value nobody read is left out: had it taken effect, its value was gone again before a read,
// so nobody can tell. One whose value was read took effect before the first answer with it.
// value returns what only this write leaves behind, "" for a read and for a write that leaves
// what others leave too. Reads have a string as their output, writes have none.
func (h *history) settle(value func(input any) string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	shown := map[string]int64{} // when the first answer with a value came
	for _, op := range h.ops {
		if v, read := op.Output.(string); read {
			first, before := shown[v]
			if !before || op.Return < first {
				shown[v] = op.Return
			}
		}
	}
	settled := h.ops[:0]
	for _, op := range h.ops {
		if v := value(op.Input); v != "" && op.Return == math.MaxInt64 {
			first, read := shown[v]
			if !read {
				continue
			}
			op.Return = max(first, op.Call)
		}
		settled = append(settled, op)
	}
	h.ops = settled
}

// check asks whether one order of the calls explains all that was seen.
func (h *history) check(t *T, model porcupine.Model) {
	if t.Failed() {
		return
	}
	model.DescribeOperation = func(in, out any) string { return fmt.Sprintf("%+v -> %+v", in, out) }
	verdict, info := porcupine.CheckOperationsVerbose(model, h.ops, checkLimit)
	if verdict == porcupine.Ok {
		return
	}
	path := filepath.Join(os.TempDir(), fmt.Sprintf("storagetest-%d.html", t.plan.seed))
	if err := porcupine.VisualizePath(model, info, path); err != nil {
		path = err.Error()
	}
	t.Errorf("no order of the %d calls explains what the clients saw (verdict %s); drawn in %s", len(h.ops), verdict, path)
}
