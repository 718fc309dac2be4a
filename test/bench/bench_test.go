// Package bench compares: each benchmark runs what it measures and what it measures that
// against by turns, on the same machine and the same store, and reports the ratio. The
// rates are there to see that the ratio means something; they say more about the machine.
package bench

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast/holdfast/test/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

const (
	callers   = 64              // that call at the same time
	valueSize = 1 << 10         // bytes
	keys      = 5000            // distinct ones, so that stores do not grow with the speed
	turn      = 1 * time.Second // how long each contestant runs before it is another's turn
)

// contestant is one way to do a thing.
type contestant struct {
	name string
	call func(ctx context.Context, n int) error // called by many at once; n is another number at each call

	calls atomic.Int64
	time  time.Duration
}

func (c *contestant) rate() float64 { return float64(c.calls.Load()) / c.time.Seconds() }

// compare lets the contestants run by turns, and reports for each how many calls a second it
// did, and how many times as many as baseline.
func compare(b *testing.B, baseline *contestant, others ...*contestant) {
	b.Helper()
	for b.Loop() {
		baseline.run(b)
		for _, c := range others {
			c.run(b)
		}
	}
	b.ReportMetric(0, "ns/op") // of a turn: not a result
	b.ReportMetric(baseline.rate(), baseline.name+"/s")
	for _, c := range others {
		b.ReportMetric(c.rate(), c.name+"/s")
		b.ReportMetric(c.rate()/baseline.rate(), c.name+"/"+baseline.name)
	}
}

// run is one turn.
func (c *contestant) run(b *testing.B) {
	b.Helper()
	begin := time.Now()
	var running sync.WaitGroup
	for range callers {
		running.Go(func() {
			for time.Since(begin) < turn {
				if err := c.call(b.Context(), int(c.calls.Add(1))); err != nil {
					b.Errorf("%s: %v", c.name, err)
					return
				}
			}
		})
	}
	running.Wait()
	c.time += time.Since(begin)
	if b.Failed() {
		b.FailNow()
	}
}
