package ha

import (
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/holdfast/holdfast/host/clock"
)

// The simulation: three nodes, one store and a few clients in virtual time, in one
// goroutine. Everything that happens follows from the seed. The nodes run the real
// State.Step; what surrounds it is modelled:
//
//	simnode_test.go     the Driver: events one at a time, the watch, timers on its own clock
//	simlog_test.go      host/store: cache, group commit, confirmation of reads, key locks
//	simplugin_test.go   the plugin process and its connection to the store; the last will
//	simstore_test.go    the store, with the habits of Consul, etcd and ZooKeeper
//	simclient_test.go   clients, one operation at a time each, and the model they are judged by
//	simfaults_test.go   what goes wrong
//	simmutant_test.go   protocols that are broken on purpose, all of which must be noticed

// simNodes is how many nodes there are, simKeys how many registers, and simClients how
// many clients use them.
const (
	simNodes   = 3
	simKeys    = 2
	simClients = 6
)

// These are the parts of a run: clients and faults, then clients alone until one of
// them is served, as must happen within a while.
const (
	simFaulty = 8 * time.Second
	simCalm   = 14 * time.Second
)

type sim struct {
	world
	simHistory
	rnd    *rand.Rand
	now    time.Duration // true time since the beginning
	agenda timeline
	serial int
	store  simStore
	nodes  [simNodes]*simNode
	mutant mutant
	trace  io.Writer     // nil unless somebody reads it
	faulty time.Duration // how long there are faults
	quiet  bool          // none but those that a test schedules
	calm   bool          // the faults are over
	harmed bool          // the store was put back to an older state
	idle   bool          // nobody is to be served in the end

	tenures  map[uint64]simTerm // of each epoch, as the store saw them
	problems []string           // what must not be, found on the way
	takeover int
}

// simTerm is who took over an epoch, and when.
type simTerm struct {
	holder string
	began  time.Duration
}

func newSim(seed uint64, w world, m mutant) *sim {
	s := &sim{world: w, rnd: rand.New(rand.NewPCG(seed, 1)), mutant: m, faulty: simFaulty, tenures: map[uint64]simTerm{}}
	s.store.create()
	return s
}

// event is something that happens at a point of true time.
type event struct {
	at     time.Duration
	serial int // ties are broken by order of creation
	do     func()
}

func (e event) before(f event) bool {
	return e.at < f.at || e.at == f.at && e.serial < f.serial
}

// timeline is a heap of what is still to happen, the earliest first.
type timeline []event

func (t *timeline) push(e event) {
	q := append(*t, e)
	i := len(q) - 1
	for i > 0 && e.before(q[(i-1)/2]) {
		q[i] = q[(i-1)/2]
		i = (i - 1) / 2
	}
	q[i] = e
	*t = q
}

func (t *timeline) pop() event {
	q := *t
	first, last := q[0], q[len(q)-1]
	q[len(q)-1] = event{}
	q = q[:len(q)-1]
	i := 0
	for child := 1; child < len(q); child = 2*i + 1 {
		if child+1 < len(q) && q[child+1].before(q[child]) {
			child++
		}
		if last.before(q[child]) {
			break
		}
		q[i] = q[child]
		i = child
	}
	if len(q) > 0 {
		q[i] = last
	}
	*t = q
	return first
}

// after schedules do.
func (s *sim) after(d time.Duration, do func()) {
	s.serial++
	s.agenda.push(event{s.now + max(d, 0), s.serial, do})
}

// logf adds a line to the trace. Callers in hot places check s.trace first.
func (s *sim) logf(who, format string, args ...any) {
	if s.trace != nil {
		fmt.Fprintf(s.trace, "%8.3f  %-6s %s\n", s.now.Seconds(), who, fmt.Sprintf(format, args...))
	}
}

func (s *sim) problem(format string, args ...any) {
	s.logf("!!", format, args...)
	s.problems = append(s.problems, fmt.Sprintf(format, args...))
}

func (s *sim) chance(p float64) bool { return p > 0 && s.rnd.Float64() < p }

func (s *sim) upTo(d time.Duration) time.Duration {
	return time.Duration(s.rnd.Int64N(int64(d) + 1))
}

// while is a time of any order of magnitude up to longest.
func (s *sim) while(longest time.Duration) time.Duration {
	return s.upTo(longest >> s.rnd.IntN(6))
}

// run simulates until the end and returns the checker's verdict on what the clients saw.
func (s *sim) run() porcupine.CheckResult {
	for i := range s.nodes {
		s.nodes[i] = newSimNode(s, i)
		s.nodes[i].start()
	}
	for id := range simClients {
		s.after(s.upTo(time.Second), func() { s.client(id) })
	}
	if !s.quiet {
		s.after(s.upTo(2*time.Second), s.nemesis)
	}
	s.until(s.faulty)
	s.heal()
	s.until(s.faulty + simCalm)
	for _, end := range s.open {
		if end != nil {
			end()
		}
	}
	return porcupine.CheckOperationsTimeout(registers, settled(s.history), time.Minute)
}

// until runs what happens up to the horizon, or until a client was served after the
// faults.
func (s *sim) until(horizon time.Duration) {
	for len(s.agenda) > 0 && s.agenda[0].at <= horizon && !s.revived {
		e := s.agenda.pop()
		s.now = e.at
		e.do()
	}
}

// clockOf returns a node's own reading of true time t.
func clockOf(t time.Duration, rate float64, offset time.Duration) clock.Instant {
	return clock.Instant(float64(t)*rate + float64(offset))
}
