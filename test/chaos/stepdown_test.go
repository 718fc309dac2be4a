package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast/holdfast/test/harness"
)

const (
	// In a plain `go test`, on one store.
	stepDownsInShort = 10
	sigtermsInShort  = 2
	// With CHAOS_STEPDOWNS.
	sigterms = 20
)

// TestStepDowns hands over again and again, under a load of 200 requests a second through
// all nodes: first by step-downs, then by SIGTERM and a restart, where only requests through
// the other nodes count. Not one request may fail, clients try nothing twice, and what a
// client writes never goes back.
func TestStepDowns(t *testing.T) {
	p := parameters(t)
	stepDowns, terms := stepDownsInShort, sigtermsInShort
	if p.stepDowns > 0 {
		stepDowns, terms, p.long = p.stepDowns, sigterms, true
	}
	for _, k := range kinds() {
		if p.chosen(k, "etcd") {
			t.Run(k.name, func(t *testing.T) { handOvers(t, k, rand.New(rand.NewPCG(p.seed, 2)), stepDowns, terms) })
		}
	}
}

func handOvers(t *testing.T, k kind, r *rand.Rand, stepDowns, terms int) {
	c := newCluster(t, k, "")
	s := newSteady(c)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.run(ctx)
	}()
	finish := func() {
		stop()
		<-ended
	}
	defer finish()

	linger(ctx, 2*time.Second) // the latency without hand-overs
	for i := 0; i < stepDowns && !s.broken(); i++ {
		handOver(t, c, s, fmt.Sprintf("step-down %d", i+1), func(active int) error {
			// Through any node: a standby passes the request on.
			return c.nodes[(active+r.IntN(size))%size].Client(c.root).Sys().StepDown()
		})
		linger(ctx, 200*time.Millisecond+rand2(r, time.Second/2))
	}
	for i := 0; i < terms && !s.broken(); i++ {
		s.terminate(t, c, fmt.Sprintf("SIGTERM %d", i+1))
		linger(ctx, 200*time.Millisecond+rand2(r, time.Second))
	}
	finish()
	s.report(t, stepDowns, terms)
}

// handOver does something that makes another node active, and waits until one is.
func handOver(t *testing.T, c *cluster, s *steady, what string, how func(active int) error) {
	t.Helper()
	active := c.awaitActive(t)
	before := c.epoch(t.Context(), active)
	if before == 0 {
		t.Fatalf("%s: the active node does not tell its epoch", what)
	}
	done := s.event(what)
	defer done()
	if err := how(active); err != nil {
		t.Errorf("%s: %v", what, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if !poll(ctx, 5*time.Millisecond, func() bool { return c.epoch(ctx, (active+1)%size) > before }) {
		t.Fatalf("%s: no other node is active %v later", what, patience)
	}
}

// terminate ends the active node in an orderly way and starts it again. Nobody asks it
// meanwhile.
func (s *steady) terminate(t *testing.T, c *cluster, what string) {
	t.Helper()
	n := c.nodes[c.awaitActive(t)]
	include := s.exclude(n)
	handOver(t, c, s, what, func(int) error {
		if err := n.Process().Signal(syscall.SIGTERM); err != nil {
			return err
		}
		if code := n.Process().ExitCode(); code != 0 {
			return fmt.Errorf("exit code %d, want 0", code)
		}
		return nil
	})
	n.Start()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	well := poll(ctx, 50*time.Millisecond, func() bool {
		c.unseal(ctx, n)
		return c.members(ctx) == size
	})
	if !well {
		t.Errorf("%s: %s is no member again after %v", what, n.Name, patience)
	}
	include()
}

// awaitActive returns the index of the active node, once there is one.
func (c *cluster) awaitActive(t *testing.T) (node int) {
	t.Helper()
	harness.Eventually(t, "a node is active", func() error {
		node = c.active(t.Context())
		var leader struct {
			IsSelf bool `json:"is_self"`
		}
		if err := c.nodes[node].ask(t.Context(), "GET", "sys/leader", "", &leader); err != nil {
			return err
		}
		if !leader.IsSelf {
			return errors.New("no node says that it is")
		}
		return nil
	})
	return node
}

// epoch returns the epoch that a node knows of, 0 if it does not answer.
func (c *cluster) epoch(ctx context.Context, node int) uint64 {
	var leader struct{ Epoch uint64 }
	if c.nodes[node].ask(ctx, "GET", "sys/leader", "", &leader) != nil {
		return 0
	}
	return leader.Epoch
}

// linger waits, or until ctx ends.
func linger(ctx context.Context, d time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	<-ctx.Done()
}
