package chaos

import (
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/holdfast/holdfast/test/link"
	"github.com/holdfast/holdfast/test/process"
)

// fault is a kind of trouble. Two of the same class are never under way at once.
type fault struct {
	name  string
	class string
	long  bool // takes profile.longFreeze
	// inject begins it and returns how it ends, and, if it goes on and off, a function that
	// makes the next move and returns how long to wait for the one after.
	inject func(c *cluster, t target, r *rand.Rand) ongoing
}

// ongoing is a fault that has begun.
type ongoing struct {
	heal func()
	move func() time.Duration // nil: it just lasts
}

// The classes.
const (
	aboutNode   = "process of a node"
	aboutMember = "process of the store"
	aboutStore  = "links to the store"
	aboutPeers  = "links between nodes"
	aboutClient = "links of clients"
	aboutRole   = "role"
	aboutClock  = "clock"
)

// faults returns all kinds.
func faults() []fault {
	var all []fault
	for _, some := range [][]fault{processFaults(), memberFaults(), linkFaults(), roleFaults()} {
		all = append(all, some...)
	}
	return all
}

// isolating returns the kinds that make a node a former active one that does not know it.
func isolating() []fault {
	return slices.DeleteFunc(faults(), func(f fault) bool {
		return f.class != aboutStore && !strings.HasPrefix(f.name, "freeze") && !strings.HasPrefix(f.name, "flapping")
	})
}

