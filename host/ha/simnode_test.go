package ha

import (
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/holdfast/holdfast/host/clock"
	"github.com/holdfast/holdfast/sdk/storage"
)

// simNode is one node: the real protocol, and a model of the layer above it
// (cache, group commit, confirmation of reads).
type simNode struct {
	*sim
	index   int
	life    int // counts starts; messages to an earlier life are lost
	state   State
	rate    float64
	offset  time.Duration
	paused  time.Duration // true time until which it is stopped
	cut     time.Duration // true time until which it can not reach the store
	timer   int
	sent    int // sends and reads so far: answers to earlier ones are ignored
	looking bool

	loaded  bool
	cache   map[string]int
	queue   []simWrite // waits for the next Carry
	reads   []func(bool)
	flight  []simWrite // of the Carry whose outcome is open
	confirm []func(bool)
	locked  map[string]bool
	carried map[string]int
}

type simWrite struct {
	key   string
	value int
	done  func(r Result)
}

func newSimNode(s *sim, index int) *simNode {
	return &simNode{
		sim: s, index: index,
		rate:   1 + (s.rnd.Float64()*2-1)*s.faults.rate,
		offset: s.upTo(time.Hour),
	}
}

func (n *simNode) start() {
	n.life++
	n.state = State{Self: Node{ID: fmt.Sprintf("n%d.%d", n.index, n.life)}, Timing: DefaultTiming}
	n.dropAll()
	n.locked, n.looking = map[string]bool{}, false
	n.sent++
	n.watch()
	n.step(Tick{})
}

func (n *simNode) crash() {
	n.logf("%s crashes", n.state.Self.ID)
	n.life++
	n.state = State{}
	n.queue, n.flight, n.reads, n.confirm = nil, nil, nil, nil
	n.loaded = false
	n.after(n.upTo(3*time.Second), n.start)
}

func (n *simNode) pause(d time.Duration) {
	n.logf("%s pauses for %v", n.state.Self.ID, d)
	n.paused = max(n.paused, n.now+d)
}

// live runs do as soon as the node runs, unless it has crashed since.
func (n *simNode) live(do func()) func() {
	life := n.life
	var run func()
	run = func() {
		switch {
		case n.life != life:
		case n.now < n.paused:
			n.after(n.paused-n.now, run)
		default:
			do()
		}
	}
	return run
}

func (n *simNode) clock() clock.Instant { return clockOf(n.now, n.rate, n.offset) }

func (n *simNode) serving() bool { return n.state.Role == Active && n.loaded }

// step runs the protocol and carries its effects out.
func (n *simNode) step(e Event) {
	if n.state.Self.ID == "" {
		return // crashed
	}
	if n.now < n.paused {
		n.after(n.paused-n.now, n.live(func() { n.step(e) }))
		return
	}
	e = n.mutate(e)
	var fx []Effect
	n.state, fx = n.state.Step(e, n.clock())
	for _, f := range fx {
		n.perform(f)
	}
	n.timer++
	timer := n.timer
	wait := time.Duration(float64(n.state.WakeAt(n.clock()).Sub(n.clock())) / n.rate)
	n.after(max(wait, 0)+time.Microsecond, n.live(func() {
		if n.timer == timer {
			n.step(Tick{})
		}
	}))
}

// mutate breaks the protocol as the run's mutant says.
func (n *simNode) mutate(e Event) Event {
	switch n.mutant {
	case hastyTakeOver:
		if n.state.Known && n.state.Record.Phase == Held && n.clock().Sub(n.state.Changed) > n.state.Record.Lease/2 {
			n.state.Changed = 0
		}
	case lostIsNot:
		if _, is := e.(Lost); is {
			n.state.Attempt.Tries = 0
			return Unapplied{}
		}
	case lostIsDone:
		if _, is := e.(Lost); is && n.state.Attempt.Kind == Carry {
			return Done{Version: n.state.Attempt.Guard}
		}
	case noReadBack:
		if seen, is := e.(Seen); is && n.state.Attempt.Stage == Reading && n.state.Role == Active {
			n.state.Version, n.state.Attempt.Guard, n.state.Attempt.Stage = seen.Version, seen.Version, Pausing
			return Tick{}
		}
	}
	return e
}

func (n *simNode) perform(f Effect) {
	switch f := f.(type) {
	case Send:
		n.send(f.Again)
	case Read:
		n.readRecord()
	case Look:
		n.look()
	case Resolve:
		n.resolve(f.Result)
	case Become:
		n.logf("%s becomes %v (epoch %d): %s", n.state.Self.ID, f.Role, n.state.Record.Epoch, f.Reason)
		if f.Role == Active {
			n.takeover++
			n.load()
		} else {
			n.dropAll()
		}
	}
}

