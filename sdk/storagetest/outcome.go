package storagetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/holdfast/holdfast/sdk/storage"
)

// outcomeCases are about what is known of a Commit that was cut short, and about Commits of
// several nodes.
func outcomeCases() []Case {
	cases := []Case{
		{ID: "H-05", Promise: "Commits and reads of one guard by several nodes are linearizable.", Run: func(t *T) { linearizableGuard(t, t.openAll(8), load{calls: 60}) }},
		{ID: "H-11", Promise: "A Commit that was cut short and is made again is applied exactly once, and one that is said not to be applied never is.", Run: appliedOnce},
		{ID: "H-12", Promise: "A Commit that was given up is not applied after the guard has moved on.", Run: lateCommits},
	}
	for i := range cases {
		cases[i].Profile, cases[i].Needs = HA, Needs{HA: true}
	}
	return cases
}

// guardInput is a get of the guard, or a Commit at a version.
type guardInput struct {
	get   bool
	at    storage.Version
	value string // each Commit has its own
}

// guardOutput is what a get returned, or what is known of a Commit.
type guardOutput struct {
	now      guardState
	conflict bool
	unknown  bool
}

// guardState is the guard as the model has it. The zero state is an absent key. A state
// made by a Commit with an unknown outcome has a value and no version, until it is read.
type guardState struct {
	version storage.Version
	value   string
}

func guardModel() porcupine.Model {
	return porcupine.Model{
		Init: func() any { return guardState{} },
		Step: func(s, in, out any) (bool, any) {
			now, input, output := s.(guardState), in.(guardInput), out.(guardOutput) //nolint:errcheck // the history holds nothing else
			unread := now.version == "" && now.value != ""
			switch {
			case input.get && unread:
				return output.now.value == now.value, output.now
			case input.get:
				return output.now == now, now
			case output.conflict:
				return unread || input.at != now.version, now
			case output.unknown && (unread || input.at != now.version): // too late
				return true, now
			case output.unknown:
				return true, guardState{value: input.value}
			default:
				return !unread && input.at == now.version, output.now
			}
		},
	}
}

// load is what each node does to the guard.
type load struct {
	calls int
	hasty int           // every how many calls one has a deadline that is likely to be too short; 0: none
	pace  time.Duration // longest time between two calls
}

// linearizableGuard lets nodes read and commit one guard.
func linearizableGuard(t *T, nodes []*node, load load) {
	seen := newHistory()
	var group sync.WaitGroup
	for id, n := range nodes {
		rng := t.random()
		group.Go(func() {
			var latest guardState
			for i := range load.calls {
				if load.pace > 0 {
					t.pause(time.Duration(rng.Int64N(int64(load.pace))))
				}
				input := guardInput{get: rng.IntN(5) < 2, at: latest.version, value: fmt.Sprintf("%d.%d", id, i)}
				timeout, hasty := n.t.patience(), load.hasty > 0 && i%load.hasty == 0
				if hasty {
					timeout = time.Duration(rng.Int64N(int64(5 * time.Millisecond)))
				}
				seen.record(id, input, func() (any, fate) {
					output, fate := n.callGuard(input, latest, timeout, hasty)
					if fate == known && !output.conflict {
						latest = output.now
					}
					return output, fate
				})
			}
		})
	}
	group.Wait()
	seen.check(t, guardModel())
}

// callGuard makes one call, once. A hasty one may end with its timeout.
func (n *node) callGuard(input guardInput, latest guardState, timeout time.Duration, hasty bool) (guardOutput, fate) {
	ctx, cancel := context.WithTimeout(n.t.ctx, timeout)
	defer cancel()
	if input.get {
		item, err := n.Get(ctx, n.dir+"guard")
		if err != nil && ctx.Err() != nil && hasty {
			return guardOutput{}, dropped
		}
		return guardOutput{now: guardState{item.Version, string(item.Value)}}, n.readFate(err)
	}
	r := record{name: "guard", version: input.at, value: latest.value}
	version, err := n.Commit(ctx, n.guard(r, input.value), nil)
	switch {
	case err == nil:
		return guardOutput{now: guardState{version, input.value}}, known
	case errors.Is(err, storage.ErrConflict):
		return guardOutput{conflict: true}, known
	case storage.OutcomeOf(err) == storage.Unapplied && hasty:
		return guardOutput{}, dropped
	case hasty:
		return guardOutput{unknown: true}, open
	default:
		return guardOutput{unknown: true}, n.writeFate(err)
	}
}

