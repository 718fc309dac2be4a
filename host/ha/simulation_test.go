package ha

import (
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

var (
	simSeeds = flag.Int("seeds", 10_000, "how many histories TestSimulation checks in all")
	simFirst = flag.Uint64("first", 0, "the first of its seeds")
	simSeed  = flag.Uint64("seed", 0, "replay this seed of the one subtest chosen with -run, and print its trace with -v")
)

// verdict runs s and says what is wrong; empty if nothing is.
func (s *sim) verdict() string {
	res := s.run()
	switch {
	case res != porcupine.Ok: // undecided fails too
		return fmt.Sprintf("the history is %s", res)
	case len(s.problems) > 0:
		return s.problems[0]
	case !s.revived && s.trusted && !s.idle:
		return "nobody was served within " + simCalm.String() + " after the faults"
	}
	return ""
}

// TestSimulation checks many histories. In lease mode the clocks are as good as the protocol
// demands, and no worse; in strict mode they are wrong by 50 to 90 %.
//
//	go test ./host/ha -run '^TestSimulation$' -seeds 200000 -first 1000000
//	go test ./host/ha -run '^TestSimulation$/^lease$/^etcd$' -seed 4711 -v
func TestSimulation(t *testing.T) {
	for _, mode := range []string{"lease", "strict"} {
		for _, b := range backends {
			t.Run(mode+"/"+b.name, func(t *testing.T) {
				t.Parallel()
				draw := func(seed uint64) world { return drawWorld(seed, b) }
				if mode == "strict" {
					draw = func(seed uint64) world { return drawWorld(seed, b).strictly() }
				}
				if *simSeed != 0 {
					replay(t, *simSeed, draw(*simSeed))
					return
				}
				simulate(t, *simSeeds/(2*len(backends)), draw)
			})
		}
	}
}

// simulate checks n histories, each in a world of its own.
func simulate(t *testing.T, n int, draw func(seed uint64) world) {
	t.Helper()
	var acked, takeovers, doubtful int
	for seed := *simFirst + 1; seed <= *simFirst+uint64(n); seed++ {
		s := newSim(seed, draw(seed), noMutant)
		if bad := s.verdict(); bad != "" {
			replay(t, seed, draw(seed))
			only := "^" + strings.ReplaceAll(t.Name(), "/", "$/^") + "$"
			t.Fatalf("seed %d: %s\nagain: go test ./host/ha -run '%s' -seed %d -v", seed, bad, only, seed)
		}
		acked, takeovers, doubtful = acked+s.acked, takeovers+s.takeover, doubtful+s.doubtful
	}
	t.Logf("%d histories, %d acknowledged operations, %d take-overs, %d writes nobody knows of", n, acked, takeovers, doubtful)
	if acked < n*30 || takeovers < n*2 {
		t.Errorf("hardly anything happened: %d histories, %d operations, %d take-overs", n, acked, takeovers)
	}
}

// replay runs one seed with its trace.
func replay(t *testing.T, seed uint64, w world) {
	t.Helper()
	var trace strings.Builder
	s := newSim(seed, w, noMutant)
	s.trace = &trace
	bad := s.verdict()
	if bad == "" {
		bad = "nothing is wrong"
	} else if o := firstIllegal(s.history); o.Input != nil {
		bad += fmt.Sprintf("; the first answer that can not be is that of c%d at %v", o.ClientId, time.Duration(o.Return))
	}
	t.Logf("seed %d: %s\n%s", seed, bad, trace.String())
}

// TestSimulationIsRepeatable: a seed says everything, or a replay would show something else.
func TestSimulationIsRepeatable(t *testing.T) {
	for seed := range uint64(20) {
		var traces [2]strings.Builder
		for i := range traces {
			s := newSim(seed, anyWorld(seed), noMutant)
			s.trace = &traces[i]
			s.run()
		}
		if traces[0].String() != traces[1].String() {
			t.Errorf("seed %d: two runs differ", seed)
		}
	}
}

// TestSimulationSeesWrongClocks shows what strict mode is for: with the same clocks, answers
// within a lease are stale sooner or later, and the checker sees it.
func TestSimulationSeesWrongClocks(t *testing.T) {
	const within = 400
	for seed := range uint64(within) {
		w := anyWorld(seed)
		w.trusted, w.rates = false, wrongClocks
		if bad := newSim(seed, w, noMutant).verdict(); bad != "" {
			t.Logf("noticed at seed %d of %d: %s", seed, within, bad)
			return
		}
	}
	t.Errorf("not noticed within %d seeds", within)
}
