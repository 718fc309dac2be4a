package storagetest

import (
	"context"
	crand "crypto/rand"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"strings"
	"time"
)

const (
	// attempts is how often a case is run that fails while the machine stands still.
	attempts = 3
	// stall is how long a goroutine that wants to run may have to wait. Stores and
	// their clients give each other up after little more than a second of silence.
	stall = 500 * time.Millisecond
)

// run runs one case. It returns in bounded time, whatever the backend does. A run that fails
// while the machine had no time for this process shows nothing, and is made again; the
// last one counts in any case.
func (p *plan) run(ctx context.Context, c Case) Result {
	var void []string
	for attempt := 1; ; attempt++ {
		stop := watchClock()
		result := p.runOnce(ctx, c)
		waited := stop()
		if result.Status != Failed || waited < stall || attempt == attempts {
			result.Notes = append(void, result.Notes...)
			return result
		}
		void = append(void, fmt.Sprintf("run %d is void, for this process had to wait %v for a processor: %q",
			attempt, waited.Round(time.Millisecond), result.Failures))
	}
}

// watchClock measures how long the machine lets a goroutine wait that has to run. stop ends it
// and returns the longest time.
func watchClock() (stop func() time.Duration) {
	const interval = 50 * time.Millisecond
	done, longest := make(chan struct{}), make(chan time.Duration)
	go func() { // ended and awaited by stop
		tick := time.NewTicker(interval)
		defer tick.Stop()
		worst, last := time.Duration(0), time.Now()
		for {
			select {
			case <-tick.C:
			case <-done:
				longest <- max(worst, time.Since(last)-interval)
				return
			}
			now := time.Now()
			worst, last = max(worst, now.Sub(last)-interval), now
		}
	}()
	return func() time.Duration {
		close(done)
		return <-longest
	}
}

// runOnce runs a case.
func (p *plan) runOnce(ctx context.Context, c Case) Result {
	result := Result{Case: c, Status: Passed}
	if p.harness.Reproduce != nil {
		result.Reproduce = p.harness.Reproduce(c, p.seed)
	}
	if ctx.Err() != nil {
		result.Status, result.Notes = Skipped, []string{"the suite was interrupted"}
		return result
	}
	began := time.Now()
	cctx, cancel := context.WithTimeout(ctx, c.timeout())
	defer cancel()
	t := p.newT(cctx, c)
	done := make(chan struct{})
	go func() { // Fatalf ends it
		defer close(done)
		c.Run(t)
	}()
	if ended(done, c.timeout()+2*(t.overrun()+t.patience())) {
		if cctx.Err() != nil && ctx.Err() == nil {
			t.Errorf("not done within %v", c.timeout())
		}
		cancel()
		t.finish(ctx)
	} else {
		t.Errorf("the case did not end; it is left behind")
		t.endHosts()
	}
	result.Duration = time.Since(began)
	t.mu.Lock()
	defer t.mu.Unlock()
	result.Failures, result.Notes = t.failures, t.notes
	switch {
	case len(t.failures) > 0:
		result.Status = Failed
	case t.skipped || ctx.Err() != nil:
		result.Status = Skipped
	}
	return result
}

func (p *plan) newT(ctx context.Context, c Case) *T {
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(c.ID)) // never fails
	return &T{
		ctx:  ctx,
		plan: p,
		dir:  "storagetest-" + strings.ToLower(crand.Text()) + "/",
		rng:  rand.New(rand.NewPCG(p.seed, hash.Sum64())),
	}
}

// ended waits for done, for at most limit.
func ended(done <-chan struct{}, limit time.Duration) bool {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}
