package storagetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/anishathalye/porcupine"

	"github.com/holdfast/holdfast/sdk/storage"
)

// sharingCases are about several nodes on one store.
func sharingCases() []Case {
	return []Case{
		{ID: "C-13", Profile: Core, Promise: "What one node wrote, every node reads and lists at once.", Run: otherNodesRead},
		{ID: "C-14", Profile: Core, Promise: "Writes of 64 callers at once to different keys are all kept.", Run: manyWriters},
		{ID: "C-15", Profile: Core, Promise: "Writes and reads of one key by several nodes are linearizable.", Run: linearizableRegister},
	}
}

func otherNodesRead(t *T) {
	nodes := t.openAll(3)
	for i := range 30 {
		writer := nodes[i%len(nodes)]
		value := fmt.Sprintf("value %d", i)
		writer.put("a", value)
		writer.put(fmt.Sprintf("d%d/x", i), value)
		for _, reader := range nodes {
			reader.wantValue("a", value)
			reader.wantNames("", fmt.Sprintf("d%d", i), 1, fmt.Sprintf("d%d/", i))
		}
		nodes[(i+1)%len(nodes)].write(storage.Delete(t.dir+"a"), storage.Delete(fmt.Sprintf("%sd%d/x", t.dir, i)))
		for _, reader := range nodes {
			reader.wantAbsent("a")
			reader.wantNames("", "", 0)
		}
	}
}

func manyWriters(t *T) {
	const writers, writes = 64, 8
	nodes := t.openAll(2)
	var group sync.WaitGroup
	for i := range writers {
		group.Go(func() {
			for j := range writes {
				nodes[i%len(nodes)].put(fmt.Sprintf("k%02d", i), fmt.Sprint(j))
			}
		})
	}
	group.Wait()
	for i := range writers {
		nodes[0].wantValue(fmt.Sprintf("k%02d", i), fmt.Sprint(writes-1))
	}
}

// registerInput is one call on a key: a get, a delete if value is empty, or a put.
type registerInput struct {
	get   bool
	value string
}

// register is a key that is put, deleted and read. Its state is the value, empty when it
// is absent.
func register() porcupine.Model {
	return porcupine.Model{
		Init: func() any { return "" },
		Step: func(state, in, out any) (bool, any) {
			input := in.(registerInput) //nolint:errcheck // the history holds nothing else
			if input.get {
				return out == state, state
			}
			return true, input.value
		},
	}
}

func linearizableRegister(t *T) {
	const clients, callsEach = 8, 60
	seen := newHistory()
	// After a delete with an unknown outcome there are no more: settle knows nothing of
	// deletes, and a search with many of them open takes minutes.
	var unsure atomic.Bool
	var group sync.WaitGroup
	for id, n := range t.openAll(clients) {
		rng := t.random()
		group.Go(func() {
			for i := range callsEach {
				input := registerInput{get: rng.IntN(2) == 0}
				if !input.get && (rng.IntN(5) > 0 || unsure.Load()) {
					input.value = fmt.Sprintf("%d.%d", id, i)
				}
				seen.record(id, input, func() (any, fate) {
					output, fate := n.callRegister(input)
					if fate == open && input.value == "" {
						unsure.Store(true)
					}
					return output, fate
				})
			}
		})
	}
	group.Wait()
	seen.settle(func(input any) string { return input.(registerInput).value }) //nolint:errcheck // the history holds nothing else
	seen.check(t, register())
}

// callRegister makes one call, once.
func (n *node) callRegister(input registerInput) (any, fate) {
	ctx, cancel := context.WithTimeout(n.t.ctx, n.t.patience())
	defer cancel()
	if input.get {
		item, err := n.Get(ctx, n.dir+"register")
		return string(item.Value), n.readFate(err)
	}
	op := n.op("register", input.value)
	if input.value == "" {
		op = storage.Delete(op.Key)
	}
	return nil, n.writeFate(n.Write(ctx, []storage.Op{op}))
}

// readFate is what the error of a read means for a history. Only a disturbed store may fail.
func (n *node) readFate(err error) fate {
	if err == nil || errors.Is(err, storage.ErrNotFound) {
		return known
	}
	n.unlessDisturbed(err)
	return dropped
}

// writeFate is what the error of a write means for a history.
func (n *node) writeFate(err error) fate {
	if err == nil {
		return known
	}
	n.unlessDisturbed(err)
	if storage.OutcomeOf(err) == storage.Unapplied {
		return dropped
	}
	return open
}

// unlessDisturbed reports err, unless the harness makes the store fail.
func (n *node) unlessDisturbed(err error) {
	if !n.t.disturbed() || !outage(err) {
		n.t.Errorf("call fails though nothing disturbs the store: %v", err)
	}
}
