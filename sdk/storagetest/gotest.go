package storagetest

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

// SeedVariable is the environment variable from which [Run] takes the seed if the harness has
// none.
const SeedVariable = "STORAGETEST_SEED"

// Run runs every case that applies as a subtest of t, named by its ID.
func Run(t *testing.T, h Harness) {
	t.Helper()
	if text := os.Getenv(SeedVariable); h.Seed == 0 && text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("%s is %q, want a number", SeedVariable, text)
		}
		h.Seed = seed
	}
	if h.Reproduce == nil {
		pattern := "^" + strings.ReplaceAll(t.Name(), "/", "$/^") + "$"
		h.Reproduce = func(c Case, seed uint64) string {
			return fmt.Sprintf("%s=%d go test -run '%s/^%s$'", SeedVariable, seed, pattern, c.ID)
		}
	}
	p, err := newPlan(t.Context(), h)
	if err != nil {
		t.Fatalf("begin the suite: %v", err)
	}
	for _, profile := range p.report().Missing {
		t.Errorf("profile %s is expected and not offered", profile)
	}
	for _, c := range p.left {
		t.Logf("not run, for the harness has not what it needs: %s: %s", c.ID, c.Promise)
	}
	for _, c := range p.cases {
		t.Run(c.ID, func(t *testing.T) { report(t, p.run(t.Context(), c)) })
	}
}

// report shows result as the result of a test. A skipped case has not passed.
func report(t *testing.T, result Result) {
	t.Helper()
	for _, note := range result.Notes {
		t.Log(note)
	}
	if result.Status == Passed {
		return
	}
	for _, failure := range result.Failures {
		t.Error(failure)
	}
	t.Errorf("%s: %s\npromise: %s\nreproduce: %s", result.Case.ID, result.Status, result.Case.Promise, result.Reproduce)
}
