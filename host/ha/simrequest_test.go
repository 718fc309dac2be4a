package ha

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// request serves one client operation on this node.
func (n *simNode) request(in op, answer func(out op, ran bool)) {
	if n.state.Self.ID == "" {
		return
	}
	n.live(func() {
		if !n.serving() || n.locked[in.key] && in.kind == "cas" {
			answer(op{}, false)
			return
		}
		switch in.kind {
		case "read":
			n.read(in, answer)
		case "write":
			n.write(in, answer)
		case "cas":
			n.swap(in, answer)
		}
	})()
}

func (n *simNode) read(in op, answer func(op, bool)) {
	value := n.cache[in.key]
	// A pause of any length fits between the read and the check.
	n.after(n.upTo(time.Millisecond), n.live(func() {
		n.confirmed(func(ok bool) { answer(op{observed: value}, ok) })
	}))
}

// confirmed calls then(true) once this node is known to have been active after now.
func (n *simNode) confirmed(then func(bool)) {
	within := n.clock() < n.state.Lease && !n.faults.strictOnly
	switch {
	case n.mutant == noLeaseCheck && n.state.Role == Active, within:
		then(true)
	case !n.serving():
		then(false)
	default:
		n.reads = append(n.reads, then)
		n.step(WorkReady{})
	}
}

func (n *simNode) write(in op, answer func(op, bool)) {
	if n.locked[in.key] { // held by a read-then-write: wait for it
		n.after(time.Millisecond, n.live(func() { n.request(in, answer) }))
		return
	}
	n.queue = append(n.queue, simWrite{in.key, in.value, func(r Result) {
		answer(op{unknown: r == Doubtful}, r != Again)
	}})
	n.step(WorkReady{})
}

// swap holds the key from its read until the outcome of its write is known (P9).
func (n *simNode) swap(in op, answer func(op, bool)) {
	for _, w := range append(n.queue, n.flight...) {
		if w.key == in.key { // a blind write holds it
			answer(op{}, false)
			return
		}
	}
	now := n.cache[in.key]
	if now != in.old {
		n.confirmed(func(ok bool) { answer(op{observed: now}, ok) })
		return
	}
	n.locked[in.key] = true
	n.queue = append(n.queue, simWrite{in.key, in.value, func(r Result) {
		delete(n.locked, in.key)
		answer(op{swapped: r == Applied, observed: now, unknown: r == Doubtful}, r != Again)
	}})
	n.step(WorkReady{})
}

// everything is all faults at once.
var everything = faults{
	loss: 0.01, delay: 4 * time.Millisecond, late: 0.01,
	pauses: true, crashes: true, outages: true, rate: 0.05,
}

// seeds is how many histories TestSimulation checks; HOLDFAST_SIM_SEEDS sets another
// number, and HOLDFAST_SIM_SEED replays one with its trace.
const seeds = 1500

func TestSimulation(t *testing.T) {
	if s := os.Getenv("HOLDFAST_SIM_SEED"); s != "" {
		seed, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		sim := newSim(seed, everything, noMutant)
		res := sim.run(20 * time.Second)
		t.Logf("%v %v\n%s", res, sim.problems, strings.Join(sim.trace, "\n"))
	}
	n := seeds
	if s := os.Getenv("HOLDFAST_SIM_SEEDS"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	strict := everything
	strict.strictOnly, strict.rate = true, 0.5
	for name, f := range map[string]faults{"lease": everything, "strict, clocks wrong by half": strict} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			acked, takeovers := 0, 0
			for seed := range uint64(n / 2) {
				s := newSim(seed, f, noMutant)
				if bad := verdict(s); bad != "" {
					t.Fatalf("seed %d: %s\nreplay: HOLDFAST_SIM_SEED=%d go test -v -run TestSimulation ./host/ha\n%s",
						seed, bad, seed, strings.Join(s.trace, "\n"))
				}
				acked, takeovers = acked+s.acked, takeovers+s.takeover
			}
			t.Logf("%d histories, %d acknowledged operations, %d take-overs", n/2, acked, takeovers)
			if acked < n/2*100 || takeovers < n/2*3 {
				t.Errorf("the simulation hardly does anything: %d operations, %d take-overs", acked, takeovers)
			}
		})
	}
}

// TestStoreOutage takes the store away from all nodes at once: when it is back the same
// node goes on in the same term, however the outage showed.
func TestStoreOutage(t *testing.T) {
	for _, hung := range []bool{false, true} {
		for seed := range uint64(100) {
			s := newSim(seed, faults{delay: 4 * time.Millisecond, rate: 0.05}, noMutant)
			s.quiet = true
			s.after(3*time.Second, func() { s.store.down, s.store.hung = !hung, hung })
			s.after(13*time.Second, func() { s.store.down, s.store.hung = false, false })
			resumed := -1
			s.after(14500*time.Millisecond, func() { resumed = s.acked })
			if bad := verdict(s); bad != "" {
				t.Fatalf("hung %v, seed %d: %s", hung, seed, bad)
			}
			if s.store.record.Epoch != 1 || s.takeover != 1 {
				t.Fatalf("hung %v, seed %d: epoch %d, want the first one to last\n%s", hung, seed, s.store.record.Epoch, strings.Join(s.trace, "\n"))
			}
			if resumed < 0 || s.acked == resumed {
				t.Fatalf("hung %v, seed %d: nothing was acknowledged after the outage", hung, seed)
			}
		}
	}
}

// verdict runs s and says what is wrong with its history; empty if nothing is.
func verdict(s *sim) string {
	res := s.run(20 * time.Second)
	switch {
	case len(s.problems) > 0:
		return s.problems[0]
	case res != porcupine.Ok:
		return fmt.Sprintf("the history is %s", res)
	}
	return ""
}

// TestMutants shows that the simulation notices protocols that are wrong.
func TestMutants(t *testing.T) {
	const within = 400
	for _, m := range []mutant{noGuard, noLeaseCheck, hastyTakeOver, lostIsNot, lostIsDone, noReadBack} {
		t.Run(string(m), func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(within) {
				if bad := verdict(newSim(seed, everything, m)); bad != "" {
					t.Logf("caught at seed %d: %s", seed, bad)
					return
				}
			}
			t.Errorf("not caught within %d seeds", within)
		})
	}
}