func processFaults() []fault {
	return []fault{
		{name: "kill -9 of the host", class: aboutNode, inject: func(c *cluster, t target, _ *rand.Rand) ongoing {
			n := c.nodes[t.node]
			n.down()
			n.Kill()
			return ongoing{heal: n.wantUp}
		}},
		{name: "kill -9 of the plugin", class: aboutNode, inject: func(c *cluster, t target, _ *rand.Rand) ongoing {
			for _, pid := range c.nodes[t.node].plugins() {
				_ = syscall.Kill(pid, syscall.SIGKILL) // fails only if it has ended
			}
			return ongoing{heal: func() {}}
		}},
		{name: "kill -9 of host and plugin", class: aboutNode, inject: func(c *cluster, t target, _ *rand.Rand) ongoing {
			n := c.nodes[t.node]
			n.down()
			plugins := n.plugins()
			_ = process.Pause(n.Process().PID()) // so that it does not start another one
			for _, pid := range plugins {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
			n.Kill()
			return ongoing{heal: n.wantUp}
		}},
		{name: "freeze of the host", class: aboutNode, inject: func(c *cluster, t target, _ *rand.Rand) ongoing {
			return c.nodes[t.node].freeze(true, false)
		}},
		{name: "freeze of the plugin", class: aboutNode, inject: func(c *cluster, t target, _ *rand.Rand) ongoing {
			return c.nodes[t.node].freeze(false, true)
		}},
		{name: "freeze of host and plugin", class: aboutNode, long: true, inject: func(c *cluster, t target, _ *rand.Rand) ongoing {
			return c.nodes[t.node].freeze(true, true)
		}},
		{name: "flapping of host and plugin", class: aboutNode, inject: func(c *cluster, t target, r *rand.Rand) ongoing {
			return flap(r, func() ongoing { return c.nodes[t.node].freeze(true, true) })
		}},
		{name: "flapping of the plugin", class: aboutNode, inject: func(c *cluster, t target, r *rand.Rand) ongoing {
			return flap(r, func() ongoing { return c.nodes[t.node].freeze(false, true) })
		}},
		{name: "SIGTERM", class: aboutNode, inject: func(c *cluster, t target, _ *rand.Rand) ongoing {
			n := c.nodes[t.node]
			n.down()
			_ = n.Process().Signal(syscall.SIGTERM)
			return ongoing{heal: n.wantUp}
		}},
	}
}

func memberFaults() []fault {
	return []fault{
		{name: "kill -9 of a store member", class: aboutMember, inject: func(c *cluster, t target, _ *rand.Rand) ongoing {
			m := c.store.members[t.member]
			m.Kill()
			return ongoing{heal: m.Start}
		}},
		{name: "freeze of a store member", class: aboutMember, inject: func(c *cluster, t target, _ *rand.Rand) ongoing {
			m := c.store.members[t.member]
			m.Pause()
			return ongoing{heal: m.Resume}
		}},
		{name: "flapping of a store member", class: aboutMember, inject: func(c *cluster, t target, r *rand.Rand) ongoing {
			m := c.store.members[t.member]
			return flap(r, func() ongoing {
				m.Pause()
				return ongoing{heal: m.Resume}
			})
		}},
		{name: "outage of the store, killed", class: aboutMember, inject: func(c *cluster, _ target, _ *rand.Rand) ongoing {
			return c.outage(member.Kill, member.Start)
		}},
		{name: "outage of the store, frozen", class: aboutMember, inject: func(c *cluster, _ target, _ *rand.Rand) ongoing {
			return c.outage(member.Pause, member.Resume)
		}},
	}
}

func (c *cluster) outage(away, back func(member)) ongoing {
	each := func(f func(member)) {
		for _, m := range c.store.members {
			f(m)
		}
	}
	each(away)
	return ongoing{heal: func() { each(back) }}
}

func linkFaults() []fault {
	var all []fault
	for _, class := range []string{aboutStore, aboutPeers, aboutClient} {
		lasting := func(name string, condition func(r *rand.Rand) link.Condition) fault {
			return fault{name: name + " on the " + class, class: class, inject: func(c *cluster, t target, r *rand.Rand) ongoing {
				present := condition(r)
				return c.disturb(class, t, func(l *link.Link, who string) { l.Set(who, present) })
			}}
		}
		always := func(c link.Condition) func(*rand.Rand) link.Condition {
			return func(*rand.Rand) link.Condition { return c }
		}
		all = append(all,
			lasting("cut", always(link.Cut())),
			lasting("cut of the answers", always(link.Condition{Down: link.Way{Stopped: true}})),
			lasting("cut of the requests", always(link.Condition{Up: link.Way{Stopped: true}})),
			fault{name: "reset storm on the " + class, class: class, inject: func(c *cluster, t target, r *rand.Rand) ongoing {
				o := c.disturb(class, t, (*link.Link).Reset)
				o.move = func() time.Duration {
					c.each(class, t, (*link.Link).Reset)
					return time.Duration(50+r.IntN(500)) * time.Millisecond
				}
				return o
			}},
		)
		if class == aboutClient {
			continue // it is the client that is slow then
		}
		all = append(all,
			lasting("latency", func(r *rand.Rand) link.Condition {
				latency := []time.Duration{50 * time.Millisecond, 200 * time.Millisecond, 800 * time.Millisecond}[r.IntN(3)]
				return link.Slow(latency, latency/2)
			}),
			lasting("loss", func(r *rand.Rand) link.Condition { return link.Lossy([]float64{0.01, 0.05, 0.3}[r.IntN(3)]) }),
			lasting("64 kbit/s", always(link.Narrow(8000))),
			fault{name: "half-open connections on the " + class, class: class, inject: func(c *cluster, t target, _ *rand.Rand) ongoing {
				return c.disturb(class, t, (*link.Link).Abandon)
			}},
		)
	}
	return all
}

// each does something to all links of a class and a node: between nodes, to what others dial
// to it and to what it dials to others.
func (c *cluster) each(class string, t target, do func(l *link.Link, who string)) {
	n := c.nodes[t.node]
	switch class {
	case aboutClient:
		do(n.clients, link.Everybody)
	case aboutStore:
		for _, l := range n.store {
			do(l, link.Everybody)
		}
	case aboutPeers:
		for _, other := range c.nodes {
			who := n.Name
			if other == n {
				who = link.Everybody
			}
			do(other.peers, who)
		}
	}
}

// disturb does something to links, until it is healed.
func (c *cluster) disturb(class string, t target, how func(l *link.Link, who string)) ongoing {
	n := c.nodes[t.node]
	if class == aboutClient {
		n.trouble.begin()
	}
	c.each(class, t, how)
	return ongoing{heal: func() {
		c.each(class, t, func(l *link.Link, who string) { l.Set(who, link.Condition{}) })
		if class == aboutClient {
			n.trouble.end()
		}
	}}
}

func roleFaults() []fault {
	return []fault{{name: "step-down", class: aboutRole, inject: func(c *cluster, t target, _ *rand.Rand) ongoing {
		ctx, cancel := context.WithTimeout(c.t.Context(), time.Second)
		defer cancel()
		// It may be refused, or hang: there may be no store.
		caller := c.newCaller(0, c.nodes[t.node])
		defer caller.http.CloseIdleConnections()
		_, _, _ = caller.send(ctx, request{method: "PUT", path: "sys/step-down"}, false)
		return ongoing{heal: func() {}}
	}}}
}

// flap begins a fault and ends it, again and again, for 100 to 1900 ms each.
func flap(r *rand.Rand, begin func() ongoing) ongoing {
	var present *ongoing
	end := func() {
		if present != nil {
			present.heal()
			present = nil
		}
	}
	return ongoing{heal: end, move: func() time.Duration {
		if present != nil {
			end()
		} else {
			o := begin()
			present = &o
		}
		return time.Duration(100+r.IntN(1800)) * time.Millisecond
	}}
}

// down is to be called before the server is ended.
func (n *node) down() {
	if !n.condemned && !n.starting { // else it is in trouble already
		n.trouble.begin()
	}
	n.wanted, n.condemned, n.starting = false, true, false
}

// wantUp lets the nemesis start the server again.
func (n *node) wantUp() { n.wanted = true }

// plugins returns the process ids of the node's plugins: one, if it is not being restarted.
func (n *node) plugins() []int {
	if n.Process().Ended() {
		return nil
	}
	pids, err := n.Process().Children()
	if err != nil {
		return nil
	}
	return pids
}

// freeze stops the server, its plugin or both until it is healed.
func (n *node) freeze(host, plugin bool) ongoing {
	var pids []int
	if plugin {
		pids = n.plugins()
	}
	if host {
		n.trouble.begin()
		pids = append(pids, n.Process().PID())
	}
	for _, pid := range pids {
		_ = process.Pause(pid) // fails only if it has ended
	}
	return ongoing{heal: func() {
		for _, pid := range pids {
			_ = process.Resume(pid)
		}
		if host {
			n.trouble.end()
		}
	}}
}
