// Package history checks that what clients did to the server, and were told, is
// linearizable: that every operation took effect at one instant between its call and its
// return. Porcupine does the search; an undecided one counts as a failure.
package history

import (
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

// Op is one operation of a client on one object, and what it was told. An operation that
// has provably not run is left out of a history, and so is a read without an answer.
type Op struct {
	Client  int
	Call    time.Duration // since a moment that is the same for all clients
	Return  time.Duration
	Input   any  // Read or one of the model's writes
	Output  any  // of the model's type
	Unknown bool // nobody said whether the write was made: it may still be, at any time from Call on
}

// Read is the input of an operation that asks for the object's whole state.
type Read struct{}

// Model is a kind of object.
type Model struct {
	init     any
	step     func(state, input, output any) (ok bool, next any)
	describe func(input, output any) string
	// observed returns a test of whether an unknown write may have been seen. One that was
	// not seen can be left out: had it taken effect, it could as well have done so after
	// everything else. Without this a search takes forever after a few lost connections.
	observed func(ops []Op) func(Op) bool
}

// checkTimeout is far more than a history of a few hundred operations takes.
const checkTimeout = 5 * time.Minute

// Check returns why the operations on the object called name are not linearizable, or that
// this could not be decided; nil if they are. A picture of the history is left in dir then.
func (m Model) Check(name, dir string, ops []Op) error {
	model := porcupine.Model{
		Init:              func() any { return m.init },
		Step:              m.step,
		DescribeOperation: m.describe,
	}
	result, info := porcupine.CheckOperationsVerbose(model, m.operations(ops), checkTimeout)
	if result == porcupine.Ok {
		return nil
	}
	what := "not linearizable"
	if result == porcupine.Unknown {
		what = fmt.Sprintf("undecided after %v", checkTimeout)
	}
	path := filepath.Join(dir, "history-"+strings.NewReplacer("/", "-", " ", "-", ",", "").Replace(name)+".html")
	if err := porcupine.VisualizePath(model, info, path); err != nil {
		return fmt.Errorf("the history of %s is %s; it can not be drawn: %w", name, what, err)
	}
	return fmt.Errorf("the history of %s is %s; see %s", name, what, path)
}

// operations returns the history as porcupine takes it, without unknown writes that nobody
// saw.
func (m Model) operations(ops []Op) []porcupine.Operation {
	seen := m.observed(ops)
	var kept []porcupine.Operation
	for _, o := range ops {
		if o.Unknown && !seen(o) {
			continue
		}
		end := int64(o.Return)
		if o.Unknown {
			end = math.MaxInt64
			o.Output = nil
		}
		kept = append(kept, porcupine.Operation{ClientId: o.Client, Input: o.Input, Output: o.Output, Call: int64(o.Call), Return: end})
	}
	return kept
}
