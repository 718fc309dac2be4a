package storagetest

import (
	"context"
	crand "crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/holdfast/holdfast/sdk/storage"
)

// Status is how a case ended.
type Status string

// The statuses of a case.
const (
	Passed  Status = "passed"
	Failed  Status = "failed"
	Skipped Status = "skipped" // not decided, so not passed
)

// Result is the run of one case.
type Result struct {
	Case     Case
	Status   Status
	Duration time.Duration
	// Failures say how the promise was broken.
	Failures []string
	// Notes are what else is worth knowing, such as why a case was skipped.
	Notes []string
	// Reproduce is the command line that runs the case again; it may be empty.
	Reproduce string
}

// Report is the run of a suite.
type Report struct {
	Seed         uint64
	Capabilities storage.Capabilities // what the first client declared
	Offered      []Profile
	Expected     []Profile
	Missing      []Profile // expected and not offered
	Results      []Result
	// Left are the cases of the profiles offered that were not run, because the harness has
	// no Elsewhere or no Link. The report says nothing of their promises.
	Left []Case
	// Selected says that only some of the cases were asked for: it shows nothing of the
	// others.
	Selected bool
}

// Passed reports whether every profile expected is offered and every case that was run
// passed. See Left for the others.
func (r *Report) Passed() bool {
	return len(r.Missing) == 0 && len(r.Results) > 0 && r.Count(Passed) == len(r.Results)
}

// Count returns how many cases ended with s.
func (r *Report) Count(s Status) int {
	n := 0
	for _, result := range r.Results {
		if result.Status == s {
			n++
		}
	}
	return n
}

// Check runs the suite and calls each, if not nil, with every result as it comes. The error
// is about the harness: the suite could not begin.
func Check(ctx context.Context, h Harness, each func(Result)) (*Report, error) {
	p, err := newPlan(ctx, h)
	if err != nil {
		return nil, err
	}
	report := p.report()
	for _, c := range p.cases {
		result := p.run(ctx, c)
		report.Results = append(report.Results, result)
		if each != nil {
			each(result)
		}
	}
	return report, nil
}

// plan is a harness whose client was asked what it offers.
type plan struct {
	harness      Harness
	seed         uint64
	capabilities storage.Capabilities
	ha           bool
	offered      []Profile
	cases        []Case
	left         []Case
}

func newPlan(ctx context.Context, h Harness) (*plan, error) {
	if err := h.check(); err != nil {
		return nil, err
	}
	p := &plan{harness: h, seed: h.Seed}
	for p.seed == 0 {
		var raw [4]byte           // short enough to be typed
		_, _ = crand.Read(raw[:]) // never fails
		p.seed = uint64(binary.LittleEndian.Uint32(raw[:]))
	}
	octx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	b, capabilities, err := h.Open(octx)
	if err != nil {
		return nil, fmt.Errorf("open a client: %w", err)
	}
	p.capabilities, p.ha = capabilities, isHA(b)
	first := client{backend: b, t: &T{ctx: ctx, plan: p}}
	if err := first.Close(); err != nil && !h.Disturbed && !errors.Is(err, errHangs) { // C-25 is about that
		return nil, fmt.Errorf("close a client: %w", err)
	}
	if err := capabilities.Limits.Validate(); err != nil {
		return nil, fmt.Errorf("the host refuses what the backend declares: %w", err)
	}
	p.offered = []Profile{Core, Txn}
	if p.ha && !capabilities.HADisabled {
		p.offered = append(p.offered, HA)
	}
	if h.Program != nil {
		p.offered = append(p.offered, Process)
	}
	for _, c := range Cases() {
		switch {
		case !p.applies(c):
		case h.equipped(c):
			p.cases = append(p.cases, c)
		default:
			p.left = append(p.left, c)
		}
	}
	if len(p.cases) == 0 {
		return nil, errors.New("none of the cases asked for applies to this backend")
	}
	return p, nil
}

func (h Harness) check() error {
	if h.Open == nil {
		return errors.New("harness has no Open")
	}
	if len(h.Expect) == 0 {
		return errors.New("harness does not say which profiles to Expect")
	}
	for _, profile := range h.Expect {
		if !slices.Contains(Profiles(), profile) {
			return fmt.Errorf("no profile %q: there are %q", profile, Profiles())
		}
	}
	known := Cases()
	for _, id := range h.Only {
		if !slices.ContainsFunc(known, func(c Case) bool { return c.ID == id }) {
			return fmt.Errorf("no case %q", id)
		}
	}
	return nil
}

// isHA reports what b implements, or says: a client across the wire has all methods.
func isHA(b storage.Backend) bool {
	if says, ok := b.(interface{ HA() bool }); ok {
		return says.HA()
	}
	_, ok := b.(storage.HABackend)
	return ok
}

// applies reports whether c is to be run.
func (p *plan) applies(c Case) bool {
	ha := slices.Contains(p.offered, HA)
	switch {
	case len(p.harness.Only) > 0 && !slices.Contains(p.harness.Only, c.ID):
		return false
	case !slices.Contains(p.offered, c.Profile):
		return false
	default:
		return (!c.Needs.HA || ha) && (!c.Needs.Program || p.harness.Program != nil)
	}
}

// equipped reports whether the harness has what c needs.
func (h Harness) equipped(c Case) bool {
	return (!c.Needs.Elsewhere || h.Elsewhere != nil) && (!c.Needs.Link || h.Link != nil)
}

func (p *plan) report() *Report {
	r := &Report{
		Seed: p.seed, Capabilities: p.capabilities, Offered: p.offered, Expected: p.harness.Expect,
		Selected: len(p.harness.Only) > 0, Left: p.left,
	}
	for _, profile := range p.harness.Expect {
		if !slices.Contains(p.offered, profile) {
			r.Missing = append(r.Missing, profile)
		}
	}
	return r
}

// usage counts what clients may leak.
func (p *plan) usage() (map[string]int, error) {
	if p.harness.Usage != nil {
		return p.harness.Usage()
	}
	return map[string]int{"goroutines": runtime.NumGoroutine()}, nil
}
