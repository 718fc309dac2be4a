package storagetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/holdfast/holdfast/sdk/storage"
)

// watchCases are about Watch.
func watchCases() []Case {
	cases := []Case{
		{ID: "H-09", Promise: "Watch answers at once when the key is at another version than the one seen.", Run: watchAtOnce},
		{ID: "H-10", Promise: "A thousand cancelled watches leave nothing behind.", Run: watchesLeakNothing},
		{ID: "H-16", Promise: "Watches that wait hold up no other call.", Run: watchesHoldUpNothing},
		{ID: "H-19", Promise: "Watch waits while the key stays, and returns soon when it is created, changed or deleted.", Run: watchWakes},
		{ID: "H-20", Promise: "However fast a key changes, whoever watches it arrives at its last state.", Run: watchSeesTheLastState},
		{ID: "H-21", Promise: "Watch ends with its context, with the context's error.", Run: watchEndsWithContext},
	}
	for i := range cases {
		cases[i].Profile, cases[i].Needs = HA, Needs{HA: true}
	}
	return cases
}

func watchAtOnce(t *T) {
	n := t.open()
	first := n.move(record{name: "guard"}, "1")
	second := n.move(first, "2")
	for _, seen := range []storage.Version{"", first.version, "none such", "99999999999999999999"} {
		began := time.Now()
		item, err := n.watch("guard", seen) // one that waits ends with an error
		if err != nil || item.Version != second.version || string(item.Value) != "2" {
			t.Errorf("watch from %q: got %q at %q, %v, want %q at %q", seen, item.Value, item.Version, err, "2", second.version)
		}
		t.Logf("watch from %q took %v", seen, time.Since(began).Round(time.Millisecond))
	}
	n.remove("guard")
	for _, seen := range []storage.Version{first.version, second.version} {
		if item, err := n.watch("guard", seen); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("watch of a deleted key: got %q at %q, %v, want ErrNotFound", item.Value, item.Version, err)
		}
	}
	third := n.move(record{name: "guard"}, "2")
	if item, err := n.watch("guard", second.version); err != nil || item.Version != third.version {
		t.Errorf("watch of a key that was made again: got %q, %v, want %q", item.Version, err, third.version)
	}
}

// watching is a Watch under way.
type watching struct {
	done chan struct{}
	item storage.Item // read these after done
	err  error
	at   time.Time
}

func (n *node) startWatch(name string, seen storage.Version) *watching {
	w := &watching{done: make(chan struct{})}
	go func() { // ends with the change, or with the case
		defer close(w.done)
		w.item, w.err = n.watch(name, seen)
		w.at = time.Now()
	}()
	return w
}

func watchWakes(t *T) {
	const rounds = 3
	n, watcher := t.open(), t.open()
	var latencies []time.Duration
	r := record{name: "dir/guard"}
	for i := range rounds {
		steps := []struct {
			name   string
			change func() record
		}{
			{"created", func() record { return n.move(r, fmt.Sprintf("%d created", i)) }},
			{"changed", func() record { return n.move(r, fmt.Sprintf("%d changed", i)) }},
			{"deleted", func() record { n.remove(r.name); return record{name: r.name} }},
		}
		for _, step := range steps {
			w := watcher.startWatch(r.name, r.version)
			t.pause(grace)
			n.put("dir/neighbour", step.name) // is none of its business
			n.put("dir/guard2", step.name)
			select {
			case <-w.done:
				t.Fatalf("before the key was %s: watch returned %q, %v", step.name, w.item.Version, w.err)
			case <-time.After(grace):
			}
			began := time.Now()
			r = step.change()
			<-w.done
			latencies = append(latencies, w.at.Sub(began))
			switch {
			case r.version == "" && !errors.Is(w.err, storage.ErrNotFound):
				t.Fatalf("%s: watch returned %q, %v, want ErrNotFound", step.name, w.item.Version, w.err)
			case r.version != "" && (w.err != nil || w.item.Version != r.version || string(w.item.Value) != r.value):
				t.Fatalf("%s: watch returned %q at %q, %v, want %q at %q", step.name, w.item.Value, w.item.Version, w.err, r.value, r.version)
			}
		}
	}
	slices.Sort(latencies)
	median := latencies[len(latencies)/2]
	t.Logf("watch returned %v after a change (median), %v at most", median.Round(time.Millisecond), latencies[len(latencies)-1].Round(time.Millisecond))
	if median > t.overrun() && !t.disturbed() {
		t.Errorf("watch returns %v after a change (median of %d), want it soon", median, len(latencies))
	}
}

