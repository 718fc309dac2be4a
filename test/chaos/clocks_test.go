package chaos

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/holdfast/holdfast/test/harness"
)

// clockFaults are those that leases bear: one clock runs 10 % fast or slow. A jump is none of
// them: a clock that counts suspension jumps only when its node stood still as long.
func clockFaults() []fault {
	at := func(name string, rate float64) fault {
		return fault{name: "clock " + name, class: aboutClock, inject: func(c *cluster, t target, _ *rand.Rand) ongoing {
			n := c.nodes[t.node]
			n.setClock(rate, 0)
			return ongoing{heal: func() { n.setClock(1, 0) }}
		}}
	}
	return []fault{at("10 % fast", 1.1), at("10 % slow", 0.9)}
}

// wildClocks gives all clocks new rates, up to 50 % wrong, and puts one of them forward, again
// and again. Often it is the worst that can be: the active node believes for twice as long as
// it may that it has a lease, and the others lose patience too early.
func wildClocks() fault {
	return fault{name: "clocks 50 % wrong and jumping", class: aboutClock, inject: func(c *cluster, _ target, r *rand.Rand) ongoing {
		heal := func() {
			for _, n := range c.nodes {
				n.setClock(1, 0)
			}
		}
		return ongoing{heal: heal, move: func() time.Duration {
			active, worst, jumps := c.active(c.t.Context()), r.IntN(3) > 0, r.IntN(2*size)
			for i, n := range c.nodes {
				rate := 0.5 + r.Float64()
				switch {
				case worst && i == active:
					rate = 0.5
				case worst:
					rate = 1.5
				}
				forward := time.Duration(0)
				if i == jumps {
					forward = []time.Duration{time.Second, 10 * time.Second, time.Hour}[r.IntN(3)]
				}
				n.setClock(rate, forward)
			}
			return time.Duration(1+r.IntN(5)) * time.Second
		}}
	}}
}

// setClock lets the node's clock run at a rate, and puts it forward once.
func (n *node) setClock(rate float64, forward time.Duration) {
	n.forward += forward
	next := n.clock + ".next"
	err := os.WriteFile(next, fmt.Appendf(nil, "%v %v", rate, n.forward), 0o600)
	if err == nil {
		err = os.Rename(next, n.clock) // the server never sees half of it
	}
	if err != nil {
		panic(fmt.Sprintf("set a clock: %v", err))
	}
}

// newClock makes the file that says how wrong a clock is, and returns what tells the server.
func (n *node) newClock(dir string) (env string) {
	n.clock = filepath.Join(dir, "clock")
	n.setClock(1, 0)
	return "HOLDFAST_TEST_CLOCK=" + n.clock
}

// TestClockIsFelt: a standby whose clock runs a hundred times too fast loses patience with a
// healthy active node. Without that, the other tests with wrong clocks would show nothing.
func TestClockIsFelt(t *testing.T) {
	c := newCluster(t, kinds()[1], "")
	active := c.active(t.Context())
	epoch := c.epoch(t.Context(), active)
	if epoch == 0 {
		t.Fatal("the active node does not tell its epoch")
	}
	c.nodes[(active+1)%size].setClock(100, 0)
	harness.Eventually(t, "the standby takes over", func() error {
		if now := c.epoch(t.Context(), active); now <= epoch {
			return fmt.Errorf("the epoch is %d, and was %d", now, epoch)
		}
		return nil
	})
}
