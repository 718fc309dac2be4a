package chaos

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// report is what came of a run.
type report struct {
	dir   string // for artifacts
	began time.Time
	bad   chan struct{} // closed at the first violation

	mu         sync.Mutex
	outcomes   map[string]int // guarded by mu; of operations
	faults     []happened     // guarded by mu
	lastWrite  time.Time      // guarded by mu; acknowledged
	pauses     []pause        // guarded by mu; the longest, longest first
	ops        int            // guarded by mu; checked at least once
	lost       int            // guarded by mu; objects that were in order and later no more
	undecided  int            // guarded by mu
	violations []string       // guarded by mu; the first ones
	total      int            // guarded by mu; of all violations
}

// happened is a fault that has begun, and may have ended.
type happened struct {
	step
	begin, end time.Duration
}

// pause is a time without an acknowledged write.
type pause struct {
	at     time.Duration // when it began
	length time.Duration
}

const (
	keptPauses     = 5
	keptViolations = 20
)

func newReport(t *testing.T) *report {
	now := time.Now()
	return &report{
		dir: t.ArtifactDir(), began: now, lastWrite: now, bad: make(chan struct{}), outcomes: map[string]int{},
	}
}

func (r *report) count(outcome string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.outcomes[outcome]++
}

// answered counts an operation that was done.
func (r *report) answered(write bool, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !write {
		r.outcomes["reads"]++
		return
	}
	r.outcomes["writes"]++
	r.pauses = append(r.pauses, pause{at: r.lastWrite.Sub(r.began), length: now.Sub(r.lastWrite)})
	slices.SortFunc(r.pauses, func(a, b pause) int { return int(b.length - a.length) })
	r.pauses = r.pauses[:min(len(r.pauses), keptPauses)]
	r.lastWrite = now
}

// written returns how many writes were acknowledged.
func (r *report) written() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.outcomes["writes"]
}

// fault takes down that a fault begins, and returns what is to be called when it ends.
func (r *report) fault(s step) (ended func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := len(r.faults)
	r.faults = append(r.faults, happened{step: s, begin: time.Since(r.began), end: time.Hour * 1000})
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.faults[i].end = time.Since(r.began)
	}
}

// during returns the faults that were under way in a pause. r.mu is held.
func (r *report) during(p pause) string {
	var names []string
	for _, f := range r.faults {
		if f.begin < p.at+p.length && f.end > p.at {
			names = append(names, fmt.Sprintf("%s, %s", f.fault.name, f.target))
		}
	}
	return strings.Join(names, " + ")
}

func (r *report) checked(ops int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ops += ops
}

// illegal takes down a history that is not linearizable, or undecided.
func (r *report) illegal(later bool, err error) {
	r.mu.Lock()
	if strings.Contains(err.Error(), "undecided") {
		r.undecided++
	} else if later {
		r.lost++
	}
	r.mu.Unlock()
	r.violation("%v", err)
}

func (r *report) violation(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.total++
	if r.total == 1 {
		close(r.bad)
	}
	if len(r.violations) < keptViolations {
		r.violations = append(r.violations, fmt.Sprintf(format, args...))
	}
}

// failed reports whether there was a violation.
func (r *report) failed() bool {
	select {
	case <-r.bad:
		return true
	default:
		return false
	}
}

func (r *report) log(t *testing.T) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	var b strings.Builder
	table := func(what string, counts map[string]int) {
		total := 0
		for _, n := range counts {
			total += n
		}
		fmt.Fprintf(&b, "%d %s:", total, what)
		for _, name := range slices.Sorted(maps.Keys(counts)) {
			fmt.Fprintf(&b, " %s %d;", name, counts[name])
		}
		b.WriteByte('\n')
	}
	table("operations", r.outcomes)
	kinds := map[string]int{}
	for _, f := range r.faults {
		kinds[f.fault.name]++
	}
	table("faults", kinds)
	for _, p := range r.pauses {
		fmt.Fprintf(&b, "no write was acknowledged for %v at %v, during: %s\n",
			p.length.Round(time.Millisecond), p.at.Round(time.Millisecond), r.during(p))
	}
	fmt.Fprintf(&b, "%d operations checked (twice each); %d violations, %d histories with lost writes, %d undecided", r.ops, r.total, r.lost, r.undecided)
	t.Logf("%v of chaos\n%s", time.Since(r.began).Round(time.Second), b.String())
	for _, v := range r.violations {
		t.Error(v)
	}
}
