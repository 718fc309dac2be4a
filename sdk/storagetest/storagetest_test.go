package storagetest_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast/holdfast/sdk/storage"
	"github.com/holdfast/holdfast/sdk/storagetest"
)

// everyday are the profiles of a backend that is not a program.
var everyday = []storagetest.Profile{storagetest.Core, storagetest.Txn, storagetest.HA}

// harnessOf returns a harness for clients of one model, each made by wrap.
func harnessOf(wrap func(modelClient) storage.Backend) storagetest.Harness {
	m, other := newModel(), newModel()
	open := func(c modelClient) func(context.Context) (storage.Backend, storage.Capabilities, error) {
		return func(context.Context) (storage.Backend, storage.Capabilities, error) {
			return wrap(c), storage.Capabilities{Limits: modelLimits}, nil
		}
	}
	return storagetest.Harness{
		Open:      open(modelClient{model: m}),
		Elsewhere: open(modelClient{model: other}),
		Link: func(context.Context) (storagetest.Link, error) {
			return newModelLink(func(l *modelLink) storage.Backend { return wrap(modelClient{m, l}) }), nil
		},
		Expect: everyday,
		Seed:   7,
	}
}

func honest(c modelClient) storage.Backend { return c }

func TestModelPasses(t *testing.T) { storagetest.Run(t, harnessOf(honest)) }

// withoutHA has the methods of storage.Backend only.
type withoutHA struct{ storage.Backend }

func check(t *testing.T, h storagetest.Harness) *storagetest.Report {
	t.Helper()
	report, err := storagetest.Check(t.Context(), h, nil)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func TestCallerExpectsAndDecides(t *testing.T) {
	plain := func(c modelClient) storage.Backend { return withoutHA{c} }
	h := harnessOf(plain)
	h.Only = []string{"C-01"}
	if report := check(t, h); report.Passed() || !slices.Equal(report.Missing, []storagetest.Profile{storagetest.HA}) {
		t.Errorf("ha is expected and not offered: passed %t, missing %q", report.Passed(), report.Missing)
	}
	h.Expect = []storagetest.Profile{storagetest.Core}
	if report := check(t, h); !report.Passed() || !report.Selected {
		t.Errorf("what is expected is offered: %+v", report)
	}
	h.Expect = append(h.Expect, storagetest.Process)
	if report := check(t, h); report.Passed() {
		t.Error("process is expected, there is no program, and the suite passed")
	}

	// What is offered and not expected is run, and has to be right.
	lying := harnessOf(func(c modelClient) storage.Backend { return unguarded{c} })
	lying.Expect = []storagetest.Profile{storagetest.Core}
	lying.Only = []string{"C-01", "H-01"}
	if report := check(t, lying); report.Passed() || report.Count(storagetest.Failed) != 1 {
		t.Errorf("ha is offered and broken: passed %t, %d failed", report.Passed(), report.Count(storagetest.Failed))
	}
}

func TestHADisabledIsNotOffered(t *testing.T) {
	h := harnessOf(honest)
	open := h.Open
	h.Open = func(ctx context.Context) (storage.Backend, storage.Capabilities, error) {
		b, capabilities, err := open(ctx)
		capabilities.HADisabled = true
		return b, capabilities, err
	}
	h.Only = []string{"C-01"}
	if report := check(t, h); report.Passed() {
		t.Error("the configuration switched ha off, ha is expected, and the suite passed")
	}
}

func TestInterruptedSuiteHasNotPassed(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	h := harnessOf(honest)
	h.Only = []string{"C-01", "C-02"}
	report, err := storagetest.Check(ctx, h, func(storagetest.Result) { cancel() })
	if err != nil {
		t.Fatal(err)
	}
	if report.Passed() || report.Count(storagetest.Skipped) == 0 {
		t.Errorf("interrupted after one of two cases: passed %t, %d skipped", report.Passed(), report.Count(storagetest.Skipped))
	}
}

func TestHarnessIsChecked(t *testing.T) {
	for want, change := range map[string]func(*storagetest.Harness){
		"no Open":           func(h *storagetest.Harness) { h.Open = nil },
		"profiles to Exp":   func(h *storagetest.Harness) { h.Expect = nil },
		`no profile "fast"`: func(h *storagetest.Harness) { h.Expect = []storagetest.Profile{"fast"} },
		`no case "C-99"`:    func(h *storagetest.Harness) { h.Only = []string{"C-99"} },
		"the host refuses": func(h *storagetest.Harness) {
			h.Open = func(context.Context) (storage.Backend, storage.Capabilities, error) {
				return modelClient{model: newModel()}, storage.Capabilities{}, nil
			}
		},
	} {
		h := harnessOf(honest)
		change(&h)
		if _, err := storagetest.Check(t.Context(), h, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestCasesAreWellFormed(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range storagetest.Cases() {
		if seen[c.ID] {
			t.Errorf("%s: the ID is used twice", c.ID)
		}
		seen[c.ID] = true
		prefix := map[storagetest.Profile]string{storagetest.Core: "C-", storagetest.Txn: "T-", storagetest.HA: "H-", storagetest.Process: "P-"}
		aboutWill := c.Profile == storagetest.Process && strings.HasPrefix(c.ID, "W-") // last wills
		if !strings.HasPrefix(c.ID, prefix[c.Profile]) && !aboutWill || prefix[c.Profile] == "" {
			t.Errorf("%s: the ID is not one of profile %s", c.ID, c.Profile)
		}
		if c.Run == nil || !strings.HasSuffix(c.Promise, ".") || strings.Count(c.Promise, ".") > 1 {
			t.Errorf("%s: want something to run and a promise of one sentence, got %q", c.ID, c.Promise)
		}
	}
}