func appliedOnce(t *T) {
	const rounds = 60
	n, other := t.open(), t.open()
	rng := t.random()
	r := n.move(record{name: "guard"}, "start")
	cut := 0
	for i := range rounds {
		value := fmt.Sprintf("round %d", i)
		g, ops := n.guard(r, value), []storage.Op{n.op(fmt.Sprintf("log/%03d", i), value), n.op("last", value)}
		var version storage.Version
		err := n.hastily(rng, func(ctx context.Context) (err error) {
			version, err = n.Commit(ctx, g, ops)
			return err
		})
		if errors.Is(err, storage.ErrConflict) {
			t.Fatalf("round %d: conflict, and nobody else commits", i)
		}
		if err != nil {
			cut++
			if storage.OutcomeOf(err) == storage.Unapplied {
				other.wantAbsent(fmt.Sprintf("log/%03d", i))
			}
			if version, err = n.again(g, ops); err != nil {
				t.Fatalf("round %d: the same commit made again: %v", i, err)
			}
		}
		r = record{name: "guard", version: version, value: value}
		if got := other.wantValue("guard", value); got != version {
			t.Fatalf("round %d: the guard is at %q, the commit returned %q: it was applied twice", i, got, version)
		}
		other.wantValue("last", value)
	}
	t.Logf("%d of %d commits were cut short", cut, rounds)
	if names, err := other.names(t.dir+"log/", "", 0); err != nil || len(names) != rounds {
		t.Errorf("%d commits left their mark, %v, want %d", len(names), err, rounds)
	}
}

// again makes the Commit again whose first attempt had an unknown outcome.
func (n *node) again(g storage.Guard, ops []storage.Op) (storage.Version, error) {
	version, err := n.settle(g, ops)
	if !errors.Is(err, storage.ErrConflict) {
		return version, err
	}
	var item storage.Item
	readErr := n.steady(func(ctx context.Context) error {
		item, err = n.Get(ctx, g.Key)
		return err
	})
	if readErr == nil && string(item.Value) == string(g.Value) {
		return item.Version, nil
	}
	return "", errors.Join(storage.ErrConflict, readErr)
}

// lateCommits gives many Commits up at once, moves the guard on, and looks whether one of them
// comes through.
func lateCommits(t *T) {
	const rounds, each = 10, 8
	n, next := t.open(), t.open()
	r := n.move(record{name: "guard"}, "start")
	for i := range rounds {
		rng := t.random()
		var group sync.WaitGroup
		for j := range each {
			limit := time.Duration(rng.Int64N(int64(4 * time.Millisecond)))
			group.Go(func() {
				ctx, cancel := context.WithTimeout(t.ctx, limit)
				defer cancel()
				late := fmt.Sprintf("late %d.%d", i, j)
				_, _ = n.Commit(ctx, n.guard(r, late), []storage.Op{n.op("late", late)}) // its fate is seen below
			})
		}
		group.Wait()
		item, err := next.get("guard")
		if err != nil {
			t.Fatalf("get the guard: %v", err)
		}
		// One of them may still be on its way: then this conflicts once.
		for moved := false; !moved; {
			r = record{name: "guard", version: item.Version, value: string(item.Value)}
			version, err := next.settle(next.guard(r, fmt.Sprintf("next %d", i)), []storage.Op{storage.Delete(t.dir + "late")})
			switch {
			case err == nil:
				r, moved = record{name: "guard", version: version, value: fmt.Sprintf("next %d", i)}, true
			case !errors.Is(err, storage.ErrConflict):
				t.Fatalf("commit: %v", err)
			default:
				if item, err = next.get("guard"); err != nil {
					t.Fatalf("get the guard: %v", err)
				}
			}
		}
		t.pause(grace)
		if got := n.wantValue("guard", r.value); got != r.version {
			t.Fatalf("round %d: the guard left the version of the last commit", i)
		}
		n.wantAbsent("late")
	}
}
