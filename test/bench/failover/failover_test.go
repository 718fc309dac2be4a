// Package failover measures for how long writes stop when something is lost.
package failover

import (
	"errors"
	"math"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast/holdfast/test/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// BenchmarkFailover takes the active node, its plugin or the store away, once per
// iteration, while clients write through a standby, and reports for how long no write was
// acknowledged: the median, the 99th percentile and the longest, in milliseconds, and
// how many requests failed. Each store has three members, and everything shares the machine.
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
	storeLeader int // position of the server that leads in this round
}

func newFailoverCluster(b *testing.B, s store) *failoverCluster {
	b.Helper()
	m := s.start(b)
	c := &failoverCluster{Cluster: harness.NewClusterOn(b, m.stanzas...), members: m}
	c.Mount("kv", "1")
	return c
}

// disturbance is an event of the table in the design, or of the failure matrix.
type disturbance struct {
	name   string
	inject func(b *testing.B, c *failoverCluster, active *harness.Node)
	repair func(c *failoverCluster, active *harness.Node) // nil: nothing is broken
	lasts  bool                                           // what inject does takes its time; counted from its end
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
		{name: "store-leader-killed", inject: func(_ *testing.B, c *failoverCluster, _ *harness.Node) {
			c.members.servers[c.storeLeader].Kill()
		}, repair: func(c *failoverCluster, _ *harness.Node) { c.members.servers[c.storeLeader].Restart() }},
		{name: "store-back", lasts: true, inject: func(_ *testing.B, c *failoverCluster, _ *harness.Node) {
			c.members.killAll()
			c.members.start()
		}},
	}
}

// rotate makes another node the active one, so that no plugin is lost so often that it is
// restarted with a delay.
func rotate(c *failoverCluster, active *harness.Node) {
	_ = active.Client(c.RootToken).Sys().StepDown() // the next round finds out who is active
}

// measure runs the iterations of one disturbance.
func (c *failoverCluster) measure(b *testing.B, d disturbance) {
	var pauses []time.Duration
	failed := 0
	for b.Loop() {
		pause, failures := c.once(b, d)
		pauses = append(pauses, pause)
		failed += failures
	}
	slices.Sort(pauses)
	at := func(p float64) float64 {
		i := int(math.Ceil(p*float64(len(pauses)))) - 1 // nearest rank
		return float64(pauses[max(i, 0)].Microseconds()) / 1000
	}
	b.ReportMetric(0, "ns/op") // of a round: not a result
	b.ReportMetric(at(0.50), "p50-ms")
	b.ReportMetric(at(0.99), "p99-ms")
	b.ReportMetric(at(1), "max-ms")
	b.ReportMetric(float64(failed)/float64(len(pauses)), "failed/op")
}

// choose returns the active node and the standby to write through. Neither uses the
// server that leads the store, if each node has a server of its own.
func (c *failoverCluster) choose(b *testing.B) (active, standby *harness.Node) {
	b.Helper()
	c.storeLeader = c.members.leader()
	if c.Active() == c.Nodes[c.storeLeader] {
		rotate(c, c.Active())
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

// once disturbs the cluster once, and returns the longest time without an acknowledged
// write, and how many writes failed. It leaves the cluster whole.
func (c *failoverCluster) once(b *testing.B, d disturbance) (pause time.Duration, failures int) {
	b.Helper()
	active, standby := c.choose(b)
	w := startWriters(b, standby, c.RootToken)
	harness.Eventually(b, "writes succeed", func() error { return w.acked(time.Time{}, 20) })
	began := time.Now()
	d.inject(b, c, active)
	injected := time.Now()
	if d.lasts {
		began = injected
	}
	harness.Eventually(b, "writes succeed again", func() error { return w.acked(injected, 20) })
	w.stop()
	if d.repair != nil {
		d.repair(c, active)
	}
	c.AwaitMembers(size)
	return w.pause(began), w.failed()
}
