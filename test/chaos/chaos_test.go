package chaos

import (
	"context"
	"flag"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/holdfast/holdfast/test/audit"
	"github.com/holdfast/holdfast/test/harness"
)

// TestMain has the servers built with a clock that can be wrong. In a long run all stores are
// tested at once, however few processors there are: a node that gets none for a while is one
// more fault.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", strconv.Itoa(len(kinds()))); err != nil {
		panic(err) // the flag is the testing package's
	}
	harness.Main(m, "faultclock")
}

// inShort is how long the faults of each store go on in a plain `go test`; `make chaos` is
// for longer runs.
const inShort = 3 * time.Minute

// patience is how long it may take, on a slow machine, until everything is well again.
const patience = 90 * time.Second

// TestChaos runs three nodes over three members of each store, with faults of all kinds,
// at most two at once, while clients read and write through every node. What they were told
// must be linearizable, nothing that was acknowledged may be lost, every answer must say what
// it may say, and after the faults everything must be well again.
func TestChaos(t *testing.T) {
	p := parameters(t)
	for _, k := range kinds() {
		if p.chosen(k, k.name) {
			t.Run(k.name, func(t *testing.T) {
				p.atOnce(t)
				chaos(t, k, "", p, profile{faults: append(faults(), clockFaults()...), duration: p.duration, longFreeze: p.longFreeze})
			})
		}
	}
}

// TestStrictReadsWithWrongClocks lets all clocks run up to 50 % wrong and jump ahead, while
// the active node is cut off from the store and frozen again and again. That is more than
// leases bear, see P3: with them this test fails. What is read strictly needs no clock.
func TestStrictReadsWithWrongClocks(t *testing.T) {
	p := parameters(t)
	for _, k := range kinds() {
		if p.chosen(k, "etcd") {
			t.Run(k.name, func(t *testing.T) {
				p.atOnce(t)
				chaos(t, k, "ha {\n  read_mode = \"strict\"\n}", p, profile{
					faults: isolating(), always: []fault{wildClocks()}, atActive: true, duration: p.duration / 4, longFreeze: p.longFreeze,
				})
			})
		}
	}
}

// chaos is one run on one store. config is more of the nodes' configuration.
func chaos(t *testing.T, k kind, config string, s settings, p profile) {
	t.Helper()
	rounds := p.plan(s.seed)
	t.Logf("to repeat: %s", s.command(t, k))
	c := newCluster(t, k, config)
	r := newReport(t)
	n := &nemesis{cluster: c, report: r}
	l := newLoad(c, r)

	all, stop := context.WithCancel(t.Context())
	var background sync.WaitGroup
	defer background.Wait()
	defer stop()
	background.Go(func() { c.keepUnsealed(all) })

	working, rest := context.WithCancel(all)
	defer rest()
	var clients, checks sync.WaitGroup
	audit, err := audit.New(c.unsealKey)
	if err != nil {
		t.Fatal(err)
	}
	checks.Go(func() { audit.Run(working, c.store.follow) })
	clients.Go(func() { l.run(working, s.seed) })
	checks.Go(func() { l.check(all) })
	for _, steps := range rounds {
		n.round(t.Context(), steps)
		n.awaitHealth(t.Context())
		if r.failed() {
			break // while what has happened is fresh in the logs
		}
	}
	rest()
	clients.Wait()
	ending := time.AfterFunc(10*patience, stop) // what is not read and judged by then counts as failed
	checks.Wait()
	ending.Stop()
	r.log(t)
	audit.Report(t)
	if t.Failed() {
		t.Logf("the plan was\n%s", show(rounds))
	}
}
