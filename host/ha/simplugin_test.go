package ha

import (
	"time"

	"github.com/holdfast/holdfast/sdk/storage"
)

// simPlugin is a plugin process. It belongs to one life of a node's host, and may outlive
// it by what it takes to carry out the last will.
type simPlugin struct {
	*sim
	node   *simNode // for its connection to the store
	life   int      // counts restarts: answers to an earlier process are lost
	down   bool     // not running; the host starts it again
	paused time.Duration
	calls  []*simCall // the host waits for their answers
	will   simWill
}

// simWill is what the plugin needs to replace a host that is dead: a record from the
// host, and, from the Commits that pass through, where it belongs.
type simWill struct {
	record     Record // the zero Record: nothing to be done
	version    storage.Version
	value      Record // what is at version
	unresolved Record // the last Commit, as long as its outcome is unknown
}

// simCall is a question to the store.
type simCall struct {
	ask    func() Event // at the store; a Commit may be asked more than once
	answer func(Event)  // at the host, called once
	none   Event        // the answer that there was none
	refuse Event        // the answer that nothing was done
	commit *Record      // what it writes, of a Commit
	write  bool         // it would write: so does a Commit
	twice  bool         // it is sent twice
	over   bool
}

// finish gives the host the answer, if it is the first.
func (p *simPlugin) finish(c *simCall, e Event) {
	if c.over {
		return
	}
	c.over = true
	for i := range p.calls {
		if p.calls[i] == c {
			p.calls[i] = p.calls[len(p.calls)-1]
			p.calls = p.calls[:len(p.calls)-1]
			break
		}
	}
	c.answer(e)
}

// start asks c.
func (p *simPlugin) start(c *simCall) {
	if p.down {
		c.over = true
		p.after(p.upTo(time.Millisecond), func() { c.answer(c.refuse) })
		return
	}
	p.calls = append(p.calls, c)
	life := p.life
	p.running(life, func() {
		if c.commit != nil {
			p.will.unresolved = *c.commit
		}
		c.twice = p.chance(p.backend.resends)
		p.send(life, c)
		if c.twice {
			p.send(life, c)
		}
	})
}

// running runs do when this process is not stopped, if it still lives then.
func (p *simPlugin) running(life int, do func()) {
	switch {
	case p.life != life:
	case p.now < p.paused:
		p.after(p.paused-p.now, func() { p.running(life, do) })
	default:
		do()
	}
}

// send carries c to the store, and the answer back.
func (p *simPlugin) send(life int, c *simCall) {
	d := p.delay()
	if wait := p.node.requestsCut - p.now; wait > 0 {
		if !p.backend.queues || p.chance(0.3) {
			return
		}
		d += wait
	}
	if p.chance(p.loss) {
		return
	}
	back := func(e Event) {
		if p.now < p.node.answersCut || p.chance(p.loss) || p.chance(p.backend.losesAnswers) {
			return
		}
		p.after(p.delay(), func() {
			p.running(life, func() { p.answered(c, e) })
		})
	}
	p.after(d, func() {
		p.receive(c.write || c.commit != nil, func() { back(c.ask()) }, func() {
			if !c.twice || p.mutant == halfRefusal {
				back(c.refuse) // of one that was sent twice, the other may have been carried out
			}
		})
	})
}

// delay is how long a message takes.
func (s *sim) delay() time.Duration {
	d := s.upTo(s.travel)
	if s.chance(s.late) {
		d += s.while(6 * time.Second)
	}
	return d
}

// answered takes in what the store says to c, which may be no news to the host.
func (p *simPlugin) answered(c *simCall, e Event) {
	if c.over && p.mutant != anyAnswer {
		return
	}
	if c.commit != nil && !c.over {
		p.learn(*c.commit, e)
	}
	if c.over && c.commit != nil {
		p.mistake(e)
		return
	}
	p.finish(c, e)
}

// mistake takes an answer that is late for that to the Commit in flight.
func (p *simPlugin) mistake(e Event) {
	for _, c := range p.calls {
		if c.commit != nil {
			p.finish(c, e)
			return
		}
	}
}

// learn keeps the will up to date.
func (p *simPlugin) learn(r Record, e Event) {
	switch e := e.(type) {
	case Done:
		p.will.version, p.will.value, p.will.unresolved = e.Version, r, Record{}
		if r.Phase != Held {
			p.will.record = Record{}
		}
	case Conflict:
		p.will = simWill{}
	}
	// A refusal says nothing of an earlier sending of the same Commit: it stays unresolved.
}

// arm hands the plugin the host's last will.
func (p *simPlugin) arm(will Record) {
	if !p.down {
		p.will.record = will
	}
}

// disarm takes it back.
func (p *simPlugin) disarm() { p.will.record = Record{} }

// crash ends the process. The host hears of it at once, and knows nothing of what it had
// asked; a new process is there soon, and knows nothing of the will.
func (p *simPlugin) crash() {
	if p.down {
		return
	}
	p.logf(p.node.name(), "plugin crashes")
	p.life++
	p.down, p.paused, p.will = true, 0, simWill{}
	calls := p.calls
	p.calls = nil
	for _, c := range calls {
		c.over = true
		p.after(p.upTo(time.Millisecond), func() { c.answer(c.none) })
	}
	p.after(20*time.Millisecond+p.while(2*time.Second), func() { p.down = false })
}

// bequeath is what a plugin does that knows its host to be dead: it commits the will on
// top of the host's own last Commit, and of nothing else.
func (p *simPlugin) bequeath() {
	life := p.life
	p.after(2*time.Millisecond+p.while(time.Second), func() {
		p.running(life, func() {
			switch {
			case p.will.record == Record{}:
			case p.will.unresolved == Record{}:
				p.release(simGuard{p.will.version, p.will.value})
			default:
				p.releaseUnresolved(life)
			}
		})
	})
}

// releaseUnresolved looks whether the Commit of unknown outcome is what is in the store.
func (p *simPlugin) releaseUnresolved(life int) {
	var found simGuard
	p.send(life, &simCall{ask: func() Event {
		found = simGuard{p.store.version, p.store.record}
		return nil
	}, answer: func(Event) {
		if found.prev == p.will.unresolved {
			p.release(found)
		}
	}})
}

func (p *simPlugin) release(g simGuard) {
	if g.version == "" {
		return // no Commit of the host has passed through this process
	}
	r := p.will.record
	p.logf(p.node.name(), "plugin: the host is dead, releases epoch %d on %s", r.Epoch, g.version)
	p.send(p.life, &simCall{ask: func() Event { return p.commit(g, r, nil) }, answer: func(Event) {}})
}
