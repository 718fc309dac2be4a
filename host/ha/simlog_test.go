package ha

import (
	"slices"
	"time"

	"github.com/holdfast/holdfast/host/clock"
)

// simLog models host/store: what Commits carry, and what is answered from memory.
type simLog struct {
	tenure *simTenure
	queue  []*simSubmit
	asks   []func(ok bool) // reads that the next Commit sent confirms
	flight *simFlight      // of the Carry whose outcome is open
	turn   []func()        // wait for the flight to end
	held   [simKeys]int    // key locks: the number of blind writes, or -1 for a check-and-set
}

// simTenure is one time of being active.
type simTenure struct {
	epoch uint64
	lease clock.Instant
	proof simProof
	cache [simKeys]simEntry
	fills [simKeys]*simFill
}

type simEntry struct {
	value  int
	filled bool
}

// simFill is a read of the store on behalf of all who miss the key.
type simFill struct {
	stale bool // a Commit of the key was sent meanwhile
	then  []func(value int, ok bool)
}

// simSubmit is a write that waits for a Commit, or is part of the one in flight.
type simSubmit struct {
	simWrite
	alone bool // goes alone: a batch with it was rejected
	gone  bool // nobody waits for it any more
	done  func(Result)
}

type simFlight struct {
	tenure *simTenure
	writes []*simSubmit
	asks   []func(ok bool)
}

// touches reports whether the flight writes key.
func (f *simFlight) touches(key int) bool {
	return f != nil && slices.ContainsFunc(f.writes, func(w *simSubmit) bool { return w.key == key })
}

// maxBatch is how many writes go into one Commit.
const maxBatch = 3

func (n *simNode) openLog() {
	var cache [simKeys]simEntry
	if n.mutant == oldMemory && n.oldCache != nil {
		cache = n.oldCache.cache
	}
	n.tenure = &simTenure{epoch: n.state.Record.Epoch, cache: cache}
}

// shut ends the tenure: what waits has provably not run.
func (n *simNode) shut() {
	queue, asks, turn := n.queue, n.asks, n.turn
	if n.tenure != nil {
		n.oldCache = n.tenure
	}
	n.tenure, n.queue, n.asks, n.turn = nil, nil, nil, nil
	for _, w := range queue {
		w.done(Again)
	}
	for _, then := range asks {
		then(false)
	}
	for _, retry := range turn {
		retry()
	}
}

func (n *simNode) setLease(until clock.Instant) {
	if n.tenure != nil {
		n.tenure.lease = until
	}
}

// answersFromMemory reports whether reads are answered within a lease now.
func (n *simNode) answersFromMemory() bool {
	return n.up && n.tenure != nil && n.clock() < n.tenure.lease && !n.strict
}

// wanted reports whether a request still waits for a write of the Commit in flight.
func (n *simNode) wanted() bool {
	return n.flight != nil && slices.ContainsFunc(n.flight.writes, func(w *simSubmit) bool { return !w.gone })
}

// takeWrites begins a flight and returns what it writes.
func (n *simNode) takeWrites() []simWrite {
	f := &simFlight{tenure: n.tenure, asks: n.asks}
	n.asks = nil
	for len(n.queue) > 0 && len(f.writes) < maxBatch {
		w := n.queue[0]
		if w.alone && len(f.writes) > 0 {
			break
		}
		f.writes = append(f.writes, w)
		n.queue = n.queue[1:]
		if w.alone {
			break
		}
	}
	n.flight = f
	var ops []simWrite
	for _, w := range f.writes {
		if fill := n.tenure.fills[w.key]; fill != nil && n.mutant != staleFill {
			fill.stale, n.tenure.fills[w.key] = true, nil
		}
		ops = append(ops, w.simWrite)
	}
	return ops
}

// resolve tells what became of the flight.
func (n *simNode) resolve(r Result) {
	f := n.flight
	n.flight = nil
	if f == nil {
		return
	}
	if r == Doubtful {
		n.doubtful += len(f.writes)
	}
	var again []*simSubmit
	for _, w := range f.writes {
		switch {
		case r == Applied:
			f.tenure.cache[w.key] = simEntry{w.value, true}
			w.done(r)
		case r == Doubtful, w.gone, r == Refused && len(f.writes) == 1:
			w.done(r)
		default:
			w.alone = w.alone || r == Refused
			again = append(again, w)
		}
	}
	n.queue = append(again, n.queue...)
	if r == Applied {
		for _, then := range f.asks {
			then(true)
		}
	} else {
		n.asks = append(f.asks, n.asks...)
	}
	turn := n.turn
	n.turn = nil
	for _, retry := range turn {
		retry()
	}
	n.wake()
}

