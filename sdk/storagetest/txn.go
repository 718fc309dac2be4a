package storagetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/anishathalye/porcupine"

	"github.com/holdfast/holdfast/sdk/storage"
)

// txnCases are about batches.
func txnCases() []Case {
	return []Case{
		{ID: "T-01", Profile: Txn, Promise: "A batch is applied whole: its puts, its deletes, and its new directories.", Run: batchIsApplied},
		{ID: "T-02", Profile: Txn, Promise: "A batch with one op that is refused changes nothing, wherever the op stands, and the error says which op it was.", Run: oneBadOp},
		{ID: "T-03", Profile: Txn, Promise: "A batch that names a key twice is refused with ErrUnsupported and changes nothing.", Run: keyTwice},
		{ID: "T-04", Profile: Txn, Promise: "A batch at the declared limits is applied, one over them is refused with ErrTooLarge and changes nothing.", Run: batchLimits},
		{ID: "T-05", Profile: Txn, Promise: "Batches over several keys and reads of them are linearizable.", Run: linearizableBatches},
		{ID: "T-06", Profile: Txn, Promise: "A listing never shows half a batch.", Run: listingIsAtomic},
		{ID: "T-07", Profile: Txn, Promise: "An empty batch, and one that deletes what is absent, succeed.", Run: batchOfNothing},
	}
}

func batchIsApplied(t *T) {
	n := t.open()
	n.put("old", "1")
	n.put("dir/old", "1")
	n.write(n.op("new", "2"), storage.Delete(n.dir+"old"), n.op("deep/er/x", "3"), n.op("deep/er/y", ""), storage.Delete(n.dir+"dir/old"))
	n.wantAbsent("old")
	n.wantAbsent("dir/old")
	n.wantValue("new", "2")
	n.wantValue("deep/er/x", "3")
	n.wantValue("deep/er/y", "")
	n.wantNames("", "", 0, "deep/", "new")
	var ops []storage.Op
	for _, name := range oddNames()[:min(n.batch(), len(oddNames()))] {
		ops = append(ops, n.op("odd/"+name, name))
	}
	n.write(ops...)
	for _, op := range ops {
		n.wantValue(strings.TrimPrefix(op.Key, n.dir), string(op.Value))
	}
}

func oneBadOp(t *T) {
	n := t.open()
	n.put("kept", "1")
	bad := map[string]storage.Op{
		"invalid key":     n.op("..", "x"),
		"value too large": storage.Put(n.dir+"large", make([]byte, n.limits.MaxValueBytes+1)),
		"no kind of op":   {Key: n.dir + "x"},
	}
	const size = 5
	for what, op := range bad {
		for position := range size {
			ops := []storage.Op{n.op("a", "x"), n.op("b/c", "x"), storage.Delete(n.dir + "kept"), n.op("d", "x")}
			ops = slices.Insert(ops, position, op)
			err := n.Write(t.ctx, ops)
			if storage.OutcomeOf(err) != storage.Unapplied || outage(err) {
				t.Errorf("%s at %d: got %v, want it refused and not applied", what, position, err)
			}
			if about, ok := errors.AsType[*storage.OpError](err); !ok || about.Index != position {
				t.Errorf("%s at %d: got %v, want an OpError about op %d", what, position, err, position)
			}
			n.wantNames("", "", 0, "kept")
		}
	}
	n.wantValue("kept", "1")
}

func keyTwice(t *T) {
	n := t.open()
	n.put("kept", "1")
	for _, ops := range [][]storage.Op{
		{n.op("a", "1"), n.op("a", "2")},
		{n.op("kept", "2"), storage.Delete(n.dir + "kept")},
		{n.op("b", "1"), storage.Delete(n.dir + "kept"), n.op("kept", "2")},
	} {
		err := n.Write(t.ctx, ops)
		if !errors.Is(err, storage.ErrUnsupported) || storage.OutcomeOf(err) != storage.Unapplied {
			t.Errorf("got %v, want ErrUnsupported, not applied", err)
		}
	}
	n.wantNames("", "", 0, "kept")
	n.wantValue("kept", "1")
}

// manyOps returns n small puts of distinct names in byte order.
func (n *node) manyOps(count int) []storage.Op {
	ops := make([]storage.Op, count)
	for i := range ops {
		name := fmt.Sprintf("op%06d", i)
		ops[i] = n.op(name, name)
	}
	return ops
}

// fullBatch returns puts that have exactly bytes in all, and the last of them.
func (n *node) fullBatch(bytes int) []storage.Op {
	var ops []storage.Op
	for i := 0; bytes > 0; i++ {
		op := n.op(fmt.Sprintf("full%06d", i), "")
		size := min(bytes-len(op.Key), n.limits.MaxValueBytes)
		if rest := bytes - len(op.Key) - size; rest > 0 && rest <= len(op.Key) {
			size -= len(op.Key) // leaves room for the key of the next
		}
		op.Value = []byte(strings.Repeat("v", max(size, 0)))
		ops = append(ops, op)
		bytes -= len(op.Key) + len(op.Value)
	}
	return ops
}

