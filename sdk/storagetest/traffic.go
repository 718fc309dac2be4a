package storagetest

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// trafficCases are about how much passes.
func trafficCases() []Case {
	return []Case{
		{ID: "C-24", Profile: Core, Timeout: 20 * time.Minute, Promise: "Many megabytes pass through a client that keeps none of them.", Run: keepsNoTraffic},
	}
}

const (
	// trafficFirst bytes pass before memory is looked at: they fill pools, and let the garbage
	// collector find its rhythm.
	trafficFirst = 16 << 20
	// trafficMost bytes pass then, unless the store is slow: it ends after trafficBudget, but
	// not before trafficLeast have passed.
	trafficMost   = 200 << 20
	trafficLeast  = 48 << 20
	trafficBudget = 5 * time.Second
	// trafficNoise is how much memory may grow by whatever passes.
	trafficNoise = 24 << 20
	trafficKeys  = 8
)

// keepsNoTraffic compares the growth of memory with what passes.
func keepsNoTraffic(t *T) {
	n := t.open()
	size := n.largest("t0")
	t.traffic(n, size, func(passed int, _ time.Duration) bool { return passed > trafficFirst })
	before := t.memory()
	budget := trafficBudget
	if t.disturbed() { // then most of the time goes by without a store
		budget = 0
	}
	passed := t.traffic(n, size, func(passed int, took time.Duration) bool {
		slow := passed > trafficLeast && took > budget && !t.plan.harness.Long
		return passed > trafficMost || slow
	})
	most := max(passed/3, trafficNoise)
	grown := t.memory() - before
	deadline := time.Now().Add(t.overrun())
	for grown > most && time.Now().Before(deadline) && t.ctx.Err() == nil {
		t.pause(100 * time.Millisecond)
		grown = t.memory() - before
	}
	t.Logf("memory was at %d MiB, and grew by %d MiB while %d MiB passed", before>>20, grown>>20, passed>>20)
	if grown > most {
		t.Errorf("memory grew by %d MiB while %d MiB passed, want %d MiB at most", grown>>20, passed>>20, most>>20)
	}
}

// traffic writes large values by some callers at once, and reads them until enough bytes have
// passed. It returns how many did.
func (t *T) traffic(n *node, size int, enough func(passed int, took time.Duration) bool) (passed int) {
	var total atomic.Int64
	began := time.Now()
	var group sync.WaitGroup
	for key := range trafficKeys {
		name := fmt.Sprintf("t%d", key)
		value := strings.Repeat(name, size/len(name)+1)[:size]
		group.Go(func() {
			n.put(name, value)
			// Each turn counts what has just passed.
			for !enough(int(total.Add(int64(size))), time.Since(began)) {
				n.wantValue(name, value)
			}
		})
	}
	group.Wait()
	return int(total.Load())
}

// memory is what clients have grown to, in bytes.
func (t *T) memory() int {
	if t.plan.harness.Memory == nil {
		var now runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&now)
		return int(now.HeapAlloc) //nolint:gosec // less than the address space
	}
	bytes, err := t.plan.harness.Memory()
	if err != nil {
		t.Fatalf("measure memory: %v", err)
	}
	return bytes
}
