package ha

import (
	"fmt"
	"time"

	"github.com/holdfast/holdfast/host/clock"
	"github.com/holdfast/holdfast/sdk/storage"
)

// simNode is a node: the real protocol, and a model of the Driver that runs it. Each
// start of the host is a life of its own.
type simNode struct {
	*sim
	simDriver
	simLog
	oldCache *simTenure // of the tenure before, for a mutant
	index    int
	rate     float64 // of its clock
	offset   time.Duration

	life   int
	up     bool
	paused time.Duration // true time until which the host is stopped; its clock goes on
	plugin *simPlugin
	// True times until which nothing gets to the store, or back from it.
	requestsCut, answersCut time.Duration
}

// simDriver is what a Driver knows: all of it is new with each life.
type simDriver struct {
	state    State
	inbox    []arrival
	busy     bool // an event is being taken in
	timer    int  // of the Tick to come; earlier ones are void
	known    storage.Version
	raw      Record // what Guard.Prev would hold
	bytes    Record // of the Commit in flight
	ops      []simWrite
	watching int // number of the watch under way, 0 if none is
	watches  int
	looking  bool
	again    bool // look once more
}

func newSimNode(s *sim, index int) *simNode {
	return &simNode{sim: s, index: index, rate: s.clockRate(), offset: s.upTo(time.Hour)}
}

// arrival is an event on its way to the driver.
type arrival struct {
	event  Event
	hint   bool // from a watch or look: useless if known is no longer seen
	looked bool // from a look
	seen   storage.Version
}

// start begins a life: a process that knows nothing, with a new plugin.
func (n *simNode) start() {
	n.life++
	n.up = true
	n.simDriver = simDriver{state: State{Self: Node{ID: n.name()}, Timing: n.timing, Careful: true}}
	n.simLog = simLog{}
	n.plugin = &simPlugin{sim: n.sim, node: n}
	n.logf(n.name(), "starts")
	n.post(arrival{event: Tick{}})
}

func (n *simNode) id() string   { return n.state.Self.ID }
func (n *simNode) name() string { return fmt.Sprintf("n%d.%d", n.index, n.life) }

func (n *simNode) clock() clock.Instant { return clockOf(n.now, n.rate, n.offset) }

// trueTime is how much true time passes while the node's clock advances by d.
func (n *simNode) trueTime(d time.Duration) time.Duration {
	return time.Duration(float64(d) / n.rate)
}

// later runs do after d, unless the host crashes before; if it is stopped then, when it
// goes on.
func (n *simNode) later(d time.Duration, do func()) {
	life := n.life
	n.after(d, func() { n.running(life, do) })
}

// running runs do when the host is not stopped, if that life of it still lasts then.
func (n *simNode) running(life int, do func()) {
	switch {
	case n.life != life || !n.up:
	case n.now < n.paused:
		n.after(n.paused-n.now, func() { n.running(life, do) })
	default:
		do()
	}
}

// gap is a place where another process or goroutine may run first. Mostly nothing
// happens there; now and then this goroutine is late, or the whole host is.
func (n *simNode) gap(do func()) {
	if n.calm || !n.chance(n.gaps) {
		do()
		return
	}
	d := n.while(5 * time.Second)
	if n.chance(0.5) {
		n.pause(d)
	}
	n.later(d, do)
}

// pause stops the host for d.
func (n *simNode) pause(d time.Duration) {
	n.logf(n.name(), "is stopped for %v", d)
	n.paused = max(n.paused, n.now+d)
	if n.mutant == frozenWill {
		n.plugin.bequeath()
	}
}

// crash ends the host. Its plugin may outlive it.
func (n *simNode) crash(pluginToo bool) {
	if !n.up {
		return
	}
	n.logf(n.name(), "crashes; its plugin too: %v", pluginToo)
	n.up, n.state = false, State{}
	if pluginToo {
		n.plugin.life++
	} else {
		n.plugin.bequeath()
	}
	n.simLog = simLog{}
	n.after(n.while(3*time.Second), func() {
		if !n.up {
			n.start()
		}
	})
}

