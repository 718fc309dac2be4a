package storagetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/holdfast/holdfast/sdk/storage"
)

// linkCases are about a way to the store that is slow, breaks and comes back.
func linkCases() []Case {
	cases := []Case{
		{ID: "C-21", Promise: "While the store is away calls fail with ErrUnavailable, soon after it is back they work again, and the process lives through both.", Run: storeComesAndGoes},
		{ID: "C-22", Promise: "A read that waits for a slow store holds up no read of another key.", Run: slowCallsOverlap},
		{ID: "C-23", Promise: "When the connection breaks, a write says what is true: applied and kept, not applied and never seen, or that nobody knows.", Run: outcomesAreTrue},
	}
	for i := range cases {
		cases[i].Profile, cases[i].Needs = Core, Needs{Link: true}
	}
	return cases
}

// back waits until n finds the store, and returns how long it took. Stores' own clients
// wait for seconds between attempts.
func (n *node) back() time.Duration {
	began := time.Now()
	n.t.eventually(n.t.patience(), "the client finds the store again", func() bool {
		ctx, cancel := context.WithTimeout(n.t.ctx, n.t.overrun())
		defer cancel()
		_, err := n.Get(ctx, n.dir+"kept")
		return err == nil || errors.Is(err, storage.ErrNotFound)
	})
	return time.Since(began).Round(time.Millisecond)
}

func storeComesAndGoes(t *T) {
	near := t.open()
	near.put("kept", "1")
	link := t.openLink()
	link.Cut()
	n, err := t.openWhileAway(link)
	if err != nil && !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("open a client while the store is away: got %v, want ErrUnavailable or a client that waits for it", err)
	}
	if n == nil {
		link.Heal()
		n = t.openBy(link.Open)
	} else {
		n.wantUnavailable("before the store was there")
		link.Heal()
	}
	t.Logf("the store was found after %v", n.back())
	process := n.process()

	n.wantValue("kept", "1")
	link.Cut()
	n.wantUnavailable("while the store is away")
	near.put("kept", "2") // it is only n that does not see the store
	link.Heal()
	t.Logf("after an outage it was found after %v", n.back())
	n.wantValue("kept", "2")

	link.Hold()
	calls := n.calls()
	for _, name := range slices.Sorted(maps.Keys(calls)) {
		ctx, cancel := context.WithTimeout(t.ctx, 200*time.Millisecond)
		if err := calls[name](ctx); err == nil || !outage(err) { // one that does not end is reported
			t.Errorf("%s while the store does not answer: got %v, want ErrUnavailable or the context's error", name, err)
		}
		cancel()
	}
	link.Heal()
	t.Logf("after a silence it was found after %v", n.back())
	n.put("a", "last")
	near.wantValue("a", "last")
	if now := n.process(); now != process {
		t.Errorf("process %d has become %d: the plugin did not live through an outage of its store", process, now)
	}
}

// openWhileAway opens a client that can not reach the store. An error is the backend's.
func (t *T) openWhileAway(link Link) (*node, error) {
	ctx, cancel := context.WithTimeout(t.ctx, t.patience())
	defer cancel()
	b, capabilities, err := link.Open(ctx)
	if err != nil {
		return nil, err
	}
	return t.adopt(b, capabilities, t.plan.ha), nil
}

// process is the process of n's backend; 0 if it is not one that is known.
func (n *node) process() int {
	if p, ok := n.backend.(interface{ PID() int }); ok {
		return p.PID()
	}
	return 0
}

// wantUnavailable makes calls of each kind, all at once: a backend may try for a while.
func (n *node) wantUnavailable(when string) {
	var group sync.WaitGroup
	for name, call := range n.calls() {
		if name == "watch" { // it may wait for the store, too
			continue
		}
		group.Go(func() {
			err := call(n.t.ctx)
			if !errors.Is(err, storage.ErrUnavailable) && !errors.Is(err, context.DeadlineExceeded) {
				n.t.Errorf("%s %s: got %v, want ErrUnavailable", name, when, err)
			}
		})
	}
	group.Wait()
}

