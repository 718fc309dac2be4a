package ha

import (
	"math/rand/v2"
	"time"
)

// world is what a run takes place in. Times are true times.
type world struct {
	backend backend
	timing  Timing
	strict  bool          // no read is answered within a lease
	trusted bool          // the clocks are as good as the protocol demands of them
	rates   [2]rate       // of the nodes' clocks, drawn from either
	travel  time.Duration // most that most messages take
	think   time.Duration // most that a client waits between operations
	reads   float64       // share of operations that are reads
	pace    time.Duration // most between two faults

	late    float64 // share of messages that take up to seconds
	loss    float64 // share of messages that get lost
	deaf    float64 // share of watches that never fire
	gaps    float64 // share of critical gaps in which time passes
	rejects float64 // share of batches that the store refuses for what is in them
	faults  []fault // what happens besides
}

// rate is a range of clock rates; 1 is right.
type rate struct{ low, high float64 }

// The protocol trusts the ratio of two clocks within 10 %. The worst clocks that keep
// to that are the most dangerous, so most nodes have one.
var (
	trustedClocks = [2]rate{{0.954, 0.96}, {1.042, 1.048}}
	wrongClocks   = [2]rate{{0.1, 0.5}, {1.5, 1.9}}
)

func (s *sim) clockRate() float64 {
	r := s.rates[s.rnd.IntN(2)]
	if s.trusted && s.chance(0.2) {
		return 1
	}
	return r.low + s.rnd.Float64()*(r.high-r.low)
}

// drawWorld makes a world of the seed: one store, and some of the faults, differently
// bad each time. Faults that always come together hide each other.
func drawWorld(seed uint64, b backend) world {
	rnd := rand.New(rand.NewPCG(seed, 2))
	some := func(most float64) float64 {
		if rnd.IntN(3) == 0 {
			return 0
		}
		return most * rnd.Float64()
	}
	w := world{
		backend: b, timing: DefaultTiming, trusted: true, rates: trustedClocks,
		travel: time.Millisecond << rnd.IntN(6), think: 80 * time.Millisecond, reads: [...]float64{0.3, 0.6, 0.95}[rnd.IntN(3)],
		pace: 200*time.Millisecond + time.Duration(rnd.Int64N(int64(2*time.Second))),
		late: some(0.15), loss: some(0.02), deaf: some(0.5), gaps: some(0.02), rejects: some(0.02),
	}
	if rnd.IntN(2) == 0 {
		w.timing = Timing{Lease: time.Second, Beat: 200 * time.Millisecond}
	}
	share := [...]float64{0.1, 0.3, 0.6, 1}[rnd.IntN(4)]
	for _, f := range faults {
		if rnd.Float64() < share {
			w.faults = append(w.faults, f)
		}
	}
	return w
}

// anyWorld is the world of one of TestSimulation's seeds in lease mode.
func anyWorld(seed uint64) world { return drawWorld(seed, backends[seed%uint64(len(backends))]) }

// strictly returns w with reads that trust no clock, and clocks that none should be trusted of.
func (w world) strictly() world {
	w.strict, w.trusted, w.rates = true, false, wrongClocks
	return w
}

// fault is something bad that happens to a node, or to the store.
type fault struct {
	name   string
	inject func(s *sim, n *simNode)
}

var faults = []fault{
	{"host stopped", func(s *sim, n *simNode) { n.pause(s.while(5 * time.Second)) }},
	{"plugin stopped", func(s *sim, n *simNode) { n.plugin.paused = s.now + s.while(4*time.Second) }},
	{"node suspended", func(s *sim, n *simNode) {
		n.pause(s.while(5 * time.Second))
		n.plugin.paused = n.paused
	}},
	{"host killed", func(_ *sim, n *simNode) { n.crash(false) }},
	{"node killed", func(_ *sim, n *simNode) { n.crash(true) }},
	{"plugin killed", func(_ *sim, n *simNode) { n.plugin.crash() }},
	{"cut off", func(s *sim, n *simNode) {
		n.requestsCut = s.now + s.while(5*time.Second)
		n.answersCut = n.requestsCut
	}},
	{"answers cut off", func(s *sim, n *simNode) { n.answersCut = s.now + s.while(5*time.Second) }},
	{"store refuses", func(s *sim, _ *simNode) {
		s.store.refuses = [...]float64{0.3, 1}[s.rnd.IntN(2)]
		s.after(s.while(4*time.Second), func() { s.store.refuses = 0 })
	}},
	{"store is full", func(s *sim, _ *simNode) {
		s.store.full = true
		s.after(s.while(6*time.Second), func() { s.store.full = false })
	}},
	{"store hangs", func(s *sim, _ *simNode) {
		s.store.hangs = true
		s.after(s.while(4*time.Second), func() { s.store.hangs = false })
	}},
	{"election", func(s *sim, _ *simNode) { s.elect(s.while(4 * time.Second)) }},
	{"step-down", func(_ *sim, n *simNode) { n.stepDown("") }},
	{"step-down to a named node", func(s *sim, n *simNode) { n.stepDown(s.nodes[s.rnd.IntN(simNodes)].id()) }},
	{"notice from a peer", func(_ *sim, n *simNode) { n.running(n.life, n.look) }},
	{"gossip", func(s *sim, n *simNode) { n.gossip(s.nodes[s.rnd.IntN(simNodes)]) }},
}

// nemesis injects one fault now and then, mostly where it matters.
func (s *sim) nemesis() {
	if s.calm {
		return
	}
	if len(s.faults) > 0 {
		n := s.nodes[s.rnd.IntN(len(s.nodes))]
		for _, m := range s.nodes {
			if m.tenure != nil && s.chance(0.6) {
				n = m
			}
		}
		s.harm(n)
		if s.chance(0.3) {
			s.harm(n) // some faults are dangerous only together
		}
	}
	s.after(s.upTo(s.pace), s.nemesis)
}

func (s *sim) harm(n *simNode) {
	f := s.faults[s.rnd.IntN(len(s.faults))]
	s.logf("--", "%s: %s", n.name(), f.name)
	f.inject(s, n)
}

func (n *simNode) stepDown(target string) {
	if n.up {
		n.running(n.life, func() {
			n.post(arrival{event: StepDown{Target: target, Reason: "asked to"}})
		})
	}
}

// heal ends all faults. Messages that are late stay so.
func (s *sim) heal() {
	s.logf("--", "the faults are over")
	s.calm = true
	s.late, s.loss, s.deaf, s.gaps, s.rejects = 0, 0, 0, 0, 0
	s.backend.losesAnswers = 0
	s.store.refuses, s.store.hangs, s.store.full = 0, false, false
	for _, n := range s.nodes {
		n.paused, n.requestsCut, n.answersCut = s.now, s.now, s.now
		n.plugin.paused, n.plugin.down = s.now, false
		if !n.up {
			n.start()
		}
	}
}
