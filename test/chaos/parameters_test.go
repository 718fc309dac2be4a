package chaos

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"
)

// How long the longest freezes of a node are: several leases.
const (
	frozen     = 10 * time.Second
	longFrozen = time.Minute // in long runs
)

// settings are what the environment says about a run.
type settings struct {
	duration   time.Duration // CHAOS_DURATION, for each store
	store      string        // CHAOS_STORE; empty: all
	seed       uint64        // CHAOS_SEED; if that is not set random, and always the same in a plain `go test`
	long       bool          // CHAOS_DURATION is set: not a plain `go test`
	stepDowns  int           // CHAOS_STEPDOWNS; 0: as many as in a plain `go test`
	longFreeze time.Duration // of a node
}

// parameters reads the environment.
func parameters(t *testing.T) settings {
	t.Helper()
	s := settings{duration: inShort, store: os.Getenv("CHAOS_STORE"), seed: 1}
	var err error
	if text := os.Getenv("CHAOS_DURATION"); text != "" {
		if s.duration, err = time.ParseDuration(text); err != nil {
			t.Fatalf("CHAOS_DURATION: %v", err)
		}
		s.long, s.seed = true, rand.Uint64()
	}
	if text := os.Getenv("CHAOS_SEED"); text != "" {
		if s.seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("CHAOS_SEED: %v", err)
		}
	}
	if text := os.Getenv("CHAOS_STEPDOWNS"); text != "" {
		if s.stepDowns, err = strconv.Atoi(text); err != nil {
			t.Fatalf("CHAOS_STEPDOWNS: %v", err)
		}
	}
	s.longFreeze = frozen
	if s.duration > inShort {
		s.longFreeze = longFrozen
	}
	return s
}

// atOnce has the stores tested at the same time in a long run, and one after the other in a
// plain `go test`, which may run on a small machine.
func (s settings) atOnce(t *testing.T) {
	if s.long {
		t.Parallel()
	}
}

// chosen reports whether a test is to run on a store. A short run takes only the one that is
// named.
func (s settings) chosen(k kind, inShortRuns string) bool {
	if s.store != "" {
		return s.store == k.name
	}
	return s.long || k.name == inShortRuns
}

// command is what does the same again: the same faults at the same times.
func (s settings) command(t *testing.T, k kind) string {
	return fmt.Sprintf("CHAOS_SEED=%d CHAOS_STORE=%s CHAOS_DURATION=%s go test -count 1 -timeout 0 -v -run '^%s$' ./test/chaos",
		s.seed, k.name, s.duration, t.Name())
}