// post hands an event to the driver's goroutine.
func (n *simNode) post(r arrival) {
	n.inbox = append(n.inbox, r)
	n.drain()
}

// drain takes events in, one at a time and in any order, as a select does.
func (n *simNode) drain() {
	for !n.busy && len(n.inbox) > 0 {
		i := 0
		if len(n.inbox) > 1 {
			i = n.rnd.IntN(len(n.inbox))
		}
		r := n.inbox[i]
		n.inbox[i] = n.inbox[len(n.inbox)-1]
		n.inbox = n.inbox[:len(n.inbox)-1]
		n.take(r)
	}
}

// take runs one event through the protocol and carries the effects out, as Driver.take
// does, with a gap wherever the goroutine can be stopped.
func (n *simNode) take(r arrival) {
	n.busy = true
	if r.looked {
		n.looking = false
	}
	if r.hint && (r.seen != n.known || n.state.Attempt.Kind != None && n.mutant != looseRead) {
		n.taken() // overtaken by something newer, or about to be
		return
	}
	if _, lost := r.event.(Lost); lost {
		r.event = Lost{Unwanted: !n.wanted()}
	}
	now := n.clock()
	n.gap(func() {
		effects := n.protocol(r.event, now)
		n.remember(r)
		n.gap(func() {
			n.setLease(n.state.Lease)
			n.perform(effects)
		})
	})
}

func (n *simNode) remember(r arrival) {
	switch e := r.event.(type) {
	case Done:
		n.raw, n.known = n.bytes, e.Version
	case Seen:
		n.known = e.Version
		if n.state.Version == e.Version {
			n.raw = e.Record
		}
	}
	if n.state.Trouble != "" && !n.harmed {
		n.problem("%s finds fault with a store that was never harmed: %s", n.id(), n.state.Trouble)
	}
}

func (n *simNode) perform(effects []Effect) {
	if len(effects) == 0 {
		n.taken()
		return
	}
	n.gap(func() {
		switch f := effects[0].(type) {
		case Send:
			n.send(f.Again)
		case Read:
			n.read(ReadFailed{}, func(e Event) { n.post(arrival{event: e}) })
		case Look:
			n.look()
		case Ask:
			n.askPeers(f.Gaps)
		case CheckWrites:
			n.checkWrites()
		case Resolve:
			n.resolve(f.Result)
		case Become:
			n.become(f.Role)
		}
		n.perform(effects[1:])
	})
}

// taken ends take: the driver waits for the next event.
func (n *simNode) taken() {
	if n.again && !n.looking {
		n.look()
	}
	if n.state.Role != Standby {
		n.watching = 0
	} else if n.watching == 0 {
		n.watch()
	}
	n.timer++
	timer := n.timer
	now := n.clock()
	n.later(n.trueTime(n.state.WakeAt(now).Sub(now))+time.Microsecond, func() {
		if n.timer == timer {
			n.post(arrival{event: Tick{}})
		}
	})
	n.busy = false
	n.drain()
}

func (n *simNode) become(r Role) {
	if r == Active {
		n.takeover++
		n.openLog()
		n.setLease(n.state.Lease)
		will := n.state.Record.will()
		if n.mutant == plainWill {
			will.Seq = n.state.Record.Seq
		}
		n.plugin.arm(will)
		return
	}
	n.shut()
	n.plugin.disarm()
}

// askPeers asks the other nodes what they saw. Those that do not answer are taken to be away.
func (n *simNode) askPeers(gaps uint64) {
	var newest Sighting
	for _, peer := range n.nodes {
		if peer != n && peer.hears() {
			newest = newest.Join(peer.state.told())
		}
	}
	n.later(n.upTo(n.travel), func() {
		n.post(arrival{event: Heard{Newest: newest, Asked: true, Gaps: gaps}})
	})
}