// slowCallsOverlap compares how long many calls take at once with what they would take one
// after the other.
func slowCallsOverlap(t *T) {
	const callers, writers, delay = 16, 4, 100 * time.Millisecond
	const serial = callers * 2 * delay // there and back
	near := t.open()
	link := t.openLink()
	n := t.openBy(link.Open)
	var names []string
	for i := range callers {
		names = append(names, fmt.Sprintf("k%02d", i))
	}
	near.fill(names, "v")
	atOnce := func(names []string, call func(name string)) time.Duration {
		began := time.Now()
		var group sync.WaitGroup
		for _, name := range names {
			group.Go(func() { call(name) })
		}
		group.Wait()
		return time.Since(began)
	}
	atOnce(names, func(name string) { n.wantValue(name, "v") }) // makes connections
	link.Delay(delay)
	best := serial
	for range 3 { // a busy machine is slow now and then
		if best = min(best, atOnce(names, func(name string) { n.wantValue(name, "v") })); best < serial/2 {
			break
		}
	}
	// Writes may take turns: the host has one Commit under way at a time.
	writes := atOnce(names[:writers], func(name string) { n.put(name, "w") })
	t.Logf("%d gets at once took %v, %d writes %v; each way takes %v", callers, best.Round(time.Millisecond), writers, writes.Round(time.Millisecond), delay)
	if best >= serial/2 {
		t.Errorf("%d gets at once of different keys took %v over a link of %v each way, want less than half of the %v of one after the other", callers, best, delay, serial)
	}
}

// breakable is what across needs of a Link, or of a Proxy.
type breakable interface {
	CutAfter(direction Direction, messages int)
	IsCut() bool
	Heal()
}

// across makes call while way is cut after some messages, and mends it as soon as it is
// cut: who tries again by himself may succeed. It reports whether the cut came.
func (t *T) across(way breakable, direction Direction, messages int, call func()) (cut bool) {
	way.CutAfter(direction, messages)
	done := make(chan struct{})
	var calling sync.WaitGroup
	calling.Go(func() {
		defer close(done)
		call()
	})
	defer calling.Wait()
	defer way.Heal()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return way.IsCut()
		case <-tick.C:
			if way.IsCut() {
				return true
			}
		}
	}
}

func outcomesAreTrue(t *T) {
	const rounds = 12
	near := t.open()
	near.put("kept", "1")
	link := t.openLink()
	n := t.openBy(link.Open)
	rng := t.random()
	told := map[storage.Outcome]int{}
	var never []string // what was said not to be applied
	for i := range rounds {
		name, value := fmt.Sprintf("w%02d", i), fmt.Sprintf("round %d", i)
		var err error
		t.across(link, Direction(i%2), rng.IntN(4), func() {
			err = n.Write(t.ctx, []storage.Op{n.op(name, value)})
		})
		outcome := storage.OutcomeOf(err)
		told[outcome]++
		item, getErr := near.get(name)
		switch {
		case err != nil && !outage(err):
			t.Errorf("round %d: a write over a link that breaks: got %v, want ErrUnavailable", i, err)
		case getErr != nil && !errors.Is(getErr, storage.ErrNotFound):
			t.Fatalf("get beside the link: %v", getErr)
		case getErr == nil && string(item.Value) != value:
			t.Errorf("round %d: got %s, want %q or nothing", i, short(item.Value), value)
		case outcome == storage.Applied && getErr != nil:
			t.Errorf("round %d: the write succeeded, and its key is absent", i)
		case outcome == storage.Unapplied && getErr == nil:
			t.Errorf("round %d: the write was not applied (%v), and its key is there", i, err)
		}
		if outcome == storage.Unapplied {
			never = append(never, name)
		}
		n.back()
	}
	for _, name := range never {
		near.wantAbsent(name)
	}
	t.Logf("of %d writes %d were applied, %d were not, of %d nobody knew", rounds, told[storage.Applied], told[storage.Unapplied], told[storage.Unknown])
}
