package ha

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

// scenario is a run in which one thing happens, to nodes that are well otherwise, and must
// go as it should. play schedules it and returns what judges it: empty if all is well.
type scenario struct {
	name   string
	play   func(*sim) (judge func() string)
	mutant mutant // a protocol that gets it wrong
}

var scenarios = []scenario{
	{"nothing happens", playNothing, noMutant},
	{"the store is away for all", playOutage, silenceAway},
	{"the store is full", playFull, noWriteCheck},
	{"step-down to a named node", playHandOver, handsOff},
	{"the host is killed", playKill, plainWill},
	{"the store is restored", playRestore, noMemory},
}

func playNothing(s *sim) func() string {
	return func() string { return s.expectTenures(1) }
}

// However an outage shows, the same node goes on in the same term (P6).
func playOutage(s *sim) func() string {
	s.faulty = 14 * time.Second
	s.after(3*time.Second, func() {
		s.store.hangs, s.store.refuses = s.chance(0.5), 1
	})
	s.after(12*time.Second, func() { s.store.hangs, s.store.refuses = false, 0 })
	return func() string { return s.expectTenures(1) }
}

// Nor does a standby come first when a store that answered reads only takes writes again.
func playFull(s *sim) func() string {
	const every = 10 * time.Second
	s.faulty = time.Minute + 3*time.Second
	for at := 3 * time.Second; at < time.Minute; at += every {
		s.after(at, func() { s.store.full = true })
		s.after(at+5*time.Second+s.upTo(3*time.Second), func() { s.store.full = false })
	}
	return func() string { return s.expectTenures(1) }
}

func playHandOver(s *sim) func() string {
	var target string
	s.after(3*time.Second, func() {
		target = s.anyStandby().id()
		s.anyActive().stepDown(target)
	})
	return func() string {
		if got := s.tenures[2].holder; got != target {
			return fmt.Sprintf("epoch 2 was taken by %q, want %q", got, target)
		}
		return s.expectTenures(2)
	}
}

// The plugin's last will ends the tenure before the lease is out.
func playKill(s *sim) func() string {
	const at, within = 3 * time.Second, 1200 * time.Millisecond
	s.after(at, func() { s.anyActive().crash(false) })
	return func() string {
		if took := s.tenures[2].began - at; took > within {
			return fmt.Sprintf("epoch 2 began after %v, want at most %v", took, within)
		}
		return s.expectTenures(2)
	}
}

// Nobody goes on from a store that was put back to an older state, as long as a node lives
// that saw the newer one: a node that has just started is told.
func playRestore(s *sim) func() string {
	st := &s.store
	var backup simStore
	s.after(2*time.Second, func() { backup = *st })
	s.after(4*time.Second, func() {
		s.logf("store", "is put back to %s: %s", backup.version, recordText(backup.record))
		s.harmed = true
		st.index, st.version, st.record, st.data = backup.index, backup.version, backup.record, backup.data
		s.anyStandby().crash(true)
	})
	s.idle = true
	return func() string {
		if st.record != backup.record {
			return "a node went on from the restored store: " + recordText(st.record)
		}
		return ""
	}
}

// expectTenures says what is wrong if there were not n tenures.
func (s *sim) expectTenures(n int) string {
	if len(s.tenures) != n {
		return fmt.Sprintf("there were %d tenures, want %d", len(s.tenures), n)
	}
	return ""
}

// anyStandby returns a node that does not believe that it is active.
func (s *sim) anyStandby() *simNode {
	first := s.rnd.IntN(len(s.nodes))
	for i := range s.nodes {
		if n := s.nodes[(first+i)%len(s.nodes)]; n.tenure == nil {
			return n
		}
	}
	return nil
}

// run plays sc in a world where messages take a few milliseconds and the clocks are as bad
// as they may be, and says what went wrong.
func (sc scenario) run(seed uint64, m mutant, trace io.Writer) string {
	b := backends[seed%uint64(len(backends))]
	b.losesAnswers, b.resends = 0, 0
	s := newSim(seed, world{
		backend: b, timing: DefaultTiming, trusted: true, rates: trustedClocks,
		travel: 4 * time.Millisecond, think: 100 * time.Millisecond, reads: 0.5,
	}, m)
	s.quiet, s.trace = true, trace
	judge := sc.play(s)
	bad := s.verdict()
	return cmp.Or(judge(), bad)
}

// TestSimulatedScenarios plays each scenario many times, and then with a protocol that gets
// it wrong.
func TestSimulatedScenarios(t *testing.T) {
	const times = 100
	for _, sc := range scenarios {
		t.Run(sc.name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(times) {
				if bad := sc.run(seed, noMutant, nil); bad != "" {
					var trace strings.Builder
					sc.run(seed, noMutant, &trace)
					t.Fatalf("seed %d: %s\n%s", seed, bad, trace.String())
				}
			}
			if sc.mutant == noMutant {
				return
			}
			for seed := range uint64(times) {
				if bad := sc.run(seed, sc.mutant, nil); bad != "" {
					t.Logf("%s: noticed at seed %d of %d: %s", sc.mutant, seed, times, bad)
					return
				}
			}
			t.Errorf("%s: not noticed within %d seeds", sc.mutant, times)
		})
	}
}
