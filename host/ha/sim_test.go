package ha

import (
	"container/heap"
	"fmt"
	"maps"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/holdfast/holdfast/host/clock"
	"github.com/holdfast/holdfast/sdk/storage"
)

// A simulation of three nodes, one store and a few clients in virtual time. All
// that happens follows from the seed. The nodes run the real State.Step; what
// store.Store does around it is modelled in simnode_test.go.
type sim struct {
	rnd    *rand.Rand
	now    time.Duration // true time
	queue  timeline
	serial int
	store  simStore
	nodes  []*simNode
	faults faults
	mutant mutant
	quiet  bool // no nemesis: faults are scheduled by the test
	trace  []string

	history  []porcupine.Operation
	terms    map[uint64]string // epoch to holder, as the store saw them
	unheard  [clients]func()   // ends a client's operation that is still open
	problems []string
	acked    int
	takeover int
}

// clients is how many clients there are, each with one operation at a time.
const clients = 6

// faults says which faults a run injects.
type faults struct {
	loss       float64       // of any message
	delay      time.Duration // most of most messages
	late       float64       // share of messages that are up to 3 s late
	pauses     bool          // of whole nodes, up to 5 s
	crashes    bool
	outages    bool    // of the store: it refuses, or it hangs
	rate       float64 // error of each node's clock rate
	strictOnly bool    // no read is answered within a lease
}

// mutant names a protocol that is broken on purpose.
type mutant string

const (
	noMutant      mutant = ""
	noGuard       mutant = "the store ignores the guard"
	noLeaseCheck  mutant = "reads trust the role, not the lease"
	hastyTakeOver mutant = "take-over after half the lease"
	lostIsNot     mutant = "an unknown outcome is taken for not applied"
	lostIsDone    mutant = "an unknown outcome is taken for applied"
	noReadBack    mutant = "a conflict is answered by a new attempt on the version found"
)

// event is something that happens at a point of true time.
type event struct {
	at     time.Duration
	serial int // ties are broken by order of creation
	do     func()
}

type timeline []event

func (t timeline) Len() int { return len(t) }
func (t timeline) Less(i, j int) bool {
	return t[i].at < t[j].at || t[i].at == t[j].at && t[i].serial < t[j].serial
}
func (t timeline) Swap(i, j int) { t[i], t[j] = t[j], t[i] }
func (t *timeline) Push(x any)   { *t = append(*t, x.(event)) }
func (t *timeline) Pop() any {
	last := (*t)[len(*t)-1]
	*t = (*t)[:len(*t)-1]
	return last
}

func (s *sim) after(d time.Duration, do func()) {
	s.serial++
	heap.Push(&s.queue, event{s.now + d, s.serial, do})
}

func (s *sim) logf(format string, args ...any) {
	s.trace = append(s.trace, fmt.Sprintf("%9.3fs ", s.now.Seconds())+fmt.Sprintf(format, args...))
}

func (s *sim) chance(p float64) bool { return s.rnd.Float64() < p }

func (s *sim) upTo(d time.Duration) time.Duration {
	return time.Duration(s.rnd.Int64N(int64(d) + 1))
}

// deliver carries a message, or loses it, or carries it late.
func (s *sim) deliver(do func()) {
	if s.chance(s.faults.loss) {
		return
	}
	d := s.upTo(s.faults.delay)
	if s.chance(s.faults.late) {
		d += s.upTo(3 * time.Second)
	}
	s.after(d, do)
}

// simStore is a store with one versioned record.
type simStore struct {
	version int
	record  Record
	data    map[string]int
	watches []func()
	down    bool // refuses
	hung    bool // answers nothing, applies nothing
}

func (s *sim) commit(guard storage.Version, r Record, writes map[string]int) (storage.Version, error) {
	st := &s.store
	if st.down {
		return "", storage.NotApplied(storage.ErrUnavailable)
	}
	if guard != s.storeVersion() && s.mutant != noGuard {
		return "", storage.ErrConflict
	}
	if holder, known := s.terms[r.Epoch]; known && holder != r.Holder.ID {
		s.problems = append(s.problems, fmt.Sprintf("epoch %d has two holders: %s and %s", r.Epoch, holder, r.Holder.ID))
	}
	s.terms[r.Epoch] = r.Holder.ID
	st.version++
	st.record = r
	maps.Copy(st.data, writes)
	for _, wake := range st.watches {
		s.after(0, wake)
	}
	st.watches = nil
	return s.storeVersion(), nil
}

func (s *sim) storeVersion() storage.Version { return storage.Version(strconv.Itoa(s.store.version)) }

// run simulates until the horizon and returns the checker's verdict.
func (s *sim) run(horizon time.Duration) porcupine.CheckResult {
	for i := range s.nodes {
		s.nodes[i] = newSimNode(s, i)
		s.nodes[i].start()
	}
	for i := range clients {
		s.after(s.upTo(time.Second), func() { s.client(i) })
	}
	if !s.quiet {
		s.after(s.upTo(2*time.Second), s.nemesis)
	}
	for len(s.queue) > 0 && s.queue[0].at <= horizon {
		e := heap.Pop(&s.queue).(event)
		s.now = e.at
		e.do()
	}
	for _, giveUp := range s.unheard {
		if giveUp != nil {
			giveUp()
		}
	}
	res, _ := porcupine.CheckOperationsVerbose(registers, s.settled(), 30*time.Second)
	return res
}

