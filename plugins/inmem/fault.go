package inmem

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/holdfast/holdfast/sdk/storage"
)

// The kinds of faults. To the caller before and after look the same: a write that met one of
// them has an unknown outcome.
const (
	faultRefused = "refused" // not applied, and the error says so
	faultBefore  = "before"  // not applied
	faultAfter   = "after"   // applied, and the answer is lost
)

// faults makes calls slow and makes some of them fail. The zero value does neither. It is
// safe for concurrent use.
type faults struct {
	latency time.Duration
	rate    int // of 1,000 calls, how many fail
	kinds   []string

	mu  sync.Mutex // guards rng
	rng *rand.Rand // decided by the seed: which calls fail depends on nothing but their order
}

func newFaults(c Config) *faults {
	return &faults{
		latency: c.Latency,
		rate:    c.FaultRate,
		kinds:   c.FaultKinds,
		rng:     rand.New(rand.NewPCG(c.FaultSeed, 0)),
	}
}

// draw decides what happens to the next call; empty means nothing.
func (f *faults) draw() string {
	if f.rate == 0 {
		return ""
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.rng.IntN(faultsPer) >= f.rate {
		return ""
	}
	return f.kinds[f.rng.IntN(len(f.kinds))]
}

// faultError is the error of a call that met a fault of the given kind.
func faultError(kind string) error {
	err := fmt.Errorf("%w: fault injected (%s)", storage.ErrUnavailable, kind)
	if kind == faultRefused {
		return storage.NotApplied(err)
	}
	return err
}

// read takes the time of a call and fails it, perhaps.
func (f *faults) read(ctx context.Context) error {
	if err := f.delay(ctx); err != nil {
		return err
	}
	if kind := f.draw(); kind != "" {
		return faultError(kind)
	}
	return nil
}

// write is read around apply, which may have happened although an error is returned. An error of
// apply itself is returned unless the answer is lost.
func (f *faults) write(ctx context.Context, apply func() error) error {
	if err := f.delay(ctx); err != nil {
		return storage.NotApplied(err)
	}
	kind := f.draw()
	if kind == faultRefused || kind == faultBefore {
		return faultError(kind)
	}
	err := apply()
	if kind == faultAfter {
		return faultError(kind)
	}
	return err
}

// delay takes as long as the configuration says, or until ctx ends.
func (f *faults) delay(ctx context.Context) error {
	if f.latency == 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(f.latency)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}
