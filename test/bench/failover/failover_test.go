// Package failover measures for how long writes stop when something is lost.
package failover

import (
	"cmp"
	"errors"
	"math"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast/holdfast/sdk/storage"
	"github.com/holdfast/holdfast/test/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// BenchmarkFailover takes the active node, its plugin or the store away, once per
// iteration, while clients write through a standby, and reports for how long no write was
// acknowledged: the median, the 99th percentile and the longest, in milliseconds, and
// how many requests failed. Where the store itself is disturbed, clients of the store write
// without Holdfast at the same time, and the same is reported of them. Each store has three
// members, and everything shares the machine.
func BenchmarkFailover(b *testing.B) {
	for _, s := range stores() {
		b.Run(s.name, func(b *testing.B) {
			var c *failoverCluster // started by the first that is asked for
			for _, d := range disturbances() {
				b.Run(d.name, func(sub *testing.B) {
					if c == nil {
						c = newFailoverCluster(b, s)
					}
					c.measure(sub, d)
				})
			}
		})
	}
}

// failoverCluster is three nodes on a store with three members.
type failoverCluster struct {
	*harness.Cluster
	members     *members
	direct      []storage.Backend // to the store, as each node is connected to it
	storeLeader int               // position of the server that leads in this round
}

func newFailoverCluster(b *testing.B, s store) *failoverCluster {
	b.Helper()
	m := s.start(b)
	c := &failoverCluster{Cluster: harness.NewClusterOn(b, m.stanzas(s.name)...), members: m}
	c.Mount("kv", "1")
	for _, address := range m.addresses {
		backend, err := harness.OpenPlugin(b, s.name, map[string]any{"address": address, "path": "direct/"})
		if err != nil {
			b.Fatal(err)
		}
		c.direct = append(c.direct, backend)
	}
	return c
}

// disturbance is an event of the table in the design, or of the failure matrix.
type disturbance struct {
	name   string
	inject func(b *testing.B, c *failoverCluster, active *harness.Node)
	repair func(c *failoverCluster, active *harness.Node) // nil: nothing is broken
	lasts  bool                                           // what inject does takes its time; counted from its end
	store  bool                                           // it is the store's: what it does to the store's own clients counts too
}

func restart(c *failoverCluster, active *harness.Node) {
	active.Start()
	c.Unseal(active)
}

func disturbances() []disturbance {
	return []disturbance{
		{name: "step-down", inject: func(b *testing.B, c *failoverCluster, active *harness.Node) {
			if err := active.Client(c.RootToken).Sys().StepDown(); err != nil {
				b.Error(err)
			}
		}},
		{name: "SIGTERM", repair: restart, inject: func(b *testing.B, _ *failoverCluster, active *harness.Node) {
			if code := active.Stop(); code != 0 {
				b.Errorf("exit code %d", code)
			}
		}},
		{name: "host-killed", repair: restart, inject: func(_ *testing.B, _ *failoverCluster, active *harness.Node) {
			active.Kill()
		}},
		{name: "plugin-killed", repair: rotate, inject: func(_ *testing.B, _ *failoverCluster, active *harness.Node) {
			active.KillPlugin()
		}},
		{name: "plugin-frozen", repair: rotate, inject: func(b *testing.B, _ *failoverCluster, active *harness.Node) {
			if err := syscall.Kill(active.PluginPID(), syscall.SIGSTOP); err != nil {
				b.Error(err)
			}
		}},
		{name: "node-dead", repair: restart, inject: func(_ *testing.B, _ *failoverCluster, active *harness.Node) {
			active.KillBoth()
		}},
		{name: "node-frozen", inject: func(_ *testing.B, _ *failoverCluster, active *harness.Node) {
			active.Pause()
		}, repair: func(_ *failoverCluster, active *harness.Node) { active.Resume() }},
		{name: "store-leader-killed", store: true, inject: func(_ *testing.B, c *failoverCluster, _ *harness.Node) {
			c.members.servers[c.storeLeader].Kill()
		}, repair: func(c *failoverCluster, _ *harness.Node) { c.members.servers[c.storeLeader].Restart() }},
		{name: "store-back", lasts: true, store: true, inject: func(_ *testing.B, c *failoverCluster, _ *harness.Node) {
			c.members.killAll()
			c.members.start()
		}},
	}
}

// forgiven is for how long a plugin must have run so that the host restarts it at once, and
// not with a pause: a little more than what host/plugin asks for.
const forgiven = 2500 * time.Millisecond

// rotate makes another node the active one and waits until what happened to the plugins is
// forgiven: a plugin that ends again and again is restarted with a delay.
func rotate(c *failoverCluster, active *harness.Node) {
	_ = active.Client(c.RootToken).Sys().StepDown() // the next round finds out who is active
	<-time.After(forgiven)
}

// round is what one iteration measured.
type round struct {
	pause    time.Duration // the longest time without an acknowledged write
	direct   time.Duration // likewise of the store's own clients, if it was disturbed
	failures int           // of Holdfast's clients
}

// measure runs the iterations of one disturbance.
func (c *failoverCluster) measure(b *testing.B, d disturbance) {
	var rounds []round
	for b.Loop() {
		rounds = append(rounds, c.once(b, d))
	}
	b.ReportMetric(0, "ns/op") // of a round: not a result
	failed := 0
	for _, r := range rounds {
		failed += r.failures
	}
	b.ReportMetric(float64(failed)/float64(len(rounds)), "failed/op")
	report := func(prefix string, of func(round) time.Duration) {
		slices.SortFunc(rounds, func(r, s round) int { return cmp.Compare(of(r), of(s)) })
		for unit, p := range map[string]float64{"p50-ms": 0.50, "p99-ms": 0.99, "max-ms": 1} {
			i := int(math.Ceil(p*float64(len(rounds)))) - 1 // nearest rank
			b.ReportMetric(float64(of(rounds[max(i, 0)]).Microseconds())/1000, prefix+unit)
		}
	}
	report("", func(r round) time.Duration { return r.pause })
	if d.store {
		report("direct-", func(r round) time.Duration { return r.direct })
	}
}

// choose returns the active node and the standby to write through. Neither uses the
// server that leads the store, if each node has a server of its own.
func (c *failoverCluster) choose(b *testing.B) (active, standby *harness.Node) {
	b.Helper()
	c.storeLeader = c.members.leader()
	if c.Active() == c.Nodes[c.storeLeader] {
		_ = c.Active().Client(c.RootToken).Sys().StepDown() // the condition says whether it was
		harness.Eventually(b, "another node is active", func() error {
			if c.Active() == c.Nodes[c.storeLeader] {
				return errors.New("it is still the same")
			}
			return nil
		})
		c.AwaitMembers(size)
	}
	for _, n := range c.Standbys() {
		if n != c.Nodes[c.storeLeader] {
			standby = n
		}
	}
	return c.Active(), standby
}

// once disturbs the cluster once. It leaves the cluster whole.
func (c *failoverCluster) once(b *testing.B, d disturbance) (r round) {
	b.Helper()
	active, standby := c.choose(b)
	all := []*writers{startWriters(b, throughNode(standby, c.RootToken))}
	if d.store {
		all = append(all, startWriters(b, direct(c.direct[slices.Index(c.Nodes, active)])))
	}
	await := func(since time.Time) {
		for _, w := range all {
			harness.Eventually(b, "writes succeed", func() error { return w.acked(since, 20) })
		}
	}
	await(time.Time{})
	began := time.Now()
	d.inject(b, c, active)
	injected := time.Now()
	if d.lasts {
		began = injected
	}
	await(injected)
	for _, w := range all {
		w.stop()
	}
	if d.repair != nil {
		d.repair(c, active)
	}
	c.AwaitMembers(size)
	r = round{pause: all[0].pause(began), failures: all[0].failed()}
	if d.store {
		r.direct = all[1].pause(began)
	}
	return r
}
