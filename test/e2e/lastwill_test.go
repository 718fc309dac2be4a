package e2e

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast/holdfast/test/harness"
)

// released is what the log of a node says that took over from a last will.
const released = "was killed, and its storage plugin released the record"

// willAttempts is how often a host is killed before it is said that its last will does not
// work: on a machine that stands still for a second, a will comes too late.
const willAttempts = 3

// TestLastWill kills the process of the active node, and not its plugin, while a client writes
// through a standby. The plugin must have released the record for the standbys.
func TestLastWill(t *testing.T) {
	onEveryStore(t, func(t *testing.T, b backend) {
		_, stanza := b.start(t)
		c := harness.NewCluster(t, 3, stanza)
		c.Mount("kv", "1")
		for _, n := range c.Nodes {
			if !strings.Contains(n.Output(), "\nLast Will: yes\n") {
				t.Errorf("the banner of %s does not say that the last will is in force", n.Name)
			}
		}
		for range willAttempts {
			active := c.Active()
			gap, took := killHost(t, c, active)
			t.Logf("longest pause between two acknowledged writes: %v, by a last will: %t", gap.Round(time.Millisecond), took)
			if took {
				return
			}
			active.Start()
			c.Unseal(active)
			c.AwaitMembers(3)
		}
		t.Errorf("none of %d killed hosts was replaced because of its last will", willAttempts)
	})
}

// killHost kills the active host under load and reports whether its last will was what ended its tenure.
func killHost(t *testing.T, c *harness.Cluster, active *harness.Node) (gap time.Duration, byWill bool) {
	t.Helper()
	standbys := c.Standbys()
	plugin := active.PluginPID()
	w := &writer{client: standbys[0].Client(c.RootToken)}
	ctx, stop := context.WithCancel(t.Context())
	var writing sync.WaitGroup
	writing.Go(func() { w.run(ctx) })
	defer writing.Wait()
	defer stop()
	harness.Eventually(t, "writes succeed", w.atLeast(time.Time{}, 20))
	before := countReleased(standbys)
	began := time.Now()
	active.Kill()
	awaitEnd(t, "the plugin of the killed host", plugin)
	harness.Eventually(t, "writes succeed again", w.atLeast(time.Now(), 20))
	stop()
	writing.Wait()
	checkWritten(t, standbys[0].Client(c.RootToken), w.acked)
	return w.gap(began), countReleased(standbys) > before
}

// countReleased returns how often one of the nodes took over from a last will.
func countReleased(nodes []*harness.Node) int {
	count := 0
	for _, n := range nodes {
		count += strings.Count(n.Log(), released)
	}
	return count
}

// awaitEnd waits for the end of a process that is no child of this one.
func awaitEnd(t *testing.T, what string, pid int) {
	t.Helper()
	harness.Eventually(t, what+" ends", func() error {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		_, state, _ := strings.Cut(string(stat), ") ")
		if err == nil && !strings.HasPrefix(state, "Z") { // else it waits to be reaped
			return fmt.Errorf("process %d runs", pid)
		}
		return nil
	})
}

// TestLastWillOfAFrozenNode freezes the active node and its plugin, and kills the process of the
// node. The kernel makes the plugin go on then, with a will that may come in time or too late;
// either way the cluster goes on.
func TestLastWillOfAFrozenNode(t *testing.T) {
	onEveryStore(t, func(t *testing.T, b backend) {
		_, stanza := b.start(t)
		c := harness.NewCluster(t, 3, stanza)
		c.Mount("kv", "1")
		active, standbys := c.Active(), c.Standbys()
		plugin := active.PluginPID()
		w := &writer{client: standbys[0].Client(c.RootToken)}
		ctx, stop := context.WithCancel(t.Context())
		var writing sync.WaitGroup
		writing.Go(func() { w.run(ctx) })
		defer writing.Wait()
		defer stop()
		harness.Eventually(t, "writes succeed", w.atLeast(time.Time{}, 20))
		active.Pause()
		active.Kill()
		awaitEnd(t, "the plugin of the killed host", plugin)
		harness.Eventually(t, "writes succeed again", w.atLeast(time.Now(), 20))
		stop()
		writing.Wait()
		t.Logf("active in epoch %d, by a last will: %t", epochOf(t, c.Active()), countReleased(standbys) > 0)
		checkWritten(t, standbys[0].Client(c.RootToken), w.acked)
	})
}