func batchLimits(t *T) {
	n := t.open()
	ops := n.manyOps(n.limits.MaxOps + 1)
	n.wantTooLarge(fmt.Sprintf("a batch of %d ops", len(ops)), n.Write(t.ctx, ops))
	n.wantNames("", "", 0)
	n.write(ops[:n.limits.MaxOps]...)
	got, err := n.names(n.dir, "", 0)
	if err != nil || len(got) != n.limits.MaxOps {
		t.Fatalf("after a batch of %d ops: list gives %d names, %v", n.limits.MaxOps, len(got), err)
	}
	n.wantValue("op000000", "op000000")
	if err := n.removeAll(t.ctx, n.dir); err != nil {
		t.Fatalf("clean up: %v", err)
	}

	full := n.fullBatch(n.limits.MaxBatchBytes)
	if len(full) > n.limits.MaxOps { // then no batch reaches MaxBatchBytes
		t.Logf("a batch of %d bytes needs more than %d ops", n.limits.MaxBatchBytes, n.limits.MaxOps)
		return
	}
	last := &full[len(full)-1]
	more := slices.Clone(full)
	more[len(more)-1] = storage.Put(last.Key+"k", last.Value)
	n.wantTooLarge("a batch one byte over the limit", n.Write(t.ctx, more))
	n.wantNames("", "", 0)
	n.write(full...)
	for _, op := range full {
		n.wantValue(strings.TrimPrefix(op.Key, n.dir), string(op.Value))
	}
}

// batchKeys are how many keys the multi-key history is about.
const batchKeys = 3

// batchState is what the keys hold, empty if absent.
type batchState [batchKeys]string

// batchInput is a read of one key, or a batch that sets those that are touched.
type batchInput struct {
	get     bool
	key     int
	touched [batchKeys]bool
	value   string // empty: deletes
}

func multiKey() porcupine.Model {
	return porcupine.Model{
		Init: func() any { return batchState{} },
		Step: func(s, in, out any) (bool, any) {
			state, input := s.(batchState), in.(batchInput) //nolint:errcheck // the history holds nothing else
			if input.get {
				return out == state[input.key], state
			}
			for key, touched := range input.touched {
				if touched {
					state[key] = input.value
				}
			}
			return true, state
		},
	}
}

func linearizableBatches(t *T) {
	const clients, callsEach = 6, 60
	seen := newHistory()
	var group sync.WaitGroup
	for id, n := range t.openAll(clients) {
		rng := t.random()
		group.Go(func() {
			for i := range callsEach {
				input := batchInput{get: rng.IntN(3) > 0, key: rng.IntN(batchKeys)}
				if !input.get {
					for key := range input.touched {
						input.touched[key] = rng.IntN(4) > 0
					}
					if rng.IntN(6) > 0 {
						input.value = fmt.Sprintf("%d.%d", id, i)
					}
				}
				seen.record(id, input, func() (any, fate) { return n.callBatch(input) })
			}
		})
	}
	group.Wait()
	seen.settle(func(input any) string { return input.(batchInput).value }) //nolint:errcheck // the history holds nothing else
	seen.check(t, multiKey())
}

func (n *node) callBatch(input batchInput) (any, fate) {
	ctx, cancel := context.WithTimeout(n.t.ctx, n.t.patience())
	defer cancel()
	name := func(key int) string { return fmt.Sprintf("%sd%d/key", n.dir, key) }
	if input.get {
		item, err := n.Get(ctx, name(input.key))
		return string(item.Value), n.readFate(err)
	}
	var ops []storage.Op
	for key, touched := range input.touched {
		switch {
		case touched && input.value == "":
			ops = append(ops, storage.Delete(name(key)))
		case touched:
			ops = append(ops, storage.Put(name(key), []byte(input.value)))
		}
	}
	return nil, n.writeFate(n.Write(ctx, ops))
}

func listingIsAtomic(t *T) {
	const width, rounds = 6, 60
	writer, reader := t.open(), t.open()
	side := func(prefix string) (names []string) {
		for i := range width {
			names = append(names, fmt.Sprintf("%s%d", prefix, i))
		}
		return names
	}
	sides := [2][]string{side("x"), side("y")}
	writer.fill(sides[0], "v")
	var writing sync.WaitGroup
	done := make(chan struct{})
	writing.Go(func() {
		defer close(done)
		for i := range rounds {
			var ops []storage.Op
			for _, name := range sides[i%2] {
				ops = append(ops, storage.Delete(writer.dir+name))
			}
			for _, name := range sides[(i+1)%2] {
				ops = append(ops, writer.op(name, "v"))
			}
			writer.write(ops...)
		}
	})
	for busy := true; busy; {
		select {
		case <-done:
			busy = false
		default:
		}
		got, err := reader.names(reader.dir, "", 0)
		if err != nil || !slices.Equal(got, sides[0]) && !slices.Equal(got, sides[1]) {
			t.Errorf("list while a batch swaps %q for %q: got %q, %v", sides[0], sides[1], got, err)
			break
		}
	}
	writing.Wait()
}

func batchOfNothing(t *T) {
	n := t.open()
	n.write()
	n.write(storage.Delete(n.dir+"a"), storage.Delete(n.dir+"b/c"))
	n.wantNames("", "", 0)
	n.put("b", "v")
	n.write(storage.Delete(n.dir+"b/c"), n.op("b/d", "v"), storage.Delete(n.dir+"b"))
	n.wantNames("", "", 0, "b/")
}