// wake tells the driver that something waits for a Commit.
func (n *simNode) wake() {
	if len(n.queue) > 0 || len(n.asks) > 0 {
		n.post(arrival{event: WorkReady{}})
	}
}

// get returns the value of key in the tenure t, from memory or from the store.
func (n *simNode) get(t *simTenure, key int, then func(value int, ok bool)) {
	switch e := t.cache[key]; {
	case n.tenure != t:
		then(0, false)
	case e.filled:
		then(e.value, true)
	case n.flight.touches(key) && n.mutant != staleFill:
		n.turn = append(n.turn, func() { n.get(t, key, then) }) // it is either old or new
	case t.fills[key] != nil:
		t.fills[key].then = append(t.fills[key].then, then)
	default:
		f := &simFill{then: []func(int, bool){then}}
		t.fills[key] = f
		n.fill(t, key, f)
	}
}

func (n *simNode) fill(t *simTenure, key int, f *simFill) {
	type found int
	n.call(&simCall{
		ask: func() Event { return found(n.store.data[key]) },
		answer: func(e Event) {
			value, ok := e.(found)
			if t.fills[key] == f {
				t.fills[key] = nil
			}
			into := t
			if n.mutant == oldFill && n.tenure != nil {
				into = n.tenure
			}
			if ok && !f.stale {
				into.cache[key] = simEntry{int(value), true}
			}
			for _, then := range f.then {
				n.fillAnswer(t, key, f, func() { then(int(value), ok && n.tenure == t) })
			}
		},
	}, 10*time.Second)
}

// fillAnswer gives who waits the answer. It may show a Commit that was sent after the read
// began, and whose outcome nobody else is told yet.
func (n *simNode) fillAnswer(t *simTenure, key int, f *simFill, give func()) {
	if f.stale && n.tenure == t && n.flight.touches(key) && n.mutant != earlyNews {
		n.turn = append(n.turn, func() { n.fillAnswer(t, key, f, give) })
		return
	}
	give()
}

// confirm calls then(true) once this node is known to have been active, since t began
// and without a break, at some moment from now on.
func (n *simNode) confirm(t *simTenure, strict bool, then func(ok bool)) {
	switch {
	case n.tenure != t:
		then(false)
	case n.mutant == noLeaseCheck && !n.strict && !strict, n.clock() < t.lease && !n.strict && !strict:
		then(true)
	case n.mutant == earlyConfirm && n.flight != nil:
		n.flight.asks = append(n.flight.asks, then)
	default:
		n.asks = append(n.asks, then)
		n.wake()
		t.proof.waiting = append(t.proof.waiting, then)
		n.prove(t)
	}
}

// simProof is what reads wait for besides the next Commit: a read of the term record that
// begins after them and finds this node in its place.
type simProof struct {
	running bool
	waiting []func(ok bool)
}

// proofPause is how long a Commit is given to answer first.
const proofPause = 100 * time.Millisecond

// prove reads the record for all who wait by then, again and again until nobody does.
func (n *simNode) prove(t *simTenure) {
	if t.proof.running {
		return
	}
	t.proof.running = true
	n.later(n.trueTime(proofPause), func() {
		waiting := t.proof.waiting
		t.proof.waiting = nil
		if n.tenure != t || len(waiting) == 0 {
			t.proof.running = false
			return
		}
		n.read(ReadFailed{}, func(e Event) {
			t.proof.running = false
			seen, ok := e.(Seen)
			ok = ok && n.tenure == t && seen.Record.Holder.ID == n.id() && seen.Record.Epoch == t.epoch
			if ok && n.mutant == earlyProof {
				waiting = append(waiting, t.proof.waiting...)
			}
			for _, then := range waiting {
				if ok {
					then(true)
				} else {
					t.proof.waiting = append(t.proof.waiting, then)
				}
			}
			if len(t.proof.waiting) > 0 {
				n.prove(t)
			}
		})
	})
}