// send sends the Attempt of the state to the store; a Carry takes all that waits.
func (n *simNode) send(again bool) {
	a := n.state.Attempt
	if !again {
		n.carried = nil
		if a.Kind == Carry {
			n.flight, n.queue = n.queue, nil
			n.confirm, n.reads = n.reads, nil
			n.carried = map[string]int{}
			for _, w := range n.flight {
				n.carried[w.key] = w.value
			}
		}
	}
	if a.Kind == Settle {
		n.carried = nil
	}
	writes := maps.Clone(n.carried)
	n.call(Lost{}, func() Event {
		v, err := n.commit(a.Guard, a.Record, writes)
		switch {
		case err == nil:
			return Done{Version: v}
		case errors.Is(err, storage.ErrConflict):
			return Conflict{}
		default:
			return Unapplied{}
		}
	})
}

func (n *simNode) readRecord() {
	n.call(ReadFailed{}, func() Event {
		if n.store.down {
			return ReadFailed{}
		}
		return Seen{Version: n.storeVersion(), Record: n.store.record}
	})
}

// look reads the record; an answer that something newer has overtaken is dropped.
func (n *simNode) look() {
	if n.looking {
		return
	}
	n.looking = true
	seen, life, answered := n.state.Version, n.life, false
	reply := func(e Event) func() {
		return n.live(func() {
			if answered {
				return
			}
			answered, n.looking = true, false
			if n.state.Version == seen {
				n.step(e)
			}
		})
	}
	if n.now >= n.cut {
		n.deliver(func() {
			switch {
			case n.life != life || n.store.hung || n.now < n.cut:
			case n.store.down:
				n.deliver(reply(ReadFailed{}))
			default:
				n.deliver(reply(Seen{Version: n.storeVersion(), Record: n.store.record}))
			}
		})
	}
	n.after(time.Duration(float64(time.Second)/n.rate), reply(ReadFailed{}))
}

// call asks the store; without an answer within 1 s of the node's clock, the answer
// is none. The question may arrive long after that.
func (n *simNode) call(none Event, ask func() Event) {
	n.sent++
	mine := n.sent
	reply := func(e Event) {
		n.live(func() {
			if n.sent == mine {
				n.sent++
				n.step(e)
			}
		})()
	}
	if n.now >= n.cut {
		life := n.life
		n.deliver(func() {
			if n.store.hung {
				return
			}
			e := ask()
			if n.now >= n.cut && n.life == life {
				n.deliver(func() {
					if n.life == life {
						reply(e)
					}
				})
			}
		})
	}
	n.after(time.Duration(float64(time.Second)/n.rate), n.live(func() { reply(none) }))
}

// watch waits at the store until the record is at another version.
func (n *simNode) watch() {
	seen, life := n.state.Version, n.life
	var fire func()
	fire = func() {
		if n.life != life {
			return
		}
		if n.storeVersion() == seen {
			n.store.watches = append(n.store.watches, fire)
			return
		}
		e := Seen{Version: n.storeVersion(), Record: n.store.record}
		n.after(n.upTo(n.faults.delay), n.live(func() {
			if n.now < n.cut {
				n.after(n.cut-n.now, n.live(n.watch))
				return
			}
			if n.state.Version == seen {
				n.step(e)
			}
			n.watch()
		}))
	}
	n.after(n.upTo(n.faults.delay), fire)
}

// load reads all data after the take-over.
func (n *simNode) load() {
	n.loaded, n.cache = false, map[string]int{}
	epoch, life := n.state.Record.Epoch, n.life
	n.after(n.upTo(n.faults.delay), func() {
		data := maps.Clone(n.store.data)
		n.after(n.upTo(n.faults.delay), n.live(func() {
			if n.life == life && n.state.Role == Active && n.state.Record.Epoch == epoch {
				n.cache, n.loaded = data, true
			}
		}))
	})
}

func (n *simNode) dropAll() {
	for _, w := range n.queue {
		w.done(Again)
	}
	for _, r := range append(n.reads, n.confirm...) {
		r(false)
	}
	n.queue, n.reads, n.confirm = nil, nil, nil
	n.loaded, n.cache = false, map[string]int{}
}

func (n *simNode) resolve(r Result) {
	flight, confirm := n.flight, n.confirm
	n.flight, n.confirm = nil, nil
	if r == Again && n.state.Role == Active {
		n.queue, n.reads = append(flight, n.queue...), append(confirm, n.reads...)
		return
	}
	for _, w := range flight {
		if r == Applied {
			n.cache[w.key] = w.value
		}
		w.done(r)
	}
	for _, c := range confirm {
		c(r == Applied)
	}
}