func watchSeesTheLastState(t *T) {
	const rounds, changes = 10, 8
	writer := t.open()
	watchers := t.openAll(3)
	rng := t.random()
	r := record{name: "guard"}
	for i := range rounds {
		var group sync.WaitGroup
		last := fmt.Sprintf("last of %d", i)
		for _, n := range watchers {
			seen := r.version
			group.Go(func() {
				for {
					item, err := n.watch("guard", seen)
					if err != nil && !errors.Is(err, storage.ErrNotFound) {
						t.Errorf("watch in round %d did not arrive at the last state: %v", i, err)
						return
					}
					if string(item.Value) == last {
						return
					}
					seen = item.Version
				}
			})
		}
		for j := range changes {
			if i%3 == 2 && j == changes/2 {
				writer.remove("guard")
				r = record{name: "guard"}
			}
			r = writer.move(r, fmt.Sprintf("%d.%d", i, j))
			if i%2 == 0 { // the last change comes at any time after the one before
				t.pause(time.Duration(rng.Int64N(int64(2 * time.Millisecond))))
			}
		}
		r = writer.move(r, last)
		group.Wait()
		if t.Failed() {
			return
		}
	}
}

func watchEndsWithContext(t *T) {
	n := t.open()
	r := n.move(record{name: "guard"}, "1")
	for name, seen := range map[string]storage.Version{"guard": r.version, "absent": ""} {
		ctx, cancel := context.WithTimeout(t.ctx, 300*time.Millisecond)
		item, err := n.Watch(ctx, n.dir+name, seen) // one that does not end is reported
		if !errors.Is(err, context.DeadlineExceeded) && !t.disturbed() {
			t.Errorf("watch of %s: got %q, %v, want context.DeadlineExceeded", name, item.Version, err)
		}
		cancel()
	}
	n.move(r, "2")
}

const manyWatches = 1000

func watchesLeakNothing(t *T) {
	n := t.open()
	r := n.move(record{name: "guard"}, "1")
	spend := func(count int) {
		ctx, cancel := context.WithCancel(t.ctx)
		defer cancel()
		var group sync.WaitGroup
		for i := range count {
			name, seen := "guard", r.version
			if i%2 == 0 {
				name, seen = fmt.Sprintf("absent/%d", i%7), ""
			}
			group.Go(func() {
				if item, err := n.Watch(ctx, n.dir+name, seen); err == nil {
					t.Errorf("watch returned %q though nothing changed", item.Version)
				}
			})
		}
		t.pause(grace)
		cancel()
		group.Wait()
	}
	before := t.usage()
	spend(manyWatches)
	spend(manyWatches)
	t.wantUsage(before, leakSlack)
	n.move(r, "2")
}

func watchesHoldUpNothing(t *T) {
	const waiting, callsBeside = 300, 10
	n := t.open()
	r := n.move(record{name: "guard"}, "1")
	calls := func() time.Duration {
		began := time.Now()
		for i := range callsBeside {
			n.put("other", fmt.Sprint(i))
			n.wantValue("other", fmt.Sprint(i))
			n.wantNames("", "", 0, "guard", "other")
			n.move(record{name: fmt.Sprintf("more/%d", i)}, "1")
			n.remove(fmt.Sprintf("more/%d", i))
		}
		return time.Since(began)
	}
	alone := calls()
	var watches []*watching
	for i := range waiting {
		name, seen := "guard", r.version
		if i%3 == 0 {
			name, seen = "absent", ""
		}
		watches = append(watches, n.startWatch(name, seen))
	}
	t.pause(grace)
	beside := calls() // one that waits for a watch ends with an error
	t.Logf("%d calls took %v alone and %v beside %d watches", 5*callsBeside, alone.Round(time.Millisecond), beside.Round(time.Millisecond), waiting)
	n.move(r, "2", n.op("absent", "1"))
	for _, w := range watches {
		<-w.done
		if w.err != nil {
			t.Errorf("a watch among %d: %v", waiting, w.err)
		}
	}
}
