package storagetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/holdfast/holdfast/sdk/storage"
)

// callCases are about how calls end.
func callCases() []Case {
	return []Case{
		{ID: "C-16", Profile: Core, Promise: "Every call ends soon after its context does, with the context's error, and harms no later call.", Run: callsEndWithContext},
		{ID: "C-17", Profile: Core, Promise: "A write that is cut short happened whole or not at all, and not at all if it says so.", Run: cutShort},
		{ID: "C-18", Profile: Core, Promise: "A call that has ended, cancelled or not, leaves nothing behind: no goroutine, no connection, no file.", Run: callsLeakNothing},
		{ID: "C-25", Profile: Core, Promise: "Close ends soon, and leaves what was written for others.", Run: closeEnds},
	}
}

// calls are one of each kind that the backend has, on keys that no case uses besides: a write
// of unknown outcome may come late.
func (n *node) calls() map[string]func(context.Context) error {
	calls := map[string]func(context.Context) error{
		"get":   func(ctx context.Context) error { _, err := n.Get(ctx, n.dir+"call"); return err },
		"list":  func(ctx context.Context) error { _, err := n.List(ctx, n.dir, "", 0); return err },
		"write": func(ctx context.Context) error { return n.Write(ctx, []storage.Op{n.op("call", "v")}) },
	}
	if n.ha != nil {
		calls["commit"] = func(ctx context.Context) error {
			_, err := n.Commit(ctx, storage.Guard{Key: n.dir + "call-guard", Value: []byte("v")}, nil)
			return err
		}
		calls["watch"] = func(ctx context.Context) error { _, err := n.Watch(ctx, n.dir+"call-absent", ""); return err }
	}
	return calls
}

func callsEndWithContext(t *T) {
	n := t.open()
	n.put("a", "v")
	calls := n.calls()
	for _, name := range slices.Sorted(maps.Keys(calls)) {
		ctx, cancel := context.WithCancel(t.ctx)
		cancel()
		if err := calls[name](ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("%s with a context that is over: got %v, want context.Canceled", name, err)
		}
		for _, timeout := range []time.Duration{time.Millisecond, 20 * time.Millisecond} {
			ctx, cancel := context.WithTimeout(t.ctx, timeout)
			err := calls[name](ctx) // one that does not end is reported
			if ctx.Err() != nil && outage(err) && !errors.Is(err, context.DeadlineExceeded) && !t.disturbed() {
				t.Errorf("%s with a deadline of %v: got %v, want an answer or context.DeadlineExceeded", name, timeout, err)
			}
			cancel()
		}
	}
	n.put("a", "again")
	n.wantValue("a", "again")
}

func cutShort(t *T) {
	n := t.open()
	size := n.largest("large")
	rng := t.random()
	value := func(i int) string { return strings.Repeat(fmt.Sprintf("%07d.", i), size/8+1)[:size] }
	n.put("large", value(0))
	possible := map[string]bool{value(0): true} // what get may return; unknown writes may come late
	for i := 1; i <= 20; i++ {
		err := n.hastily(rng, func(ctx context.Context) error {
			return n.Write(ctx, []storage.Op{n.op("large", value(i))})
		})
		switch outcome := storage.OutcomeOf(err); {
		case outcome == storage.Unknown:
			possible[value(i)] = true
		case outcome == storage.Applied && len(possible) == 1:
			possible = map[string]bool{value(i): true}
		case outcome == storage.Applied:
			possible[value(i)] = true
		}
		item, getErr := n.get("large")
		if getErr != nil {
			t.Fatalf("get: %v", getErr)
		}
		if !possible[string(item.Value)] {
			t.Fatalf("after a write that ended with %v: got %s, want the value before or after it", err, short(item.Value))
		}
	}
	n.put("after", "last") // the others may still come
	n.wantValue("after", "last")
}

// hastily makes call with a deadline that is likely to be too short.
func (n *node) hastily(rng *rand.Rand, call func(context.Context) error) error {
	limit := 8 * time.Millisecond >> rng.IntN(8) // too short for a store next door, and for one in memory
	ctx, cancel := context.WithTimeout(n.t.ctx, time.Duration(rng.Int64N(int64(limit))))
	defer cancel()
	return call(ctx)
}

const (
	leakCalls = 2000 // enough to tell a leak from noise
	leakSlack = 100  // what a pool or a runtime may keep
)

func callsLeakNothing(t *T) {
	n := t.open()
	n.put("a", "v")
	calls := n.calls()
	names := slices.Sorted(maps.Keys(calls))
	spend := func(each int) {
		var group sync.WaitGroup
		for worker := range 8 {
			rng := rand.New(rand.NewPCG(t.plan.seed, uint64(worker)))
			group.Go(func() {
				for i := range each {
					_ = n.hastily(rng, calls[names[i%len(names)]]) // how calls end is another case
				}
			})
		}
		group.Wait()
	}
	spend(leakCalls / 8) // fills pools
	before := t.usage()
	spend(leakCalls / 8)
	t.wantUsage(before, leakSlack)
	n.wantValue("a", "v")
}

func (t *T) usage() map[string]int {
	usage, err := t.plan.usage()
	if err != nil {
		t.Fatalf("count what is in use: %v", err)
	}
	return usage
}

// wantUsage waits until no more is in use than before, but for slack.
func (t *T) wantUsage(before map[string]int, slack int) {
	var grown string
	deadline := time.Now().Add(t.patience())
	for {
		grown = ""
		for name, now := range t.usage() {
			if now > before[name]+slack {
				grown = fmt.Sprintf("%s grew from %d to %d", name, before[name], now)
			}
		}
		if grown == "" {
			return
		}
		if time.Now().After(deadline) || t.ctx.Err() != nil {
			t.Errorf("%s and did not go back", grown)
			return
		}
		t.pause(50 * time.Millisecond)
	}
}

func closeEnds(t *T) {
	stays, leaves := t.open(), t.open()
	leaves.put("a", "v")
	leaves.wantValue("a", "v")
	began := time.Now()
	if err := leaves.Close(); err != nil { // among others, that it did not end
		t.Errorf("close: %v", err)
	}
	t.Logf("closed within %v", time.Since(began).Round(time.Millisecond))
	stays.wantValue("a", "v")
	stays.put("a", "w")
	stays.wantValue("a", "w")
	t.open().wantValue("a", "w")
}
