package chaos

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// profile is what a run is like. A plan follows from it and from a seed alone.
type profile struct {
	faults     []fault
	duration   time.Duration // of the faults; what comes before and after is extra
	longFreeze time.Duration // of a node, now and then
	always     []fault       // are under way all the time, besides the others
	atActive   bool          // every fault is aimed at the active node, not only every other one
}

// step is a fault of a plan.
type step struct {
	at, length time.Duration // since the plan began
	fault      fault
	target     target
	draw       uint64 // what the fault itself draws at random follows from it
}

func (s step) String() string {
	return fmt.Sprintf("%8.3fs for %6.3fs: %s, %s", s.at.Seconds(), s.length.Seconds(), s.fault.name, s.target)
}

// target says at what a fault is aimed.
type target struct {
	node   int // index; anActive: the node that is active then
	member int // index
}

const anActive = -1

func (t target) String() string {
	node := "the active node"
	if t.node != anActive {
		node = fmt.Sprintf("n%d", t.node+1)
	}
	return fmt.Sprintf("%s, member %d", node, t.member+1)
}

// The lengths of faults, the pauses between them, and the rounds: after each round there is
// no fault, and everything must be well again.
const (
	shortest, longest = 500 * time.Millisecond, 8 * time.Second
	firstPause        = 5 * time.Second // at most; between two faults of the first lane
	secondPause       = 15 * time.Second
	roundLength       = time.Minute
	clockWrongFor     = 20 * time.Second // at least: long enough for several other faults
)

// plan draws rounds of faults. At most two are under way at once, never of the same class,
// and none but a long freeze outlasts its round. Every kind comes up before one comes up again.
func (p profile) plan(seed uint64) (rounds [][]step) {
	r := rand.New(rand.NewPCG(seed, 0))
	var deck []fault
	deal := func(other step, at time.Duration) fault {
		for {
			if len(deck) == 0 {
				deck = slices.Clone(p.faults)
				r.Shuffle(len(deck), func(i, j int) { deck[i], deck[j] = deck[j], deck[i] })
			}
			overlaps := at < other.at+other.length
			i := slices.IndexFunc(deck, func(f fault) bool { return !overlaps || f.class != other.fault.class })
			if i < 0 {
				deck = nil // the rest of the deck does not go with the other fault
				continue
			}
			f := deck[i]
			deck = slices.Delete(deck, i, i+1)
			return f
		}
	}
	for rest := p.duration; rest > 0; rest -= roundLength {
		rounds = append(rounds, p.round(r, min(rest, roundLength), deal))
	}
	return rounds
}

func (p profile) round(r *rand.Rand, length time.Duration, deal func(other step, at time.Duration) fault) (steps []step) {
	pauses := [2]time.Duration{firstPause, secondPause}
	var last [2]step
	at := [2]time.Duration{rand2(r, pauses[0]), rand2(r, pauses[1])}
	for _, f := range p.always {
		steps = append(steps, step{length: length, fault: f, draw: r.Uint64()})
	}
	for {
		lane := 0
		if at[1] < at[0] {
			lane = 1
		}
		if at[lane]+shortest >= length {
			return steps
		}
		s := step{at: at[lane], fault: deal(last[1-lane], at[lane]), draw: r.Uint64()}
		s.length = min(shortest+rand2(r, longest-shortest), length-s.at)
		s.target = target{node: r.IntN(size), member: r.IntN(size)}
		if p.atActive || r.IntN(2) == 0 {
			s.target.node = anActive
		}
		switch {
		case s.fault.long:
			s.length = p.longFreeze
		case s.fault.class == aboutClock:
			s.length = min(s.length+clockWrongFor, length-s.at)
		}
		steps = append(steps, s)
		last[lane] = s
		at[lane] = s.at + s.length + rand2(r, pauses[lane])
	}
}

func rand2(r *rand.Rand, most time.Duration) time.Duration {
	return time.Duration(r.Int64N(int64(most)))
}

func show(rounds [][]step) string {
	var b strings.Builder
	for i, steps := range rounds {
		fmt.Fprintf(&b, "round %d\n", i+1)
		for _, s := range steps {
			fmt.Fprintf(&b, "  %v\n", s)
		}
	}
	return b.String()
}

// A plan follows from the seed, has at most two faults at once, never two of one class, and
// comes to every kind.
func TestPlan(t *testing.T) {
	p := profile{faults: append(faults(), clockFaults()...), duration: time.Hour, longFreeze: longFrozen}
	rounds := p.plan(7)
	if got := show(p.plan(7)); got != show(rounds) {
		t.Error("the same seed gives another plan")
	}
	if got := show(p.plan(8)); got == show(rounds) {
		t.Error("another seed gives the same plan")
	}
	kinds := map[string]int{}
	for i, steps := range rounds {
		for j, s := range steps {
			kinds[s.fault.name]++
			var others []step
			for _, other := range steps[:j] {
				if other.at+other.length > s.at {
					others = append(others, other)
				}
			}
			if len(others) > 1 || len(others) == 1 && others[0].fault.class == s.fault.class {
				t.Errorf("round %d: %v, during %v", i+1, s, others)
			}
		}
	}
	for _, f := range p.faults {
		if n := kinds[f.name]; n < 10 {
			t.Errorf("%s came %d times in an hour", f.name, n)
		}
	}
}
