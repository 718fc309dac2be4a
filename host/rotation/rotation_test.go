package rotation

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/holdfast/holdfast/host/barrier"
	"github.com/holdfast/holdfast/host/internal/fakestore"
	"github.com/holdfast/holdfast/host/store"
)

func TestRotate(t *testing.T) {
	c := newCluster(t)
	n := c.active(c.store)
	before := n.seal("before")
	c.now = c.now.Add(time.Hour)
	n.run()
	if err := n.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	after := n.seal("after")
	if got := n.Status(); got != (Status{Term: 2, Installed: c.now, Seals: 1}) {
		t.Errorf("status = %+v", got)
	}
	// Another node, and one that is unsealed anew, open both.
	for _, other := range []*node{n, c.unseal(c.store)} {
		other.wantOpen(before, "before")
		other.wantOpen(after, "after")
	}
	if term, err := barrier.TermOf(after); err != nil || term != 2 {
		t.Errorf("sealed with term %d, %v; want 2", term, err)
	}
}

// lossy is a store whose Updates can fail after they were applied.
type lossy struct {
	*fakestore.Store
	answer error
}

func (l *lossy) Update(ctx context.Context, lock []string, fn func(store.Tx) error) error {
	if err := l.Store.Update(ctx, lock, fn); err != nil {
		return err
	}
	return l.answer
}

// A node never seals with a key that is not certain to be in the store, and a rotation
// that failed anywhere leaves nothing that can not be opened, or rotated again.
func TestRotationThatFails(t *testing.T) {
	broken := errors.New("broken")
	for name, test := range map[string]struct {
		step   string // of the fakestore
		answer error  // after it was applied
		stored uint32 // term in the store afterwards
	}{
		"locking":                       {step: "update", stored: 1},
		"committing":                    {step: "commit", stored: 1},
		"committed, and nobody says so": {answer: store.ErrOutcomeUnknown, stored: 2},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t)
			s := &lossy{Store: c.store, answer: test.answer}
			n := c.active(s)
			before := n.seal("before")
			c.store.Fault = func(op, _ string) error {
				if op == test.step {
					return broken
				}
				return nil
			}
			ctx, err := c.store.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := n.rotate(ctx, "test"); !errors.Is(err, broken) && !errors.Is(err, store.ErrOutcomeUnknown) {
				t.Errorf("rotate = %v", err)
			}
			c.store.Fault, s.answer = nil, nil
			if got := c.storedTerm(); got != test.stored {
				t.Errorf("the store is at term %d, want %d", got, test.stored)
			}
			if got := n.barrier.KeyTerm(); got != 1 {
				t.Errorf("the node seals with term %d, want 1", got)
			}
			between := n.seal("between")
			if test.answer != nil {
				if err := n.rotate(ctx, "test"); !errors.Is(err, errInDoubt) {
					t.Errorf("rotate while a keyring may still arrive = %v", err)
				}
			}

			// Another node takes over.
			next := c.active(c.store)
			if got := next.Status().Term; got != test.stored {
				t.Errorf("the next node seals with term %d, want %d", got, test.stored)
			}
			if err := next.rotate(ctx, "test"); err != nil {
				t.Fatal(err)
			}
			after := next.seal("after")
			if got := c.storedTerm(); got != test.stored+1 {
				t.Errorf("the store is at term %d, want %d", got, test.stored+1)
			}
			// And the first one comes back.
			n.load()
			for _, reader := range []*node{n, next} {
				reader.wantOpen(before, "before")
				reader.wantOpen(between, "between")
				reader.wantOpen(after, "after")
			}
		})
	}
}

// A keyring in the store that lacks a key of this node is not built upon, and not
// overwritten: an operator has to look at it. The node goes on with the keys it has.
func TestKeyringInTheStoreThatIsNotOurs(t *testing.T) {
	for name, harm := range map[string]func(*cluster){
		"older":              func(c *cluster) { c.putKeyring(barrier.NewKeyring("cluster")) },
		"damaged":            func(c *cluster) { c.put(keyringKey, []byte("damaged")) },
		"of another cluster": func(c *cluster) { c.putKeyring(barrier.NewKeyring("another").Rotate().Rotate()) },
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t)
			n := c.active(c.store)
			n.run()
			if err := n.Rotate(t.Context()); err != nil {
				t.Fatal(err)
			}
			value := n.seal("value")
			harm(c)
			if err := n.Rotate(t.Context()); err == nil {
				t.Error("a keyring that does not continue this node's was replaced")
			}
			n.load()
			n.wantOpen(value, "value")
			n.wantOpen(n.seal("new"), "new")
		})
	}
}