func newSim(seed uint64, f faults, m mutant) *sim {
	s := &sim{
		rnd: rand.New(rand.NewPCG(seed, 1)), faults: f, mutant: m,
		nodes: make([]*simNode, 3), terms: map[uint64]string{},
	}
	s.store.data = map[string]int{}
	s.store.version, s.store.record = 1, FirstRecord("sim")
	return s
}

// nemesis injects one fault now and then.
func (s *sim) nemesis() {
	n := s.nodes[s.rnd.IntN(len(s.nodes))]
	switch s.rnd.IntN(6) {
	case 0, 1:
		if s.faults.pauses {
			n.pause(s.upTo(5 * time.Second))
		}
	case 2:
		if s.faults.crashes {
			n.crash()
		}
	case 3:
		if s.faults.outages {
			s.store.down = s.chance(0.5)
			s.store.hung = !s.store.down
			s.logf("store down=%v hung=%v", s.store.down, s.store.hung)
			s.after(s.upTo(4*time.Second), func() { s.store.down, s.store.hung = false, false })
		}
	case 4:
		n.cut = s.now + s.upTo(4*time.Second)
	case 5:
		n.step(StepDown{Target: s.nodes[s.rnd.IntN(len(s.nodes))].state.Self.ID, Reason: "asked to"})
	}
	s.after(200*time.Millisecond+s.upTo(2*time.Second), s.nemesis)
}

// op is what one client does to one register: read, or write value, or write value
// if it reads old.
type op struct {
	key      string
	kind     string // "read", "write", "cas"
	value    int
	old      int
	observed int  // by a read, or by a cas
	swapped  bool // cas
	unknown  bool
}

var registers = porcupine.Model{
	Partition: func(h []porcupine.Operation) [][]porcupine.Operation {
		byKey := map[string][]porcupine.Operation{}
		for _, o := range h {
			k := o.Input.(op).key
			byKey[k] = append(byKey[k], o)
		}
		var parts [][]porcupine.Operation
		for _, part := range byKey {
			parts = append(parts, part)
		}
		return parts
	},
	Init: func() any { return 0 },
	Step: func(state, input, output any) (bool, any) {
		in, out, at := input.(op), output.(op), state.(int)
		switch {
		case in.kind == "read":
			return out.observed == at, at
		case in.kind == "write":
			return true, in.value
		case out.unknown: // a cas that may have swapped
			if at == in.old {
				return true, in.value
			}
			return true, at
		case out.swapped:
			return at == in.old, in.value
		default:
			return at == out.observed && at != in.old, at
		}
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v -> %+v", input, output) },
}

// settled returns the history with unknown writes returning after the end; those whose
// value nobody ever saw constrain nothing and are left out.
func (s *sim) settled() []porcupine.Operation {
	seen := map[int]bool{}
	for _, o := range s.history {
		seen[o.Output.(op).observed] = true
		if in := o.Input.(op); in.kind == "cas" {
			seen[in.old] = true
		}
	}
	var h []porcupine.Operation
	for _, o := range s.history {
		if o.Output.(op).unknown {
			if !seen[o.Input.(op).value] {
				continue
			}
			o.Return = int64(time.Hour)
		}
		h = append(h, o)
	}
	return h
}

// client does one operation after another, forever.
func (s *sim) client(id int) {
	n := s.nodes[s.rnd.IntN(len(s.nodes))]
	again := func() { s.after(s.upTo(60*time.Millisecond), func() { s.client(id) }) }
	if !n.serving() {
		again()
		return
	}
	s.serial++
	in := op{key: "k" + strconv.Itoa(s.rnd.IntN(3)), kind: [...]string{"read", "read", "write", "cas"}[s.rnd.IntN(4)], value: s.serial}
	call, over := s.now, false
	finish := func(out op, ran bool) {
		if over {
			return
		}
		over = true
		if ran {
			if !out.unknown {
				s.acked++
			}
			s.history = append(s.history, porcupine.Operation{
				ClientId: id, Input: in, Output: out, Call: int64(call), Return: int64(s.now),
			})
		}
		again()
	}
	if in.kind == "cas" {
		in.old = n.cache[in.key] // what the client read before: possibly stale by now
	}
	// A client that hears nothing gives up, and does not know.
	s.unheard[id] = func() { finish(op{unknown: true}, in.kind != "read") }
	s.after(8*time.Second, s.unheard[id])
	s.deliver(func() {
		n.request(in, func(out op, ran bool) { s.deliver(func() { finish(out, ran) }) })
	})
}

// clockOf returns a node's own reading of true time t.
func clockOf(t time.Duration, rate float64, offset time.Duration) clock.Instant {
	return clock.Instant(float64(t)*rate + float64(offset))
}
