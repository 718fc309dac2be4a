package chaos

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"
)

// nemesis carries a plan out. It is the only one who starts, ends and signals processes.
type nemesis struct {
	cluster *cluster
	report  *report
	present []*active
}

// active is a fault that is under way.
type active struct {
	step
	ongoing
	began time.Time
	next  time.Time // of its next move; zero: none
	ended func()    // tells the report
}

// superviseEvery is how often the nemesis looks for servers that are to run and do not.
const superviseEvery = 200 * time.Millisecond

// round carries the steps of one round out, and returns when every fault has ended; all at
// once when ctx ends or there is a violation.
func (n *nemesis) round(ctx context.Context, steps []step) {
	began := time.Now()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	defer n.heal(func(*active) bool { return true })
	var supervised time.Time
	for len(steps) > 0 || len(n.present) > 0 {
		now := time.Now()
		n.heal(func(a *active) bool { return now.Sub(a.began) >= a.length })
		for _, a := range n.present {
			if !a.next.IsZero() && now.After(a.next) {
				a.next = now.Add(a.move())
			}
		}
		if len(steps) > 0 && now.Sub(began) >= steps[0].at {
			n.begin(ctx, steps[0])
			steps = steps[1:]
		}
		if now.Sub(supervised) > superviseEvery {
			n.supervise()
			supervised = now
		}
		select {
		case <-ctx.Done():
			return
		case <-n.report.bad:
			return
		case <-tick.C:
		}
	}
}

func (n *nemesis) begin(ctx context.Context, s step) {
	// What was to have ended by now began late, and is one of the same class perhaps: a store can
	// not be frozen while it is killed.
	n.heal(func(a *active) bool { return a.at+a.length <= s.at })
	if s.target.node == anActive {
		s.target.node = n.cluster.active(ctx)
	}
	if n.cluster.nodes[s.target.node].Process().Ended() {
		s.target.node = (s.target.node + 1) % size
	}
	n.cluster.t.Logf("%9.3fs %v", time.Since(n.report.began).Seconds(), s)
	a := &active{step: s, began: time.Now(), ended: n.report.fault(s)}
	a.ongoing = s.fault.inject(n.cluster, s.target, rand.New(rand.NewPCG(s.draw, 1)))
	if a.move != nil {
		a.next = a.began
	}
	n.present = append(n.present, a)
}

// heal ends the faults for which over is true.
func (n *nemesis) heal(over func(*active) bool) {
	n.present = slices.DeleteFunc(n.present, func(a *active) bool {
		if !over(a) {
			return false
		}
		a.heal()
		a.ended()
		return true
	})
}

// supervise starts the servers that have ended and are to run: a server may end when it is
// started while the store is away, and is started again then, as by an init system.
func (n *nemesis) supervise() {
	for _, node := range n.cluster.nodes {
		switch ended := node.Process().Ended(); {
		case !ended && node.starting && node.served():
			node.starting = false
			node.trouble.end()
		case ended && node.wanted:
			n.start(node)
		}
	}
}

func (n *nemesis) start(node *node) {
	if !node.condemned && !node.starting {
		n.report.violation("%s ended by itself with exit code %d", node.Name, node.Process().ExitCode())
		node.trouble.begin()
	}
	node.condemned, node.starting = false, true
	if err := n.cluster.relaunch(node); err != nil {
		n.report.violation("start %s again: %v", node.Name, err)
	}
}

// awaitHealth waits until every node is unsealed, a member, and takes writes.
func (n *nemesis) awaitHealth(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	before := n.report.written()
	well := poll(ctx, superviseEvery, func() bool {
		n.supervise()
		for _, node := range n.cluster.nodes {
			if node.starting || node.condemned {
				return false
			}
		}
		return n.cluster.members(ctx) == size && n.report.written() >= before+20*size
	})
	if !well {
		n.report.violation("%v after the last fault: %d of %d members, %d writes since", patience, n.cluster.members(ctx), size, n.report.written()-before)
	}
}