// The count is never too low, whoever is active and whoever dies.
func TestCountOverTakeOvers(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	c := newCluster(t)
	ctx, err := c.store.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	nodes := []*node{c.unseal(c.store), c.unseal(c.store), c.unseal(c.store)}
	var truth uint64
	const takeOvers = 200
	for range takeOvers {
		i := random.IntN(len(nodes))
		if random.IntN(4) == 0 {
			nodes[i] = c.unseal(c.store) // it was killed, and knows nothing
		}
		n := nodes[i]
		n.load()
		for range random.IntN(6) {
			if err := n.check(ctx); err != nil {
				t.Fatal(err)
			}
			// As much as may happen until the next check.
			n.barrier.AddSeals(1, reserve/2)
			truth += reserve / 2
			if got := n.Status().Seals; got < truth {
				t.Fatalf("the count is %d after %d; %+v", got, truth, n.Status())
			}
		}
		// A candidate seals a record now and then.
		nodes[random.IntN(len(nodes))].seal("record")
		truth++
	}
	if got, most := nodes[0].record.Seals, truth+(2*takeOvers+1)*reserve; got > most {
		t.Errorf("the count is %d after %d: more than a reservation too high for each take-over", got, truth)
	}
	t.Logf("%d sealed in truth, %d counted after %d take-overs", truth, nodes[0].Status().Seals, takeOvers)
}

func TestRotationIsDue(t *testing.T) {
	for name, test := range map[string]struct {
		policy Policy
		seals  uint64
		age    time.Duration
		want   bool
	}{
		"new":                         {policy: DefaultPolicy(), seals: 1000, age: 1000 * time.Hour},
		"by default":                  {policy: DefaultPolicy(), seals: MaxOperations, want: true},
		"max_operations":              {policy: Policy{Enabled: true, Operations: MinOperations}, seals: MinOperations, want: true},
		"before max_operations":       {policy: Policy{Enabled: true, Operations: MinOperations}, seals: MinOperations - reserve - 1},
		"interval":                    {policy: Policy{Enabled: true, Operations: MaxOperations, Interval: MinInterval}, age: MinInterval, want: true},
		"before the interval":         {policy: Policy{Enabled: true, Operations: MaxOperations, Interval: MinInterval}, age: MinInterval - time.Second},
		"disabled":                    {policy: Policy{Operations: MinOperations, Interval: MinInterval}, seals: MinOperations, age: MinInterval},
		"disabled, at the very limit": {policy: Policy{Operations: MinOperations}, seals: MaxOperations, want: true},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t)
			n := c.active(c.store)
			ctx, err := c.store.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			set := func(next *Record) error { next.Policy = test.policy; return nil }
			if err := n.amend(ctx, set); err != nil {
				t.Fatal(err)
			}
			n.barrier.AddSeals(1, test.seals)
			c.now = c.now.Add(test.age)
			if err := n.check(ctx); err != nil {
				t.Fatal(err)
			}
			if got := n.Status().Term == 2; got != test.want {
				t.Errorf("rotated: %t, want %t", got, test.want)
			}
			if got := n.Policy(); got != test.policy {
				t.Errorf("the policy became %+v", got)
			}
		})
	}
}

// Without a count that can be trusted the key is not used any longer.
func TestUnknownCountRotates(t *testing.T) {
	for name, harm := range map[string]func(*cluster) error{
		"missing":        func(c *cluster) error { return c.store.Delete(c.t.Context(), recordKey) },
		"garbled":        func(c *cluster) error { c.put(recordKey, []byte("{")); return nil },
		"of another key": func(c *cluster) error { c.putKeyring(c.storedKeyring().Rotate()); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t)
			if err := harm(c); err != nil {
				t.Fatal(err)
			}
			term := c.storedTerm()
			n := c.active(c.store)
			ctx, err := c.store.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := n.check(ctx); err != nil {
				t.Fatal(err)
			}
			if got := n.Status(); got.Term != term+1 || got.Seals != 0 {
				t.Errorf("status = %+v, want term %d and nothing sealed", got, term+1)
			}
		})
	}
}

func TestPolicyIsStored(t *testing.T) {
	c := newCluster(t)
	n := c.active(c.store)
	n.run()
	want := Policy{Enabled: false, Operations: 2 * MinOperations, Interval: 48 * time.Hour}
	if err := n.SetPolicy(t.Context(), func(p *Policy) { *p = want }); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []Policy{
		{Operations: MinOperations - 1},
		{Operations: MaxOperations + 1},
		{Operations: MinOperations, Interval: MinInterval - 1},
		{Operations: MinOperations, Interval: -1},
	} {
		if err := n.SetPolicy(t.Context(), func(p *Policy) { *p = bad }); !errors.Is(err, ErrInvalid) {
			t.Errorf("SetPolicy(%+v) = %v, want ErrInvalid", bad, err)
		}
	}
	if got := c.active(c.store).Policy(); got != want {
		t.Errorf("the next active node has %+v, want %+v", got, want)
	}
}

// ended is a store in which the tenure of every request has ended.
type ended struct{ *fakestore.Store }

func (e ended) Ended(context.Context) <-chan struct{} {
	over := make(chan struct{})
	close(over)
	return over
}

// What was asked for in one tenure is not done in the next, nor waited for.
func TestRequestOfAnEndedTenure(t *testing.T) {
	c := newCluster(t)
	n := c.active(ended{c.store})
	if err := n.Rotate(t.Context()); !errors.Is(err, store.ErrNotActive) {
		t.Errorf("rotate = %v, want %v", err, store.ErrNotActive)
	}
	if got := c.storedKeyring().ActiveTerm(); got != 1 {
		t.Errorf("the key is of term %d, want 1", got)
	}
}