// gossip tells a peer what this node saw.
func (n *simNode) gossip(peer *simNode) {
	newest, life := n.state.told(), peer.life
	if n.hears() {
		n.after(n.delay(), func() {
			peer.running(life, func() { peer.post(arrival{event: Heard{Newest: newest}}) })
		})
	}
}

// hears reports whether this node can be reached by its peers.
func (n *simNode) hears() bool { return n.up && n.now >= n.paused && !n.chance(10*n.loss) }

// call asks the store through the plugin. Without an answer in time it is none.
func (n *simNode) call(c *simCall, timeout time.Duration) {
	answer, life, plugin := c.answer, n.life, n.plugin
	c.answer = func(e Event) {
		n.running(life, func() { n.gap(func() { answer(e) }) })
	}
	n.later(n.trueTime(timeout), func() { plugin.finish(c, c.none) })
	plugin.start(c)
}

// send sends the Attempt of the state; a Carry takes along what waits.
func (n *simNode) send(again bool) {
	a := n.state.Attempt
	if !again {
		n.ops = nil
		if a.Kind == Carry {
			n.ops = n.takeWrites()
		}
	}
	if a.Kind == Settle {
		n.ops = nil
	}
	if a.Kind == GiveUp {
		n.plugin.disarm()
	}
	if !again || a.Kind == Settle && a.Tries == 0 {
		n.bytes = a.Record
	}
	guard, record, ops := simGuard{a.Guard, n.raw}, n.bytes, n.ops
	if len(ops) > 0 && n.chance(n.rejects) {
		n.later(n.upTo(n.travel), func() { n.post(arrival{event: Rejected{}}) })
		return
	}
	n.call(&simCall{
		ask:    func() Event { return n.commit(guard, record, ops) },
		answer: func(e Event) { n.post(arrival{event: e}) },
		none:   Lost{}, refuse: Unapplied{}, commit: &record,
	}, n.timing.Lease/2)
}

// read reads the record linearizably.
func (n *simNode) read(none Event, then func(Event)) {
	asked := n.clock()
	n.call(&simCall{
		ask:    func() Event { return Seen{Version: n.store.version, Record: n.store.record, Asked: asked} },
		answer: then, none: none, refuse: none,
	}, n.timing.Lease/2)
}

// checkWrites asks whether the store takes writes.
func (n *simNode) checkWrites() {
	no := WritesChecked{}
	n.call(&simCall{
		ask:    func() Event { return WritesChecked{Taken: true} },
		answer: func(e Event) { n.post(arrival{event: e}) }, none: no, refuse: no, write: true,
	}, n.timing.Lease/2)
}

// look reads it in the background, one read at a time.
func (n *simNode) look() {
	if n.looking {
		n.again = true
		return
	}
	n.looking, n.again = true, false
	seen := n.known
	n.read(ReadFailed{}, func(e Event) {
		n.post(arrival{event: e, hint: true, looked: true, seen: seen})
	})
}

// watch waits at the store until the record is at another version. What it finds may be
// late, and some watches are dead for as long as a run lasts.
func (n *simNode) watch() {
	n.watches++
	mine, seen, life := n.watches, n.known, n.life
	n.watching = mine
	plugin, process := n.plugin, n.plugin.life
	gone := func() bool { return n.life != life || n.watching != mine }
	var fire func()
	fire = func() {
		if gone() || plugin.life != process || n.now < n.answersCut {
			return // nobody hears it
		}
		if n.store.version == seen {
			n.store.watches = append(n.store.watches, fire)
			return
		}
		e := Seen{Version: n.store.version, Record: n.store.record}
		n.after(n.delay(), func() {
			plugin.running(process, func() {
				n.running(life, func() {
					if !gone() {
						n.watching = 0
						n.post(arrival{event: e, hint: true, seen: seen})
					}
				})
			})
		})
	}
	if !n.chance(n.deaf) {
		n.after(n.delay(), fire)
	}
}
